from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from django_support_tickets import signals
from django_support_tickets.exceptions import AccessDenied, Ambiguous, Busy, InvalidProvider, NotSent, Refused
from django_support_tickets.merge import NOT_FOUND
from django_support_tickets.models import (
    Comment,
    EpochNow,
    ProviderState,
    SyncRun,
    Ticket,
    TicketEvent,
    epoch_now,
)
from django_support_tickets.records import Capabilities, CommentRecord, Status, TicketRecord
from django_support_tickets.sync import AlreadyRunning, has_work, hint, hint_all, pull
from django_support_tickets.sync.lock import RunLock
from django_support_tickets.sync.missing import is_braked
from tests.transport_server import here

pytestmark = pytest.mark.django_db


def record(remote_id: str = "R-1", **values: Any) -> TicketRecord:
    values.setdefault("status", Status.OPEN)
    return TicketRecord(remote_id=remote_id, **values)


def lost(**facts: Any) -> Ambiguous:
    return Ambiguous("the answer was lost or cut", alias="desk", operation="get", **facts)


def account_state() -> ProviderState:
    return ProviderState.objects.get(provider="desk", scope="")


class TestDue:
    def test_a_due_ticket_is_fetched_and_merged(self, desk, ticket):
        one = ticket()
        comment = CommentRecord(remote_id="c1", body="Hello")
        desk.tickets["R-1"] = record(remote_status="open", comments=(comment,), raw={"id": "R-1"})
        counts = pull("desk")
        assert (counts.fetched, counts.changed, counts.comments, counts.failed) == (1, 1, 1, 0)
        one.refresh_from_db()
        assert one.status == "open" and one.raw == {"id": "R-1"}
        assert one.next_poll_at > timezone.now()
        assert Comment.objects.get().body == "Hello"
        run = SyncRun.objects.get()
        assert (run.outcome, run.counts["fetched"], run.error) == ("done", 1, "")
        assert pull("desk").fetched == 0

    def test_what_is_not_due_or_not_at_the_vendor_is_not_asked_for(self, desk, ticket):
        ticket("R-1", next_poll_at=timezone.now() + timedelta(hours=1))
        ticket("R-2", next_poll_at=None)
        ticket(None, delivery="queued")
        ticket("R-4", provider="other")
        assert pull("desk").fetched == 0
        assert desk.asked == []

    def test_more_tickets_than_a_batch_each_once(self, desk, ticket):
        due = timezone.now() - timedelta(seconds=1)
        Ticket.objects.bulk_create(
            Ticket(provider="desk", remote_id=f"R-{number}", subject="S", delivery="delivered", next_poll_at=due)
            for number in range(1103)
        )
        desk.tickets = {f"R-{number}": record(f"R-{number}") for number in range(1103)}
        progress: list[tuple[int, int]] = []
        counts = pull("desk", workers=4, progress=lambda done, total: progress.append((done, total)))
        assert counts.fetched == counts.changed == len(desk.asked) == len(set(desk.asked)) == 1103
        assert progress[-1] == (1103, 1103)
        assert not Ticket.objects.exclude(status="open").exists()

    def test_submissions_are_bounded_and_calls_concurrent(self, desk, ticket):
        for number in range(40):
            ticket(f"R-{number}")
        now, most, lock = [0], [0], threading.Lock()

        def slow(ref: Any) -> TicketRecord:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.01)
            with lock:
                now[0] -= 1
            return record(ref.remote_id)

        desk.script = [slow] * 40
        assert pull("desk", workers=8).fetched == 40
        assert 2 <= most[0] <= 8

    def test_an_account_with_a_low_rate_gets_no_more_threads_than_it_can_use(self, desk, configure, ticket):
        configure(rate=0.1, deadline=30.0)
        for number in range(10):
            ticket(f"R-{number}")
        names = set()

        def note(ref: Any) -> TicketRecord:
            names.add(threading.current_thread().name)
            return record(ref.remote_id)

        desk.script = [note] * 10
        pull("desk", workers=64)
        assert names == {"pull-0"}

    def test_a_final_ticket_is_never_asked_for_again(self, desk, configure, ticket):
        configure(Capabilities(final_statuses=frozenset({Status.FAILED})))
        ticket()
        desk.tickets["R-1"] = record(status=Status.FAILED)
        pull("desk")
        assert Ticket.objects.get().next_poll_at is None

    def test_http_inside_a_transaction_is_refused(self, desk, transactional_db):
        with transaction.atomic(), pytest.raises(RuntimeError, match="open transaction"):
            pull("desk")

    def test_an_unknown_alias_is_named(self, desk):
        with pytest.raises(InvalidProvider, match="nope"):
            pull("nope")

    def test_what_the_provider_returns_must_be_the_ticket_that_was_asked_for(self, desk, ticket):
        ticket()
        desk.script = [record("R-2")]
        counts = pull("desk")
        assert counts.failures == [f"ticket {Ticket.objects.get().key}: another ticket came back"]
        assert Ticket.objects.get().status == "pending"

    def test_a_refusal_without_a_status_is_named_by_its_cause_alone(self, desk, ticket):
        ticket()
        desk.script = [Refused("the remote id cannot be used in a path")]
        assert pull("desk").failures == [f"ticket {Ticket.objects.get().key}: the remote id cannot be used in a path"]

    @pytest.mark.parametrize("value", [None, {"remote_id": "R-1"}, ZeroDivisionError("customer text")])
    def test_a_provider_that_fails_is_counted_and_its_text_kept_out(self, desk, ticket, value, caplog):
        ticket("R-1")
        ticket("R-2", next_poll_at=timezone.now())
        desk.script = [lambda ref: value] if not isinstance(value, Exception) else [value]
        desk.tickets["R-2"] = record("R-2")
        counts = pull("desk", workers=1)
        assert (counts.failed, counts.fetched) == (1, 1)
        assert "customer text" not in caplog.text + str(counts.failures)
        assert Ticket.objects.get(remote_id="R-1").next_poll_at > timezone.now()


