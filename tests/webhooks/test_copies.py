"""Copies, replays and floods."""

from __future__ import annotations

import contextlib
import hmac
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_support_tickets.management.doctor import examine
from django_support_tickets.models import ProviderState, Ticket, WebhookDelivery
from django_support_tickets.providers.signatures import first_header, verify_hmac
from django_support_tickets.records import WebhookEvent
from django_support_tickets.webhooks import COUNTED_SINGLY, SHORTEST_INTERVAL, Refusals
from tests.webhooks import cases, served
from tests.webhooks.cases import (
    MOOV_HEADERS,
    MOOV_ID,
    RIPIO_BODY,
    RIPIO_HEADERS,
    RIPIO_ID,
    RIPIO_SIGNATURE,
    deliver,
    is_due,
    moov_event,
    moov_signed,
    ripio_event,
    ripio_signed,
)

COPIES_AT_ONCE = 50


def not_due(ticket: Ticket) -> None:
    """Let it be as after the fetch that a hint led to, an hour ago."""
    times = {"next_poll_at": timezone.now() + timedelta(hours=1), "synced_at": timezone.now() - timedelta(hours=1)}
    Ticket.objects.filter(pk=ticket.pk).update(**times)


@pytest.mark.django_db
class TestCopies:
    @pytest.mark.fault(54, 55)
    def test_of_ripios_event_do_nothing_whatever_came_with_them(self) -> None:
        ticket = cases.ticket("ripio", RIPIO_ID)
        assert deliver("ripio", RIPIO_HEADERS, RIPIO_BODY).status_code == 200
        not_due(ticket)
        for headers in (RIPIO_HEADERS, {"X-Wh-Signature-256": RIPIO_SIGNATURE[7:]}, {**RIPIO_HEADERS, "X-Id": "2"}):
            assert deliver("ripio", headers, RIPIO_BODY).status_code == 200
        assert WebhookDelivery.objects.count() == 1
        assert not is_due(ticket)

    @pytest.mark.fault(54)
    def test_a_late_one_is_a_hint_like_any_other(self) -> None:
        ticket = cases.ticket("ripio", RIPIO_ID)
        long_ago = ripio_event(issueDatetime="2019-01-01T00:00:00Z")
        assert deliver("ripio", *ripio_signed(long_ago)).status_code == 200
        assert is_due(ticket)

    @pytest.mark.fault(53)
    def test_captured_headers_of_moov_are_good_once(self) -> None:
        ticket = cases.ticket("moov", MOOV_ID, customer_id="acct-1")
        victim = cases.ticket("moov", "another-ticket", customer_id="acct-1")
        assert deliver("moov", MOOV_HEADERS, moov_event()).status_code == 200
        not_due(ticket)
        for forged in (moov_event(), moov_event("another-ticket"), moov_event("unknown"), b'{"type":"event.test"}'):
            assert deliver("moov", MOOV_HEADERS, forged).status_code == 200
        assert WebhookDelivery.objects.count() == 1
        assert not is_due(ticket)
        assert not is_due(victim)

    @pytest.mark.fault(53, 64)
    def test_an_event_of_another_account_is_not_about_this_ticket(self) -> None:
        ours = cases.ticket("moov", MOOV_ID, customer_id="acct-1")
        assert deliver("moov", *moov_signed(moov_event(account="acct-2"))).status_code == 200
        assert not is_due(ours)
        assert deliver("moov", *moov_signed(moov_event(account="acct-1"))).status_code == 200
        assert is_due(ours)

    @pytest.mark.fault(64)
    def test_a_ticket_whose_customer_is_unknown_takes_any(self) -> None:
        ticket = cases.ticket("moov", MOOV_ID, customer_id="")
        assert deliver("moov", *moov_signed(moov_event(account="acct-2"))).status_code == 200
        assert is_due(ticket)

    @pytest.mark.fault(53)
    def test_unknown_ids_are_remembered_and_nothing_more(self) -> None:
        for number in range(20):
            deliver("moov", *moov_signed(moov_event(f"ticket-{number}")))
        assert WebhookDelivery.objects.count() == 20
        assert not Ticket.objects.exists()


