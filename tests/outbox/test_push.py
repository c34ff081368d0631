from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction

from django_support_tickets.models import Comment, Delivery, OutboxEntry, Ticket, TicketEvent
from django_support_tickets.outbox.push import push

pytestmark = pytest.mark.django_db


def raised(**values: str) -> Ticket:
    return Ticket.objects.create(subject="Deposit missing", description="Since noon.", **values)


class TestDelivery:
    def test_a_created_ticket_is_queued_and_delivered(self) -> None:
        ticket = raised()
        assert ticket.delivery == Delivery.QUEUED
        assert OutboxEntry.objects.get().ticket == ticket
        counts = push("local")
        ticket.refresh_from_db()
        assert (counts.delivered, ticket.delivery, ticket.remote_id) == (1, Delivery.DELIVERED, str(ticket.key))
        assert ticket.status == "open"
        assert not OutboxEntry.objects.exists()
        assert ticket.events.order_by("id").first().kind == TicketEvent.Kind.DELIVERED

    def test_a_comment_and_a_close_follow_in_order(self) -> None:
        ticket = raised()
        comment = Comment.objects.create(ticket=ticket, body="Any news?")
        Ticket.objects.update(close_delivery=Delivery.QUEUED)
        assert push("local").delivered == 3
        ticket.refresh_from_db()
        comment.refresh_from_db()
        assert comment.delivery == Delivery.DELIVERED
        assert (ticket.close_delivery, ticket.status) == (Delivery.DELIVERED, "closed")
        assert not OutboxEntry.objects.exists()

    @pytest.mark.fault(1)
    def test_a_rollback_leaves_nothing(self) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            raised()
            1 / 0  # noqa: B018
        assert not Ticket.objects.exists()
        assert push("local").delivered == 0

    @pytest.mark.fault(2, 14)
    def test_rows_that_nothing_announced_are_found_by_the_sweep(self) -> None:
        ticket = raised()
        OutboxEntry.objects.all().delete()
        Ticket.objects.bulk_create([Ticket(subject="In bulk")])
        assert push("local").delivered == 2
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.DELIVERED


class TestValidation:
    def test_a_blank_subject_is_refused_and_nothing_is_stored(self) -> None:
        with pytest.raises(ValidationError) as caught:
            Ticket.objects.create(subject="  ")
        assert list(caught.value.error_dict) == ["subject"]
        assert not Ticket.objects.exists()

    def test_an_unknown_account_is_named(self) -> None:
        with pytest.raises(ValidationError, match="nobody"):
            raised(provider="nobody")


class TestOwnership:
    @pytest.mark.fault(16)
    def test_a_stale_instance_undoes_nothing(self) -> None:
        stale = raised()
        push("local")
        stale.priority = "high"
        stale.save()
        ticket = Ticket.objects.get()
        assert (ticket.delivery, ticket.remote_id) == (Delivery.DELIVERED, str(ticket.key))
        assert push("local").delivered == 0

    @pytest.mark.fault(16)
    def test_submitted_text_is_frozen(self) -> None:
        ticket = raised()
        ticket.subject = "Something else"
        with pytest.raises(ValidationError) as caught:
            ticket.save()
        assert list(caught.value.error_dict) == ["subject"]

    def test_a_draft_can_be_edited_and_submitted(self) -> None:
        draft = raised(delivery=Delivery.DRAFT)
        draft.subject = "Edited"
        draft.save()
        assert push("local").delivered == 0
        draft.submit()
        assert push("local").delivered == 1
        assert Ticket.objects.get().subject == "Edited"
