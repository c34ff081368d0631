from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_support_tickets.exceptions import Busy, NotSent, Refused
from django_support_tickets.merge import NOT_FOUND
from django_support_tickets.models import (
    ERASED,
    EpochNow,
    OutboxEntry,
    ProviderState,
    SyncRun,
    Ticket,
    epoch_now,
    project_time,
)
from django_support_tickets.records import Capabilities, CommentRecord, Page, Status, TicketRecord
from django_support_tickets.sync import has_work, hint_all, pull

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def row(remote_id: str, **values: Any) -> TicketRecord:
    """Return a list row: without conversation."""
    return TicketRecord(remote_id=remote_id, **{"status": Status.OPEN, "remote_status": "open", **values})


def pages(*contents: list[TicketRecord]) -> Any:
    """Return a list of numbered pages."""

    def page(scope: str, cursor: str | None) -> Page:
        number = int(cursor or 0)
        return Page(
            records=tuple(contents[number]), next_cursor=str(number + 1) if number + 1 < len(contents) else None
        )

    return page


@pytest.fixture(autouse=True)
def listing(desk: Any, configure: Any) -> None:
    configure(Capabilities(can_list=True))


@pytest.fixture
def known(ticket: Any) -> Any:
    """Make a ticket that is not due and that the vendor's list shows as open since T0."""

    def make(remote_id: str, **values: Any) -> Ticket:
        long_ago = timezone.now() - timedelta(days=1)
        values = {
            "status": "open",
            "remote_status": "open",
            "remote_updated_at": project_time(T0),
            "next_poll_at": timezone.now() + timedelta(days=1),
            "delivered_at": long_ago,
            **values,
        }
        return ticket(remote_id, **values)

    return make


def walk_again() -> Any:
    ProviderState.objects.update(next_walk_at=None)
    return pull("desk")


class TestHints:
    def test_only_what_is_newer_at_the_vendor_is_fetched(self, desk, known):
        for name in ("same", "newer", "older", "status"):
            known(name)
        known("missing", missing_since=timezone.now() - timedelta(hours=1))
        rows = [
            row("same", updated_at=T0),
            row("newer", updated_at=T0 + timedelta(seconds=1)),
            row("older", updated_at=T0 - timedelta(seconds=1), remote_status="new"),
            row("status", updated_at=T0, remote_status="closed", status=Status.CLOSED),  # in the same second
            row("missing", updated_at=T0),
        ]
        desk.pages = pages(rows)
        desk.tickets = {one.remote_id: one for one in rows}
        counts = pull("desk")
        assert (counts.listed, counts.hinted, counts.unknown) == (5, 3, 0)
        assert sorted(desk.asked) == ["missing", "newer", "status"]
        assert counts.found_again == 1
        assert Ticket.objects.get(remote_id="status").status == "closed"
        assert Ticket.objects.get(remote_id="older").remote_status == "open"

    def test_a_stored_time_to_come_does_not_hide_news(self, desk, known):
        known("R-1", remote_updated_at=project_time(datetime(2999, 1, 1, tzinfo=UTC)))
        desk.pages = pages([row("R-1", updated_at=T0)])
        desk.tickets = {"R-1": row("R-1", updated_at=T0)}
        assert pull("desk").hinted == 1
        assert Ticket.objects.get().remote_updated_at == project_time(T0)

    def test_rows_without_times_are_compared_by_status(self, desk, known):
        known("same", remote_updated_at=None)
        known("other", remote_updated_at=None)
        desk.pages = pages([row("same"), row("other", remote_status="closed")])
        desk.tickets = {"other": row("other")}
        assert pull("desk").hinted == 1
        assert desk.asked == ["other"]

    @pytest.mark.fault(89)
    def test_an_erased_ticket_is_left_alone(self, desk, known):
        known("R-1", digest="erased", status="closed", remote_status="", next_poll_at=None)
        desk.pages = pages([row("R-1", updated_at=T0 + timedelta(days=1))])
        counts = pull("desk", full=True)
        assert (counts.listed, counts.hinted, counts.unknown, desk.asked) == (1, 0, 0, [])

    def test_hourly_by_default(self, desk):
        desk.pages = pages([])
        pull("desk")
        pull("desk")
        assert desk.listed == [("", None)]
        state = ProviderState.objects.get(scope="")
        assert abs(state.next_walk_at - epoch_now("default") - 3_600_000) < 2000
        pull("desk", full=True)
        assert len(desk.listed) == 2

    def test_queries_do_not_grow_with_the_page(self, desk, known):
        counted = []
        for size in (10, 40):
            for number in range(len(counted) * 10, size):
                known(f"R-{number}")
            desk.pages = pages([row(f"R-{number}", updated_at=T0) for number in range(size)])
            ProviderState.objects.all().delete()
            SyncRun.objects.all().delete()
            with CaptureQueriesContext(connection) as queries:
                pull("desk")
            counted.append(len(queries))
        assert counted[0] == counted[1] < 30


