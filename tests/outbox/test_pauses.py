"""Pauses and the breaker, shared by all workers; the figures F14 computed from the schedule."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_support_tickets.exceptions import AccessDenied, Ambiguous, Busy, NotSent, ProviderError, Refused
from django_support_tickets.models import ProviderState, Ticket, pauses
from django_support_tickets.models.pauses import admit, note_failure, note_success, pause_busy, pause_denied, paused
from django_support_tickets.outbox.claims import BACKOFF_BASE, BACKOFF_MAX, backoff, claim_next
from django_support_tickets.outbox.delivery import GIVE_UP_SECONDS
from django_support_tickets.outbox.push import push
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time
from tests.simulator.points import Point, ending

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]
Pause = ProviderState.Pause

DOWN = NotSent("no connection could be made", alias="paper")


def state() -> ProviderState:
    return ProviderState.objects.get(provider="paper", scope="")


def left() -> float:
    """Return for how many seconds the account is still paused."""
    until = state().paused_until
    return 0.0 if until is None else (until - pauses.epoch_now("default")) / 1000


def fail(times: int = 1) -> None:
    for _ in range(times):
        note_failure("paper", detail="no connection", using="default")


def deny() -> None:
    pause_denied("paper", detail="bad credentials", using="default")


class TestDenied:
    def test_it_doubles_with_each_probe_from_a_quarter_to_a_whole_hour(self, desk: Desk) -> None:
        waits = []
        for _ in range(4):
            deny()
            waits.append(round(left() / 60))
            pass_time(left() + 1)
            assert admit("paper", using="default") == 1
        assert waits == [15, 30, 60, 60]

    def test_calls_that_were_under_way_lengthen_nothing(self, desk: Desk) -> None:
        for _ in range(8):
            deny()
        assert left() == pytest.approx(15 * 60, abs=5)
        assert state().denials == 1

    def test_a_success_ends_it(self, desk: Desk) -> None:
        deny()
        note_success("paper", using="default")
        assert (state().pause, state().denials, state().paused_until) == ("", 0, None)
        deny()
        assert left() == pytest.approx(15 * 60, abs=5)

    def test_a_probe_that_meets_no_vendor_leaves_it_to_the_next(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.at("create", AccessDenied("refused"), DOWN, AccessDenied("refused"))
        push("paper")
        pass_time(901)
        push("paper")
        assert state().pause == Pause.DENIED
        pass_time(31)
        push("paper")
        assert left() == pytest.approx(30 * 60, abs=5)


@pytest.mark.fault(37)
@pytest.mark.parametrize("kind", [Busy, AccessDenied, Ambiguous])
def test_why_an_account_is_paused_has_none_of_the_vendors_words(
    desk: Desk, raised: Raise, kind: type[ProviderError]
) -> None:
    desk.at("create", *[kind("no", code="7", reason="Deposit of Ana", request_id="r-1")] * 5)
    for _ in range(5):
        raised()
    assert "Ana" not in push("paper").paused
    assert state().pause_detail == "no [7] (request r-1)"


class TestBusy:
    @pytest.mark.fault(31)
    @pytest.mark.parametrize(("asked", "waited"), [(None, 60), (0.0, 1), (600.0, 600)])
    def test_the_wait_is_the_vendors_or_ours(self, desk: Desk, asked: float | None, waited: int) -> None:
        pause_busy("paper", retry_after=asked, detail="429", using="default")
        assert left() == pytest.approx(waited, abs=0.9)

    def test_a_longer_wait_in_force_stays(self, desk: Desk) -> None:
        pause_busy("paper", retry_after=600.0, detail="429", using="default")
        pause_busy("paper", retry_after=5.0, detail="429", using="default")
        assert left() == pytest.approx(600, abs=5)

    def test_no_probe_is_needed_afterwards_and_a_success_does_not_end_it(self, desk: Desk) -> None:
        pause_busy("paper", retry_after=600.0, detail="429", using="default")
        note_success("paper", using="default")
        assert admit("paper", using="default") == 0
        pass_time(601)
        assert admit("paper", using="default") is None
        note_success("paper", using="default")
        assert state().pause == ""


class TestBreaker:
    @pytest.mark.fault(33)
    def test_the_fifth_failure_in_a_row_opens_it_for_all(self, desk: Desk) -> None:
        fail(4)
        assert paused("paper", using="default") is None
        fail()
        assert state().pause == Pause.DOWN
        assert left() == pytest.approx(30, abs=2)
        assert claim_next("paper", 5, using="default") == []

    @pytest.mark.fault(33)
    def test_of_workers_that_ask_at_the_same_moment_one_is_the_probe(self, desk: Desk) -> None:
        pauses.pause("paper", kind=Pause.DOWN, seconds=30, detail="", using="default")
        pass_time(31)
        others: list[int | None] = []
        with ending(
            Point.named("models/pauses.py:_read:return"), lambda: others.append(admit("paper", using="default"))
        ):
            assert admit("paper", using="default") == 0
        assert others == [1]

    @pytest.mark.fault(33)
    def test_one_probe_per_interval_whoever_asks(self, desk: Desk) -> None:
        fail(5)
        probes = 0
        for _ in range(120):
            probes += sum(admit("paper", using="default") == 1 for _ in range(3))
            pass_time(1)
        assert 2 <= probes <= 120 / 30

    @pytest.mark.fault(33)
    def test_a_probe_that_is_refused_has_met_a_vendor_that_answers(self, desk: Desk, raised: Raise) -> None:
        fail(5)
        raised()
        raised()
        pass_time(31)
        desk.at("create", Refused("the vendor refuses it", status=422))
        counts = push("paper")
        assert (counts.refused, counts.delivered, counts.paused) == (1, 1, "")

    def test_a_search_that_is_answered_counts_as_an_answer(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.lose_answer("create", Ambiguous("the answer was lost or cut"))
        push("paper")
        assert state().failures == pauses.FAILURE_WEIGHT
        pass_time(61)
        assert push("paper").delivered == 1
        assert state().failures == pauses.FAILURE_WEIGHT - 1

    def test_a_push_that_has_nothing_to_send_leaves_the_probe_to_one_that_has(self, desk: Desk, raised: Raise) -> None:
        fail(5)
        pass_time(31)
        push("paper")
        raised()
        assert push("paper").delivered == 1

    @pytest.mark.fault(33)
    def test_a_permanent_refusal_of_one_ticket_never_opens_it(self, desk: Desk, raised: Raise) -> None:
        for _ in range(30):
            raised()
        desk.at("create", *[Refused("the vendor refuses it", status=422, alias="paper")] * 30)
        assert push("paper").refused == 30
        assert not ProviderState.objects.exclude(pause="").exists()

    def test_a_failing_vendor_is_left_alone_and_found_again(self, desk: Desk, raised: Raise) -> None:
        for _ in range(20):
            raised()
        desk.at("create", *[DOWN] * 7)
        assert push("paper").waiting == 5
        for _ in range(2):  # probes
            pass_time(31)
            assert push("paper").waiting == 1
        pass_time(31)
        assert push("paper").delivered >= 1
        for _ in range(3):
            pass_time(3601)
            push("paper")
        assert Ticket.objects.filter(delivery="delivered").count() == 20

    def test_it_remembers_until_successes_outweigh_what_it_met(self, desk: Desk) -> None:
        fail(5)
        note_success("paper", using="default")
        assert admit("paper", using="default") is None
        fail()
        assert admit("paper", using="default") == 0
        for _ in range(60):
            note_success("paper", using="default")
        assert state().failures == 0
        fail(4)
        assert admit("paper", using="default") is None

    def test_one_failure_in_twenty_does_not_open_it(self, desk: Desk) -> None:
        for number in range(200):
            if number % 20:
                note_success("paper", using="default")
            else:
                fail()
        assert state().pause == ""

    def test_an_answer_that_proves_nothing_counts_only_if_it_is_the_servers_failure(
        self, desk: Desk, raised: Raise
    ) -> None:
        for _ in range(2):
            raised()
        desk.at("create", Ambiguous("redirects", status=302), Ambiguous("proves nothing", status=500))
        push("paper")
        assert state().failures == pauses.FAILURE_WEIGHT

    def test_a_healthy_account_costs_a_success_nothing(self, desk: Desk, raised: Raise) -> None:
        raised()
        with CaptureQueriesContext(connection) as captured:
            push("paper")
        writes = [query["sql"] for query in captured if query["sql"].startswith(("UPDATE", "INSERT"))]
        assert not any('"support_tickets_providerstate" SET' in sql for sql in writes)


class TestFigures:
    """F14, from the functions that make the schedule."""

    def test_backoff_is_full_jitter_from_half_a_minute_to_an_hour(self) -> None:
        assert (BACKOFF_BASE, BACKOFF_MAX) == (30.0, 3600.0)
        for trying, longest in ((0, 30), (10, 60), (600, 1830), (10**6, 3600)):
            waits = [backoff(trying) for _ in range(2000)]
            # Not at once: the push that has just failed goes on, and would try again itself.
            assert 1 <= min(waits) < 1 + longest * 0.03
            assert longest * 0.95 < max(waits) <= longest

    @pytest.mark.fault(24)
    def test_a_thousand_rows_that_fail_at_once_make_no_storm(self) -> None:
        random.seed(24)  # the peak is 57 a second, give or take two
        repeats = 10
        calls = Counter(int(moment) for _ in range(1000 * repeats) for moment in tries(until=120.0))
        assert max(calls.values()) / repeats <= 60
        assert sum(calls[second] for second in range(60, 120)) / repeats / 60 <= 20

    def test_a_row_is_not_forgotten_within_its_72_hours(self) -> None:
        moments = list(tries(until=GIVE_UP_SECONDS))
        assert GIVE_UP_SECONDS == 72 * 3600
        assert max(b - a for a, b in zip(moments, moments[1:], strict=False)) <= BACKOFF_MAX

    @pytest.mark.fault(32)
    @pytest.mark.parametrize("per_second", [0.2, 1.0])
    def test_a_brown_out_is_not_amplified(self, per_second: float) -> None:
        """Half of all answers are 5xx for an hour: what is called in total stays within 1.1 of the usual."""
        usual = 3600 * per_second
        assert sum(brown_out(per_second, seconds=3600)) <= 1.1 * usual


@pytest.mark.fault(32, 33)
@pytest.mark.parametrize("error", [DOWN, Ambiguous("the vendor failed", status=500)])
def test_half_of_all_calls_fail_for_two_minutes(desk: Desk, raised: Raise, error: Exception) -> None:
    """A ticket each second, and push itself: no more calls than tickets, and all are there when it is over."""
    draw = random.Random(33)

    def flicker(act: Callable[[], Any]) -> Any:
        if draw.random() < 0.5:
            raise error
        return act()

    for operation in ("create", "find"):
        desk.at(operation, *[flicker] * 1000)
    for _ in range(120):
        raised()
        push("paper")
        pass_time(1)
    assert 5 <= len(desk.calls) <= 1.1 * 120
    desk.script.clear()
    for _ in range(3):
        pass_time(3600)
        push("paper")
    assert Ticket.objects.filter(delivery="delivered").count() == len(desk.tickets) == 120


def tries(*, until: float) -> Iterator[float]:
    """Yield when a row is tried that always fails, by the schedule."""
    moment = 0.0
    while moment < until:
        moment += backoff(moment)
        yield moment


def brown_out(per_second: float, *, seconds: int) -> Iterator[int]:
    """Yield 1 for each call of an account whose vendor fails half of them: new rows, searches and second sends.

    The breaker is the one of `models/pauses.py`, by its constants.
    """
    draw = random.Random(14)
    due = [(number / per_second, 0.0) for number in range(int(seconds * per_second))]
    heapq.heapify(due)
    failures, closed_at = 0, 0.0
    while due and due[0][0] < seconds:
        moment, since = heapq.heappop(due)
        if moment < closed_at:
            heapq.heappush(due, (closed_at + draw.uniform(0, 1e-3), since))
            continue
        is_probe = failures >= pauses.BREAKER_LIMIT
        closed_at = moment + pauses.BREAKER_SECONDS if is_probe else closed_at
        yield 1
        if draw.random() < 0.5:
            failures = min(failures + pauses.FAILURE_WEIGHT, pauses.BREAKER_LIMIT)
            if failures >= pauses.BREAKER_LIMIT:
                closed_at = max(closed_at, moment + pauses.BREAKER_SECONDS)
            # The answer is lost: a settle time later it is searched for, which is the next call.
            heapq.heappush(due, (moment + 60.0, since or moment))
        else:
            failures = pauses.BREAKER_LIMIT - pauses.FAILURE_WEIGHT if is_probe else max(failures - 1, 0)
            closed_at = moment if is_probe else closed_at


def test_the_state_of_an_account_is_made_on_first_use(desk: Desk) -> None:
    assert admit("paper", using="default") is None
    assert pauses.state_of("paper", using="default") == pauses.state_of("paper", using="default")


def test_a_pause_of_another_account_does_not_matter(desk: Desk, raised: Raise, settings: Any) -> None:
    settings.SUPPORT_TICKETS_PROVIDERS |= {"other": settings.SUPPORT_TICKETS_PROVIDERS["paper"]}
    deny()
    raised(provider="other")
    assert push("other").delivered == 1
