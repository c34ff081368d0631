from __future__ import annotations

from functools import cache, cached_property
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from django_support_tickets.api.idempotency import kept_of_request
from django_support_tickets.api.raising import check_uploads, edit_draft, raise_ticket
from django_support_tickets.api.scope import CUSTOMER_FIELDS, Ask, customer_of, offered
from django_support_tickets.api.sentences import OF_CLOSINGS, OF_TICKETS
from django_support_tickets.api.serializers.fields import (
    AboutField,
    CustomerOptionsField,
    OptionsField,
    RequesterField,
    SentenceField,
)
from django_support_tickets.api.serializers.quick import QuickSerializer
from django_support_tickets.models import Delivery, OutboxEntry, Ticket
from django_support_tickets.models.ticket import only_alias
from django_support_tickets.outbox.validation import validate_ticket
from django_support_tickets.providers import Provider

Attrs = dict[str, Any]
NO_COLUMNS = ("files", "draft")


class TicketSerializer(QuickSerializer[Ticket]):
    """A ticket as a customer sees and raises it."""

    provider = serializers.CharField(max_length=64, required=False)
    subject = serializers.CharField(max_length=500)
    description = serializers.CharField(required=False, allow_blank=True)
    priority = serializers.CharField(max_length=64, required=False, allow_blank=True)
    category = serializers.CharField(max_length=64, required=False, allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField(max_length=64), max_length=50, required=False)
    options: Any = CustomerOptionsField(required=False)
    delivery_text = SentenceField(OF_TICKETS, source="delivery")
    closing = serializers.CharField(source="close_delivery", read_only=True)
    closing_text = SentenceField(OF_CLOSINGS, source="close_delivery")
    comments_count = serializers.IntegerField(read_only=True)
    attachments_count = serializers.IntegerField(read_only=True)
    files = serializers.ListField(child=serializers.FileField(), max_length=100, required=False, write_only=True)
    draft = serializers.BooleanField(default=False, write_only=True)

    class Meta:
        model = Ticket
        validators: list[Any] = []
        fields: tuple[str, ...] = (
            "key",
            "provider",
            "reference",
            "subject",
            "description",
            "priority",
            "category",
            "tags",
            "options",
            "contact_name",
            "contact_email",
            "status",
            "resolution",
            "delivery",
            "delivery_text",
            "closing",
            "closing_text",
            "comments_count",
            "attachments_count",
            "created_at",
            "updated_at",
            "submitted_at",
            "delivered_at",
            "resolved_at",
            "closed_at",
            "last_comment_at",
            "files",
            "draft",
        )
        read_only_fields: tuple[str, ...] = (
            "key",
            "reference",
            "contact_name",
            "contact_email",
            "status",
            "resolution",
            "delivery",
            "created_at",
            "updated_at",
            "submitted_at",
            "delivered_at",
            "resolved_at",
            "closed_at",
            "last_comment_at",
        )

    def validate(self, attrs: Attrs) -> Attrs:
        """Ask the account what it takes; every complaint names its field, and nothing is stored yet."""
        attrs["provider"] = alias = self._alias(attrs)
        provider = offered(self.context["request"].user, alias, ask=self._customer_of)
        if provider is None:
            raise serializers.ValidationError({"provider": [_("There is no such account.")]}, code="unknown")
        self._refuse_files(attrs)
        attrs.update(self.of_customer(attrs, provider))
        if self.instance is None and not attrs.get("draft"):
            validate_ticket(Ticket(**{name: value for name, value in attrs.items() if name not in NO_COLUMNS}))
        if files := attrs.get("files"):
            check_uploads(files, provider, user=self.context["request"].user)
        return attrs

    def of_customer(self, attrs: Attrs, provider: Provider) -> Attrs:
        """Return what is not the customer's to say; raise ValidationError for what they may not, or cannot, say."""
        is_moving = self.instance is not None and self.instance.provider != provider.alias
        return {**self._contact(provider, is_moving), **self._options(attrs, provider, is_moving)}

    def _contact(self, provider: Provider, is_moving: bool) -> dict[str, str]:
        """Return who raises the ticket, as the vendor knows them; raise ValidationError if it needs to know more."""
        requester = getattr(self.instance, "requester", None) or self.context["request"].user
        found = self._customer_of(requester, provider.alias)
        if found is None:
            raise serializers.ValidationError({"provider": [_("There is no such account.")]}, code="unknown")
        if is_moving:  # what one vendor knows them by is nothing to another
            found = {**dict.fromkeys(CUSTOMER_FIELDS, ""), **found}
        known = {**{name: getattr(self.instance, name, "") for name in CUSTOMER_FIELDS}, **found}
        needed = sorted(name for name in provider.capabilities.required_fields & {*CUSTOMER_FIELDS})
        if missing := [name for name in needed if not known[name]]:
            message = _("Customers cannot raise tickets at this account: it needs to know their %(names)s.")
            raise serializers.ValidationError({"provider": [message % {"names": ", ".join(missing)}]}, code="unknown")
        return found

    def _options(self, attrs: Attrs, provider: Provider, is_moving: bool) -> Attrs:
        """Return the vendor extras with those that staff has set, none of which moves to another vendor."""
        if "options" not in attrs:
            return {"options": {}} if is_moving else {}
        given, allowed = attrs["options"], provider.capabilities.customer_options
        if unknown := sorted(given.keys() - allowed):
            message = _("The vendor has no option %(names)s.") % {"names": ", ".join(unknown)}
            raise serializers.ValidationError({"options": [message]}, code="unknown_option")
        stored = {} if self.instance is None or is_moving else self.instance.options
        return {"options": {**{name: stored[name] for name in stored.keys() - allowed}, **given}}

    def create(self, validated_data: Attrs) -> Ticket:
        """Store the ticket with its files, queued or as a draft."""
        files = validated_data.pop("files", [])
        delivery = Delivery.DRAFT if validated_data.pop("draft", False) else Delivery.QUEUED
        user = self.context["request"].user
        validated_data.setdefault("requester", user)
        values = {**validated_data, **kept_of_request(self.context), "delivery": delivery}
        return raise_ticket(values, files, user=user)

    def update(self, instance: Ticket, validated_data: Attrs) -> Ticket:
        """Store what was changed of a draft; files are added one by one."""
        edit_draft(instance, {name: value for name, value in validated_data.items() if name not in NO_COLUMNS})
        return instance

    @cached_property
    def _customer_of(self) -> Ask:
        """Ask the resolver once for what it offers and what it says."""
        return cache(customer_of)

    def _alias(self, attrs: Attrs) -> str:
        alias = attrs.get("provider") or getattr(self.instance, "provider", "") or only_alias()
        if not alias:
            raise serializers.ValidationError({"provider": [_("Name the account.")]}, code="required")
        return str(alias)

    def _refuse_files(self, attrs: Attrs) -> None:
        """Raise ValidationError for new files of a draft, and for those of one that leaves for another vendor."""
        if self.instance is None:
            return
        if attrs.get("files"):
            message = _("Files are added to a draft one by one, at its `attachments/`.")
            raise serializers.ValidationError({"files": [message]}, code="not_here")
        if self.instance.provider != attrs["provider"] and self.instance.attachments.exists():
            message = _("The account of a draft with files cannot be changed: another vendor may not take them.")
            raise serializers.ValidationError({"provider": [message]}, code="has_files")


