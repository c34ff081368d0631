"""Operations of the OpenAPI description: each viewset's, on a copy of it."""

from __future__ import annotations

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


class TicketViews(OpenApiViewExtension):  # type: ignore[misc]
    """The routes of tickets."""

    target_class = "django_support_tickets.api.views.tickets.TicketViewSet"

    def view_replacement(self) -> Any:
        """Return the viewset with its operations described."""
        one = AgentTicketDetailSerializer
        operations = {
            "list": extend_schema(
                description="Return the tickets that the user may know of, newest first.",
                parameters=[KNOWN_TAG, TAG, ORDERING],
                responses=answers(*READ, 400, s200=one(many=True), s304=UNCHANGED),
                examples=[SHOWN],
            ),
            "retrieve": extend_schema(
                description="Return a ticket.",
                parameters=[OWN_KEY, KNOWN_TAG, TAG],
                responses=answers(*READ, s200=one, s304=UNCHANGED),
                examples=[SHOWN],
            ),
            "create": extend_schema(
                parameters=[IDEMPOTENCY, LOCATION],
                request=TICKET_BODY,
                responses=answers(*WRITTEN, 422, 429, 503, s201=one),
                examples=[RAISE, DRAFT, SHOWN, REFUSED],
            ),
            "partial_update": extend_schema(
                parameters=[OWN_KEY],
                request={"application/json": TicketChanges(partial=True)},
                responses=answers(*WRITTEN, 409, s200=one),
                examples=[EDIT, SHOWN],
            ),
            "destroy": extend_schema(parameters=[OWN_KEY], responses=answers(*READ, 409, s204=None)),
            "submit": extend_schema(
                parameters=[OWN_KEY], **ASKED, responses=answers(*WRITTEN, 409, 429, 503, s200=one)
            ),
            "close": extend_schema(parameters=[OWN_KEY], **ASKED, responses=answers(*WRITTEN, 409, s202=one)),
            "refresh": extend_schema(parameters=[OWN_KEY], **ASKED, responses=answers(*WRITTEN, 409, 429, s202=one)),
            "settle": extend_schema(
                parameters=[OWN_KEY],
                request={"application/json": SettlementSerializer},
                responses=answers(*WRITTEN, 409, s200=one),
                examples=[EXISTS, AGAIN, SHOWN],
            ),
        }
        return extend_schema_view(**operations)(_copied(self.target_class))


class CommentViews(OpenApiViewExtension):  # type: ignore[misc]
    """The routes of comments."""

    target_class = "django_support_tickets.api.views.conversation.CommentViewSet"

    def view_replacement(self) -> Any:
        """Return the viewset with its operations described."""
        one = AgentCommentSerializer
        operations = {
            "list": extend_schema(
                parameters=[TICKET, KNOWN_TAG, TAG],
                responses=answers(*READ, s200=one(many=True), s304=UNCHANGED),
                examples=[ANSWER],
            ),
            "create": extend_schema(
                parameters=[TICKET],
                request=COMMENT_BODY,
                responses=answers(*WRITTEN, 429, 503, s201=one),
                examples=[ASK, ANSWER],
            ),
        }
        return extend_schema_view(**operations)(_copied(self.target_class))


class AttachmentViews(OpenApiViewExtension):  # type: ignore[misc]
    """The routes of files."""

    target_class = "django_support_tickets.api.views.conversation.AttachmentViewSet"

    def view_replacement(self) -> Any:
        """Return the viewset with its operations described."""
        one = AgentAttachmentSerializer
        content = {(200, "*/*"): OpenApiTypes.BINARY, 302: ELSEWHERE}
        operations = {
            "list": extend_schema(
                parameters=[TICKET, KNOWN_TAG, TAG],
                responses=answers(*READ, s200=one(many=True), s304=UNCHANGED),
                examples=[RECEIPT],
            ),
            "create": extend_schema(
                parameters=[TICKET],
                request={"multipart/form-data": one},
                responses=answers(*WRITTEN, 429, 503, s201=one),
                examples=[RECEIPT],
            ),
            "content": extend_schema(
                parameters=[TICKET, OWN_KEY],
                responses={**content, **answers(401, 403, 404, 409, 410, 503)},
            ),
        }
        return extend_schema_view(**operations)(_copied(self.target_class))


class EventViews(OpenApiViewExtension):  # type: ignore[misc]
    """The route of the timeline."""

    target_class = "django_support_tickets.api.views.conversation.EventViewSet"

    def view_replacement(self) -> Any:
        """Return the viewset with its operations described."""
        listed = extend_schema(
            parameters=[TICKET, KNOWN_TAG, TAG],
            responses=answers(*READ, s200=AgentEventSerializer(many=True), s304=UNCHANGED),
            examples=[CHANGE],
        )
        return extend_schema_view(list=listed)(_copied(self.target_class))


class AccountViews(OpenApiViewExtension):  # type: ignore[misc]
    """The route of accounts."""

    target_class = "django_support_tickets.api.views.accounts.AccountViewSet"

    def view_replacement(self) -> Any:
        """Return the viewset with its operations described."""
        listed = extend_schema(
            parameters=[KNOWN_TAG, TAG],
            responses=answers(401, 403, 406, s200=AccountSerializer(many=True), s304=UNCHANGED),
            examples=[ACCOUNT],
        )
        return extend_schema_view(list=listed)(_copied(self.target_class))


def _copied(view: Any) -> Any:
    """Return a viewset that can be described without touching the one that serves."""
    queryset = getattr(view, "queryset", None)
    rows = {} if queryset is None else {"get_queryset": lambda self: queryset.none()}
    return type(view.__name__, (view,), {"__doc__": view.__doc__, **rows})
