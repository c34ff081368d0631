"""Who may send: leases, marks and tokens. The steps are called by hand, as two workers would interleave them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F

from django_support_tickets.models import Comment, Delivery, OutboxEntry, Ticket, TicketEvent
from django_support_tickets.models.retries import repeated
from django_support_tickets.outbox import claims
from django_support_tickets.outbox.claims import Claim, claim_next, extend, mark, release
from django_support_tickets.outbox.delivery import deliver
from django_support_tickets.outbox.items import Item, Kind, next_item
from django_support_tickets.outbox.leases import START_SECONDS
from django_support_tickets.outbox.push import push
from django_support_tickets.outbox.settling import LeaseLost, settle_delivered, settle_refused
from django_support_tickets.providers import providers
from django_support_tickets.records import Capabilities, TicketRecord
from tests.outbox.paper import FULL, Desk
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]
Claimed = Callable[..., Claim]


def item_of(claim: Claim) -> Item:
    item = next_item(claim.entry.ticket, FULL, using="default")
    assert item is not None
    return item


class TestClaim:
    @pytest.mark.fault(11)
    def test_nothing_is_claimed_twice(self, desk: Desk, raised: Raise) -> None:
        for _ in range(3):
            raised()
        first, second = claim_next("paper", 2, using="default"), claim_next("paper", 5, using="default")
        assert (len(first), len(second)) == (2, 1)
        assert len({claim.entry.pk for claim in (*first, *second)}) == 3
        assert claim_next("paper", 5, using="default") == []

    def test_no_more_is_claimed_than_asked_for(self, desk: Desk, raised: Raise) -> None:
        raised()
        assert claim_next("paper", 0, using="default") == []
        assert claim_next("paper", -1, using="default") == []

    def test_the_oldest_goes_first(self, desk: Desk, raised: Raise) -> None:
        tickets = [raised() for _ in range(3)]
        assert [claim.entry.ticket for claim in claim_next("paper", 3, using="default")] == tickets

    def test_other_accounts_and_what_is_not_due_are_left_alone(self, desk: Desk, raised: Raise) -> None:
        raised()
        assert claim_next("other", 5, using="default") == []
        OutboxEntry.objects.update(not_before=claims.EpochNow() + 1000)
        assert claim_next("paper", 5, using="default") == []
        assert not claims.is_due("paper", using="default")

    @pytest.mark.fault(6)
    def test_a_lease_that_ran_out_is_claimed_again(self, desk: Desk, raised: Raise) -> None:
        raised()
        first = claim_next("paper", 1, using="default")
        pass_time(START_SECONDS + 1)
        (second,) = claim_next("paper", 1, using="default")
        assert second.token != first[0].token
        assert second.entry.attempts == 1  # the item may have ended its worker

    def test_a_lease_that_ran_out_after_its_mark_is_no_extra_attempt(
        self, desk: Desk, raised: Raise, claimed: Claimed
    ) -> None:
        raised()
        claim = claimed()
        mark(claim, item_of(claim), lease_seconds=60)
        pass_time(61)
        assert claimed().entry.attempts == 1

    def test_the_raw_answer_of_the_vendor_is_not_read(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        raised()
        assert "raw" in claimed().entry.ticket.get_deferred_fields()

    def test_a_claim_keeps_the_databases_time(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        raised()
        claim = claimed()
        assert (claim.moment - claims.moment_of(claim.now)).total_seconds() < 5  # type: ignore[operator]

    def test_a_surplus_is_given_back(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        raised()
        claim = claimed()
        claims._give_back([claim])
        assert claimed().entry == claim.entry


class TestMark:
    def test_it_says_what_may_have_left_and_since_when(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        ticket = raised()
        claim = claimed()
        assert mark(claim, item_of(claim), lease_seconds=60)
        entry = OutboxEntry.objects.get()
        assert (entry.item, entry.item_id, entry.attempts) == (Kind.CREATE, ticket.pk, 1)
        assert entry.sent_at == entry.tried_since
        assert entry.sent_at is not None and abs(entry.sent_at - claim.now) < 5000
        assert entry.leased_until is not None and 59_000 < entry.leased_until - claim.now < 70_000

    @pytest.mark.fault(11)
    def test_what_is_claimed_together_is_marked_leased_and_settled_apart(self, desk: Desk, raised: Raise) -> None:
        raised()
        raised()
        first, second = claim_next("paper", 2, using="default")
        untouched = OutboxEntry.objects.filter(pk=second.entry.pk).values()
        before = untouched.get()
        assert first.token == second.token
        assert extend(first, seconds=600)
        assert mark(first, item_of(first), lease_seconds=600)
        settle_delivered(first, item_of(first), TicketRecord(remote_id="R1"))
        assert untouched.get() == before
        assert OutboxEntry.objects.get() == second.entry

    @pytest.mark.fault(12)
    def test_it_fails_when_the_lease_has_run_out_even_if_nobody_took_it(
        self, desk: Desk, raised: Raise, claimed: Claimed
    ) -> None:
        raised()
        claim = claimed()
        pass_time(START_SECONDS + 1)
        assert not mark(claim, item_of(claim), lease_seconds=60)
        assert not extend(claim, seconds=60)

    @pytest.mark.fault(15)
    @pytest.mark.parametrize("change", [{"delivery": Delivery.DRAFT}, None], ids=["cancelled", "deleted"])
    def test_it_fails_when_the_item_is_no_longer_queued(
        self, desk: Desk, raised: Raise, said: Any, claimed: Claimed, change: dict[str, Any] | None
    ) -> None:
        ticket = raised()
        push("paper")
        said(ticket)
        claim = claimed()
        item = item_of(claim)
        if change:
            Comment.objects.update(**change)
        else:
            Comment.objects.all()._raw_delete("default")
        assert not mark(claim, item, lease_seconds=60)

    @pytest.mark.fault(6)
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL leaves that choice to a transaction")
    def test_it_waits_for_the_disk_and_the_claim_does_not(self, desk: Desk, raised: Raise) -> None:
        def flushes() -> bool:
            with connection.cursor() as cursor:
                cursor.execute("SHOW synchronous_commit")
                return cursor.fetchone() == ("on",)

        raised()
        with transaction.atomic():
            (claim,) = claim_next("paper", 1, using="default")
            assert not flushes()
        assert flushes()
        with transaction.atomic():
            assert mark(claim, item_of(claim), lease_seconds=60)
            assert flushes()

    def test_the_72_hours_are_counted_from_the_first(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        raised()
        OutboxEntry.objects.update(tried_since=5)
        claim = claimed()
        mark(claim, item_of(claim), lease_seconds=60)
        assert OutboxEntry.objects.get().tried_since == 5


class TestFrozenWorker:
    """SIGSTOP: a worker stands still while its lease runs out and another takes over."""

    def take_over(self, claimed: Claimed) -> Claim:
        pass_time(100_000)
        return claimed()

    @pytest.mark.fault(12)
    def test_it_sends_nothing_when_it_wakes(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        raised()
        frozen = claimed()
        assert push("paper").delivered == 0
        pass_time(100_000)
        assert push("paper").delivered == 1
        assert deliver(frozen, providers["paper"]) == "waiting"
        assert desk.calls == ["create"]

    @pytest.mark.fault(12)
    def test_it_cannot_mark_what_another_holds(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        raised()
        frozen = claimed()
        other = self.take_over(claimed)
        assert deliver(frozen, providers["paper"]) == "waiting"
        assert desk.calls == []
        assert OutboxEntry.objects.get().lease_token == other.token

    @pytest.mark.fault(12)
    def test_its_answer_overwrites_nothing_and_is_kept_as_a_fact(
        self, desk: Desk, raised: Raise, claimed: Claimed
    ) -> None:
        raised()
        frozen = claimed()
        item = item_of(frozen)
        mark(frozen, item, lease_seconds=60)
        other = self.take_over(claimed)
        with pytest.raises(LeaseLost):
            settle_delivered(frozen, item, TicketRecord(remote_id="R7"))
        assert Ticket.objects.get().delivery == Delivery.QUEUED
        assert OutboxEntry.objects.get().lease_token == other.token
        event = TicketEvent.objects.get()
        assert (event.kind, event.changes["remote_id"]) == (TicketEvent.Kind.LATE_ANSWER, "R7")

    @pytest.mark.fault(12)
    def test_an_answer_that_comes_too_late_is_said_in_the_log(
        self, desk: Desk, raised: Raise, claimed: Claimed, caplog: Any
    ) -> None:
        ticket = raised()

        def lose_lease(act: Callable[[], Any]) -> Any:
            OutboxEntry.objects.update(lease_token=uuid.uuid4())
            return act()

        desk.at("create", lose_lease)
        assert deliver(claimed(), providers["paper"]) == "waiting"
        (late, lost) = caplog.records
        assert (late.event, late.message) == ("push.late_answer", "late answer: remote id R1")
        assert (lost.event, lost.message, lost.levelname) == ("push.lease_lost", "lease lost", "WARNING")
        assert (lost.account, lost.key) == ("paper", str(ticket.key))

    def test_its_failure_overwrites_nothing(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        raised()
        frozen = claimed()
        item = item_of(frozen)
        mark(frozen, item, lease_seconds=60)
        self.take_over(claimed)
        with pytest.raises(LeaseLost):
            settle_refused(frozen, item, reason="no", cause="no")
        assert not release(frozen, wait=0)
        assert Ticket.objects.get().delivery == Delivery.QUEUED
        assert not TicketEvent.objects.exists()

    @pytest.mark.fault(12)
    def test_the_search_uses_the_fact(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        raised()
        frozen = claimed()
        item = item_of(frozen)
        mark(frozen, item, lease_seconds=60)
        pass_time(61)
        assert push("paper").delivered == 0  # the first search
        OutboxEntry.objects.update(lease_token=uuid.uuid4())
        with pytest.raises(LeaseLost):
            settle_delivered(frozen, item, TicketRecord(remote_id="R7"))
        pass_time(61)
        assert push("paper").delivered == 1
        assert Ticket.objects.get().remote_id == "R7"

    @pytest.mark.fault(12)
    def test_a_ticket_that_went_uncertain_meanwhile_shows_it(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        desk.capabilities = Capabilities()
        ticket = raised()
        frozen = claimed()
        item = item_of(frozen)
        mark(frozen, item, lease_seconds=60)
        pass_time(61)
        assert push("paper").uncertain == 1
        reason = "The answer was lost, and this vendor cannot be searched."
        assert Ticket.objects.get().delivery_error == reason
        with pytest.raises(LeaseLost):
            settle_delivered(frozen, item, TicketRecord(remote_id="R7"))
        assert Ticket.objects.get().delivery == Delivery.UNCERTAIN
        assert ticket.events.latest("pk").changes["remote_id"] == "R7"

    def test_the_answer_that_ended_the_lease_itself_is_no_late_one(
        self, desk: Desk, raised: Raise, claimed: Claimed
    ) -> None:
        """A connection lost at the commit: nobody can tell whether it was made, so the transaction is run again."""
        raised()
        claim = claimed()
        item = item_of(claim)
        mark(claim, item, lease_seconds=60)
        settle_delivered(claim, item, TicketRecord(remote_id="R7"))
        with pytest.raises(LeaseLost):
            settle_delivered(claim, item, TicketRecord(remote_id="R7"))
        assert not TicketEvent.objects.filter(kind=TicketEvent.Kind.LATE_ANSWER).exists()

    @pytest.mark.django_db(transaction=True)
    def test_the_id_of_a_ticket_that_was_deleted_is_in_the_log(
        self, desk: Desk, raised: Raise, claimed: Claimed, caplog: Any
    ) -> None:
        raised()
        claim = claimed()
        item = item_of(claim)
        for model in (OutboxEntry, TicketEvent, Ticket):
            model._base_manager.all()._raw_delete("default")
        with pytest.raises(LeaseLost):
            settle_delivered(claim, item, TicketRecord(remote_id="R7"))
        assert "late answer: remote id R7" in caplog.text


class TestRepeated:
    @pytest.mark.fault(90, 91)
    @pytest.mark.parametrize("error", [OperationalError("deadlock detected"), InterfaceError("connection is closed")])
    @pytest.mark.django_db(transaction=True)
    def test_a_transaction_is_run_again(self, error: Exception) -> None:
        failures = [error, error]

        def act() -> str:
            if failures:
                raise failures.pop()
            return "done"

        assert repeated(act, using="default") == "done"

    @pytest.mark.django_db(transaction=True)
    def test_it_ends_after_five(self) -> None:
        calls: list[int] = []

        def act() -> None:
            calls.append(1)
            raise OperationalError("database is locked")

        with pytest.raises(OperationalError):
            repeated(act, using="default")
        assert len(calls) == 5

    def test_in_a_transaction_of_the_callers_it_runs_once(self) -> None:
        calls: list[int] = []

        def act() -> None:
            calls.append(1)
            raise OperationalError("database is locked")

        with pytest.raises(OperationalError):
            repeated(act, using="default")
        assert len(calls) == 1


class TestReleased:
    def test_it_is_due_again_after_the_wait(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        raised()
        claim = claimed()
        assert release(claim, wait=10, error="why", request_id="r" * 200)
        entry = OutboxEntry.objects.get()
        assert (entry.last_error, entry.request_id) == ("why", "r" * 100)
        assert claim_next("paper", 1, using="default") == []
        pass_time(11)
        assert claimed().entry == entry

    def test_another_token_releases_nothing(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        raised()
        claim = claimed()
        OutboxEntry.objects.update(lease_token=uuid.uuid4(), attempts=F("attempts") + 1)
        assert not release(claim, wait=0)
        assert OutboxEntry.objects.get().leased_until is not None
