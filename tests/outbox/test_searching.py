"""A request whose answer was lost: settle time, two complete searches, adopt or send again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from django_support_tickets.exceptions import (
    AccessDenied,
    Ambiguous,
    Busy,
    NotSent,
    ProviderError,
    Refused,
)
from django_support_tickets.models import (
    Delivery,
    EpochNow,
    OutboxEntry,
    Ticket,
    TicketEvent,
    epoch_now,
)
from django_support_tickets.outbox.claims import Claim, mark
from django_support_tickets.outbox.delivery import deliver
from django_support_tickets.outbox.items import Item, Kind
from django_support_tickets.outbox.push import push
from django_support_tickets.providers import providers
from django_support_tickets.records import (
    Capabilities,
    Found,
    TicketRecord,
)
from tests.outbox.lost import LOST, wait_and_push
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]


class TestCreate:
    @pytest.mark.fault(5)
    def test_what_is_found_is_adopted(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.lose_answer("create", LOST)
        push("paper")
        assert wait_and_push().delivered == 1
        assert Ticket.objects.get().remote_id == "R1"
        assert desk.calls == ["create", "find"]

    @pytest.mark.fault(10)
    def test_absent_twice_it_is_sent_again(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.at("create", LOST)
        push("paper")
        assert wait_and_push().delivered == 0
        assert push("paper").waiting == 0  # the second search is a settle time apart from the first
        assert wait_and_push().delivered == 1
        assert desk.calls == ["create", "find", "find", "create"]

    @pytest.mark.fault(10)
    def test_what_shows_late_is_found_by_the_second_search(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.lose_answer("create", LOST)
        desk.at("find", lambda act: Found(complete=True))
        push("paper")
        wait_and_push()
        assert wait_and_push().delivered == 1
        assert desk.calls == ["create", "find", "find"]

    @pytest.mark.fault(10)
    def test_an_incomplete_search_proves_no_absence(self, desk: Desk, raised: Raise, caplog: Any) -> None:
        raised()
        desk.at("create", LOST)
        desk.at("find", lambda act: Found(complete=False))
        push("paper")
        assert wait_and_push().uncertain == 1
        reason = "The answer was lost, and the vendor could not be searched completely. the answer was lost or cut"
        assert Ticket.objects.get().delivery_error == reason
        assert caplog.messages[-1] == "uncertain: cannot be settled by search"

    def test_what_an_incomplete_search_finds_is_adopted(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.lose_answer("create", LOST)
        desk.at("find", lambda act: replace(act(), complete=False))
        push("paper")
        assert wait_and_push().delivered == 1

    def test_the_search_looks_back_to_the_first_send(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.at("create", LOST, LOST)
        push("paper")
        first = OutboxEntry.objects.get().sent_at
        for _ in range(3):
            wait_and_push()
        looked_back = desk.finds[-1].sent_at
        assert looked_back is not None and first is not None
        assert looked_back.timestamp() * 1000 == pytest.approx(first - 3 * 61_000, abs=1)
        wait_and_push()
        assert desk.calls == [*("create", "find", "find") * 2, "create"]  # each send is searched for twice

    def test_more_than_one_is_said(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.lose_answer("create", LOST)
        desk.at("find", lambda act: Found(records=(*act().records, TicketRecord(remote_id="R9")), complete=True))
        push("paper")
        wait_and_push()
        event = TicketEvent.objects.get(kind=TicketEvent.Kind.DUPLICATE)
        assert event.changes["remote_ids"] == ["R1", "R9"]
        assert Ticket.objects.get().remote_id == "R1"

    @pytest.mark.fault(23)
    def test_it_is_given_up_after_eight_sends(self, desk: Desk, raised: Raise, caplog: Any) -> None:
        raised()
        desk.at("create", *[LOST] * 20)
        for _ in range(30):
            wait_and_push()
        assert desk.calls.count("create") == 8
        assert Ticket.objects.get().delivery == Delivery.REFUSED
        reason = "It was tried 8 times and never arrived. the answer was lost or cut"
        assert Ticket.objects.get().delivery_error == reason
        assert caplog.messages[-1] == "refused: never arrived"

    def test_tries_that_never_left_are_no_sends(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.at("create", *[NotSent("no connection could be made")] * 10, LOST)
        for _ in range(11):
            pass_time(3600)
            push("paper")
        assert OutboxEntry.objects.get().attempts == 1
        wait_and_push()
        assert wait_and_push().delivered == 1


class TestDeadWorker:
    """Whose mark is all that is known."""

    def die_after_the_mark(self, claimed: Callable[..., Claim]) -> Claim:
        claim = claimed()
        assert mark(claim, Item(Kind.CREATE, claim.entry.ticket), lease_seconds=60)
        return claim

    @pytest.mark.fault(6, 10)
    def test_its_request_gets_its_settle_time_also_if_the_lease_was_shorter(
        self, desk: Desk, raised: Raise, claimed: Callable[..., Claim], settings: Any
    ) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS["paper"]["OPTIONS"]["settle_seconds"] = 36_000.0
        raised()
        self.die_after_the_mark(claimed)
        for seconds, calls in ((61, []), (18_000, []), (17_950, ["find"])):
            pass_time(seconds)
            push("paper")
            assert desk.calls == calls

    def test_at_a_vendor_that_cannot_be_searched_it_is_left_to_a_person(
        self, desk: Desk, raised: Raise, claimed: Callable[..., Claim], caplog: Any
    ) -> None:
        desk.capabilities = Capabilities()
        raised()
        self.die_after_the_mark(claimed)
        pass_time(61)
        assert push("paper").uncertain == 1
        assert Ticket.objects.get().delivery_error == "The answer was lost, and this vendor cannot be searched."
        (record,) = [record for record in caplog.records if record.event == "push.uncertain"]
        assert (record.message, record.request_id) == ("uncertain: cannot be settled by search", "")

    @pytest.mark.fault(12)
    def test_who_has_lost_the_lease_does_not_search(
        self, desk: Desk, raised: Raise, claimed: Callable[..., Claim]
    ) -> None:
        raised()
        self.die_after_the_mark(claimed)
        pass_time(61)
        frozen = claimed()
        pass_time(61)
        claimed()
        assert deliver(frozen, providers["paper"]) == "waiting"
        assert desk.calls == []

    @pytest.mark.fault(25)
    def test_a_search_is_leased_for_two_of_its_deadlines(
        self, desk: Desk, raised: Raise, claimed: Callable[..., Claim]
    ) -> None:
        raised()
        self.die_after_the_mark(claimed)
        pass_time(61)
        leases: list[float] = []

        def note(act: Any) -> Any:
            entry = OutboxEntry.objects.annotate(now=EpochNow()).get()
            leases.append(((entry.leased_until or 0) - entry.now) / 1000)
            return act()

        desk.at("find", note)
        push("paper")
        assert leases == [pytest.approx(2 * providers["paper"].deadline_of("find"), abs=1)]


class TestFailingSearch:
    @pytest.mark.parametrize("error", [NotSent, Ambiguous, Busy])
    def test_it_is_repeated(self, desk: Desk, raised: Raise, error: type[ProviderError]) -> None:
        raised()
        desk.lose_answer("create", LOST)
        desk.at("find", error("no luck", retry_after=300.0, request_id="req-1"))
        push("paper")
        assert wait_and_push().waiting == 1
        entry = OutboxEntry.objects.get()
        assert entry.sent_at is not None
        assert entry.not_before - epoch_now("default") == pytest.approx(300_000, abs=5000)
        assert (entry.attempts, entry.last_error, entry.request_id) == (1, "no luck (request req-1)", "req-1")
        pass_time(3600)
        assert push("paper").delivered == 1
        assert desk.calls.count("create") == 1

    def test_a_refused_account_pauses(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.lose_answer("create", LOST)
        desk.at("find", *[AccessDenied("the vendor refuses this account")] * 2)
        push("paper")
        assert wait_and_push().paused
        pass_time(100 * 3600)
        assert push("paper").waiting == 1
        pass_time(3600)
        assert push("paper").delivered == 1

    def test_a_vendor_that_refuses_to_be_searched_leaves_it_to_a_person(
        self, desk: Desk, raised: Raise, caplog: Any
    ) -> None:
        raised()
        desk.at("create", LOST)
        desk.at("find", Refused("the vendor refuses it", request_id="req-1"))
        push("paper")
        assert wait_and_push().uncertain == 1
        reason = "The answer was lost, and the vendor could not be searched: the vendor refuses it (request req-1)"
        assert Ticket.objects.get().delivery_error == reason
        (record,) = [record for record in caplog.records if record.event == "push.uncertain"]
        assert record.request_id == "req-1"

    def test_after_72_hours_it_is_left_to_a_person(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.at("create", LOST)
        desk.at("find", *[NotSent("no connection")] * 2)
        push("paper")
        wait_and_push()
        pass_time(73 * 3600)
        assert push("paper").uncertain == 1

    @pytest.mark.fault(23)
    def test_errors_that_nobody_foresaw_end_after_eight(
        self, desk: Desk, raised: Raise, unforeseen: None, caplog: Any
    ) -> None:
        raised()
        desk.at("create", LOST)
        desk.at("find", *[KeyError("id")] * 50)
        push("paper")
        for _ in range(20):
            pass_time(3600)
            push("paper")
        assert desk.calls.count("find") == 7
        assert Ticket.objects.get().delivery == Delivery.UNCERTAIN
        ticket = Ticket.objects.get()
        assert ticket.delivery_error == "It could not be handled: KeyError."
        records = [record for record in caplog.records if record.message == "could not be handled: KeyError"]
        assert {(record.event, record.account, record.key) for record in records} == {
            ("push.set_aside", "paper", str(ticket.key))
        }
