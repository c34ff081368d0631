"""The OpenAPI description, for sites that have drf-spectacular; `urls` imports this only there.

It shows what agents get. Whatever customers do not get is optional in it, and described so.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import (
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
    OpenApiViewExtension,
)
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers

from django_support_tickets.api.serializers import (
    AccountSerializer,
    AgentAttachmentSerializer,
    AgentCommentSerializer,
    AgentEventSerializer,
    AgentTicketDetailSerializer,
    AgentTicketSerializer,
    AttachmentSerializer,
    CommentSerializer,
    EventSerializer,
    SettlementSerializer,
    TicketSerializer,
)

KEY = "0b5c3a0e-4b7e-4a56-9a3e-6f4a3d2c1b0a"
MOMENT = "2026-03-01T12:00:00Z"
FIELDS = {
    "type": "object",
    "additionalProperties": {},
    "description": "Field -> what is wrong with it; `detail` if the request could not be read at all.",
}


class Problem(serializers.Serializer[Any]):
    """Why a request was not answered as asked."""

    detail = serializers.CharField(read_only=True)


RAISE = OpenApiExample(
    "Raise",
    request_only=True,
    value={
        "provider": "ripio-sandbox",
        "subject": "Deposit missing",
        "description": "Sent at 10:12, not there at 12:00.",
        "tags": ["deposit"],
    },
)
DRAFT = OpenApiExample(
    "Draft", request_only=True, value={"provider": "ripio-sandbox", "subject": "Deposit missing", "draft": True}
)
SHOWN = OpenApiExample(
    "Delivered",
    response_only=True,
    value={
        "key": KEY,
        "provider": "ripio-sandbox",
        "reference": "SUP-1234",
        "subject": "Deposit missing",
        "description": "Sent at 10:12, not there at 12:00.",
        "priority": "",
        "category": "",
        "tags": ["deposit"],
        "options": {},
        "contact_name": "Ann",
        "contact_email": "ann@example.com",
        "status": "open",
        "resolution": "",
        "delivery": "delivered",
        "delivery_text": "The support desk has received it.",
        "closing": "",
        "closing_text": "",
        "comments_count": 1,
        "attachments_count": 0,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "submitted_at": MOMENT,
        "delivered_at": MOMENT,
        "resolved_at": None,
        "closed_at": None,
        "last_comment_at": MOMENT,
    },
)
REFUSED = OpenApiExample(
    "Not what the vendor takes",
    response_only=True,
    status_codes=["400"],
    value={"subject": ["At most 240 characters, it has 312."], "files": ["At most 5 files."]},
)

IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="1 to 255 printable ASCII characters. The same key with the same request is the same ticket.",
)
LOCATION = OpenApiParameter(
    "Location", OpenApiTypes.URI, OpenApiParameter.HEADER, response=[201], description="The new ticket."
)
TAG = OpenApiParameter(
    "ETag", OpenApiTypes.STR, OpenApiParameter.HEADER, response=[200], description="Send it back as If-None-Match."
)
KNOWN_TAG = OpenApiParameter("If-None-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="A known ETag.")
TICKET = OpenApiParameter("ticket_key", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The ticket's key.")
OWN_KEY = OpenApiParameter("key", OpenApiTypes.UUID, OpenApiParameter.PATH)
ORDERING = OpenApiParameter(
    "ordering", OpenApiTypes.STR, enum=["-created_at", "created_at", "-updated_at", "updated_at"]
)

PROBLEMS = {
    400: OpenApiResponse(FIELDS, "The request is not as it should be."),
    401: OpenApiResponse(Problem, "Nobody is logged in."),
    403: OpenApiResponse(Problem, "Nobody is logged in, or who is may not do this."),
    404: OpenApiResponse(Problem, "There is no such thing, or it is somebody else's."),
    406: OpenApiResponse(Problem, "Only JSON is answered."),
    409: OpenApiResponse(Problem, "Its state does not allow this."),
    410: OpenApiResponse(Problem, "The vendor does not have this file any more."),
    413: OpenApiResponse(Problem, "The request is too large."),
    415: OpenApiResponse(Problem, "This content type is not taken."),
    422: OpenApiResponse(Problem, "This Idempotency-Key was used for another request."),
    429: OpenApiResponse(Problem, "Too much for now; Retry-After says when it works again."),
    503: OpenApiResponse(Problem, "The storage of files does not work now."),
}
READ = (401, 403, 404, 406)
WRITTEN = (*READ, 400, 413, 415)


def answers(*codes: int, **kinds: Any) -> dict[Any, Any]:
    """Return the responses of an operation: those of `kinds`, by "s201", and the problems."""
    good = {int(name.removeprefix("s")): kind for name, kind in kinds.items()}
    return {**good, **{code: PROBLEMS[code] for code in sorted(codes)}}


class TicketAsJson(AgentTicketSerializer):
    """What is raised or changed without files."""

    files: Any = None

    class Meta(AgentTicketSerializer.Meta):
        fields = tuple(name for name in AgentTicketSerializer.Meta.fields if name != "files")


class TicketChanges(TicketAsJson):
    """What is changed of a draft."""

    draft: Any = None

    class Meta(TicketAsJson.Meta):
        fields = tuple(name for name in TicketAsJson.Meta.fields if name != "draft")


class CommentAsJson(AgentCommentSerializer):
    """A comment without files."""

    files: Any = None

    class Meta(AgentCommentSerializer.Meta):
        fields = tuple(name for name in AgentCommentSerializer.Meta.fields if name != "files")


TICKET_BODY = {"application/json": TicketAsJson, "multipart/form-data": AgentTicketSerializer}
COMMENT_BODY = {"application/json": CommentAsJson, "multipart/form-data": AgentCommentSerializer}
ASKED = {"request": None, "examples": [SHOWN]}
UNCHANGED = OpenApiResponse(None, "It is as it was.")


class _Serializers(OpenApiSerializerExtension):  # type: ignore[misc]
    """Describe what agents get, with only those fields required that customers get too."""

    customers: Any = None
    name = ""

    def get_name(self, auto_schema: Any, direction: str) -> str:
        """Return the name of the component."""
        return self.name

    def map_serializer(self, auto_schema: Any, direction: str) -> Any:
        """Return the schema."""
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        fields = self.customers().fields.items()
        common = {name for name, field in fields if direction == "response" or not field.read_only}
        for name, described in schema["properties"].items():
            if name not in common:
                described["description"] = f"For staff. {described.get('description', '')}".strip()
        if direction == "response" and "requester" in schema["properties"]:
            schema["properties"]["requester"]["nullable"] = True
        schema["required"] = [name for name in schema.get("required", ()) if name in common]
        return {name: value for name, value in schema.items() if value != []}


class TicketComponent(_Serializers):
    """The component Ticket."""

    target_class = AgentTicketDetailSerializer
    customers, name = TicketSerializer, "Ticket"


class TicketFormComponent(_Serializers):
    """The component TicketForm."""

    target_class = AgentTicketSerializer
    customers, name = TicketSerializer, "TicketForm"


class TicketJsonComponent(_Serializers):
    """The component TicketJson."""

    target_class = TicketAsJson
    customers, name = TicketSerializer, "TicketJson"


class TicketChangesComponent(_Serializers):
    """The component TicketChanges."""

    target_class = TicketChanges
    customers, name = TicketSerializer, "TicketChanges"


class CommentComponent(_Serializers):
    """The component Comment."""

    target_class = AgentCommentSerializer
    customers, name = CommentSerializer, "Comment"


class CommentJsonComponent(_Serializers):
    """The component CommentJson."""

    target_class = CommentAsJson
    customers, name = CommentSerializer, "CommentJson"


class AttachmentComponent(_Serializers):
    """The component Attachment."""

    target_class = AgentAttachmentSerializer
    customers, name = AttachmentSerializer, "Attachment"


class EventComponent(_Serializers):
    """The component Event."""

    target_class = AgentEventSerializer
    customers, name = EventSerializer, "Event"


class OptionsFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[misc]
    """Vendor extras are an object."""

    target_class = "django_support_tickets.api.serializers.fields.OptionsField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        """Return the schema."""
        return {"type": "object", "additionalProperties": {}}


class AboutFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[misc]
    """An object of the site is named by a string."""

    target_class = "django_support_tickets.api.serializers.fields.AboutField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        """Return the schema."""
        return {"type": "string", "description": "app_label.model:id", "example": "shop.order:42"}


class SentenceFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[misc]
    """A sentence is a string."""

    target_class = "django_support_tickets.api.serializers.fields.SentenceField"

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        """Return the schema."""
        return {"type": "string", "readOnly": True}


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
                examples=[
                    OpenApiExample("It exists", request_only=True, value={"exists": "77"}),
                    OpenApiExample("It does not", request_only=True, value={"send_again": True}),
                ],
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
                parameters=[TICKET, KNOWN_TAG, TAG], responses=answers(*READ, s200=one(many=True), s304=UNCHANGED)
            ),
            "create": extend_schema(
                parameters=[TICKET],
                request=COMMENT_BODY,
                responses=answers(*WRITTEN, 429, 503, s201=one),
                examples=[OpenApiExample("Ask", request_only=True, value={"body": "Any news?"})],
            ),
        }
        return extend_schema_view(**operations)(_copied(self.target_class))


class AttachmentViews(OpenApiViewExtension):  # type: ignore[misc]
    """The routes of files."""

    target_class = "django_support_tickets.api.views.conversation.AttachmentViewSet"

    def view_replacement(self) -> Any:
        """Return the viewset with its operations described."""
        one = AgentAttachmentSerializer
        content = {(200, "*/*"): OpenApiTypes.BINARY, 302: UNCHANGED_PLACE}
        operations = {
            "list": extend_schema(
                parameters=[TICKET, KNOWN_TAG, TAG], responses=answers(*READ, s200=one(many=True), s304=UNCHANGED)
            ),
            "create": extend_schema(
                parameters=[TICKET],
                request={"multipart/form-data": one},
                responses=answers(*WRITTEN, 429, 503, s201=one),
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
        )
        return extend_schema_view(list=listed)(_copied(self.target_class))


UNCHANGED_PLACE = OpenApiResponse(None, "The file is at a signed address that is good for a minute.")


def _copied(view: Any) -> Any:
    """Return a viewset that can be described without touching the one that serves."""
    queryset = getattr(view, "queryset", None)
    rows = {} if queryset is None else {"get_queryset": lambda self: queryset.none()}
    return type(view.__name__, (view,), {"__doc__": view.__doc__, **rows})