class TestOutcomes:
    def test_a_lost_answer_backs_off_and_the_rest_goes_on(self, desk, ticket):
        ticket("R-1")
        ticket("R-2", next_poll_at=timezone.now())
        desk.tickets["R-2"] = record("R-2")
        desk.script = [NotSent("no connection could be made", alias="desk", operation="get")]
        counts = pull("desk", workers=1)
        assert (counts.failed, counts.fetched, counts.halted) == (1, 1, "")
        assert counts.failures[0].endswith("no connection could be made")
        assert (
            timezone.now() < Ticket.objects.get(remote_id="R-1").next_poll_at < timezone.now() + timedelta(seconds=62)
        )

    def test_five_in_a_row_end_the_run_and_open_the_breaker(self, desk, ticket):
        for number in range(20):
            ticket(f"R-{number}")
        desk.script = [lost() for _ in range(20)]
        counts = pull("desk", workers=4)
        assert "does not answer" in counts.halted
        assert len(desk.asked) == 5  # one at a time while nothing is known to work
        assert account_state().pause == "down"
        assert SyncRun.objects.get().outcome == "failed"
        again = pull("desk")
        assert again.paused.startswith("The vendor cannot be reached") and len(desk.asked) == 5

    @pytest.mark.fault(33)
    def test_after_the_breaker_one_call_tries_for_all(self, desk, ticket):
        for number in range(20):
            ticket(f"R-{number}")
        ProviderState.objects.create(
            provider="desk", failures=5, pause="down", paused_until=epoch_now("default") - 1000
        )
        desk.script = [lost()]
        pull("desk")
        assert len(desk.asked) == 1
        ProviderState.objects.update(paused_until=EpochNow() - 1000)
        desk.tickets = {f"R-{number}": record(f"R-{number}") for number in range(20)}
        Ticket.objects.update(next_poll_at=timezone.now())
        assert pull("desk").fetched == 20
        assert account_state().pause == "" and account_state().failures < 40  # it remembers, and is paid off

    @pytest.mark.fault(32)
    @pytest.mark.parametrize(("retry_after", "wait"), [(7.0, 7), (None, 60)])
    def test_busy_pauses_the_account_and_leaves_the_rest_due(self, desk, ticket, retry_after, wait):
        for number in range(9):
            ticket(f"R-{number}")
        desk.script = [
            Busy("the vendor asks to wait", alias="desk", operation="get", status=429, retry_after=retry_after)
        ]
        counts = pull("desk")
        state = account_state()
        assert (state.pause, len(desk.asked), counts.fetched) == ("busy", 1, 0)
        assert abs(state.paused_until - epoch_now("default") - wait * 1000) < 2000
        assert Ticket.objects.filter(next_poll_at__lte=timezone.now()).count() == 9
        assert counts.paused and not counts.needs_a_person
        assert SyncRun.objects.get().outcome == "stopped"
        assert pull("desk").paused and len(desk.asked) == 1

    def test_a_refused_account_pauses_and_needs_a_person(self, desk, ticket):
        for number in range(9):
            ticket(f"R-{number}")
        desk.script = [AccessDenied("the vendor refuses this account", alias="desk", operation="get", status=401)]
        counts = pull("desk")
        assert counts.denied and counts.needs_a_person
        assert (account_state().pause, account_state().denials, len(desk.asked)) == ("denied", 1, 1)
        assert 14 * 60_000 < account_state().paused_until - epoch_now("default") <= 15 * 60_000
        assert pull("desk").needs_a_person and len(desk.asked) == 1

    def test_one_refused_ticket_neither_pauses_nor_stops(self, desk, ticket):
        for number in range(9):
            ticket(f"R-{number}", next_poll_at=timezone.now() - timedelta(seconds=20 - number))
        desk.tickets = {f"R-{number}": record(f"R-{number}") for number in range(9)}
        refusal = Refused("the vendor refuses it", alias="desk", operation="get", status=403, reason="private")
        desk.script = [refusal] * 7
        counts = pull("desk", workers=1)
        assert (counts.failed, counts.fetched, counts.halted) == (7, 2, "")
        assert counts.failures[0].endswith("the vendor refuses it (403)")
        assert "private" not in str(counts.failures)
        assert account_state().pause == ""

    def test_failures_are_named_up_to_a_limit(self, desk, ticket):
        for number in range(30):
            ticket(f"R-{number}")
        desk.script = [Refused("the vendor refuses it", status=403)] * 30
        counts = pull("desk")
        assert counts.failed == 30 and len(counts.failures) == 20

    def test_a_hint_during_a_failing_fetch_is_kept(self, desk, ticket):
        one = ticket()
        hinted = []

        def fail(ref: Any) -> TicketRecord:
            hinted.append(1)
            raise lost()

        desk.script = [fail]
        due = timezone.now() - timedelta(seconds=5)
        Ticket.objects.update(next_poll_at=due)
        pull("desk", progress=lambda done, total: hint("desk", ["R-1"]) and None)
        one.refresh_from_db()
        assert due < one.next_poll_at <= timezone.now()


