"""How an end is written down: in one transaction, by few statements, and never over somebody else's."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from django_support_tickets.merge import import_tickets
from django_support_tickets.merge.arrivals import Fetched
from django_support_tickets.models import (
    Attachment,
    Comment,
    Delivery,
    OutboxEntry,
    Ticket,
    TicketEvent,
    WebhookDelivery,
    epoch_now,
)
from django_support_tickets.outbox.claims import Claim
from django_support_tickets.outbox.decisions import request_close
from django_support_tickets.outbox.delivery import deliver
from django_support_tickets.outbox.push import push
from django_support_tickets.outbox.settling import drop
from django_support_tickets.providers import providers
from django_support_tickets.records import (
    ABSENT,
    AttachmentRules,
    Capabilities,
    CommentRecord,
    Status,
    TicketRecord,
    WebhookEvent,
)
from django_support_tickets.sync import has_work
from django_support_tickets.webhooks.remembering import remember
from tests.outbox.paper import FULL, Desk
from tests.simulator.passing import pass_time
from tests.simulator.points import Point, ending
from tests.simulator.workers import Died

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]


def statements(captured: CaptureQueriesContext) -> list[str]:
    """Return the statements without those that only begin and end transactions."""
    around = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    return [query["sql"] for query in captured if not query["sql"].startswith(around)]


class TestCost:
    def test_a_plain_create_costs_three_statements_before_and_three_after(
        self, desk: Desk, raised: Raise, claimed: Callable[..., Claim]
    ) -> None:
        desk.capabilities = replace(FULL, attachments=AttachmentRules(moments=frozenset({"create"})))
        raised()
        before: list[int] = []
        with CaptureQueriesContext(connection) as captured:

            def count(act: Callable[[], Any]) -> Any:
                before.append(len(statements(captured)))
                return act()

            desk.at("create", count)
            claim = claimed()
            assert deliver(claim, providers["paper"]) == "delivered"
            total = len(statements(captured))
        if connection.features.allow_sliced_subqueries_with_in:
            assert before == [3]
        assert total - before[0] == (4 if connection.vendor == "mysql" else 3)  # which locks what a subquery reads

    def test_an_idle_account_costs_no_write_but_the_claim(self, desk: Desk) -> None:
        with CaptureQueriesContext(connection) as captured:
            push("paper")
        assert len(statements(captured)) <= 8


class TestCreate:
    def test_what_the_vendor_says_of_its_new_ticket_is_stored_at_once(self, desk: Desk, raised: Raise) -> None:
        raised(priority="low")
        moment = datetime(2026, 11, 1, 12, tzinfo=UTC)
        record = TicketRecord(
            remote_id="R5",
            status=Status.IN_PROGRESS,
            remote_status="triaging",
            reference="SUP-7",
            priority="high",
            updated_at=moment,
            raw={"id": "R5"},
        )
        desk.at("create", lambda act: record)
        push("paper")
        ticket = Ticket.objects.get()
        assert (ticket.remote_id, ticket.status, ticket.remote_status) == ("R5", "in_progress", "triaging")
        assert (ticket.reference, ticket.priority, ticket.raw) == ("SUP-7", "high", {"id": "R5"})
        assert ticket.remote_updated_at is not None and ticket.delivered_at is not None
        assert ticket.digest and ticket.synced_at and ticket.next_poll_at
        assert list(ticket.events.values_list("kind", flat=True)) == [TicketEvent.Kind.DELIVERED]

    def test_a_bare_id_makes_the_ticket_due(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.at("create", lambda act: TicketRecord(remote_id="R5"))
        push("paper")
        ticket = Ticket.objects.get()
        assert ticket.status == Status.PENDING
        assert ticket.next_poll_at == ticket.delivered_at

    @pytest.mark.parametrize("final", [frozenset(), frozenset({Status.CLOSED})])
    def test_one_that_is_closed_already_is_looked_at_rarely_or_never(
        self, desk: Desk, raised: Raise, final: frozenset[Status]
    ) -> None:
        desk.capabilities = Capabilities(final_statuses=final)
        raised()
        desk.at("create", lambda act: TicketRecord(remote_id="R5", status=Status.CLOSED))
        push("paper")
        ticket = Ticket.objects.get()
        if final:
            assert ticket.next_poll_at is None
        else:
            assert ticket.next_poll_at - ticket.delivered_at > timedelta(hours=1)  # type: ignore[operator]

    def test_a_conversation_in_the_answer_is_merged(self, desk: Desk, raised: Raise) -> None:
        raised()
        hello = CommentRecord(remote_id="C1", body="We are on it.")
        desk.at("create", lambda act: TicketRecord(remote_id="R5", status=Status.OPEN, comments=(hello,)))
        push("paper")
        assert Comment.objects.get().body == "We are on it."
        assert Ticket.objects.get().status == Status.OPEN
        assert set(TicketEvent.objects.values_list("source", flat=True)) == {TicketEvent.Source.PUSH}

    @pytest.mark.fault(64)
    def test_a_webhook_that_comes_while_the_answer_is_stored_makes_the_ticket_due(
        self, desk: Desk, raised: Raise
    ) -> None:
        """Neither transaction sees the other: it is asked again when the id is there for all."""
        desk.capabilities = Capabilities(has_webhooks=True)
        raised()
        raised()

        def receive(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith("INSERT INTO") and "ticketevent" in sql:  # the last statement of the transaction
                WebhookDelivery.objects.get_or_create(provider="paper", identity="1", remote_id="R1")
            return execute(sql, params, many, context)

        with connection.execute_wrapper(receive):
            push("paper")
        first, second = Ticket.objects.order_by("remote_id")
        assert first.next_poll_at - first.delivered_at < timedelta(seconds=30)  # type: ignore[operator]
        assert second.next_poll_at - second.delivered_at > timedelta(seconds=30)  # type: ignore[operator]

    @pytest.mark.django_db(transaction=True)
    def test_a_ticket_that_cannot_be_made_due_is_delivered_all_the_same(
        self, desk: Desk, raised: Raise, caplog: Any
    ) -> None:
        desk.capabilities = Capabilities(has_webhooks=True)
        key = str(raised().key)

        def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if re.match(r"UPDATE .support_tickets_ticket. ", sql) and Ticket.objects.filter(remote_id="R1").exists():
                raise DataError("no hint")
            return execute(sql, params, many, context)

        with connection.execute_wrapper(fail):
            assert push("paper").delivered == 1
        (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
        assert (record.message, record.event) == ("no hint: DataError", "push.no_hint")
        assert (record.account, record.key) == ("paper", key)

    @pytest.mark.fault(64)
    def test_a_webhook_that_was_faster_than_the_answer_makes_the_ticket_due(self, desk: Desk, raised: Raise) -> None:
        raised()
        raised()
        WebhookDelivery.objects.create(provider="paper", identity="1", remote_id="R1")
        WebhookDelivery.objects.create(provider="other", identity="2", remote_id="R2")
        push("paper")
        first, second = Ticket.objects.order_by("remote_id")
        assert first.next_poll_at == first.delivered_at
        assert second.next_poll_at > second.delivered_at  # type: ignore[operator]

    @pytest.mark.fault(6, 64)
    def test_a_webhook_that_came_before_its_worker_died_makes_the_ticket_due(self, desk: Desk, raised: Raise) -> None:
        raised()
        with pytest.raises(Died), ending(Point.named("outbox/delivery.py:_call:return"), self.hear_and_die):
            push("paper")
        assert Ticket.objects.get().remote_id is None
        pass_time(61)
        assert push("paper").delivered == 1
        ticket = Ticket.objects.get()
        assert ticket.next_poll_at == ticket.delivered_at
        assert desk.calls == ["create", "find"]

    @pytest.mark.fault(6, 64)
    def test_a_webhook_after_the_commit_needs_no_worker_that_looks_for_it(self, desk: Desk, raised: Raise) -> None:
        raised()
        with (
            pytest.raises(Died),
            ending(Point.named("outbox/settling.py:_store_delivered:return"), self.hear_and_die),
        ):
            push("paper")
        ticket = Ticket.objects.get()
        assert ticket.next_poll_at < ticket.delivered_at + timedelta(seconds=5)  # type: ignore[operator]

    def hear_and_die(self) -> None:
        remember("paper", WebhookEvent(identity="1", remote_id="R1"), using="default")
        raise Died


class TestTwin:
    """A list walk imports our own ticket before the push has stored its id."""

    def imported(self, remote_id: str = "R1") -> Ticket:
        record = TicketRecord(
            remote_id=remote_id,
            status=Status.OPEN,
            subject="Deposit missing",
            comments=(CommentRecord(remote_id="V1", body="We are on it."),),
        )
        import_tickets("paper", [Fetched(record=record, started_at=epoch_now("default"))])
        return Ticket.objects.get(remote_id=remote_id)

    def test_it_is_absorbed_with_what_hangs_on_it(self, desk: Desk, raised: Raise) -> None:
        ours = raised()

        def import_and_act(act: Callable[[], Any]) -> Any:
            self.imported("R99")
            twin = self.imported()
            Comment.objects.create(ticket=twin, body="Written on the copy")
            return act()

        desk.at("create", import_and_act)
        assert push("paper").delivered == 2
        ours.refresh_from_db()
        assert set(Ticket.objects.values_list("remote_id", flat=True)) == {"R1", "R99"}
        assert ours.remote_id == "R1"
        assert [comment.body for comment in ours.comments.order_by("pk")] == ["We are on it.", "Written on the copy"]
        assert ours.events.filter(changes__found_twin=True).exists()

    def test_another_ticket_of_ours_is_not(self, desk: Desk, raised: Raise, unforeseen: None) -> None:
        raised()
        push("paper")
        second = raised()
        desk.at("create", lambda act: (act(), TicketRecord(remote_id="R1"))[1])
        push("paper")
        pass_time(61)
        assert push("paper").delivered == 1
        second.refresh_from_db()
        assert second.remote_id == "R2"
        assert second.events.filter(kind=TicketEvent.Kind.LATE_ANSWER, changes__remote_id="R1").exists()


class TestRaces:
    def test_a_comment_queued_while_the_entry_is_deleted_is_found_by_the_sweep(
        self, desk: Desk, raised: Raise, said: Any
    ) -> None:
        ticket = raised()

        def comment_unseen(act: Callable[[], Any]) -> Any:
            record = act()
            said(ticket)
            return record

        desk.at("create", comment_unseen)
        assert push("paper").delivered == 2

        comment = said(ticket, "Unseen")
        OutboxEntry.objects.all().delete()
        assert push("paper").delivered == 1
        comment.refresh_from_db()
        assert comment.delivery == Delivery.DELIVERED

    def test_an_entry_that_a_new_item_has_reached_is_not_dropped(
        self, desk: Desk, raised: Raise, said: Any, claimed: Callable[..., Claim]
    ) -> None:
        ticket = raised()
        push("paper")
        OutboxEntry.objects.create(ticket=ticket, provider="paper")
        claim = claimed()
        said(ticket)
        drop(claim)
        assert OutboxEntry.objects.get().lease_token is None
        assert push("paper").delivered == 1

    def test_an_entry_stays_for_the_closing_that_comes_next(self, desk: Desk, raised: Raise, claimed: Any) -> None:
        raised()
        Ticket.objects.update(close_delivery=Delivery.QUEUED)
        assert deliver(claimed(), providers["paper"]) == "delivered"
        entry = OutboxEntry.objects.get()
        assert (entry.item, entry.sent_at, entry.attempts, entry.lease_token) == ("", None, 0, None)
        assert deliver(claimed(), providers["paper"]) == "delivered"
        assert not OutboxEntry.objects.exists()

    def test_an_entry_whose_ticket_was_submitted_meanwhile_stays(self, desk: Desk, raised: Raise, claimed: Any) -> None:
        ticket = raised(delivery=Delivery.DRAFT)
        OutboxEntry.objects.create(ticket=ticket, provider="paper")
        claim = claimed()
        ticket.submit()
        drop(claim)
        assert OutboxEntry.objects.get().lease_token is None
        assert push("paper").delivered == 1

    def test_an_entry_with_nothing_to_send_goes(self, desk: Desk, raised: Raise) -> None:
        ticket = raised()
        push("paper")
        OutboxEntry.objects.create(ticket=ticket, provider="paper")
        counts = push("paper")
        assert (counts.delivered, counts.waiting) == (0, 0)
        assert not OutboxEntry.objects.exists()

    def test_an_id_that_a_pull_gave_to_equal_words_not_sent_yet_is_taken_back(
        self, desk: Desk, raised: Raise, said: Any
    ) -> None:
        ticket = raised()
        push("paper")
        first, second = said(ticket, "Hello?"), said(ticket, "Hello?")
        Comment.objects.filter(pk=second.pk).update(remote_id="C1")
        assert push("paper").delivered == 2
        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.remote_id, second.remote_id) == ("C1", "C2")

    def test_the_id_of_something_else_of_ours_is_not_taken(
        self, desk: Desk, raised: Raise, said: Any, unforeseen: None
    ) -> None:
        ticket = raised()
        push("paper")
        first = said(ticket)
        push("paper")
        second = said(ticket, "And now?")
        desk.at("comment", lambda act: (act(), CommentRecord(remote_id="C1"))[1])
        push("paper")
        pass_time(61)
        assert push("paper").delivered == 1
        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.remote_id, second.remote_id) == ("C1", "C2")

    def test_files_that_travelled_are_delivered_with_their_ticket(
        self, desk: Desk, raised: Raise, attached: Any
    ) -> None:
        desk.capabilities = Capabilities(attachments=AttachmentRules(moments=frozenset({"create"})))
        attached(raised())
        assert push("paper").delivered == 1
        assert desk.files[0][0] == "receipt.png"
        assert Attachment.objects.get().delivery == Delivery.DELIVERED

    def test_a_failing_merge_does_not_undo_the_delivery(self, desk: Desk, raised: Raise) -> None:
        raised()
        broken = TicketRecord(remote_id="R5", status=Status.OPEN, comments=("no record",))  # type: ignore[arg-type]
        desk.at("create", lambda act: broken)
        assert push("paper").delivered == 1
        assert Ticket.objects.get().remote_id == "R5"

    def test_what_cannot_be_merged_is_delivered_and_said_in_the_log(
        self, desk: Desk, raised: Raise, claimed: Callable[..., Claim], settings: Any, caplog: Any
    ) -> None:
        ticket = raised()
        push("paper")
        request_close(ticket)

        def take_the_account_away(act: Callable[[], Any]) -> Any:
            settings.SUPPORT_TICKETS_PROVIDERS = {}
            return act()

        desk.at("close", take_the_account_away)
        assert deliver(claimed(), providers["paper"]) == "delivered"
        assert Ticket.objects.get().close_delivery == Delivery.DELIVERED
        (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
        assert (record.message, record.event) == ("not merged: InvalidProvider", "push.not_merged")
        assert (record.account, record.key) == ("paper", str(ticket.key))

    def test_a_status_that_a_closing_does_not_tell_is_fetched(self, desk: Desk, raised: Raise) -> None:
        raised()
        push("paper")
        Ticket.objects.update(close_delivery=Delivery.QUEUED)
        desk.at("close", lambda act: TicketRecord(remote_id="R1", status=ABSENT))
        push("paper")
        ticket = Ticket.objects.get()
        assert (ticket.close_delivery, ticket.status) == (Delivery.DELIVERED, Status.OPEN)
        assert has_work("paper")


def test_two_tickets_cannot_have_one_remote_id(desk: Desk, raised: Raise) -> None:
    raised()
    raised()
    with pytest.raises(IntegrityError):
        Ticket.objects.update(remote_id="R1")


@pytest.mark.fault(91)
@pytest.mark.skipif(connection.vendor != "mysql", reason="only MySQL locks what the subquery of a DELETE reads")
def test_an_entry_is_deleted_without_a_look_at_what_other_tickets_have_queued(
    desk: Desk, raised: Raise, said: Any
) -> None:
    """By which plan the subquery runs is for the server to say: all workers that settle comments may meet in it."""
    ticket = raised()
    push("paper")
    said(ticket)
    with CaptureQueriesContext(connection) as captured:
        push("paper")
    deletions = [sql for sql in statements(captured) if sql.startswith("DELETE FROM `support_tickets_outboxentry`")]
    assert deletions and "SELECT" not in "".join(deletions)
