from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import DateTimeField
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination

from django_support_tickets.api.moments import parse_moment
from django_support_tickets.records import clean_text


class NewestFirst(CursorPagination):
    """Page by the position of the last row, so that a deep page costs what the first one does."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"
    ordering = ("-created_at", "-id")

    def get_page_size(self, request: Any) -> int:
        return super().get_page_size(request) or self.page_size

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> Any:
        """Return the ordering, and keep the column whose values are the positions."""
        ordering = super().get_ordering(request, queryset, view)
        self.column = queryset.model._meta.get_field(ordering[0].removeprefix("-"))
        return ordering

    def decode_cursor(self, request: Any) -> Cursor | None:
        """Return the cursor of the request; raise NotFound for one that was not made here."""
        cursor = super().decode_cursor(request)
        if cursor is None or cursor.position is None:
            return cursor
        position = self._value(str(cursor.position))
        if position is None:
            raise NotFound(self.invalid_cursor_message)
        return Cursor(offset=cursor.offset, reverse=cursor.reverse, position=str(position))  # type: ignore[arg-type]

    def _value(self, position: str) -> Any:
        """Return a position as a value of its column, None if it is none."""
        if isinstance(self.column, DateTimeField):
            return parse_moment(position)
        try:
            return self.column.to_python(clean_text(position))
        except ValidationError:
            return None


class OldestFirst(NewestFirst):
    """Page a conversation in the order in which it happened."""

    ordering = ("created_at", "id")


class EventsInOrder(NewestFirst):
    """Page a timeline in the order in which it happened."""

    ordering = ("at", "id")
