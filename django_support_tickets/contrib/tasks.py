"""Work in Django's own tasks: `django.tasks` from Django 6.0 on, the package django-tasks before.

    SUPPORT_TICKETS_DISPATCHER = "django_support_tickets.contrib.tasks.wake"
    INSTALLED_APPS += ["django_tasks_db"]
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

and `manage.py db_worker` as a process. Django's tasks have no timetable, and a task whose worker is killed stays
"running" for ever. So something must look for what is due from time to time: `sync_tickets` by cron, which is all that
is needed, or `sweep` enqueued by a scheduler of yours. Tasks of the default backend in the default queue are used.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

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

try:
    from django.tasks import task
except ImportError:  # Django 5.2
    from django_tasks import task  # type: ignore[no-redef]

coalescing = Coalescing()


@task
def push_ticket(ticket_id: int, using: str = DEFAULT_DB_ALIAS) -> None:
    """Send what is due of one ticket."""
    send_ticket(ticket_id, using=using)


@task
def push(alias: str, using: str = DEFAULT_DB_ALIAS, seconds: float = SLICE, workers: int = WORKERS) -> None:
    """Send what is due of an account, and go on in another task if there is much."""
    if send_due(alias, using=using, seconds=seconds, workers=workers):
        push.enqueue(alias, using)


@task
def pull(alias: str, using: str = DEFAULT_DB_ALIAS, seconds: float = SLICE) -> None:
    """Fetch what is due of an account, and go on in another task if there is more."""
    if fetch_due(alias, using=using, seconds=seconds):
        _ask_for_pull(alias, using)


@task
def sweep(using: str = DEFAULT_DB_ALIAS) -> None:
    """Ask for a push of every account, and for a pull of those with something to fetch; run it every minute."""
    for alias in providers:
        push.enqueue(alias, using)
    for alias in accounts_to_fetch(using=using):
        pull.enqueue(alias, using)


def wake(alias: str, ticket_id: int | None, using: str) -> None:
    """Enqueue the task that a commit asks for: SUPPORT_TICKETS_DISPATCHER names this function."""
    if ticket_id is None:
        _ask_for_pull(alias, using)
        return
    delay = coalescing.delay_of((using, ticket_id))
    if delay is not None:
        _later(push_ticket, delay).enqueue(ticket_id, using)


def _ask_for_pull(alias: str, using: str) -> None:
    delay = coalescing.delay_of((using, alias))
    if delay is not None:
        _later(pull, delay).enqueue(alias, using)


def _later(task: Any, delay: float) -> Any:
    """Return the task to run in `delay` seconds, or at once where the backend knows no later."""
    if not delay or not task.get_backend().supports_defer:
        return task
    return task.using(run_after=timezone.now() + timedelta(seconds=delay))