class TestAtOnce:
    @pytest.mark.race
    @pytest.mark.fault(23, 56, 60)
    def test_copies_have_one_effect(self, tmp_path: Path) -> None:
        """`F5`, on SQLite with the tickets in a database of their own and ATOMIC_REQUESTS on both."""
        file = tmp_path / "tickets.sqlite3"
        with served.server(str(file)) as port:
            assert send_copies(port, COPIES_AT_ONCE) == {200: COPIES_AT_ONCE}
        with contextlib.closing(sqlite3.connect(file)) as rows:
            assert rows.execute("SELECT COUNT(*) FROM support_tickets_webhookdelivery").fetchone() == (1,)
            due = "SELECT COUNT(*) FROM support_tickets_ticket WHERE next_poll_at < datetime('now', '+1 second')"
            assert rows.execute(due).fetchone() == (1,)

    @pytest.mark.race
    @pytest.mark.services
    @pytest.mark.fault(56, 91)
    @pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
    def test_a_thousand_copies_at_a_database_server(self, kind: str) -> None:
        with database_at(kind) as (name, ask), served.server(name, kind=kind) as port:
            for _ in range(1000 // COPIES_AT_ONCE):
                assert send_copies(port, COPIES_AT_ONCE) == {200: COPIES_AT_ONCE}
            assert ask("SELECT COUNT(*) FROM support_tickets_webhookdelivery") == 1
            due = "SELECT COUNT(*) FROM support_tickets_ticket WHERE next_poll_at <= CURRENT_TIMESTAMP"
            assert ask(due) == 1

    @pytest.mark.race
    @pytest.mark.services
    @pytest.mark.fault(56, 91)
    @pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
    def test_events_of_one_ticket_and_their_copies_lock_nobody_out(self, kind: str) -> None:
        webhooks = [ripio_signed(ripio_event(remote_id)) for remote_id in (RIPIO_ID, str(uuid.uuid4())) * 10] * 5
        with database_at(kind) as (name, ask), served.server(name, kind=kind) as port:
            with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
                statuses = pool.map(lambda webhook: served.post(port, cases.address("ripio"), *webhook), webhooks)
                assert set(statuses) == {200}
            assert ask("SELECT COUNT(*) FROM support_tickets_webhookdelivery") == 20


def send_copies(port: int, count: int) -> dict[int, int]:
    """Send the same webhook from `count` threads at once; return how often each status came."""
    start = threading.Barrier(count)

    def send(number: int) -> int:
        start.wait()
        return served.post(port, cases.address("ripio"), RIPIO_HEADERS, RIPIO_BODY)

    with ThreadPoolExecutor(count) as pool:
        statuses = list(pool.map(send, range(count)))
    return {status: statuses.count(status) for status in statuses}


@contextlib.contextmanager
def database_at(kind: str) -> Iterator[tuple[str, Callable[[str], Any]]]:
    """Make a database at a server; yield its name, and what returns the first value that a query finds."""
    name = f"webhooks_{uuid.uuid4().hex[:8]}"
    connect = {"postgresql": at_postgresql, "mariadb": at_mariadb}[kind]
    force = " WITH (FORCE)" if kind == "postgresql" else ""

    def ask(statement: str, database: str = name) -> Any:
        with contextlib.closing(connect(database)) as connection, contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None

    system = {"postgresql": "postgres", "mariadb": "mysql"}[kind]
    try:
        ask(f"CREATE DATABASE {name}", system)
    except Exception as error:  # each driver has its own
        served.refuse(f"no {kind} server answers ({type(error).__name__})")
    try:
        yield name, ask
    finally:
        ask(f"DROP DATABASE {name}{force}", system)


def at_postgresql(database: str) -> Any:
    psycopg = served.needed("psycopg")
    host, user = os.environ.get("PGHOST", "127.0.0.1"), os.environ.get("PGUSER", "postgres")
    return psycopg.connect(dbname=database, host=host, user=user, autocommit=True)


def at_mariadb(database: str) -> Any:
    driver = served.needed("MySQLdb")
    names = {"host": "127.0.0.1", "port": "3306", "user": "root", "password": ""}
    given = {name: os.environ.get(f"MARIADB_{name.upper()}", default) for name, default in names.items()}
    return driver.connect(
        **{**given, "port": int(given["port"])}, database=database, init_command="SET time_zone = '+00:00'"
    )


@pytest.mark.django_db
class TestValidFlood:
    @pytest.mark.fault(67)
    def test_a_ticket_is_fetched_once_in_an_interval(self) -> None:
        fetched_at = timezone.now()
        ticket = cases.ticket("ripio", RIPIO_ID, synced_at=fetched_at)
        for _ in range(200):
            deliver("ripio", *ripio_signed(ripio_event()))
        assert cases.waits_for_its_interval(ticket, fetched_at)
        assert WebhookDelivery.objects.count() == 200

    def test_the_answer_to_the_create_was_no_fetch(self) -> None:
        """Ripio registers a ticket within a moment, and that is all the news there will ever be."""
        sent_at = timezone.now()
        ticket = cases.ticket("ripio", RIPIO_ID, synced_at=sent_at, delivered_at=sent_at + timedelta(milliseconds=200))
        deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        assert is_due(ticket)
        fetched_at = timezone.now()
        fetched = cases.ticket("moov", MOOV_ID, synced_at=fetched_at, delivered_at=sent_at - timedelta(hours=1))
        deliver("moov", MOOV_HEADERS, moov_event())
        assert cases.waits_for_its_interval(fetched, fetched_at)

    @pytest.mark.fault(67)
    def test_the_news_is_not_lost_while_the_flood_goes_on(self) -> None:
        """Each webhook may put the fetch off by what is left of the interval, and by no more."""
        ticket = cases.ticket("ripio", RIPIO_ID, synced_at=timezone.now())
        deliver("ripio", *ripio_signed(ripio_event()))
        Ticket.objects.update(synced_at=timezone.now() - 2 * SHORTEST_INTERVAL)
        deliver("ripio", *ripio_signed(ripio_event()))
        assert is_due(ticket)

    @pytest.mark.fault(92)
    def test_a_clock_that_has_jumped_back_lets_no_news_sleep(self) -> None:
        """The last fetch lies in the future then."""
        ticket = cases.ticket("ripio", RIPIO_ID, synced_at=timezone.now() + timedelta(hours=1), next_poll_at=None)
        deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        ticket.refresh_from_db()
        assert ticket.next_poll_at is not None
        assert ticket.next_poll_at <= timezone.now() + SHORTEST_INTERVAL

    @pytest.mark.fault(54, 67)
    def test_what_was_pruned_is_another_hint_at_most(self) -> None:
        ticket = cases.ticket("ripio", RIPIO_ID)
        for headers, body in ((RIPIO_HEADERS, RIPIO_BODY), ripio_signed(ripio_event())):
            deliver("ripio", headers, body)
        WebhookDelivery.objects.update(received_at=timezone.now() - timedelta(days=91))
        deliver("ripio", *ripio_signed(ripio_event()))
        not_due(ticket)
        call_command("support_tickets_prune", stdout=StringIO())
        assert WebhookDelivery.objects.count() == 1
        assert deliver("ripio", RIPIO_HEADERS, RIPIO_BODY).status_code == 200
        assert is_due(ticket)
        assert WebhookDelivery.objects.count() == 2


def verified(headers: Mapping[str, str], body: bytes) -> WebhookEvent:
    """Be the `parse_webhook` of a user's provider."""
    verify_hmac(["the-right-one"], body, first_header(headers, "x-signature"))
    return WebhookEvent(identity=body.decode(), remote_id=body.decode())


@pytest.mark.django_db
class TestForgedFlood:
    @pytest.mark.fault(67)
    def test_nothing_is_stored_and_it_is_counted_by_few_writes(self, caplog: Any) -> None:
        started = time.monotonic()
        with CaptureQueriesContext(connection) as captured:
            for _ in range(300):
                assert deliver("ripio", {"X-Wh-Signature-256": "0" * 64}, b"forged").status_code == 401
        most = COUNTED_SINGLY + 1 + int(time.monotonic() - started)
        assert sum(query["sql"].startswith("UPDATE") for query in captured.captured_queries) <= most
        assert len(caplog.records) <= most
        assert not WebhookDelivery.objects.exists()
        time.sleep(1.01)
        deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        assert ProviderState.objects.get(provider="ripio", scope="").webhooks_refused == 300
        assert "the signature is missing or wrong" in caplog.text

    def test_a_few_are_counted_and_logged_one_by_one(self, caplog: Any) -> None:
        for _ in range(COUNTED_SINGLY):
            deliver("ripio", {}, b"forged")
        assert ProviderState.objects.get(provider="ripio", scope="").webhooks_refused == COUNTED_SINGLY
        assert [record.count for record in caplog.records] == [1] * COUNTED_SINGLY  # type: ignore[attr-defined]

    def test_the_doctor_shows_how_many(self, parse_by: Callable[..., None]) -> None:
        parse_by(verified)
        cases.ticket("custom", "T-1")
        for secret in ("the-right-one", "a-wrong-one", "another-one"):
            deliver("custom", {"X-Signature": hmac.new(secret.encode(), b"T-1", "sha256").hexdigest()}, b"T-1")
        (told,) = [one.text for one in examine(using="default").findings if one.topic == "fetching"]
        assert "1 webhook in the last day; 2 webhooks ever refused" in told

    def test_accounts_are_counted_apart(self) -> None:
        for alias in ("ripio", "moov"):
            deliver(alias, {}, b"forged")
        assert dict(ProviderState.objects.values_list("provider", "webhooks_refused")) == {"ripio": 1, "moov": 1}

    def test_an_account_without_webhooks_is_not_counted(self) -> None:
        deliver("nobody", {}, b"forged")
        assert not ProviderState.objects.exists()

    @pytest.mark.fault(93)
    def test_a_database_that_is_down_changes_no_refusal_and_is_told_later(self, caplog: Any) -> None:
        def fail(execute: Callable[..., Any], sql: str, *details: Any) -> Any:
            if "providerstate" in sql:
                raise OperationalError("SENSITIVE")
            return execute(sql, *details)

        with connection.execute_wrapper(fail):
            for _ in range(2):
                assert deliver("ripio", {}, b"forged").status_code == 401
                assert caplog.messages[-1] == "refusals not counted: OperationalError"
                assert (caplog.records[-1].event, caplog.records[-1].account) == ("webhook.refused", "ripio")
        deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        assert caplog.messages[-1] == "webhook refused: the signature is missing or wrong (2 in all)"
        assert ProviderState.objects.get(provider="ripio", scope="").webhooks_refused == 2

    def test_what_was_not_written_waits(self) -> None:
        refusals = Refusals(singly=2, every=3600)
        assert refusals.take("a") == (0, "")
        for reason in ("first", "second"):
            refusals.add("a", reason)
            assert refusals.take("a") == (1, reason)
        refusals.add("a", "third")
        refusals.add("a", "fourth", count=2)
        refusals.add("b", "other")
        assert refusals.take("a") == (0, "")
        assert refusals.take("b") == (1, "other")
        refusals.every = 1e-9
        assert refusals.take("a") == (3, "fourth")
        refusals.add("a", "fifth")
        refusals.clear()
        assert refusals.take("a") == (0, "")

    def test_a_flood_is_written_once_in_a_while(self) -> None:
        refusals, written, started = Refusals(singly=3, every=0.05), [], time.monotonic()
        for _ in range(10_000):
            refusals.add("a", "forged")
            if count := refusals.take("a")[0]:
                written.append(count)
        assert written[:3] == [1, 1, 1]
        assert len(written) <= 3 + (time.monotonic() - started) / 0.05
