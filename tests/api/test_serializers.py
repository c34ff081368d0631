"""The quick way of representing a row gives what DRF's own way gives."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.serializers import ModelSerializer

from django_support_tickets.api import serializers
from django_support_tickets.models import Attachment, Comment, OutboxEntry, Ticket, TicketEvent

pytestmark = pytest.mark.django_db

User = get_user_model()


def full_rows(customer: Any) -> dict[str, Any]:
    now = timezone.now()
    times = ["submitted_at", "delivered_at", "remote_created_at", "remote_updated_at", "resolved_at", "closed_at"]
    times += ["last_comment_at", "synced_at", "next_poll_at", "missing_since"]
    ticket = Ticket(
        subject="Card <blocked>",
        description="Since noon.\n\N{GRINNING FACE}",
        tags=["a", "b"],
        options={"cluster": [1, None, 2.5]},
        requester=customer,
        raw={"id": "R-1", "deep": {"er": [True]}},
        remote_id="R-1",
        about_type=ContentType.objects.get_for_model(User),
        about_id="7",
        delivery="delivered",
        close_delivery="queued",
        **{name: now + timedelta(minutes=number) for number, name in enumerate(times)},
    )
    Ticket.objects.bulk_create([ticket])
    OutboxEntry.objects.create(ticket=ticket, provider="local", not_before=1)
    comment = Comment.objects.bulk_create([Comment(ticket=ticket, body="Hi", sent_at=now, created_by=customer)])[0]
    file = Attachment.objects.bulk_create([Attachment(ticket=ticket, comment=comment, name="a.txt", size=7)])[0]
    event = TicketEvent.objects.create(ticket=ticket, kind="changed", source="pull", changes={"status": ["a", "b"]})
    return {"Ticket": ticket, "Comment": comment, "Attachment": file, "TicketEvent": event}


def bare_rows(customer: Any) -> dict[str, Any]:
    ticket = Ticket.objects.bulk_create([Ticket(subject="Card")])[0]
    comment = Comment.objects.bulk_create([Comment(ticket=ticket, body="")])[0]
    file = Attachment.objects.bulk_create([Attachment(ticket=ticket, name="")])[0]
    event = TicketEvent.objects.create(ticket=ticket, kind="changed", source="pull")
    return {"Ticket": ticket, "Comment": comment, "Attachment": file, "TicketEvent": event}


@pytest.mark.parametrize("rows", [full_rows, bare_rows])
@pytest.mark.parametrize("name", [name for name in serializers.__all__ if hasattr(getattr(serializers, name), "Meta")])
def test_the_same_representation(customer: Any, name: str, rows: Any) -> None:
    kind = getattr(serializers, name)
    row = rows(customer)[kind.Meta.model.__name__]
    if isinstance(row, Ticket):
        row.comments_count, row.attachments_count = 1, 2
    serializer = kind()
    quick, slow = serializer.to_representation(row), ModelSerializer.to_representation(serializer, row)
    assert list(quick) == list(slow)
    assert json.loads(JSONRenderer().render(quick)) == json.loads(JSONRenderer().render(slow))


def test_fields_that_depend_on_the_request_are_asked_for_each() -> None:
    class Serializer(serializers.TicketSerializer):
        def get_field_names(self, *args: Any) -> Any:
            names = super().get_field_names(*args)
            return names if self.context["is_trusted"] else [name for name in names if name != "contact_email"]

    for is_trusted in (True, False, True):
        assert ("contact_email" in Serializer(context={"is_trusted": is_trusted}).fields) == is_trusted


def test_the_fields_of_one_request_are_not_those_of_another() -> None:
    one, other = serializers.TicketSerializer(), serializers.TicketSerializer()
    one.fields["subject"].required = False
    one.fields.pop("tags")
    assert other.fields["subject"].required is True
    assert "tags" in other.fields
