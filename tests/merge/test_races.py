from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections

from django_support_tickets.merge import Fetched, MergeCounts, import_tickets, merge
from django_support_tickets.models import Comment, ProviderState, Ticket, epoch_now
from django_support_tickets.records import CommentRecord, Status, TicketRecord
from django_support_tickets.sync import AlreadyRunning
from django_support_tickets.sync.lock import RunLock

pytestmark = pytest.mark.django_db(transaction=True)

T0 = datetime(2026, 3, 1, tzinfo=UTC)
STATUSES = [Status.OPEN, Status.IN_PROGRESS, Status.WAITING, Status.RESOLVED]


@pytest.fixture(autouse=True)
def two_connections(transactional_db: None) -> None:
    """Skip on an SQLite database in memory: it is one for all threads and locks whole tables. A file takes part."""
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("needs two real connections")


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Run each job in a thread with a connection of its own, all let go at the same moment."""
    gate, results = threading.Barrier(len(jobs)), [None] * len(jobs)

    def run(number: int) -> None:
        try:
            connections["default"].ensure_connection()
            gate.wait(60)
            results[number] = jobs[number]()
        except Exception as error:
            results[number] = error  # type: ignore[call-overload]
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def state(number: int, version: int, *, versioned: bool) -> TicketRecord:
    return TicketRecord(
        remote_id=f"R-{number}",
        status=STATUSES[version],
        updated_at=T0 + timedelta(seconds=version) if versioned else None,
        comments=tuple(CommentRecord(remote_id=f"c{one}", body=f"Comment {one}") for one in range(version + 1)),
    )


@pytest.mark.race
@pytest.mark.fault(46, 90, 91)
@pytest.mark.parametrize("versioned", [True, False])
def test_merges_of_different_states_at_once_end_in_the_newest(desk, ticket, versioned):
    random.seed(7)
    for _ in range(6):
        Ticket.objects.all().delete()
        for number in range(25):
            ticket(f"R-{number}")
        started = epoch_now("default")
        jobs = []
        for version in random.sample(range(4), 4):
            numbers = random.sample(range(25), 25)
            fetched = [Fetched(state(number, version, versioned=versioned), started + version) for number in numbers]
            jobs.append(lambda fetched=fetched: merge("desk", fetched))
        results = at_once(*jobs)
        assert all(isinstance(one, MergeCounts) and one.failed == 0 for one in results), results
        assert set(Ticket.objects.values_list("status", flat=True)) == {"resolved"}
        assert Comment.objects.count() == 25 * 4


@pytest.mark.race
@pytest.mark.fault(46)
def test_a_merge_and_a_hint_at_once_lose_no_hint(desk, ticket):
    for _ in range(10):
        Ticket.objects.all().delete()
        ticket("R-1")
        due_at = Ticket.objects.get().next_poll_at
        started = epoch_now("default")
        record = state(1, 0, versioned=True)

        fetched, hint = Fetched(record, started, due_at), due_at + timedelta(milliseconds=1)
        at_once(
            lambda hint=hint: Ticket.objects.update(next_poll_at=hint), lambda fetched=fetched: merge("desk", [fetched])
        )
        assert Ticket.objects.get().next_poll_at == hint


@pytest.mark.race
@pytest.mark.fault(90, 91)
def test_imports_of_the_same_tickets_at_once_make_each_once(desk):
    for _ in range(6):
        Ticket.objects.all().delete()
        started = epoch_now("default")
        jobs = []
        for _ in range(3):
            numbers = random.sample(range(25), 25)
            fetched = [Fetched(state(number, 2, versioned=True), started) for number in numbers]
            jobs.append(lambda fetched=fetched: import_tickets("desk", fetched))
        results = at_once(*jobs)
        assert all(isinstance(one, MergeCounts) for one in results), results
        assert sum(one.imported for one in results) == Ticket.objects.count() == 25
        assert Comment.objects.count() == 25 * 3


@pytest.mark.race
def test_an_import_and_the_push_that_stores_the_same_id_end_in_one_ticket(desk, ticket):
    for number in range(10):
        Ticket.objects.all().delete()
        own = ticket(None, delivery="queued")
        fetched = [Fetched(state(number, 1, versioned=True), epoch_now("default"))]

        def store(own=own, number=number):
            return Ticket.objects.filter(pk=own.pk).update(remote_id=f"R-{number}", delivery="delivered")

        stored, imported = at_once(store, lambda fetched=fetched: import_tickets("desk", fetched))
        # Whoever is second meets the unique key: push settles that by itself, an import counts it as known or failed.
        assert stored == 1 or isinstance(stored, IntegrityError)
        assert isinstance(imported, MergeCounts)
        assert Ticket.objects.filter(remote_id=f"R-{number}").count() == 1


@pytest.mark.race
@pytest.mark.fault(95)
def test_of_pulls_that_begin_at_once_one_goes_on(desk, ticket):
    for _ in range(10):
        ProviderState.objects.all().delete()
        all_have_tried = threading.Barrier(4, timeout=60)

        def hold(all_have_tried=all_have_tried):
            try:
                with RunLock("desk", using="default"):
                    all_have_tried.wait()
            except AlreadyRunning:
                all_have_tried.wait()
                raise

        results = at_once(*[hold] * 4)
        assert [type(one) for one in results if one is not None] == [AlreadyRunning] * 3, results
