"""What happens at every save and deletion in anybody's code."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import serializers
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.db import connection, transaction
from django.db.models import ProtectedError
from django.db.models.signals import post_delete, post_save
from django.test.utils import CaptureQueriesContext

from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.outbox.claims import claim_next, mark
from django_support_tickets.outbox.intake import enqueue
from django_support_tickets.outbox.items import Item, Kind
from django_support_tickets.outbox.push import push
from django_support_tickets.providers import providers
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db


@pytest.fixture
def ticket() -> Ticket:
    return Ticket.objects.create(subject="Deposit missing")


def delivered(ticket: Ticket) -> Ticket:
    push("local")
    ticket.refresh_from_db()
    return ticket


def attach(ticket: Ticket, **values: Any) -> Attachment:
    return Attachment.objects.create(ticket=ticket, file=ContentFile(b"text", name="a.txt"), **values)


class TestQueueing:
    def test_what_is_created_is_queued_in_the_same_transaction(self, ticket: Ticket) -> None:
        assert OutboxEntry.objects.get().ticket == ticket
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Ticket.objects.create(subject="Undone")
            1 / 0  # noqa: B018
        assert OutboxEntry.objects.count() == 1

    def test_there_is_one_entry_per_ticket(self, ticket: Ticket) -> None:
        Comment.objects.create(ticket=ticket, body="Hello")
        Comment.objects.create(ticket=ticket, body="Hello?")
        assert OutboxEntry.objects.count() == 1

    def test_drafts_and_what_hangs_on_them_are_not(self) -> None:
        draft = Ticket.objects.create(subject="Deposit missing", delivery=Delivery.DRAFT)
        attach(draft)
        assert not enqueue(draft, using="default")  # which asks for no worker then
        assert not OutboxEntry.objects.exists()
        draft.submit()
        assert OutboxEntry.objects.count() == 1

    def test_a_comment_on_a_ticket_loaded_before_it_was_delivered_is_queued(self, ticket: Ticket) -> None:
        stale = Ticket.objects.get()
        push("local")
        Comment.objects.create(ticket=stale, body="Hello")
        assert push("local").delivered == 1

    def test_saving_again_queues_nothing(self, ticket: Ticket) -> None:
        ticket = delivered(ticket)
        ticket.save()
        ticket.save(update_fields=["priority"])
        assert not OutboxEntry.objects.exists()

    @pytest.mark.fault(14)
    def test_fixtures_are_drafts(self, ticket: Ticket) -> None:
        Comment.objects.create(ticket=ticket, body="Hello")
        dump = serializers.serialize("json", [*Ticket.objects.all(), *Comment.objects.all()])
        Ticket.objects.all().delete()
        for loaded in serializers.deserialize("json", io.StringIO(dump)):
            loaded.save()
        assert {row.delivery for model in (Ticket, Comment) for row in model._base_manager.all()} == {Delivery.DRAFT}
        assert push("local").delivered == 0

    @pytest.mark.fault(22)
    def test_what_the_vendor_would_not_take_is_refused_before_it_is_stored(self) -> None:
        with pytest.raises(ValidationError):
            Ticket.objects.create(subject="")
        assert not Ticket.objects.exists()


class TestDeleting:
    @pytest.mark.fault(15)
    def test_what_is_queued_is_cancelled_with_it(self, ticket: Ticket) -> None:
        ticket.delete()
        assert not OutboxEntry.objects.exists()
        assert push("local").delivered == 0

    @pytest.mark.fault(15)
    def test_a_ticket_in_flight_is_protected_until_it_is_settled(self, ticket: Ticket) -> None:
        (claim,) = claim_next("local", 1, using="default")
        for delete in (ticket.delete, Ticket.objects.all().delete):
            with pytest.raises(ProtectedError, match="being sent"), transaction.atomic():
                delete()
        mark(claim, Item(Kind.CREATE, ticket), lease_seconds=60)
        pass_time(61)
        with pytest.raises(ProtectedError), transaction.atomic():
            ticket.delete()
        pass_time(providers["local"].settle_seconds)
        push("local")
        ticket.delete()
        assert not Ticket.objects.exists()

    @pytest.mark.fault(15)
    def test_a_user_can_be_erased_while_a_ticket_is_in_flight(self) -> None:
        user = get_user_model().objects.create_user("ana")
        ticket = Ticket.objects.create(subject="Deposit missing", requester=user)
        claim_next("local", 1, using="default")
        user.delete()
        ticket.refresh_from_db()
        assert ticket.requester is None

    def test_only_the_comment_in_flight_is_protected(self, ticket: Ticket) -> None:
        delivered(ticket)
        first, second = (Comment.objects.create(ticket=ticket, body=body) for body in ("one", "two"))
        file = attach(ticket)
        (claim,) = claim_next("local", 1, using="default")
        with pytest.raises(ProtectedError), transaction.atomic():
            second.delete()  # the worker may have chosen it
        mark(claim, Item(Kind.COMMENT, first), lease_seconds=60)
        Attachment.objects.filter(pk=file.pk).update(id=first.pk)
        with pytest.raises(ProtectedError), transaction.atomic():
            first.delete()
        second.delete()
        Attachment.objects.get().delete()

    def test_files_that_travel_are_protected(self, ticket: Ticket) -> None:
        with_ticket = attach(ticket)
        comment = Comment.objects.create(ticket=ticket, body="one")
        with_comment = attach(ticket, comment=comment)
        (claim,) = claim_next("local", 1, using="default")
        mark(claim, Item(Kind.CREATE, ticket), lease_seconds=60)
        with pytest.raises(ProtectedError), transaction.atomic():
            with_ticket.delete()
        OutboxEntry.objects.update(item=Kind.COMMENT, item_id=comment.pk)
        with pytest.raises(ProtectedError), transaction.atomic():
            with_comment.delete()
        OutboxEntry.objects.update(item=Kind.UPLOAD, item_id=with_comment.pk)
        with pytest.raises(ProtectedError), transaction.atomic():
            with_comment.delete()
        with_ticket.delete()

    def test_a_long_conversation_is_not_asked_about_row_by_row(self, ticket: Ticket) -> None:
        def cost(comments: int) -> int:
            ticket = Ticket.objects.create(subject="Deposit missing")
            for number in range(comments):
                Comment.objects.create(ticket=ticket, body=f"{number}")
            with CaptureQueriesContext(connection) as captured:
                ticket.delete()
            return len(captured)

        assert cost(12) == cost(2)


class TestForeignReceivers:
    def test_a_project_that_listens_to_every_deletion_breaks_no_compare_and_set(self, ticket: Ticket) -> None:
        heard: list[Any] = []

        def hear(sender: Any, **kwargs: Any) -> None:
            heard.append(sender)

        for signal in (post_delete, post_save):
            signal.connect(hear)
        try:
            ticket.delete()
            Ticket.objects.create(subject="Deposit missing")
            assert set(heard) >= {Ticket, OutboxEntry}
            heard.clear()
            assert push("local").delivered == 1
        finally:
            for signal in (post_delete, post_save):
                signal.disconnect(hear)
        assert OutboxEntry not in heard
