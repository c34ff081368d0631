"""A worker process for tests: `python -m tests.outbox.worker prepare 300`, `… push 4` (threads) or `… watch 4`."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, Unpack

import django
from django.core.management import call_command

from django_support_tickets.providers.base import CommonOptions
from django_support_tickets.providers.local import LocalProvider
from django_support_tickets.records import CommentDraft, CommentRecord, TicketDraft, TicketRecord, TicketRef


class NotedProvider(LocalProvider):
    """Write the key of each ticket and comment that is sent into a file."""

    def __init__(self, alias: str, *, path: str, **common: Unpack[CommonOptions]) -> None:
        super().__init__(alias, **common)
        self.path = path

    def create(self, draft: TicketDraft) -> TicketRecord:
        self._note(draft.key)
        return super().create(draft)

    def add_comment(self, ref: TicketRef, draft: CommentDraft) -> CommentRecord:
        self._note(draft.key)
        return super().add_comment(ref, draft)

    def _note(self, key: str) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, f"{key}\n".encode())
        finally:
            os.close(descriptor)


class WatchedProvider(NotedProvider):
    """Count the calls under way and what is claimed for them; those during `is_writing` wait until all workers call."""

    threads = 1
    most_held = 0
    calls = 0
    lock = threading.Lock()
    is_writing = threading.Event()
    all_call = threading.Event()

    def _note(self, key: str) -> None:
        from django_support_tickets.models import EpochNow, OutboxEntry

        watched = WatchedProvider
        super()._note(key)
        with watched.lock:
            watched.calls += 1
            claimed = OutboxEntry.objects.filter(leased_until__gt=EpochNow(), sent_at=None).count()
            watched.most_held = max(watched.most_held, watched.calls + claimed)
            watched.look()
        if watched.is_writing.is_set():
            watched.all_call.wait(30)
        with watched.lock:
            watched.calls -= 1

    @classmethod
    def look(cls) -> None:
        """Note, under the lock, whether all workers call while an answer is written down."""
        if cls.is_writing.is_set() and cls.calls == cls.threads:
            cls.all_call.set()


def prepare(count: int) -> dict[str, Any]:
    """Make the tables and so many queued rows: two tickets for each comment."""
    from django_support_tickets.models import Comment, OutboxEntry, Ticket

    call_command("migrate", run_syncdb=True, verbosity=0)
    comments = count // 3
    tickets = [Ticket(subject="Deposit missing", provider="noted") for _ in range(count - comments)]
    Ticket.objects.bulk_create(tickets, batch_size=500)
    keys = list(Ticket.objects.order_by("pk").values_list("pk", flat=True))
    Comment.objects.bulk_create([Comment(ticket_id=pk, body="Any news?") for pk in keys[:comments]], batch_size=500)
    entries = [OutboxEntry(ticket_id=pk, provider="noted") for pk in keys]
    OutboxEntry.objects.bulk_create(entries[: len(keys) // 2], batch_size=500)  # the rest is for the sweep
    return {"rows": count}


def push(threads: int) -> dict[str, Any]:
    """Send until nothing is due."""
    from django_support_tickets.outbox.push import push

    counts = push("noted", workers=threads)
    return {"delivered": counts.delivered, "waiting": counts.waiting}


def watch(threads: int) -> dict[str, Any]:
    """Send until nothing is due; who writes the first answer down does not go on until all workers call."""
    from django_support_tickets.models import Ticket
    from django_support_tickets.signals import ticket_delivered
    from tests.outbox.worker import WatchedProvider  # the account's class, of which this script has a double

    overlaps: list[bool] = []

    def receive(**_: Any) -> None:
        if not WatchedProvider.is_writing.is_set():
            with WatchedProvider.lock:
                WatchedProvider.is_writing.set()
                WatchedProvider.look()  # all may have begun just before
            overlaps.append(WatchedProvider.all_call.wait(30))

    WatchedProvider.threads = threads
    ticket_delivered.connect(receive, sender=Ticket)
    return {**push(threads), "most_held": WatchedProvider.most_held, "overlaps": overlaps}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.outbox.site")
    django.setup()
    action = {"prepare": prepare, "push": push, "watch": watch}[sys.argv[1]]
    sys.stdout.write(json.dumps(action(int(sys.argv[2]))) + "\n")


if __name__ == "__main__":
    main()
