from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.http.response import HttpResponseBase
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.mixins import ListModelMixin
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from django_support_tickets.api.idempotency import Intention, intention_of
from django_support_tickets.api.pagination import EventsInOrder, OldestFirst
from django_support_tickets.api.parsers import StrictJSONParser, UploadParser
from django_support_tickets.api.scope import is_agent
from django_support_tickets.api.serializers import (
    AgentAttachmentSerializer,
    AgentCommentSerializer,
    AgentEventSerializer,
    AttachmentSerializer,
    CommentSerializer,
    EventSerializer,
)
from django_support_tickets.api.serializers.conversation import PUBLIC_KINDS
from django_support_tickets.api.views.guarded import TicketPartViewSet, find, make_once
from django_support_tickets.attachments.serving import NotServed, attachment_response
from django_support_tickets.models import Attachment, Comment, TicketEvent


class CannotServe(APIException):
    """A file cannot be handed out."""

    def __init__(self, reason: NotServed) -> None:
        super().__init__(str(reason.message), code=reason.code)
        self.status_code = reason.status


class WritablePart(ListModelMixin, TicketPartViewSet):
    """Something that is listed and added, and then belongs to what was submitted."""

    pagination_class = OldestFirst
    parser_classes: Sequence[type[BaseParser]] = (StrictJSONParser, UploadParser)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Queue it for the vendor; the same Idempotency-Key and request give what they gave before."""
        rows = self.get_queryset()
        intention = intention_of(request, str(self.ticket.key), rows.model._meta.label)
        added = make_once(rows, partial(self._add, request, intention), intention=intention)
        return Response(self.get_serializer(added).data, status=status.HTTP_201_CREATED)

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        """Store it."""
        serializer.save()

    def _add(self, request: Request, intention: Intention | None) -> Any:
        context = {**self.get_serializer_context(), "ticket": self.ticket, "intention": intention}
        serializer = self.get_serializer_class()(data=request.data, context=context)
        serializer.is_valid(raise_exception=True)
        self.perform_create(serializer)
        return serializer.instance


class CommentViewSet(WritablePart):
    """The conversation of a ticket, in the order in which it happened."""

    queryset = Comment.objects.all()
    serializer_class = CommentSerializer
    agent_serializer_class = AgentCommentSerializer
    needs = {"list": "view_ticket", "create": "add_comment"}


class AttachmentViewSet(WritablePart):
    """The files of a ticket; one that travels with a comment is sent with the comment."""

    queryset = Attachment.objects.select_related("comment")
    serializer_class = AttachmentSerializer
    agent_serializer_class = AgentAttachmentSerializer
    parser_classes = (UploadParser,)
    lookup_field = "key"
    lookup_value_regex = "[^/]+"
    needs = {"list": "view_ticket", "create": "add_attachment", "content": "view_attachment"}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Answer whatever the client says it accepts: a file is what it is."""
        return super().perform_content_negotiation(request, force=force or self.action == "content")

    @action(detail=True, url_path="content")
    def content(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Hand the stored bytes out, to be saved and never shown."""
        attachment = find(self.get_queryset(), kwargs["key"])
        try:
            return attachment_response(attachment)
        except NotServed as reason:
            raise CannotServe(reason) from None


class EventViewSet(ListModelMixin, TicketPartViewSet):
    """The timeline of a ticket."""

    queryset = TicketEvent.objects.all()
    serializer_class = EventSerializer
    agent_serializer_class = AgentEventSerializer
    pagination_class = EventsInOrder
    needs = {"list": "view_ticket"}

    def get_queryset(self) -> Any:
        """Return the lines that are for whoever asks."""
        events = super().get_queryset()
        return events if is_agent(self.request.user) else events.filter(kind__in=PUBLIC_KINDS)