class TestMissing:
    def twice(self, desk: Any) -> Any:
        pull("desk")
        Ticket.objects.filter(digest=NOT_FOUND).update(next_poll_at=timezone.now())
        return pull("desk")

    @pytest.mark.fault(48)
    def test_flagged_at_the_second_look_and_never_deleted(self, desk, ticket, django_capture_on_commit_callbacks):
        one = ticket()
        heard = []
        signals.ticket_missing.connect(
            lambda **data: heard.append((data["ticket"].pk, data["missing"])), weak=False, dispatch_uid="missing"
        )
        assert pull("desk").missing == 0
        one.refresh_from_db()
        assert one.missing_since is None
        assert timedelta(seconds=50) < one.next_poll_at - timezone.now() < timedelta(seconds=61)
        assert self.twice(desk).missing == 1
        one.refresh_from_db()
        assert one.missing_since is not None and heard == [(one.pk, True)]
        assert TicketEvent.objects.get().kind == "missing"
        assert one.next_poll_at > timezone.now() + timedelta(days=6)  # looked for rarely

        desk.tickets["R-1"] = record()
        hint("desk", ["R-1"])
        with django_capture_on_commit_callbacks(execute=True):
            assert pull("desk").found_again == 1
        signals.ticket_missing.disconnect(dispatch_uid="missing")
        one.refresh_from_db()
        assert one.missing_since is None and heard[-1] == (one.pk, False)

    def test_found_between_two_looks_starts_anew(self, desk, ticket):
        one = ticket()
        pull("desk")
        desk.tickets["R-1"] = record()
        hint("desk", ["R-1"])
        pull("desk")
        desk.tickets.clear()
        hint("desk", ["R-1"])
        assert pull("desk").missing == 0
        one.refresh_from_db()
        assert one.missing_since is None

    def test_already_missing_stays_so_without_another_event(self, desk, ticket):
        ticket(missing_since=timezone.now() - timedelta(days=1), digest=NOT_FOUND)
        assert pull("desk").missing == 0
        assert not TicketEvent.objects.exists()

    @pytest.mark.parametrize(
        ("missing", "of", "braked"),
        [(5, 5, False), (6, 6, True), (6, 60, False), (6, 59, True), (50, 10**6, False), (51, 10**6, True)],
    )
    def test_brake(self, missing, of, braked):
        assert is_braked(missing, of=of) is braked

    def test_when_too_many_are_missing_none_is_flagged(self, desk, ticket):
        for number in range(20):
            ticket(f"R-{number}")
            if number >= 6:
                desk.tickets[f"R-{number}"] = record(f"R-{number}")
        counts = self.twice(desk)
        assert (counts.missing, counts.braked) == (0, 6) and counts.needs_a_person
        assert not Ticket.objects.filter(missing_since__isnull=False).exists()
        # Nor later, when they come due a few at a time.
        Ticket.objects.filter(remote_id="R-0").update(next_poll_at=timezone.now())
        assert pull("desk").braked == 6

    def test_an_older_404_does_not_hide_a_newer_answer(self, desk, ticket):
        one = ticket(digest=NOT_FOUND)
        desk.tickets.clear()

        def found_meanwhile(done: int, total: int) -> None:
            Ticket.objects.update(digest="found by somebody else")

        assert pull("desk", progress=found_meanwhile).missing == 0
        one.refresh_from_db()
        assert one.missing_since is None


