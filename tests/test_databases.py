from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone

import django_support_tickets
from django_support_tickets.models import (
    Attachment,
    Delivery,
    EpochNow,
    OutboxEntry,
    ProviderState,
    Ticket,
    TicketEvent,
    WebhookDelivery,
    epoch_now,
    moment_of,
)
from django_support_tickets.models.pauses import state_of
from django_support_tickets.models.retries import repeated
from django_support_tickets.outbox.claims import claim_next
from django_support_tickets.outbox.push import push
from django_support_tickets.sync import hint_all, pull
from tests.outbox.paper import reset_desk
from tests.webhooks import cases

ROOT = Path(__file__).resolve().parent.parent
HOUR = timedelta(hours=1)

needs_a_server = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no server to disturb")


def raised(number: int = 1) -> list[Ticket]:
    return [Ticket.objects.create(subject=f"Number {i}", description="D") for i in range(number)]


def at_once(*actions: Callable[[], Any]) -> list[BaseException]:
    """Run functions in threads with connections of their own; return what they raised."""
    errors: list[BaseException] = []

    def run(action: Callable[[], Any]) -> None:
        try:
            action()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return errors


@pytest.mark.fault(4, 90, 93)
def test_a_site_whose_tickets_are_in_another_database(tmp_path: Path) -> None:
    """With its users and content types, on SQLite with nothing said about transactions, in a process of its own."""
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TEST_")},
        "DJANGO_SETTINGS_MODULE": "tests.elsewhere_settings",
        "ELSEWHERE_FOLDER": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.elsewhere"], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    models = apps.get_app_config("support_tickets").get_models()
    assert report["tables"]["default"] == []
    assert set(report["tables"]["support"]) == {model._meta.db_table for model in models}
    assert report["webhooks"] == {"remembered": 1, "refused": 1, "woken": [["ripio", "support"]]}
    day = report["day"]
    assert day["codes"] == {"sync_tickets": 0, "support_tickets_doctor": 0, "support_tickets_prune": 0}
    assert (day["delivered"], day["erased"][0]) == (1, 0)
    # A database without tables is named by the doctor.
    code, output = report["doctor before"]
    assert code == 1
    assert "empty: OperationalError; is it there, and migrated?" in output
    # Many writers on one file meet no error: what is claimed is claimed by one statement each.
    assert report["pushed"] == {"times": {"1": 24}, "errors": []}


