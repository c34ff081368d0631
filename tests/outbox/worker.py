"""A worker process for tests: `python -m tests.outbox.worker prepare 300` or `… push 4` (threads)."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Unpack

import django
from django.core.management import call_command

from django_support_tickets.providers.base import CommonOptions
from django_support_tickets.providers.local import LocalProvider
from django_support_tickets.records import TicketDraft, TicketRecord


class NotedProvider(LocalProvider):
    """Write the key of each ticket that is created into a file."""

    def __init__(self, alias: str, *, path: str, **common: Unpack[CommonOptions]) -> None:
        super().__init__(alias, **common)
        self.path = path

    def create(self, draft: TicketDraft) -> TicketRecord:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, f"{draft.key}\n".encode())
        finally:
            os.close(descriptor)
        return super().create(draft)


def prepare(count: int) -> dict[str, Any]:
    """Make the tables and so many queued tickets."""
    from django_support_tickets.models import OutboxEntry, Ticket

    call_command("migrate", run_syncdb=True, verbosity=0)
    tickets = [Ticket(subject="Deposit missing", provider="noted") for _ in range(count)]
    Ticket.objects.bulk_create(tickets, batch_size=500)
    entries = [OutboxEntry(ticket_id=pk, provider="noted") for pk in Ticket.objects.values_list("pk", flat=True)]
    OutboxEntry.objects.bulk_create(entries[: count // 2], batch_size=500)  # the rest is for the sweep
    return {"tickets": len(tickets)}


def push(threads: int) -> dict[str, Any]:
    """Send until nothing is due."""
    from django_support_tickets.outbox.push import push

    counts = push("noted", workers=threads)
    return {"delivered": counts.delivered, "waiting": counts.waiting}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.outbox.site")
    django.setup()
    action = {"prepare": prepare, "push": push}[sys.argv[1]]
    sys.stdout.write(json.dumps(action(int(sys.argv[2]))) + "\n")


if __name__ == "__main__":
    main()
