from __future__ import annotations

import re
from typing import Any

from rest_framework import serializers

from django_support_tickets.api.idempotency import kept_of_request
from django_support_tickets.api.raising import add_comment, add_file, check_uploads, provider_for
from django_support_tickets.api.sentences import OF_TICKETS
from django_support_tickets.api.serializers.fields import SentenceField
from django_support_tickets.api.serializers.quick import QuickSerializer
from django_support_tickets.models import Attachment, Comment, TicketEvent

Attrs = dict[str, Any]
Kind = TicketEvent.Kind

#: What customers read of a timeline; the rest is about workers and people who settle.
PUBLIC_KINDS = (
    Kind.SUBMITTED,
    Kind.DELIVERED,
    Kind.REFUSED,
    Kind.CHANGED,
    Kind.COMMENTED,
    Kind.ATTACHED,
    Kind.CANCELLED,
    Kind.CLOSED_HERE,
    Kind.RAISED_AGAIN,
)
#: Columns whose change customers see; their values are on the ticket too.
PUBLIC_CHANGES = ("status", "priority", "category", "resolution", "resolved_at", "closed_at")
#: Somebody's e-mail address where a name is expected.
ADDRESS = re.compile(r"\S+@\S+")


class CommentSerializer(QuickSerializer[Comment]):
    """A comment as a customer sees and writes it. `body` is to be escaped on display, whatever its format."""

    author_name = serializers.SerializerMethodField()
    body = serializers.CharField()
    delivery_text = SentenceField(OF_TICKETS, source="delivery")
    files = serializers.ListField(child=serializers.FileField(), max_length=100, required=False, write_only=True)

    class Meta:
        model = Comment
        validators: list[Any] = []
        fields: tuple[str, ...] = (
            "key",
            "author_type",
            "author_name",
            "body",
            "body_format",
            "sent_at",
            "created_at",
            "delivery",
            "delivery_text",
            "files",
        )
        read_only_fields: tuple[str, ...] = ("key", "author_type", "body_format", "sent_at", "created_at", "delivery")

    def validate(self, attrs: Attrs) -> Attrs:
        """Ask the account whether it takes the files; whether it takes the comment is asked when it is stored."""
        if files := attrs.get("files"):
            check_uploads(files, provider_for(self.context["ticket"]), user=self.context["request"].user)
        return attrs

    def create(self, validated_data: Attrs) -> Comment:
        """Queue the comment with its files."""
        user, files = self.context["request"].user, validated_data.get("files", [])
        values = {"body": validated_data["body"], **kept_of_request(self.context)}
        return add_comment(self.context["ticket"], values, files, user=user)

    def get_author_name(self, comment: Comment) -> str:
        """Return the author's name; the address of somebody at the vendor is nobody's business."""
        return ADDRESS.sub("", comment.author_name).strip(" <>()")


class AgentCommentSerializer(CommentSerializer):
    """A comment as an agent sees it."""

    class Meta(CommentSerializer.Meta):
        fields = (*CommentSerializer.Meta.fields, "created_by", "remote_id", "delivery_error")
        read_only_fields = (*CommentSerializer.Meta.read_only_fields, "created_by", "remote_id", "delivery_error")

    def get_author_name(self, comment: Comment) -> str:
        """Return the author's name as the vendor gives it."""
        return str(comment.author_name)


class AttachmentSerializer(QuickSerializer[Attachment]):
    """A file as a customer sees and adds it; its bytes are at `content/`."""

    comment: Any = serializers.SlugRelatedField("key", read_only=True, allow_null=True)
    file = serializers.FileField(write_only=True)
    delivery_text = SentenceField(OF_TICKETS, source="delivery")

    class Meta:
        model = Attachment
        validators: list[Any] = []
        fields: tuple[str, ...] = (
            "key",
            "comment",
            "name",
            "content_type",
            "size",
            "direction",
            "state",
            "created_at",
            "delivery",
            "delivery_text",
            "file",
        )
        read_only_fields: tuple[str, ...] = (
            "key",
            "name",
            "content_type",
            "size",
            "direction",
            "state",
            "created_at",
            "delivery",
        )

    def validate(self, attrs: Attrs) -> Attrs:
        """Ask the account whether it takes the file."""
        provider = provider_for(self.context["ticket"])
        check_uploads([attrs["file"]], provider, user=self.context["request"].user, field="file")
        return attrs

    def create(self, validated_data: Attrs) -> Attachment:
        """Queue the file, or add it to a draft."""
        user, values = self.context["request"].user, kept_of_request(self.context)
        return add_file(self.context["ticket"], validated_data["file"], values, user=user)


class AgentAttachmentSerializer(AttachmentSerializer):
    """A file as an agent sees it."""

    class Meta(AttachmentSerializer.Meta):
        agent_fields = ("created_by", "remote_id", "sha256", "error", "delivery_error")
        fields = (*AttachmentSerializer.Meta.fields, *agent_fields)
        read_only_fields = (*AttachmentSerializer.Meta.read_only_fields, *agent_fields)


class EventSerializer(QuickSerializer[TicketEvent]):
    """A line of the timeline as a customer sees it: what happened and when, not who or what was behind it."""

    text = serializers.CharField(source="get_kind_display", read_only=True)
    changes = serializers.SerializerMethodField()

    class Meta:
        model = TicketEvent
        fields: tuple[str, ...] = ("at", "kind", "text", "changes")
        read_only_fields: tuple[str, ...] = ("at", "kind")

    def get_changes(self, event: TicketEvent) -> dict[str, Any]:
        """Return what changed: column -> [old, new], or "changed" for a long text."""
        if event.kind != Kind.CHANGED or not isinstance(event.changes, dict):
            return {}
        return {name: event.changes[name] for name in PUBLIC_CHANGES if name in event.changes}


class AgentEventSerializer(EventSerializer):
    """A line of the timeline as an agent sees it."""

    class Meta(EventSerializer.Meta):
        fields = (*EventSerializer.Meta.fields, "source", "actor")
        read_only_fields = (*EventSerializer.Meta.read_only_fields, "source", "actor")

    def get_changes(self, event: TicketEvent) -> dict[str, Any]:
        """Return everything that is known."""
        return dict(event.changes)
