from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from django_support_tickets.models import Submission, Ticket


class SettlementSerializer(serializers.Serializer[Any]):
    """What a person has found out about something whose delivery is uncertain."""

    exists = serializers.CharField(
        max_length=255,
        required=False,
        allow_blank=True,
        help_text=_("The vendor's id of it; empty for a comment or file to which the vendor gives none."),
    )
    send_again = serializers.BooleanField(default=False, help_text=_("The vendor has not got it: send it again."))
    item = serializers.UUIDField(
        required=False,
        help_text=_("The key of a comment or file; without it, the ticket or its closing."),
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Resolve `item` among what belongs to the ticket; raise ValidationError for any other key."""
        ticket: Ticket = self.context["ticket"]
        attrs["item"] = _item_of(ticket, attrs.get("item", ticket.key))
        if ("exists" in attrs) == attrs["send_again"]:
            message = _("Say either `exists`, with the vendor's id, or `send_again`.")
            raise serializers.ValidationError({"exists": [message]}, code="choose")
        return attrs


def _item_of(ticket: Ticket, key: Any) -> Submission:
    if key == ticket.key:
        return ticket
    for rows in (ticket.comments, ticket.attachments):
        if (item := rows.filter(key=key).first()) is not None:
            return item
    raise serializers.ValidationError({"item": [_("This ticket has no such item.")]}, code="unknown")