class AgentTicketSerializer(TicketSerializer):
    """A ticket as an agent sees and raises it, for anybody and about anything."""

    options = OptionsField(required=False)
    customer_id = serializers.CharField(max_length=255, required=False, allow_blank=True)
    contact_name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    contact_email = serializers.EmailField(max_length=254, required=False, allow_blank=True)
    requester = RequesterField(required=False)
    about = AboutField(required=False)

    class Meta(TicketSerializer.Meta):
        agent_fields = (
            "customer_id",
            "requester",
            "about",
            "origin",
            "remote_id",
            "remote_status",
            "delivery_error",
            "remote_created_at",
            "remote_updated_at",
            "synced_at",
            "next_poll_at",
            "missing_since",
        )
        fields = (*TicketSerializer.Meta.fields, *agent_fields)
        read_only_fields = (
            *(name for name in TicketSerializer.Meta.read_only_fields if name not in CUSTOMER_FIELDS),
            *agent_fields[3:],
        )

    def of_customer(self, attrs: Attrs, provider: Provider) -> Attrs:
        """Return nothing: agents say it themselves, and what the vendor needs is asked like anything else."""
        return {}


class AgentTicketDetailSerializer(AgentTicketSerializer):
    """A single ticket, with the vendor's own answer and what the outbox has of it."""

    outbox = serializers.SerializerMethodField()

    class Meta(AgentTicketSerializer.Meta):
        fields = (*AgentTicketSerializer.Meta.fields, "raw", "outbox")
        read_only_fields = (*AgentTicketSerializer.Meta.read_only_fields, "raw")

    def get_outbox(self, ticket: Ticket) -> dict[str, Any] | None:
        """Return what waits or is in flight, None if nothing does."""
        entry: OutboxEntry | None = getattr(ticket, "outbox", None)
        if entry is None:
            return None
        return {
            "item": entry.item,
            "attempts": entry.attempts,
            "due_at": entry.due_at,
            "may_be_at_the_vendor": entry.may_be_at_the_vendor,
            "last_error": entry.last_error,
            "request_id": entry.request_id,
        }