class TestResuming:
    @pytest.mark.fault(50)
    def test_the_cursor_is_kept_with_its_page_and_counts_after_the_last(self, desk, known):
        contents = [[row(f"R-{number}", updated_at=T0)] for number in range(4)]
        for number in range(4):
            known(f"R-{number}")
        desk.pages = pages(*contents)
        pull("desk", stop=lambda: len(desk.listed) >= 2)
        state = ProviderState.objects.get(scope="")
        reached = len(desk.listed)
        assert 2 <= reached < 4 and state.cursor == str(reached)
        assert state.next_walk_at is None  # still due
        desk.listed.clear()
        pull("desk")
        assert desk.listed[0] == ("", str(reached))
        state.refresh_from_db()
        assert (state.cursor, state.walk_started_at) == ("", None) and state.next_walk_at > epoch_now("default")

    def test_a_walk_that_was_interrupted_proves_nothing_missing(self, desk, known):
        known("R-0")
        known("R-1")
        desk.pages = pages([row("R-0", updated_at=T0)], [row("R-1", updated_at=T0)])
        now = epoch_now("default")
        ProviderState.objects.create(provider="desk", cursor="1", walk_started_at=now - 1000)
        counts = pull("desk")
        assert desk.listed == [("", "1")]
        assert counts.braked == 0 and not Ticket.objects.filter(digest=NOT_FOUND).exists()

    def test_an_old_or_refused_cursor_starts_the_walk_anew(self, desk, known):
        known("R-0")
        now = epoch_now("default")
        state = ProviderState.objects.create(provider="desk", cursor="1", walk_started_at=now - 2 * 3_600_000)
        desk.pages = pages([row("R-0", updated_at=T0)], [])
        pull("desk")
        assert desk.listed == [("", None), ("", "1")]

        desk.listed.clear()
        ProviderState.objects.filter(pk=state.pk).update(cursor="gone", walk_started_at=now, next_walk_at=None)
        contents = pages([row("R-0", updated_at=T0)])

        def strict(scope: str, cursor: str | None) -> Page:
            if cursor == "gone":
                raise Refused("the vendor refuses it", alias="desk", operation="list", status=400)
            return contents(scope, cursor)

        desk.pages = strict
        assert pull("desk").failed == 0
        assert desk.listed == [("", "gone"), ("", None)]

    def test_a_ticket_that_two_pages_show_is_taken_once_each(self, desk, known):
        known("R-0")
        shifted = row("R-0", updated_at=T0 + timedelta(seconds=1))
        desk.pages = pages([shifted, shifted], [shifted])
        desk.tickets["R-0"] = row("R-0", updated_at=T0 + timedelta(seconds=1))
        pull("desk")
        assert desk.asked == ["R-0"]

    @pytest.mark.fault(29)
    def test_a_list_without_an_end_is_left(self, desk):
        desk.pages = lambda scope, cursor: Page(records=(), next_cursor="same")
        counts = pull("desk")
        assert counts.failures == ["list: the list does not end"]
        assert len(desk.listed) == 2

    def test_what_is_no_page_is_an_error_and_comes_again_later(self, desk):
        desk.pages = lambda scope, cursor: None
        counts = pull("desk")
        assert counts.failures == ["list: the provider raised TypeError"]
        state = ProviderState.objects.get(scope="")
        assert abs(state.next_walk_at - epoch_now("default") - 300_000) < 2000

    @pytest.mark.fault(36)
    def test_a_row_that_no_ticket_can_have_stops_none_of_the_others(self, desk, configure, known):
        configure(Capabilities(can_list=True), import_unknown=True)
        known("R-1")
        odd = [row("R\0"), row("R\ud800"), row("R" * 256), row("")]
        newer = row("R-1", updated_at=T0 + timedelta(seconds=1))
        desk.pages = pages([*odd, row("R-2", key="no key of ours"), newer])
        desk.tickets = {"R-1": newer, "R-2": row("R-2", key="no key of ours")}
        counts = pull("desk")
        assert (counts.fetched, counts.imported, counts.failed) == (2, 1, 4)
        assert counts.failures[0] == "list: a ticket in it has no usable id"

    @pytest.mark.parametrize(
        ("error", "wait"),
        [
            (NotSent("no connection could be made", operation="list"), 300_000),
            (Refused("the vendor refuses it", operation="list", status=403), 3_600_000),
            (Busy("the vendor asks to wait", operation="list", status=429), None),
        ],
    )
    def test_errors(self, desk, error, wait):
        def fail(scope: str, cursor: str | None) -> Page:
            raise error

        desk.pages = fail
        counts = pull("desk")
        state = ProviderState.objects.get(scope="")
        assert counts.failed == (wait is not None) and bool(counts.paused) == (wait is None)
        if wait is None:
            assert state.next_walk_at is None and state.pause == "busy"
        else:
            assert abs(state.next_walk_at - epoch_now("default") - wait) < 2000


