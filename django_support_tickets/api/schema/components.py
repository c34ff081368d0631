"""Components of the OpenAPI description: what agents get, with everything optional that customers do not get."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension

from django_support_tickets.api.serializers import (
    AgentAttachmentSerializer,
    AgentCommentSerializer,
    AgentEventSerializer,
    AgentTicketDetailSerializer,
    AgentTicketSerializer,
    AttachmentSerializer,
    CommentSerializer,
    EventSerializer,
    TicketSerializer,
)


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
