"""Operations of the OpenAPI description: each viewset's, on a copy of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view

from django_support_tickets.api.schema.components import CommentAsJson, TicketAsJson, TicketChanges
from django_support_tickets.api.schema.examples import (
    ACCOUNT,
    AGAIN,
    ANSWER,
    ASK,
    CHANGE,
    DRAFT,
    EDIT,
    EXISTS,
    RAISE,
    RECEIPT,
    REFUSED,
    SHOWN,
)
from django_support_tickets.api.schema.words import (
    ELSEWHERE,
    IDEMPOTENCY,
    KNOWN_TAG,
    LOCATION,
    ORDERING,
    OWN_KEY,
    READ,
    TAG,
    TICKET,
    UNCHANGED,
    WRITTEN,
    answers,
)
from django_support_tickets.api.serializers import (
    AccountSerializer,
    AgentAttachmentSerializer,
    AgentCommentSerializer,
    AgentEventSerializer,
    AgentTicketDetailSerializer,
    AgentTicketSerializer,
    SettlementSerializer,
)

TICKET_BODY = {"application/json": TicketAsJson, "multipart/form-data": AgentTicketSerializer}
COMMENT_BODY = {"application/json": CommentAsJson, "multipart/form-data": AgentCommentSerializer}
ASKED = {"request": None, "examples": [SHOWN]}
CONTENT = {(200, "*/*"): OpenApiTypes.BINARY, 302: ELSEWHERE}


def listed(serializer: Any, example: Any) -> Any:
    """Describe a list of what belongs to one ticket."""
    return extend_schema(
        parameters=[TICKET, KNOWN_TAG, TAG],
        responses=answers(*READ, s200=serializer(many=True), s304=UNCHANGED),
        examples=[example],
    )


class _Views(OpenApiViewExtension):  # type: ignore[misc]
    """Describe the operations of a viewset, on a copy of it."""

    operations: Mapping[str, Any] = {}

    def view_replacement(self) -> Any:
        """Return the viewset with its operations described."""
        view = self.target_class
        queryset = getattr(view, "queryset", None)
        rows = {} if queryset is None else {"get_queryset": lambda self: queryset.none()}
        copied = type(view.__name__, (view,), {"__doc__": view.__doc__, **rows})
        return extend_schema_view(**self.operations)(copied)


class TicketViews(_Views):
    """The routes of tickets."""

    target_class = "django_support_tickets.api.views.tickets.TicketViewSet"
    operations = {
        "list": extend_schema(
            description="Return the tickets that the user may know of, newest first.",
            parameters=[KNOWN_TAG, TAG, ORDERING],
            responses=answers(*READ, 400, s200=AgentTicketDetailSerializer(many=True), s304=UNCHANGED),
            examples=[SHOWN],
        ),
        "retrieve": extend_schema(
            description="Return a ticket.",
            parameters=[OWN_KEY, KNOWN_TAG, TAG],
            responses=answers(*READ, s200=AgentTicketDetailSerializer, s304=UNCHANGED),
            examples=[SHOWN],
        ),
        "create": extend_schema(
            parameters=[IDEMPOTENCY, LOCATION],
            request=TICKET_BODY,
            responses=answers(*WRITTEN, 422, 429, 503, s201=AgentTicketDetailSerializer),
            examples=[RAISE, DRAFT, SHOWN, REFUSED],
        ),
        "partial_update": extend_schema(
            parameters=[OWN_KEY],
            request={"application/json": TicketChanges(partial=True)},
            responses=answers(*WRITTEN, 409, s200=AgentTicketDetailSerializer),
            examples=[EDIT, SHOWN],
        ),
        "destroy": extend_schema(parameters=[OWN_KEY], responses=answers(*READ, 409, s204=None)),
        "submit": extend_schema(
            parameters=[OWN_KEY], **ASKED, responses=answers(*WRITTEN, 409, 429, 503, s200=AgentTicketDetailSerializer)
        ),
        "close": extend_schema(
            parameters=[OWN_KEY], **ASKED, responses=answers(*WRITTEN, 409, 429, s202=AgentTicketDetailSerializer)
        ),
        "refresh": extend_schema(
            parameters=[OWN_KEY], **ASKED, responses=answers(*WRITTEN, 409, 429, s202=AgentTicketDetailSerializer)
        ),
        "settle": extend_schema(
            parameters=[OWN_KEY],
            request={"application/json": SettlementSerializer},
            responses=answers(*WRITTEN, 409, s200=AgentTicketDetailSerializer),
            examples=[EXISTS, AGAIN, SHOWN],
        ),
    }


class CommentViews(_Views):
    """The routes of comments."""

    target_class = "django_support_tickets.api.views.conversation.CommentViewSet"
    operations = {
        "list": listed(AgentCommentSerializer, ANSWER),
        "create": extend_schema(
            parameters=[TICKET, IDEMPOTENCY],
            request=COMMENT_BODY,
            responses=answers(*WRITTEN, 422, 429, 503, s201=AgentCommentSerializer),
            examples=[ASK, ANSWER],
        ),
    }


class AttachmentViews(_Views):
    """The routes of files."""

    target_class = "django_support_tickets.api.views.conversation.AttachmentViewSet"
    operations = {
        "list": listed(AgentAttachmentSerializer, RECEIPT),
        "create": extend_schema(
            parameters=[TICKET, IDEMPOTENCY],
            request={"multipart/form-data": AgentAttachmentSerializer},
            responses=answers(*WRITTEN, 422, 429, 503, s201=AgentAttachmentSerializer),
            examples=[RECEIPT],
        ),
        "content": extend_schema(
            parameters=[TICKET, OWN_KEY],
            responses={**CONTENT, **answers(401, 403, 404, 409, 410, 503)},
        ),
    }


class EventViews(_Views):
    """The route of the timeline."""

    target_class = "django_support_tickets.api.views.conversation.EventViewSet"
    operations = {"list": listed(AgentEventSerializer, CHANGE)}


class AccountViews(_Views):
    """The route of accounts."""

    target_class = "django_support_tickets.api.views.accounts.AccountViewSet"
    operations = {
        "list": extend_schema(
            parameters=[KNOWN_TAG, TAG],
            responses=answers(401, 403, 406, s200=AccountSerializer(many=True), s304=UNCHANGED),
            examples=[ACCOUNT],
        )
    }
