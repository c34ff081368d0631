from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from django_support_tickets.models import Delivery, Ticket
from django_support_tickets.sync import hint
from django_support_tickets.webhooks import accept
from tests.transport_server import here
from tests.webhooks.cases import leave

celery = pytest.importorskip("celery")

pytestmark = pytest.mark.django_db(transaction=True)

WAKE = "django_support_tickets.contrib.celery.wake"
Messages = Callable[[], list[tuple[str, tuple[Any, ...], bool]]]


@pytest.fixture
def app(settings: Any) -> Iterator[Any]:
    """A Celery app whose broker is in this process, and our dispatcher."""
    from django_support_tickets.contrib import celery as ours

    app = celery.Celery("test", broker="memory://", set_as_current=True)
    app.conf.task_default_queue = uuid.uuid4().hex
    ours.coalescing._covered_until.clear()
    settings.SUPPORT_TICKETS_DISPATCHER = WAKE
    yield app
    app.close()


@pytest.fixture
def messages(app: Any) -> Messages:
    """Take what waits in the queue: (task, arguments, whether it waits for a moment)."""

    def take() -> list[tuple[str, tuple[Any, ...], bool]]:
        found = []
        with app.connection_for_read() as connection:
            queue = connection.SimpleQueue(app.conf.task_default_queue)
            while queue.qsize():
                message = queue.get_nowait()
                message.ack()
                arguments, _, _ = message.payload
                found.append((message.headers["task"], tuple(arguments), message.headers["eta"] is not None))
        return found

    return take


@pytest.fixture
def eager(app: Any) -> Any:
    """Run tasks where they are asked for."""
    app.conf.task_always_eager = True
    app.conf.task_eager_propagates = True
    return app


class TestWaking:
    def test_a_ticket_that_is_raised_sends_one_message_after_the_commit(self, messages: Messages) -> None:
        with transaction.atomic():
            ticket = Ticket.objects.create(subject="S", description="D")
            assert messages() == []
        assert messages() == [("support_tickets.push_ticket", (ticket.pk, "default"), False)]

    def test_a_burst_about_one_ticket_is_two_messages(self, messages: Messages) -> None:
        ticket = Ticket.objects.create(subject="S", description="D", delivery=Delivery.DRAFT)
        started = time.monotonic()
        ticket.submit()
        for _ in range(20):
            ticket.comments.create(body="And another thing.")
        seconds = int(time.monotonic() - started)
        late = [late for _, _, late in messages()]
        assert late[0] is False
        assert late == [False, True] if not seconds else len(late) <= 2 + seconds

    def test_a_flood_of_webhooks_is_two_messages_and_one_a_second(self, messages: Messages, settings: Any) -> None:
        from django_support_tickets.records import WebhookEvent

        Ticket.objects.bulk_create([Ticket(subject="S", remote_id="R-1", delivery=Delivery.DELIVERED)])
        started = time.monotonic()
        for number in range(50):
            leave(accept("local", WebhookEvent(identity=str(number), remote_id="R-1")))
        sent, once_a_second = messages(), int(time.monotonic() - started)
        assert {task for task, _, _ in sent} == {"support_tickets.pull"}
        assert 2 <= len(sent) <= 2 + once_a_second
        assert not sent[0][2] and (sent[1][2] or once_a_second)

    def test_a_broker_that_is_down_fails_nobody(self, app: Any, caplog: pytest.LogCaptureFixture) -> None:
        app.conf.broker_url = "amqp://guest@127.0.0.1:9//"
        started = time.monotonic()
        ticket = Ticket.objects.create(subject="S", description="D")
        assert time.monotonic() - started < here(3)
        assert ticket.delivery == Delivery.QUEUED
        assert "dispatch.failed" in [getattr(record, "event", "") for record in caplog.records]


class TestTasks:
    def test_a_ticket_is_sent(self, eager: Any) -> None:
        ticket = Ticket.objects.create(subject="S", description="D")
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.DELIVERED

    def test_what_nothing_announced_is_sent_by_a_push(self, eager: Any) -> None:
        from django_support_tickets.contrib.celery import push

        Ticket.objects.bulk_create([Ticket(subject="S", description="D")])
        push.delay("local", workers=1)
        assert Ticket.objects.get().delivery == Delivery.DELIVERED

    def test_the_sweep_asks_for_each_account(self, messages: Messages, settings: Any) -> None:
        from django_support_tickets.contrib.celery import sweep

        backend = {"BACKEND": "django_support_tickets.providers.local.LocalProvider"}
        settings.SUPPORT_TICKETS_PROVIDERS = {"one": backend, "two": backend, "broken": {"BACKEND": "no.such.Thing"}}
        Ticket.objects.bulk_create([Ticket(provider="two", subject="S", remote_id="R-1", delivery="delivered")])
        hint("two", ["R-1"])
        sweep.apply()
        assert [(task, arguments[0]) for task, arguments, _ in messages()] == [
            ("support_tickets.push", "one"),
            ("support_tickets.push", "two"),
            ("support_tickets.push", "broken"),
            ("support_tickets.pull", "two"),
        ]

    def test_a_push_that_is_cut_off_goes_on_in_another_task(self, messages: Messages) -> None:
        from django_support_tickets.contrib.celery import pull, push

        push.apply(("local", "default", 0.0, 1))
        pull.apply(("local", "default", 0.0))
        assert messages() == [("support_tickets.push", ("local", "default"), False)]

    def test_nothing_is_retried_or_stored_and_old_messages_expire(self, app: Any) -> None:
        from django_support_tickets.contrib import celery as ours

        for task in (ours.push_ticket, ours.push, ours.pull, ours.sweep):
            assert (task.ignore_result, task.max_retries, task.expires) == (True, 0, ours.EXPIRES)

    def test_the_example_in_the_docstring_names_what_there_is(self, app: Any) -> None:
        from django_support_tickets.contrib import celery as ours

        assert '"task": "support_tickets.sweep"' in str(ours.__doc__)
        assert ours.sweep.name == "support_tickets.sweep"
        assert WAKE in str(ours.__doc__)
