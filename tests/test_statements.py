"""Statements are compiled once per database; their values are stored and compared as the ORM does it."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import Error, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from django_support_tickets.models import OutboxEntry, Ticket, TicketEvent
from django_support_tickets.models.clock import project_time
from django_support_tickets.models.statements import Statement, deleting, inserting, slot, updating

pytestmark = pytest.mark.django_db

NAMES = ("raw", "tags", "delivered_at", "remote_id", "key", "subject")
CHANGES: dict[str, Any] = {name: slot(Ticket, name) for name in NAMES}


@pytest.fixture
def ticket() -> Ticket:
    return Ticket.objects.create(subject="Deposit missing")


def one(pk: int) -> dict[str, Any]:
    return Ticket.objects.values(*NAMES).get(pk=pk)


@pytest.mark.parametrize(
    "values",
    [
        {"raw": {"a": [1, None, "é"]}, "tags": ["x"], "delivered_at": datetime(2026, 11, 21, 10, 0, tzinfo=UTC)},
        {"raw": None, "tags": [], "delivered_at": None, "remote_id": None},
    ],
)
def test_values_are_stored_as_an_update_stores_them(ticket: Ticket, values: dict[str, Any]) -> None:
    values = {"remote_id": "R1", "key": uuid.uuid4(), "subject": "100 % 'of' it?", **values}
    if values["delivered_at"] is not None:
        values["delivered_at"] = project_time(values["delivered_at"])
    statement = Statement(updating(Ticket.objects.filter(pk=slot(Ticket, "id", "pk")), **CHANGES))
    assert statement.run("default", pk=ticket.pk, **values) == 1
    stored = one(ticket.pk)
    assert stored == values
    Ticket.objects.filter(pk=ticket.pk).update(**values)
    assert one(ticket.pk) == stored


def test_rows_have_the_fields_values(ticket: Ticket) -> None:
    rows = Ticket.objects.filter(key=slot(Ticket, "key")).values_list("key", "tags", "created_at", "requester_id")
    ((key, tags, created_at, requester),) = Statement(rows.query).rows("default", key=ticket.key)
    ticket.refresh_from_db()
    assert (key, tags, created_at, requester) == (ticket.key, [], ticket.created_at, None)


def test_rows_that_do_not_match_are_left_alone(ticket: Ticket) -> None:
    gone = Statement(deleting(OutboxEntry.objects.filter(provider=slot(OutboxEntry, "provider"))))
    assert gone.run("default", provider="other") == 0
    assert gone.run("default", provider="local") == 1
    assert not OutboxEntry.objects.exists()


def test_a_row_is_added_with_the_fields_values(ticket: Ticket) -> None:
    adding = Statement(inserting(TicketEvent, "ticket_id", "kind", "changes", "at", "source"))
    values: dict[str, Any] = {"kind": "delivered", "changes": {"é": [None]}, "at": ticket.created_at, "source": "push"}
    assert adding.run("default", ticket_id=ticket.pk, **values) == 1
    event = TicketEvent.objects.get(ticket=ticket)
    assert (event.kind, event.changes, event.at, event.source, event.actor) == (*values.values(), None)


def test_it_is_compiled_once_and_run_with_other_values_each_time(ticket: Ticket) -> None:
    rows = OutboxEntry.objects.filter(provider=slot(OutboxEntry, "provider"))
    statement = Statement(updating(rows, attempts=F("attempts") + slot(OutboxEntry, "attempts", "more")))
    for more in (1, 2):
        with CaptureQueriesContext(connection) as captured:
            statement.run("default", provider="local", more=more)
        assert len(captured) == 1
    assert OutboxEntry.objects.get().attempts == 3
    assert len(statement._compiled) == 1


@pytest.mark.django_db(transaction=True)
def test_it_is_compiled_for_all_threads_and_read_by_the_connection_of_each(ticket: Ticket) -> None:
    rows = Ticket.objects.filter(subject=slot(Ticket, "subject")).values_list("tags", "key")
    statement, read = Statement(rows.query), []
    of_this_thread = statement.rows("default", subject=ticket.subject)

    def run_it() -> None:
        try:
            with CaptureQueriesContext(connections["default"]) as captured:
                read.extend(statement.rows("default", subject=ticket.subject))
            read.append(len(captured))
        finally:
            BaseDatabaseWrapper.close(connections["default"])  # its own method leaves a database in memory open

    thread = threading.Thread(target=run_it)
    thread.start()
    thread.join()
    assert read == [[[], ticket.key], 1]
    assert of_this_thread == read[:1]
    assert len(statement._compiled) == 1


@pytest.mark.fault(91)
def test_a_failure_ends_the_transaction_that_it_is_in(ticket: Ticket) -> None:
    statement = Statement(updating(Ticket.objects.filter(pk=slot(Ticket, "id", "pk")), key=slot(Ticket, "key")))
    other = Ticket.objects.create(subject="Another")
    with pytest.raises(Error), transaction.atomic():
        try:
            statement.run("default", pk=ticket.pk, key=other.key)
        except Error:
            Ticket.objects.count()  # as after any failed query
    assert Ticket.objects.count() == 2