class TestScopes:
    def test_each_customer_with_tickets_that_are_not_settled_has_a_list(self, desk, configure, known):
        configure(Capabilities(can_list=True, lists_by_customer=True))
        known("R-1", customer_id="A")
        known("R-2", customer_id="B")
        known("R-3", customer_id="C", status="closed")
        known("R-4", customer_id="")
        desk.pages = lambda scope, cursor: Page(records=(row({"A": "R-1", "B": "R-2"}[scope], updated_at=T0),))
        pull("desk")
        assert sorted(desk.listed) == [("A", None), ("B", None)]
        assert set(ProviderState.objects.values_list("scope", flat=True)) == {"", "A", "B"}

    def test_one_refused_customer_does_not_stop_the_others(self, desk, configure, known):
        configure(Capabilities(can_list=True, lists_by_customer=True))
        known("R-1", customer_id="A")
        known("R-2", customer_id="B")

        def page(scope: str, cursor: str | None) -> Page:
            if scope == "A":
                raise Refused("the vendor refuses it", operation="list", status=403)
            return Page(records=(row("R-2", updated_at=T0),))

        desk.pages = page
        counts = pull("desk")
        assert (counts.listed, counts.failures) == (1, ["list A: the vendor refuses it (403)"])

    def test_the_list_of_a_customer_whose_tickets_are_settled_is_no_work(self, desk, configure, known):
        configure(Capabilities(can_list=True, lists_by_customer=True))
        assert not has_work("desk")
        known("R-1", customer_id="A")
        assert has_work("desk")
        desk.pages = pages([row("R-1", updated_at=T0)])
        pull("desk")
        Ticket.objects.update(status="closed")
        hint_all("desk")
        assert has_work("desk")
        pull("desk")
        assert not has_work("desk") and len(desk.listed) == 1

    def test_more_scopes_than_a_batch(self, desk, configure):
        configure(Capabilities(can_list=True, lists_by_customer=True))
        Ticket.objects.bulk_create(
            Ticket(
                provider="desk", remote_id=f"R-{number}", customer_id=f"C-{number}", subject="S", delivery="delivered"
            )
            for number in range(501)
        )
        desk.pages = lambda scope, cursor: Page(records=(row(scope.replace("C", "R"), remote_status=""),))
        counts = pull("desk")
        assert (counts.listed, len(desk.listed)) == (501, 501)


