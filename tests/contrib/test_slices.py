from __future__ import annotations

import logging
import time
import traceback
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_support_tickets.contrib import slices
from django_support_tickets.contrib.slices import (
    APART,
    Coalescing,
    WorkFailed,
    accounts_to_fetch,
    fetch_due,
    send_due,
    send_ticket,
)
from django_support_tickets.models import Delivery, EpochNow, OutboxEntry, ProviderState, SyncRun, Ticket
from django_support_tickets.providers import Provider
from django_support_tickets.records import Capabilities, Status, TicketDraft, TicketRecord, TicketRef
from django_support_tickets.signals import ticket_changed
from django_support_tickets.sync.lock import RunLock

pytestmark = pytest.mark.django_db(transaction=True)

#: In this thread: SQLite in memory has but one connection.
HERE: dict[str, Any] = {"using": "default", "workers": 1}


class Desk(Provider):
    """A vendor in memory that is told how to behave."""

    broken: type[Exception] | None = None
    asked: list[str] = []
    seconds = 0.0

    def __init__(self, alias: str, **common: Any) -> None:
        super().__init__(alias, **common)
        if self.broken is not None:
            raise self.broken("canary")
        self.capabilities = Capabilities()

    def get(self, ref: TicketRef) -> TicketRecord:
        self.asked.append(ref.remote_id)
        time.sleep(self.seconds)
        return TicketRecord(remote_id=ref.remote_id, status=Status.OPEN)

    def create(self, draft: TicketDraft) -> TicketRecord:
        self.asked.append(draft.key)
        time.sleep(self.seconds)
        return TicketRecord(remote_id=draft.key)


class DemandingDesk(Desk):
    broken = ImproperlyConfigured


@pytest.fixture(autouse=True)
def desk(settings: Any) -> Any:
    settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {"BACKEND": f"{__name__}.Desk"}}
    Desk.broken, Desk.asked, Desk.seconds = None, [], 0.0
    return Desk


def raised(number: int = 1) -> list[Ticket]:
    return [Ticket.objects.create(subject=f"Number {i}", description="Gone.") for i in range(number)]


def fetched(**values: Any) -> Ticket:
    """Return a ticket at the vendor that is due."""
    facts = {"provider": "desk", "subject": "S", "remote_id": "R-1", "delivery": Delivery.DELIVERED}
    ticket = Ticket.objects.bulk_create([Ticket(**{**facts, **values})])[0]
    Ticket.objects.filter(pk=ticket.pk).update(next_poll_at=ticket.created_at)
    return ticket


class TestSending:
    def test_one_ticket(self, desk: Any) -> None:
        first, second = raised(2)
        send_ticket(first.pk, using="default")
        assert desk.asked == [str(first.key)]
        send_ticket(first.pk, using="default")
        assert desk.asked == [str(first.key)]

    def test_a_ticket_that_is_gone_is_no_failure(self) -> None:
        send_ticket(4711, using="default")

    def test_all_that_is_due(self, desk: Any) -> None:
        raised(3)
        assert send_due("desk", **HERE) is False
        assert len(desk.asked) == 3

    def test_a_slice_ends_and_says_that_there_is_more(self, desk: Any) -> None:
        raised(8)
        desk.seconds = 0.05
        assert send_due("desk", **HERE, seconds=0.1) is True
        assert 0 < len(desk.asked) < 8
        assert send_due("desk", **HERE) is False
        assert len(desk.asked) == 8

    def test_what_is_paused_does_not_go_on_by_itself(self, desk: Any) -> None:
        raised(1)
        state = ProviderState.objects.create(provider="desk", pause="busy")
        ProviderState.objects.filter(pk=state.pk).update(paused_until=EpochNow() + 60_000)
        assert send_due("desk", **HERE, seconds=0.0) is False
        assert desk.asked == []


