from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from django_support_tickets.models import Delivery, Ticket
from django_support_tickets.sync import hint

try:
    from django import tasks as framework
except ImportError:  # Django 5.2
    framework = pytest.importorskip("django_tasks")  # type: ignore[assignment]

pytestmark = pytest.mark.django_db(transaction=True)

WAKE = "django_support_tickets.contrib.tasks.wake"


def use(backend: str, settings: Any) -> Any:
    """Have tasks go to a backend of the framework; return it."""
    settings.TASKS = {"default": {"BACKEND": f"{framework.__name__}.backends.{backend}"}}
    handler = framework.task_backends
    handler._settings = handler.settings = handler.configure_settings(None)
    if hasattr(handler._connections, "default"):
        del handler["default"]
    return handler["default"]


@pytest.fixture
def enqueued(settings: Any) -> Iterator[Any]:
    """Our dispatcher, and what has been enqueued: (task, arguments, whether it waits for a moment)."""
    from django_support_tickets.contrib import tasks as ours

    ours.coalescing._covered_until.clear()
    settings.SUPPORT_TICKETS_DISPATCHER = WAKE
    backend = use("dummy.DummyBackend", settings)

    def take() -> list[tuple[str, list[Any], bool]]:
        found = [(one.task.name, list(one.args), one.task.run_after is not None) for one in backend.results]
        backend.clear()
        return found

    yield take
    use("dummy.DummyBackend", settings)


class TestWaking:
    def test_a_ticket_that_is_raised_enqueues_one_task_after_the_commit(self, enqueued: Any) -> None:
        with transaction.atomic():
            ticket = Ticket.objects.create(subject="S", description="D")
            assert enqueued() == []
        assert enqueued() == [("push_ticket", [ticket.pk, "default"], False)]

    def test_a_burst_about_one_ticket_is_two_tasks(self, enqueued: Any) -> None:
        started = time.monotonic()
        ticket = Ticket.objects.create(subject="S", description="D")
        for _ in range(20):
            ticket.comments.create(body="And another thing.")
        seconds = int(time.monotonic() - started)
        late = [late for _, _, late in enqueued()]
        assert late[0] is False
        assert late == [False, True] if not seconds else len(late) <= 2 + seconds

    def test_an_account_is_fetched(self, enqueued: Any) -> None:
        from django_support_tickets.contrib.tasks import wake

        for _ in range(5):
            wake("local", None, "default")
        assert enqueued() == [("pull", ["local", "default"], False), ("pull", ["local", "default"], True)]


class TestTasks:
    def test_a_backend_without_workers_sends_at_once(self, enqueued: Any, settings: Any) -> None:
        use("immediate.ImmediateBackend", settings)
        ticket = Ticket.objects.create(subject="S", description="D")
        ticket.comments.create(body="And another thing.")  # the backend knows no later
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.DELIVERED
        assert ticket.comments.get().delivery == Delivery.DELIVERED

    def test_the_sweep_asks_for_each_account(self, enqueued: Any) -> None:
        from django_support_tickets.contrib.tasks import sweep

        Ticket.objects.bulk_create([Ticket(provider="local", subject="S", remote_id="R-1", delivery="delivered")])
        hint("local", ["R-1"])
        sweep.call()
        assert [name for name, _, _ in enqueued()] == ["push", "pull"]

    def test_what_nothing_announced_is_sent_by_a_push(self, enqueued: Any) -> None:
        from django_support_tickets.contrib.tasks import push

        Ticket.objects.bulk_create([Ticket(subject="S", description="D")])
        push.call("local", workers=1)
        assert Ticket.objects.get().delivery == Delivery.DELIVERED
        assert enqueued() == []

    def test_one_that_is_cut_off_goes_on_in_another_task(self, enqueued: Any) -> None:
        from django_support_tickets.contrib.tasks import pull, push

        push.call("local", "default", 0.0, 1)
        pull.call("local", "default", 0.0)
        assert enqueued() == [("push", ["local", "default"], False)]
