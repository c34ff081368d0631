"""Components of the OpenAPI description: what agents get, with everything optional that customers do not get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension
from rest_framework.fields import Field

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
from django_support_tickets.api.serializers.fields import AboutField, OptionsField, SentenceField


def without(field: str, serializer: Any, *, words: str) -> Any:
    """Return a serializer that has all fields of another but one; `words` say what it is for."""
    fields = tuple(name for name in serializer.Meta.fields if name != field)
    members = {field: None, "Meta": type("Meta", (serializer.Meta,), {"fields": fields}), "__doc__": words}
    return type(f"{serializer.__name__}Without{field.title()}", (serializer,), members)


TicketAsJson = without("files", AgentTicketSerializer, words="What is raised or changed without files.")
TicketChanges = without("draft", TicketAsJson, words="What is changed of a draft.")
CommentAsJson = without("files", AgentCommentSerializer, words="A comment without files.")

#: Component -> what agents get, and what customers get of it.
COMPONENTS = {
    "Ticket": (AgentTicketDetailSerializer, TicketSerializer),
    "TicketForm": (AgentTicketSerializer, TicketSerializer),
    "TicketJson": (TicketAsJson, TicketSerializer),
    "TicketChanges": (TicketChanges, TicketSerializer),
    "Comment": (AgentCommentSerializer, CommentSerializer),
    "CommentJson": (CommentAsJson, CommentSerializer),
    "Attachment": (AgentAttachmentSerializer, AttachmentSerializer),
    "Event": (AgentEventSerializer, EventSerializer),
}
#: Field of our own -> what it looks like in JSON.
FIELDS: dict[type[Field[Any, Any, Any, Any]], dict[str, Any]] = {
    OptionsField: {"type": "object", "additionalProperties": {}},
    AboutField: {"type": "string", "description": "app_label.model:id", "example": "shop.order:42"},
    SentenceField: {"type": "string", "readOnly": True},
}


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


class _Field(OpenApiSerializerFieldExtension):  # type: ignore[misc]
    """Describe a field of our own."""

    schema: Mapping[str, Any] = {}

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        """Return the schema."""
        return dict(self.schema)


# A subclass is found by being made.
for _name, (_agents, _customers) in COMPONENTS.items():
    type(f"{_name}Component", (_Serializers,), {"target_class": _agents, "customers": _customers, "name": _name})
for _field, _schema in FIELDS.items():
    type(f"{_field.__name__}Schema", (_Field,), {"target_class": _field, "schema": _schema})
