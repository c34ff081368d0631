"""The site's own code, in a process of its own: a line of JSON in, `[command, arguments]`, a line of JSON out."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from typing import Any

import django
from django.core.management import call_command
from django.db import connection
from django.db.models import F

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.contrib.site_settings")


def main() -> None:
    if os.environ["SITE_DISPATCHER"].endswith("celery.wake"):
        from tests.contrib import celery_app  # noqa: F401 -- shared tasks need the site's app
    django.setup()
    for line in sys.stdin:
        command, arguments = json.loads(line)
        sys.stdout.write(json.dumps(COMMANDS[command](*arguments)) + "\n")
        sys.stdout.flush()


def create() -> None:
    """Make the database and its tables."""
    if connection.vendor != "sqlite":
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {connection.ops.quote_name(connection.settings_dict['NAME'])}")
    call_command("migrate", verbosity=0)


def drop() -> None:
    """Remove the messages that are left, and the database, whoever is connected."""
    if os.environ["SITE_DISPATCHER"].endswith("celery.wake"):
        drop_messages()
    connection.close()
    if connection.vendor == "postgresql":
        with connection._nodb_cursor() as cursor:
            name = connection.ops.quote_name(connection.settings_dict["NAME"])
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def drop_messages() -> None:
    from celery import current_app

    queue = current_app.conf.task_default_queue
    with current_app.connection_for_write() as broker:
        if broker.transport.driver_type == "redis":
            import redis

            client = redis.Redis.from_url(current_app.conf.broker_url)
            for key in client.scan_iter(f"{queue}:*"):
                client.delete(key)
        else:
            broker.default_channel.queue_delete(queue)


def raise_tickets(count: int, values: dict[str, Any]) -> list[str]:
    """Raise tickets as any code does, each in a commit of its own."""
    from django_support_tickets.models import Ticket

    tickets = [
        Ticket.objects.create(**values, subject=f"Number {number}", description="Gone.") for number in range(count)
    ]
    return [str(ticket.key) for ticket in tickets]


def insert_tickets(count: int, values: dict[str, Any]) -> None:
    """Store queued tickets in a way that calls nobody back."""
    from django_support_tickets.models import Ticket

    Ticket.objects.bulk_create(
        [Ticket(**values, subject=f"Number {number}", description="Gone.") for number in range(count)]
    )


def sweep() -> None:
    """Do what the timetable does every minute."""
    from django_support_tickets.conf import settings

    if settings.DISPATCHER.endswith("celery.wake"):
        from django_support_tickets.contrib import celery

        celery.sweep.delay()
    else:
        from django_support_tickets.contrib import tasks

        tasks.sweep.enqueue()


def age(seconds: int) -> None:
    """Let time pass, by shifting rows back."""
    from django_support_tickets.models import OutboxEntry, ProviderState

    ms = seconds * 1000
    times = ("sent_at", "leased_until", "not_before", "tried_since")
    OutboxEntry.objects.update(**{name: F(name) - ms for name in times})
    ProviderState.objects.update(paused_until=F("paused_until") - ms, run_leased_until=F("run_leased_until") - ms)


def report() -> dict[str, Any]:
    """Return how many tickets are in which delivery, and how many entries are left."""
    from django_support_tickets.models import OutboxEntry, Ticket

    return {
        "delivery": Counter(Ticket.objects.values_list("delivery", flat=True)),
        "entries": OutboxEntry.objects.count(),
        "leased": OutboxEntry.objects.filter(leased_until__isnull=False).count(),
    }


COMMANDS: dict[str, Any] = {
    function.__name__: function for function in (create, drop, raise_tickets, insert_tickets, sweep, age, report)
}

if __name__ == "__main__":
    main()