@pytest.mark.django_db(transaction=True)
class TestTroubleOfTheDatabase:
    @needs_a_server
    @pytest.mark.fault(91)
    def test_a_deadlock_is_repeated_as_a_whole(self) -> None:
        first, second = raised(2)
        both_hold_one = threading.Barrier(2, timeout=60)
        tries: list[int] = []

        def update(*pks: int) -> Callable[[], None]:
            def action() -> None:
                tries.append(pks[0])
                with transaction.atomic():
                    Ticket.objects.filter(pk=pks[0]).update(priority="one")
                    if tries.count(pks[0]) == 1:
                        both_hold_one.wait()
                    Ticket.objects.filter(pk=pks[1]).update(priority="two")

            return lambda: repeated(action, using="default")

        assert at_once(update(first.pk, second.pk), update(second.pk, first.pk)) == []
        assert len(tries) == 3

    @needs_a_server
    @pytest.mark.fault(91)
    def test_a_connection_that_is_lost_in_a_transaction_is_made_anew(self) -> None:
        tries: list[int] = []

        def action() -> str:
            tries.append(1)
            with transaction.atomic():
                raised()
                if len(tries) == 1:
                    cut_off()
                return str(Ticket.objects.count())

        assert repeated(action, using="default") == "1"
        assert (len(tries), Ticket.objects.count()) == (2, 1)

    @needs_a_server
    @pytest.mark.fault(91)
    def test_a_push_goes_on_after_its_connection_was_cut(self) -> None:
        raised(3)
        cut_off()
        assert push("local").delivered == 3

    @needs_a_server
    @pytest.mark.fault(91)
    @pytest.mark.parametrize("workers", [1, 3])
    def test_a_connection_that_is_lost_while_the_vendor_answers_costs_no_second_call(
        self, settings: Any, workers: int
    ) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {"paper": {"BACKEND": "tests.outbox.paper.PaperProvider"}}
        desk = reset_desk()

        def answer_after_a_failover(act: Callable[[], Any]) -> Any:
            record = act()
            cut_off()
            return record

        desk.at("create", None, answer_after_a_failover)
        raised(3)
        assert push("paper", workers=workers).delivered == 3
        assert desk.calls == ["create"] * 3
        assert Ticket.objects.filter(delivery=Delivery.DELIVERED, remote_id__isnull=False).count() == 3

    @needs_a_server
    @pytest.mark.fault(91)
    def test_a_pull_goes_on_after_its_connection_was_cut(self, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {"paper": {"BACKEND": "tests.outbox.paper.PaperProvider"}}
        desk = reset_desk()
        raised(3)
        push("paper")
        hint_all("paper")
        session = session_of_this_thread()

        def answer_after_a_failover(act: Callable[[], Any]) -> Any:
            cut_off(session)
            return act()

        desk.at("get", None, answer_after_a_failover)
        counts = pull("paper", workers=1)
        assert (counts.fetched, counts.failed) == (3, 0)

    @needs_a_server
    @pytest.mark.fault(91)
    def test_a_webhook_is_taken_after_its_connection_was_cut(self, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = cases.accounts()
        cut_off()
        assert cases.deliver("ripio", cases.RIPIO_HEADERS, cases.RIPIO_BODY).status_code == 200
        assert WebhookDelivery.objects.count() == 1

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL refuses to serialize")
    @pytest.mark.fault(91)
    def test_what_cannot_be_serialized_is_repeated_as_a_whole(self) -> None:
        (ticket,) = raised()
        tries: list[int] = []

        def action() -> None:
            tries.append(1)
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
                subject = Ticket.objects.get().priority
                if len(tries) == 1:
                    assert at_once(lambda: Ticket.objects.update(priority="theirs")) == []
                Ticket.objects.update(priority=f"{subject}, ours")

        repeated(action, using="default")
        ticket.refresh_from_db()
        assert (len(tries), ticket.priority) == (2, "theirs, ours")

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL refuses to serialize")
    @pytest.mark.race
    @pytest.mark.fault(91)
    def test_a_site_whose_transactions_are_all_serializable_sends_each_once(self, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {"paper": {"BACKEND": "tests.outbox.paper.PaperProvider"}}
        desk = reset_desk()
        raised(30)

        def work() -> None:
            with connections["default"].cursor() as cursor:
                cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            for _ in range(3):
                push("paper")

        assert at_once(*[work] * 4) == []
        assert Ticket.objects.filter(delivery=Delivery.DELIVERED).count() == 30
        assert desk.calls == ["create"] * 30

    @needs_a_server
    @pytest.mark.fault(91)
    def test_what_another_has_just_inserted_is_found_inside_a_transaction(self) -> None:
        """MySQL's own default, REPEATABLE READ, would not show it: Django's is READ COMMITTED."""
        with transaction.atomic():
            assert not ProviderState.objects.exists()
            assert at_once(lambda: state_of("local", using="default")) == []
            assert state_of("local", using="default").provider == "local"

    @pytest.mark.fault(91)
    def test_a_server_without_skip_locked_gives_each_row_out_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(connection.features), "has_select_for_update_skip_locked", False, raising=False)
        tickets = raised(6)
        first = claim_next("local", 4, using="default")
        second = claim_next("local", 4, using="default")
        claimed = [claim.entry.ticket_id for claim in first + second]
        assert sorted(claimed) == sorted(ticket.pk for ticket in tickets)

    @pytest.mark.fault(93)
    def test_a_database_that_takes_no_writes_leaves_no_part_of_a_ticket(self) -> None:
        with read_only(), pytest.raises(DatabaseError), transaction.atomic():
            (ticket,) = raised()
            Attachment.objects.create(ticket=ticket, name="a.png", file=ContentFile(b"x", name="a.png"))
        assert not Ticket.objects.exists()
        assert not OutboxEntry.objects.exists()

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="a server's disk is not ours to fill")
    @pytest.mark.fault(93)
    def test_a_disk_that_is_full_leaves_no_part_of_a_ticket(self) -> None:
        raised()
        with full_disk(), pytest.raises(DatabaseError, match="full"), transaction.atomic():
            (ticket,) = raised()
            ticket.comments.create(body="x" * 1_000_000)
        assert Ticket.objects.count() == OutboxEntry.objects.count() == 1
        assert push("local").delivered == 1

    @pytest.mark.fault(93)
    def test_a_push_then_fails_before_anything_leaves(self) -> None:
        (ticket,) = raised()
        with read_only(), pytest.raises(DatabaseError):
            push("local")
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.QUEUED
        assert push("local").delivered == 1


@pytest.mark.fault(91)
def test_nothing_is_kept_in_a_session_that_a_pooler_may_give_to_another() -> None:
    """Such as pgbouncer's, another one for each transaction; only the export, as documented, reads by a cursor."""
    session = re.compile(r"\.iterator\(|pg_advisory|GET_LOCK|\bLISTEN\b|\bTEMP(ORARY)? TABLE|\bSET SESSION|\bPREPARE\b")
    package = Path(django_support_tickets.__file__).parent
    found = {str(path.relative_to(package)) for path in package.rglob("*.py") if session.search(path.read_text())}
    assert found == {"admin/export.py"}


READ_ONLY = {
    "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
    "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
}


@contextlib.contextmanager
def read_only() -> Iterator[None]:
    """Let the database take no writes of this connection, as one whose disk is full."""
    on, off = READ_ONLY[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(on)
    connection.close_at = None  # another connection would know nothing of it
    yield
    with connection.cursor() as cursor:
        cursor.execute(off)


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Let the SQLite database grow no further."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # else there may be room for it in what earlier tests have left
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {pages + 1}")
        yield
        cursor.execute("PRAGMA max_page_count = 1073741823")


def cut_off(session: int | None = None) -> None:
    """End a session at the server, as a fail-over would; without a number, that of this thread's connection."""
    session = session or session_of_this_thread()

    def kill() -> None:
        with connections["default"].cursor() as cursor:
            end = "SELECT pg_terminate_backend(%s)" if connection.vendor == "postgresql" else "KILL %s"
            cursor.execute(end, [session])

    assert at_once(kill) == []


def session_of_this_thread() -> int:
    with connection.cursor() as cursor:
        number = "pg_backend_pid" if connection.vendor == "postgresql" else "CONNECTION_ID"
        cursor.execute(f"SELECT {number}()")
        session: int = cursor.fetchone()[0]
        return session


@pytest.mark.django_db
@pytest.mark.fault(92)
class TestClocks:
    """Leases and waits are judged by the database's clock alone; this machine's may be an hour off, either way."""

    @pytest.fixture(params=[-HOUR, HOUR], ids=["an hour behind", "an hour ahead"])
    def machine(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> timedelta:
        """Let the clock of this machine be wrong."""
        right = timezone.now
        monkeypatch.setattr(timezone, "now", lambda: right() + request.param)
        off: timedelta = request.param
        return off

    def test_two_workers_get_no_row_twice(self, machine: timedelta) -> None:
        raised()
        assert len(claim_next("local", 1, using="default")) == 1
        assert claim_next("local", 1, using="default") == []

    def test_a_ticket_is_sent_at_once_and_once(self, machine: timedelta) -> None:
        raised()
        assert push("local").delivered == 1
        assert push("local").delivered == 0
        assert TicketEvent.objects.filter(kind="delivered").count() == 1

    def test_a_lease_that_ran_out_is_taken_over(self, machine: timedelta) -> None:
        raised()
        claim_next("local", 1, using="default")
        OutboxEntry.objects.update(leased_until=EpochNow() - 1000)
        assert push("local").delivered == 1

    def test_a_ticket_is_fetched_when_it_is_due_and_soon_again(self, machine: timedelta, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {"paper": {"BACKEND": "tests.outbox.paper.PaperProvider"}}
        desk = reset_desk()
        raised()
        push("paper")
        hint_all("paper")
        assert [pull("paper", workers=1).fetched for _ in range(2)] == [1, 0]
        assert desk.calls == ["create", "get"]
        next_look, now = Ticket.objects.get().next_poll_at, moment_of(epoch_now("default"))
        assert next_look is not None and now is not None
        assert timedelta(0) < next_look - now <= timedelta(minutes=15)

    def test_a_database_that_goes_back_an_hour_delays_by_an_hour_and_not_for_ever(self) -> None:
        raised()
        claim_next("local", 1, using="default")
        longest = OutboxEntry.objects.get().leased_until or 0
        assert longest - epoch_now("default") < 5 * 60_000
        assert push("local").delivered == 0

    @pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "UTC"])
    def test_the_database_counts_on_through_the_hour_that_comes_twice(self, settings: Any, zone: str) -> None:
        settings.TIME_ZONE = zone
        before = epoch_now("default")
        with timezone.override(zone):
            assert 0 <= epoch_now("default") - before < 60_000
        assert abs(before / 1000 - timezone.now().timestamp()) < 60
