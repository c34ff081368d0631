"""Work in Celery.

    SUPPORT_TICKETS_DISPATCHER = "django_support_tickets.contrib.celery.wake"
    CELERY_IMPORTS = ["django_support_tickets.contrib.celery"]        # with config_from_object(…, namespace="CELERY")
    CELERY_BEAT_SCHEDULE = {
        "support-tickets": {"task": "support_tickets.sweep", "schedule": 60.0, "options": {"expires": 60}},
    }

The sweep is what the promises rest on: it finds all that is due, whatever became of a message. Messages only make it
quicker. They are acknowledged before they are worked, which is Celery's default: after a kill the row is leased for a
while, so a message that came back at once would find nothing to do. `task_acks_late`, `task_reject_on_worker_lost`, any
`visibility_timeout` and a broker that loses or doubles messages are harmless all the same. No task is retried by Celery
and no result is stored. Tasks end within a minute, plus the deadline of the calls that are under way. A broker that
refuses connections costs a web request nothing; for one that does not answer at all, set a `socket_connect_timeout` in
`broker_transport_options`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import shared_task
from django.db import DEFAULT_DB_ALIAS

from django_support_tickets.contrib.slices import (
    SLICE,
    WORKERS,
    Coalescing,
    accounts_to_fetch,
    fetch_due,
    send_due,
    send_ticket,
)
from django_support_tickets.providers import providers

# After so many seconds sweeps have overtaken a message: when the workers were down for long, it is dropped unread.
EXPIRES = 600
# A connection that the broker has dropped is made anew, once. Left alone, kombu waits six seconds for a broker that is
# down, and a web request with it.
ONCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}

coalescing = Coalescing()


def _task(name: str) -> Callable[[Callable[..., None]], Any]:
    """Return the decorator of a task, with nothing in it that keeps state or repeats."""
    options = {"ignore_result": True, "acks_late": False, "max_retries": 0, "expires": EXPIRES}
    return shared_task(name=f"support_tickets.{name}", **options)  # type: ignore[no-any-return]


@_task("push_ticket")
def push_ticket(ticket_id: int, using: str = DEFAULT_DB_ALIAS) -> None:
    """Send what is due of one ticket."""
    send_ticket(ticket_id, using=using)


@_task("push")
def push(alias: str, using: str = DEFAULT_DB_ALIAS, seconds: float = SLICE, workers: int = WORKERS) -> None:
    """Send what is due of an account, and go on in another task if there is much."""
    if send_due(alias, using=using, seconds=seconds, workers=workers):
        push.apply_async((alias, using))


@_task("pull")
def pull(alias: str, using: str = DEFAULT_DB_ALIAS, seconds: float = SLICE) -> None:
    """Fetch what is due of an account, and go on in another task if there is more."""
    if fetch_due(alias, using=using, seconds=seconds):
        _ask_for_pull(alias, using)


@_task("sweep")
def sweep(using: str = DEFAULT_DB_ALIAS) -> None:
    """Ask for a push of every account, and for a pull of those with something to fetch; run it every minute."""
    for alias in providers:
        push.apply_async((alias, using))
    for alias in accounts_to_fetch(using=using):
        pull.apply_async((alias, using))


def wake(alias: str, ticket_id: int | None, using: str) -> None:
    """Send the message that a commit asks for: SUPPORT_TICKETS_DISPATCHER names this function.

    A ticket that was raised gets its own message, so that many workers share a burst.
    """
    if ticket_id is None:
        _ask_for_pull(alias, using)
        return
    delay = coalescing.delay_of((using, ticket_id))
    if delay is not None:
        push_ticket.apply_async((ticket_id, using), countdown=delay, retry_policy=ONCE)


def _ask_for_pull(alias: str, using: str) -> None:
    delay = coalescing.delay_of((using, alias))
    if delay is not None:
        pull.apply_async((alias, using), countdown=delay, retry_policy=ONCE)