class TestFetching:
    def test_what_is_due(self, desk: Any) -> None:
        fetched()
        assert fetch_due("desk", using="default") is False
        assert desk.asked == ["R-1"]

    def test_one_pull_at_a_time(self, desk: Any) -> None:
        fetched()
        with RunLock("desk", using="default"):
            assert fetch_due("desk", using="default") is False
        assert desk.asked == []

    def test_a_hint_that_came_meanwhile_is_not_left_to_the_next_sweep(self, desk: Any) -> None:
        fetched()
        fetched(remote_id="R-2")
        hinted = Ticket.objects.filter(remote_id="R-2")
        moment = hinted.get().created_at
        hinted.update(next_poll_at=None)

        def hear(**kwargs: Any) -> None:
            hinted.update(next_poll_at=moment)

        ticket_changed.connect(hear)
        try:
            assert fetch_due("desk", using="default") is True
        finally:
            ticket_changed.disconnect(hear)
        assert desk.asked == ["R-1"]

    def test_a_vendor_that_is_down_is_not_asked_again_at_once(self, desk: Any) -> None:
        fetched()
        state = ProviderState.objects.create(provider="desk", pause="busy")
        ProviderState.objects.filter(pk=state.pk).update(paused_until=EpochNow() + 60_000)
        assert fetch_due("desk", using="default") is False
        assert desk.asked == []

    def test_which_accounts_have_something(self, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {
            "broken": {"BACKEND": f"{__name__}.Desk", "OPTIONS": {"tokn": "x"}},
            "demanding": {"BACKEND": f"{__name__}.DemandingDesk"},
            "idle": {"BACKEND": f"{__name__}.Desk"},
            "desk": {"BACKEND": f"{__name__}.Desk"},
        }
        fetched()
        assert list(accounts_to_fetch(using="default")) == ["desk"]
        assert [record.event for record in caplog.records] == ["account.invalid"] * 2  # type: ignore[attr-defined]


class TestFailures:
    def test_a_failure_names_its_cause_and_nothing_else(self, desk: Any, caplog: pytest.LogCaptureFixture) -> None:
        raised(1)
        desk.broken = ConnectionError
        caplog.set_level(logging.DEBUG)
        with pytest.raises(WorkFailed) as caught:
            send_due("desk", **HERE)
        assert str(caught.value) == "push desk failed: Provider 'desk': building it raised ConnectionError."
        assert caught.value.__context__ is None
        assert "canary" not in "".join(traceback.format_exception(caught.value)) + caplog.text
        (record,) = [record for record in caplog.records if record.name == slices.__name__]
        assert (record.event, record.account) == ("push.failed", "desk")  # type: ignore[attr-defined]

    @pytest.mark.fault(18)
    def test_an_account_that_is_gone_is_named(self) -> None:
        with pytest.raises(WorkFailed, match="'nobody' is not in SUPPORT_TICKETS_PROVIDERS"):
            fetch_due("nobody", using="default")
        assert not SyncRun.objects.exists()

    @pytest.mark.fault(18)
    def test_a_ticket_of_an_account_that_is_gone_stays_parked(self, settings: Any) -> None:
        (ticket,) = raised(1)
        settings.SUPPORT_TICKETS_PROVIDERS = {"other": {"BACKEND": f"{__name__}.Desk"}}
        with pytest.raises(WorkFailed, match="desk"):
            send_ticket(ticket.pk, using="default")
        assert send_due("other", **HERE) is False
        assert OutboxEntry.objects.get().provider == "desk"
        assert Ticket.objects.get().delivery == Delivery.QUEUED


class TestCoalescing:
    def test_the_first_goes_at_once_the_next_later_and_then_none(self) -> None:
        coalescing = Coalescing()
        assert [coalescing.delay_of("desk") for _ in range(1000)] == [0.0, APART, *[None] * 998]
        assert coalescing.delay_of("other") == 0.0

    def test_a_flood_is_a_trickle_and_every_wake_is_covered(self) -> None:
        coalescing, starts, asked = Coalescing(apart=0.05), [], []
        ends_at = time.monotonic() + 0.4
        while time.monotonic() < ends_at:
            asked.append(time.monotonic())
            delay = coalescing.delay_of("desk")
            if delay is not None:
                starts.append(time.monotonic() + delay)
            time.sleep(0.001)
        assert len(starts) <= 0.4 / 0.05 + 3
        assert all(any(start >= moment for start in starts) for moment in asked)

    def test_it_forgets_before_it_grows(self) -> None:
        coalescing = Coalescing(remembered=10)
        assert {coalescing.delay_of(number) for number in range(100)} == {0.0}
        assert len(coalescing._covered_until) <= 11