class TestRunLock:
    @pytest.mark.fault(95)
    def test_a_second_pull_of_the_account_is_refused(self, desk, ticket):
        ticket()
        with RunLock("desk", using="default"):
            with pytest.raises(AlreadyRunning, match="desk"):
                pull("desk")
            assert desk.asked == []
        desk.tickets["R-1"] = record()
        assert pull("desk").fetched == 1
        assert account_state().run_token is None

    @pytest.mark.fault(95)
    def test_a_killed_run_is_taken_over_when_its_lease_has_run_out(self, desk):
        lock = RunLock("desk", using="default")
        lock.__enter__()
        SyncRun.objects.create(provider="desk")
        with pytest.raises(AlreadyRunning):
            pull("desk")
        ProviderState.objects.update(run_leased_until=EpochNow() - 1)
        pull("desk")
        outcomes = list(SyncRun.objects.order_by("pk").values_list("outcome", flat=True))
        assert outcomes == ["stopped", "done"]

    @pytest.mark.fault(92)
    def test_the_lease_is_judged_by_the_databases_clock(self, desk):
        with RunLock("desk", using="default"):
            left = account_state().run_leased_until - epoch_now("default")
        assert 55_000 < left <= 60_000

    def test_a_run_that_lost_its_lease_notices(self, desk):
        with RunLock("desk", using="default") as lock:
            lock._renewed_at -= 100
            assert lock.keep()
            ProviderState.objects.update(run_token="0b0e7a0e-7d1c-4a86-9d1c-5a3f5f0f1a11")
            lock._renewed_at -= 100
            assert not lock.keep()
        assert account_state().run_token is not None  # it is the other's now

    def test_an_error_of_the_database_frees_the_lock_and_is_written_down(self, desk, ticket):
        ticket()
        desk.tickets["R-1"] = record()

        def fail(done: int, total: int) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            pull("desk", progress=fail)
        assert account_state().run_token is None
        assert SyncRun.objects.values_list("outcome", "error").get() == ("failed", "ZeroDivisionError")


class TestStopping:
    @pytest.mark.fault(95)
    def test_what_is_done_is_kept_and_the_rest_stays_due(self, desk, ticket):
        for number in range(50):
            ticket(f"R-{number}")
        desk.tickets = {f"R-{number}": record(f"R-{number}") for number in range(50)}
        desk.script = [lambda ref: time.sleep(0.01) or record(ref.remote_id)] * 50
        counts = pull("desk", workers=2, stop=lambda: len(desk.asked) >= 10)
        assert counts.stopped and 1 <= counts.fetched < 50
        assert Ticket.objects.filter(status="open").count() == counts.fetched
        assert Ticket.objects.filter(next_poll_at__lte=timezone.now()).count() == 50 - counts.fetched
        assert SyncRun.objects.get().outcome == "stopped"
        assert pull("desk").fetched == 50 - counts.fetched

    @pytest.mark.fault(95)
    def test_a_call_that_hangs_is_not_waited_for(self, desk, ticket):
        ticket("R-1")
        release = threading.Event()

        def hang(ref: Any) -> TicketRecord:
            release.wait(60)
            return record(ref.remote_id)

        desk.script = [hang]
        started = time.monotonic()
        counts = pull("desk", stop=lambda: bool(desk.asked))
        release.set()
        assert counts.stopped and time.monotonic() - started < here(4)
        assert Ticket.objects.get().next_poll_at <= timezone.now()

    def test_what_is_under_way_when_the_time_is_out_is_waited_for(self, desk, ticket):
        ticket("R-1")
        ticket("R-2")
        desk.tickets = {name: record(name) for name in ("R-1", "R-2")}
        desk.script = [lambda ref: time.sleep(2.2) or record(ref.remote_id)]
        counts = pull("desk", workers=1, seconds=0.3)
        assert counts.stopped and counts.fetched == len(desk.asked) < 2
        assert pull("desk").fetched == 2 - counts.fetched