class TestStrangers:
    def test_counted_and_left_alone_by_default(self, desk):
        desk.pages = pages([row("R-9")])
        assert pull("desk").unknown == 1
        assert not Ticket.objects.exists() and desk.asked == []

    def test_imported_from_a_get_where_the_account_says_so(self, desk, configure):
        configure(Capabilities(can_list=True, lists_by_customer=False), import_unknown=True)
        desk.pages = pages([row("R-9"), row("R-8")])
        comment = CommentRecord(remote_id="c1", body="Hi")
        desk.tickets = {"R-9": row("R-9", subject="Theirs", customer_id="C-1", comments=(comment,))}  # R-8 is gone
        counts = pull("desk")
        stored = Ticket.objects.get()
        assert (counts.unknown, counts.imported, counts.comments, counts.failed) == (2, 1, 1, 0)
        assert (stored.origin, stored.requester, stored.delivery, stored.subject) == (
            "vendor",
            None,
            "delivered",
            "Theirs",
        )
        assert walk_again().imported == 0

    def test_what_a_walk_has_imported_before_its_last_page_is_not_missing(self, desk, configure):
        configure(Capabilities(can_list=True), import_unknown=True)
        rows = [row(f"R-{number}", created_at=T0, updated_at=T0) for number in range(500)]
        desk.tickets = {one.remote_id: one for one in rows}
        contents, ends_at = pages(rows, []), time.monotonic() + 60

        def page(scope: str, cursor: str | None) -> Page:
            while cursor and len(desk.asked) < 400 and time.monotonic() < ends_at:
                time.sleep(0.01)
            return contents(scope, cursor)

        desk.pages = page
        counts = pull("desk")
        assert (counts.imported, counts.braked, len(desk.asked)) == (500, 0, 500)

    def test_the_scope_is_the_customer_where_the_vendor_does_not_say(self, desk, configure, known):
        configure(Capabilities(can_list=True, lists_by_customer=True), import_unknown=True)
        known("R-1", customer_id="A")
        desk.pages = pages([row("R-1", updated_at=T0), row("R-9")])
        desk.tickets["R-9"] = row("R-9")
        pull("desk")
        assert Ticket.objects.get(remote_id="R-9").customer_id == "A"

    def test_ours_is_never_imported(self, desk, configure, ticket):
        configure(Capabilities(can_list=True), import_unknown=True)
        own = ticket(None, delivery="queued", next_poll_at=None)
        desk.pages = pages([row("R-1", key=str(own.key)), row("R-2")])
        desk.tickets = {"R-2": row("R-2", key=str(own.key))}  # only the GET shows the key
        counts = pull("desk")
        assert counts.imported == 0 and desk.asked == ["R-2"]
        assert Ticket.objects.get() == own

    def test_without_keys_nothing_is_imported_while_a_create_is_under_way(self, desk, configure, ticket):
        configure(Capabilities(can_list=True), import_unknown=True)
        own = ticket(None, delivery="queued", next_poll_at=None)
        entry = OutboxEntry.objects.create(ticket=own, provider="desk", item="create", item_id=own.pk, sent_at=1)
        desk.pages = pages([row("R-1")])
        desk.tickets = {"R-1": row("R-1")}
        assert pull("desk").imported == 0
        entry.delete()
        assert walk_again().imported == 1


class TestMissing:
    def test_what_a_whole_walk_does_not_show_is_looked_at_and_then_flagged(self, desk, known):
        for number in range(10):
            known(f"R-{number}")
        desk.pages = pages([row(f"R-{number}", updated_at=T0) for number in range(1, 10)])
        counts = pull("desk")
        assert desk.asked == ["R-0"]
        assert (counts.missing, counts.braked) == (1, 0)
        assert Ticket.objects.get(missing_since__isnull=False).remote_id == "R-0"

    @pytest.mark.fault(89)
    def test_what_is_erased_while_it_is_looked_for_stays_erased(self, desk, known):
        known("R-0")
        desk.pages = pages([])

        def erase_first(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith("UPDATE") and NOT_FOUND in params and not Ticket.objects.filter(digest=ERASED).exists():
                Ticket.objects.update(digest=ERASED)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(erase_first):
            pull("desk")
        assert Ticket.objects.get().digest == ERASED and desk.asked == []

    def test_what_the_list_hides_is_not_missing(self, desk, known):
        known("R-0")
        desk.pages = pages([])
        desk.tickets["R-0"] = row("R-0", updated_at=T0)
        assert pull("desk").missing == 0
        assert Ticket.objects.get().digest != NOT_FOUND

    @pytest.mark.fault(29)
    def test_an_empty_list_flags_nothing_and_calls_a_person(self, desk, known):
        for number in range(60):
            known(f"R-{number}")
        desk.pages = pages([])
        counts = pull("desk")
        assert counts.braked == 51 and counts.needs_a_person and counts.missing == 0
        assert desk.asked == []
        assert not Ticket.objects.filter(digest=NOT_FOUND).exists()

    def test_not_expected_are_new_settled_and_other_customers_tickets(self, desk, configure, known):
        configure(Capabilities(can_list=True, lists_by_customer=True))
        known("R-1", customer_id="A")
        known("R-2", customer_id="A", delivered_at=timezone.now() + timedelta(seconds=5))
        known("R-3", customer_id="A", status="closed")
        known("R-4", customer_id="B")
        desk.pages = lambda scope, cursor: Page(records=(row({"A": "R-1", "B": "R-4"}[scope], updated_at=T0),))
        assert pull("desk").braked == 0
        assert desk.asked == []

    def test_a_walk_is_not_taken_for_whole_after_a_stop(self, desk, known):
        for number in range(3):
            known(f"R-{number}")
        desk.pages = pages([row("R-0", updated_at=T0)], [], [])
        pull("desk", stop=lambda: bool(desk.listed))
        ProviderState.objects.update(run_leased_until=EpochNow() - 1)
        assert pull("desk").braked == 0
        assert not Ticket.objects.filter(digest=NOT_FOUND).exists()
