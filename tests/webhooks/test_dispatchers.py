"""Whoever is asked to fetch: nobody calls a vendor before the answer is decided, and the news arrives."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import RequestFactory

from django_support_tickets.models import Ticket, WebhookDelivery
from django_support_tickets.outbox.push import push
from django_support_tickets.sync import pull
from django_support_tickets.testing.sandbox import Sandbox
from tests.webhooks import cases

pytestmark = pytest.mark.django_db(transaction=True)

factory = RequestFactory()
Webhook = tuple[dict[str, str], bytes]


def fetch(alias: str, ticket_id: int | None, using: str) -> None:
    """Be a project's dispatcher that works where it is asked."""
    pull(alias, using=using)


def queue_of_celery(settings: Any) -> Any:
    celery = pytest.importorskip("celery")
    ours = importlib.import_module("django_support_tickets.contrib.celery")
    app = celery.Celery("test", broker="memory://", set_as_current=True)
    app.conf.update(task_default_queue=uuid.uuid4().hex, task_always_eager=True, task_eager_propagates=True)
    ours.coalescing._covered_until.clear()
    return app.close


def queue_of_django(settings: Any) -> Any:
    try:
        framework = importlib.import_module("django.tasks")
    except ImportError:  # Django 5.2
        framework = pytest.importorskip("django_tasks")
    ours = importlib.import_module("django_support_tickets.contrib.tasks")
    before = getattr(settings, "TASKS", None)

    def use(tasks: Any) -> None:
        settings.TASKS = tasks
        framework.task_backends._settings = framework.task_backends.configure_settings(None)
        framework.task_backends.settings = framework.task_backends._settings
        if hasattr(framework.task_backends._connections, "default"):
            del framework.task_backends["default"]

    use({"default": {"BACKEND": f"{framework.__name__}.backends.immediate.ImmediateBackend"}})
    ours.coalescing._covered_until.clear()
    return lambda: use(before or {"default": {"BACKEND": f"{framework.__name__}.backends.dummy.DummyBackend"}})


QUEUES = {
    "django_support_tickets.contrib.celery.wake": queue_of_celery,
    "django_support_tickets.contrib.tasks.wake": queue_of_django,
}
WORK_AT_ONCE = [f"{__name__}.fetch", *QUEUES]


@pytest.fixture(params=["none", "inline", *WORK_AT_ONCE])
def dispatcher(request: pytest.FixtureRequest, settings: Any) -> Iterator[str]:
    close = QUEUES[request.param](settings) if request.param in QUEUES else lambda: None
    settings.SUPPORT_TICKETS_DISPATCHER = request.param
    yield request.param
    close()


@pytest.fixture
def registered(settings: Any, sandbox: Sandbox) -> Ticket:
    """A ticket that Ripio has registered since it was last fetched."""
    options = {"BACKEND": "django_support_tickets.providers.ripio.RipioProvider", "OPTIONS": sandbox.ripio.options()}
    settings.SUPPORT_TICKETS_PROVIDERS = {"ripio": options}
    ticket = cases.ticket("ripio", None, delivery="draft", customer_id=sandbox.ripio.CUSTOMER)
    ticket.submit()
    push("ripio")
    ticket.refresh_from_db()
    sandbox.ripio.register(str(ticket.remote_id))
    return ticket


def decided(webhook: Webhook) -> HttpResponse:
    """Return the site's answer, which has not left yet."""
    headers, body = webhook
    request = factory.post(cases.address("ripio"), body, content_type="application/json", headers=headers)
    answer = WSGIHandler().get_response(request)
    assert isinstance(answer, HttpResponse)
    return answer


def test_the_news_arrives(dispatcher: str, registered: Ticket, sandbox: Sandbox) -> None:
    calls = len(sandbox.ripio.ledger)
    answer = decided(sandbox.ripio.sign(sandbox.ripio.event(str(registered.remote_id))))
    assert (answer.status_code, len(sandbox.ripio.ledger)) == (200, calls)
    assert cases.is_due(registered)
    cases.leave(answer)
    assert len(sandbox.ripio.ledger) == calls + (dispatcher in WORK_AT_ONCE)
    if dispatcher not in WORK_AT_ONCE:
        pull("ripio")
    registered.refresh_from_db()
    assert registered.reference == "SUP-1"


def test_what_is_no_news_calls_nobody(dispatcher: str, registered: Ticket, sandbox: Sandbox) -> None:
    calls, vendor = len(sandbox.ripio.ledger), sandbox.ripio
    genuine = vendor.sign(vendor.event(str(registered.remote_id)))
    cases.leave(decided(genuine))
    pull("ripio")
    calls = len(vendor.ledger)
    others = [
        (genuine, 200),
        (vendor.sign(cases.ripio_event(str(uuid.uuid4()))), 200),
        (vendor.sign({"eventType": "KYC.APPROVED"}), 200),
        ((genuine[0], b"forged"), 401),
        (({}, genuine[1]), 401),
        (vendor.sign(b"x" * 300_000), 413),
        (vendor.sign(b"[]"), 400),
    ]
    for webhook, status in others:
        answer = decided(webhook)
        cases.leave(answer)
        assert answer.status_code == status
    assert len(vendor.ledger) == calls
    assert WebhookDelivery.objects.count() == 3
