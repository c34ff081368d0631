"""Rows that no save has prepared: validated, filtered and measured before they are sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.db import connection

from django_support_tickets.exceptions import Ambiguous
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.outbox.claims import Claim
from django_support_tickets.outbox.delivery import deliver
from django_support_tickets.outbox.intake import SWEEP_BATCH, SWEEP_TRIES, enqueue, sweep
from django_support_tickets.outbox.push import push
from django_support_tickets.providers import providers
from django_support_tickets.records import AttachmentRules, Capabilities
from tests.outbox.conftest import PICTURE
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]


def shout(text: str) -> str:
    return f"{text}!"


@pytest.fixture
def shouting(settings: Any) -> None:
    settings.SUPPORT_TICKETS_OUTGOING_FILTERS = [f"{__name__}.shout"]


@pytest.mark.fault(14)
class TestBulkCreate:
    def test_tickets_are_filtered_once_and_what_was_sent_is_what_the_row_shows(
        self, desk: Desk, shouting: None
    ) -> None:
        Ticket.objects.bulk_create([Ticket(subject="In bulk", description="Since noon")])
        assert push("paper").delivered == 1
        ticket = Ticket.objects.get()
        assert (ticket.subject, ticket.description) == ("In bulk!", "Since noon!")
        assert (desk.drafts["R1"].subject, desk.drafts["R1"].description) == ("In bulk!", "Since noon!")
        assert ticket.submitted_at is not None

    def test_one_that_is_not_valid_is_refused_with_its_complaint(self, desk: Desk, caplog: Any) -> None:
        Ticket.objects.bulk_create([Ticket(subject=" "), Ticket(subject="In bulk")])
        counts = push("paper")
        assert (counts.refused, counts.delivered) == (1, 1)
        assert Ticket.objects.get(subject=" ").delivery_error == "This account's vendor needs it."
        (record,) = [record for record in caplog.records if record.event == "push.refused"]
        assert (record.message, record.request_id) == ("refused: not sent", "")

    def test_comments_are_filtered(self, desk: Desk, raised: Raise, shouting: None) -> None:
        ticket = raised()
        push("paper")
        Comment.objects.bulk_create([Comment(ticket=ticket, body="Any news?")])
        push("paper")
        assert Comment.objects.get().body == "Any news?!"
        assert [comment.body for comment in desk.tickets["R1"].comments or ()] == ["Any news?!"]

    def test_files_are_measured(self, desk: Desk, raised: Raise) -> None:
        desk.capabilities = Capabilities(attachments=AttachmentRules(moments=frozenset({"create"})))
        ticket = raised()
        file = Attachment(ticket=ticket, name="receipt.png", file=ContentFile(PICTURE, name="receipt.png"))
        Attachment.objects.bulk_create([file])
        assert push("paper").delivered == 1
        file.refresh_from_db()
        assert (file.size, file.content_type, file.delivery) == (len(PICTURE), "image/png", Delivery.DELIVERED)
        assert desk.files == [("receipt.png", PICTURE)]

    def test_a_bad_file_is_left_behind_and_stops_nothing(self, desk: Desk, raised: Raise) -> None:
        rules = AttachmentRules(moments=frozenset({"create"}), max_bytes=10)
        desk.capabilities = Capabilities(attachments=rules)
        ticket = raised()
        file = Attachment(ticket=ticket, name="receipt.png", file=ContentFile(PICTURE, name="receipt.png"))
        Attachment.objects.bulk_create([file])
        assert push("paper").delivered == 1
        file.refresh_from_db()
        assert (file.delivery, desk.files) == (Delivery.REFUSED, [])
        assert "At most 10 bytes" in file.delivery_error
        assert ticket.events.filter(kind="refused", changes__key=str(file.key)).count() == 1

    def test_a_bad_file_that_was_taken_back_meanwhile_is_a_draft(self, desk: Desk, raised: Raise) -> None:
        desk.capabilities = Capabilities(attachments=AttachmentRules(moments=frozenset({"create"}), max_bytes=10))
        file = Attachment(ticket=raised(), name="receipt.png", file=ContentFile(PICTURE, name="receipt.png"))
        Attachment.objects.bulk_create([file])

        def take_back(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith("UPDATE") and "attachment" in sql and "draft" not in params:
                Attachment.objects.update(delivery=Delivery.DRAFT)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(take_back):
            assert push("paper").delivered == 1
        file.refresh_from_db()
        assert (file.delivery, file.delivery_error) == (Delivery.DRAFT, "")

    def test_a_file_that_nobody_announced_did_not_travel_with_what_was_sent_before(
        self, desk: Desk, raised: Raise
    ) -> None:
        desk.capabilities = Capabilities(can_find=True, attachments=AttachmentRules(moments=frozenset({"create"})))
        ticket = raised()
        desk.lose_answer("create", Ambiguous("the answer was lost or cut"))
        push("paper")
        file = Attachment(ticket=ticket, name="receipt.png", file=ContentFile(PICTURE, name="receipt.png"))
        Attachment.objects.bulk_create([file])
        pass_time(61)
        counts = push("paper")
        assert (counts.delivered, counts.refused) == (1, 1)
        file.refresh_from_db()
        assert file.delivery == Delivery.REFUSED

    def test_what_one_sweep_leaves_the_next_finds(self, desk: Desk) -> None:
        Ticket.objects.bulk_create([Ticket(subject=f"Number {number}") for number in range(SWEEP_BATCH + 3)])
        assert sweep("paper", using="default") == SWEEP_BATCH
        assert sweep("paper", using="default") == 3
        assert sweep("paper", using="default") == 0
        assert OutboxEntry.objects.count() == SWEEP_BATCH + 3


class TestSweep:
    @pytest.mark.fault(15, 91)
    @pytest.mark.django_db(transaction=True)
    def test_a_ticket_that_is_deleted_meanwhile_stops_it_not(self, desk: Desk) -> None:
        # One at each try but the last; MySQL leaves out what is gone at the first.
        subjects = [
            f"To be deleted {number}" for number in range(1 if connection.vendor == "mysql" else SWEEP_TRIES - 1)
        ]
        Ticket.objects.bulk_create([Ticket(subject=subject) for subject in (*subjects, "In bulk")])

        def delete_one(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            result = execute(sql, params, many, context)
            if "_outboxentry" in sql and "_attachment" in sql and subjects:  # the last it asks
                Ticket.objects.filter(subject=subjects.pop()).delete()
            return result

        with connection.execute_wrapper(delete_one):
            sweep("paper", using="default")
        assert not subjects
        assert OutboxEntry.objects.get().ticket.subject == "In bulk"

    def test_a_ticket_that_is_announced_meanwhile_stops_it_not(self, desk: Desk) -> None:
        Ticket.objects.bulk_create([Ticket(subject="In bulk")])

        def announce(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            result = execute(sql, params, many, context)
            if "support_tickets_attachment" in sql:  # the last it asks
                enqueue(Ticket.objects.get(), using="default")
            return result

        with connection.execute_wrapper(announce):
            sweep("paper", using="default")
        assert OutboxEntry.objects.count() == 1


class TestFrozen:
    def test_a_worker_without_its_lease_prepares_nothing(
        self, desk: Desk, shouting: None, claimed: Callable[..., Claim]
    ) -> None:
        Ticket.objects.bulk_create([Ticket(subject="In bulk")])
        push("paper", stop=lambda: True)
        frozen = claimed()
        pass_time(61)
        other = claimed()
        assert deliver(frozen, providers["paper"]) == "waiting"
        assert Ticket.objects.get().subject == "In bulk"
        assert deliver(other, providers["paper"]) == "delivered"
        assert Ticket.objects.get().subject == "In bulk!"


class TestFilters:
    def test_they_run_once_at_submit(self, desk: Desk, raised: Raise, shouting: None) -> None:
        draft = raised(delivery=Delivery.DRAFT)
        draft.save()
        draft.submit()
        push("paper")
        assert desk.drafts["R1"].subject == Ticket.objects.get().subject == "Deposit missing!"

    def test_text_that_no_database_can_store_is_replaced(self, desk: Desk, raised: Raise) -> None:
        assert raised("a\x00b").subject == "a\N{REPLACEMENT CHARACTER}b"

    def test_a_missing_filter_is_an_error_and_sends_nothing(self, desk: Desk, raised: Raise, settings: Any) -> None:
        settings.SUPPORT_TICKETS_OUTGOING_FILTERS = ["nowhere.mask"]
        with pytest.raises(ImportError):
            raised()
        assert not Ticket.objects.exists()

    def test_a_comment_is_filtered_too(self, desk: Desk, raised: Raise, said: Any, shouting: None) -> None:
        assert said(raised(), "Hello").body == "Hello!"

    def test_an_invalid_comment_is_refused_by_its_save(self, desk: Desk, raised: Raise, said: Any) -> None:
        with pytest.raises(ValidationError):
            said(raised(), "  ")
