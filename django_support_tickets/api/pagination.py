from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination

from django_support_tickets.api.moments import parse_moment


class NewestFirst(CursorPagination):
    """Page by the position of the last row, so that a deep page costs what the first one does."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"
    ordering = ("-created_at", "-id")

    def get_page_size(self, request: Any) -> int:
        return super().get_page_size(request) or self.page_size

    def decode_cursor(self, request: Any) -> Cursor | None:
        """Return the cursor of the request; raise NotFound for one that was not made here."""
        cursor = super().decode_cursor(request)
        if cursor is None or cursor.position is None:
            return cursor
        moment = parse_moment(str(cursor.position))
        if moment is None:
            raise NotFound(self.invalid_cursor_message)
        return Cursor(offset=cursor.offset, reverse=cursor.reverse, position=str(moment))  # type: ignore[arg-type]


class OldestFirst(NewestFirst):
    """Page a conversation in the order in which it happened."""

    ordering = ("created_at", "id")


class EventsInOrder(NewestFirst):
    """Page a timeline in the order in which it happened."""

    ordering = ("at", "id")