class TestRuns:
    def test_quiet_runs_of_an_hour_are_kept_as_one(self, desk, ticket):
        ticket()
        desk.tickets["R-1"] = record()
        pull("desk")
        for _ in range(3):
            hint("desk", ["R-1"])
            pull("desk")
        runs = list(SyncRun.objects.order_by("pk"))
        assert [run.counts["changed"] for run in runs] == [1, 0]
        SyncRun.objects.update(started_at=timezone.now() - timedelta(hours=2))
        pull("desk")
        assert SyncRun.objects.count() == 3


class TestFullAndHints:
    def test_full_looks_at_everything_that_is_not_settled(self, desk, ticket):
        later = timezone.now() + timedelta(days=1)
        ticket("R-1", status="open", next_poll_at=later)
        ticket("R-2", status="open", next_poll_at=None)
        ticket("R-3", status="closed", next_poll_at=later)
        desk.tickets = {name: record(name) for name in ("R-1", "R-2", "R-3")}
        assert pull("desk", full=True).fetched == 2
        assert set(desk.asked) == {"R-1", "R-2"}

    def test_full_looks_at_everything_although_the_database_was_slow_to_tell_the_time(self, desk, ticket):
        ticket("R-1", status="open", next_poll_at=None)
        desk.tickets = {"R-1": record("R-1")}
        slow = []

        def tell_slowly(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            answer = execute(sql, params, many, context)
            if not slow and sql.startswith("SELECT") and "support_tickets" not in sql:
                slow.append(sql)
                time.sleep(0.3)
            return answer

        with connection.execute_wrapper(tell_slowly):
            assert pull("desk", full=True).fetched == 1
        assert slow

    def test_hints_by_remote_id(self, desk, ticket):
        ticket("R-1", next_poll_at=None)
        ticket("R-2", provider="other", next_poll_at=None)
        assert not has_work("desk")
        assert hint("desk", ["R-1", "R-2", "R-9"]) == 1
        assert has_work("desk")
        assert hint_all("desk") == 1

    @pytest.mark.parametrize("by_customer", [True, False])
    def test_has_work_while_a_list_walk_is_due(self, desk, configure, by_customer):
        configure(Capabilities(can_list=True, lists_by_customer=by_customer))
        assert has_work("desk") is not by_customer  # of nobody
        pull("desk")
        ProviderState.objects.get_or_create(provider="desk", scope="c" if by_customer else "")
        ProviderState.objects.filter(scope="c").update(next_walk_at=EpochNow() + 1000)
        assert not has_work("desk")
        ProviderState.objects.update(next_walk_at=EpochNow() - 1)
        assert has_work("desk")
        ProviderState.objects.filter(scope="").update(paused_until=EpochNow() + 1000)
        assert not has_work("desk")


class TestDryRun:
    def test_tells_the_differences_and_writes_nothing(self, desk, configure, ticket, django_assert_num_queries):
        configure(Capabilities(can_list=True))
        ticket("R-1")
        ticket("R-2", next_poll_at=None)
        ticket("R-3", next_poll_at=None)
        ticket("R-4")
        desk.tickets = {name: record(name, remote_status="open") for name in ("R-1", "R-2", "R-9")}
        models = (Ticket, Comment, TicketEvent, ProviderState, SyncRun)
        before = [list(model.objects.order_by("pk").values()) for model in models]
        told: list[Any] = []
        counts = pull("desk", dry_run=True, report=told.append)
        assert [list(model.objects.order_by("pk").values()) for model in models] == before
        assert (counts.fetched, counts.changed, counts.unknown, counts.hinted) == (2, 2, 1, 2)
        assert all(difference.changes["status"] == ("pending", "open") for difference in told)

    def test_full(self, desk, ticket):
        ticket("R-1", status="pending", next_poll_at=None)
        ticket("R-2", status="closed")
        desk.tickets = {name: record(name) for name in ("R-1", "R-2")}
        assert pull("desk", dry_run=True, full=True).fetched == 1
        assert Ticket.objects.get(remote_id="R-1").next_poll_at is None

    def test_a_paused_account_is_not_asked(self, desk, ticket):
        ticket()
        ProviderState.objects.create(provider="desk", pause="busy", paused_until=epoch_now("default") + 60_000)
        assert pull("desk", dry_run=True).paused
        assert desk.asked == []

    def test_errors_are_counted_and_change_nothing(self, desk, ticket):
        for number in range(9):
            ticket(f"R-{number}")
        desk.script = [lost()] * 9
        assert pull("desk", dry_run=True, workers=1).failed == 5
        assert not ProviderState.objects.exists()
