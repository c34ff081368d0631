"""Erasures and prunings that are killed half-way, and run again: `python -m tests.management.cut_off`.

Each dies in a process of its own at a named point; the next run has to complete it. Prints as JSON what is left.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import django
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connections
from django.utils import timezone

from tests.simulator.points import Point, ending

CANARY = "canary"
YOUNG, OLD = "young", "old"
#: For `prune`, more than are deleted at once.
WEBHOOKS = {"erase": 3, "prune": 600}
#: Where to die, and at which passing: amid a ticket's files, amid its transaction, between two tickets, near the end.
POINTS = {
    "erase": (
        ("attachments/storing.py:discard:return", 1),
        ("management/erasure.py:_delete_files:return", 2),
        ("management/erasure.py:_redact:call", 2),
        ("management/erasure.py:_redact:return", 2),
        ("management/erasure.py:_erase_ticket:return", 3),
        ("management/erasure.py:_forget_elsewhere:call", 1),
    ),
    "prune": (
        ("management/pruning.py:_delete:return", 1),
        ("attachments/cleanup.py:delete_file_after_commit:return", 3),
        ("attachments/storing.py:discard:call", 1),
        ("management/pruning.py:_delete_ticket:return", 2),
        ("attachments/cleanup.py:_is_older:return", 1),
    ),
}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.outbox.site")
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    sys.stdout.write(json.dumps(list(ordeals())))


def ordeals() -> Iterator[dict[str, Any]]:
    from django.conf import settings

    settings.SUPPORT_TICKETS_RETENTION = {"webhook_deliveries": 30, "tickets": 30, "drafts": 30}
    for command, points in POINTS.items():
        for point, after in points:
            fill(webhooks=WEBHOOKS[command])
            is_killed = die(command, Point.named(point), after=after)
            half = [rows(), len(files())]
            yield {
                "command": command,
                "point": f"{point} {after}",
                "killed": is_killed,
                "half": half,
                "report": run(command),
                **left_over(command),
            }


def fill(*, webhooks: int) -> None:
    """Store what belongs to jo and sam, and what is older than its retention."""
    from django.contrib.auth import get_user_model

    from django_support_tickets.models import Attachment, Comment, Ticket, WebhookDelivery

    users = get_user_model().objects
    for manager in (Ticket.objects, WebhookDelivery.objects, users):
        manager.all().delete()
    for name in files():
        (folder() / name).unlink()
    jo, sam = (users.create_user(name) for name in ("jo", "sam"))
    for number in range(3):
        store(jo, CANARY, delivery="delivered", remote_id=f"R-{number}", reference=f"SUP-{number}")
        store(jo, CANARY, delivery="draft")
    store(jo, CANARY, delivery="uncertain")
    store(sam, YOUNG, delivery="delivered", remote_id="S-1", author=jo)
    for number in range(3):
        store(None, OLD, delivery="delivered", remote_id=f"old-{number}", status="closed")
    then = ago()
    Ticket.objects.filter(subject=OLD).update(updated_at=then)
    for model in (Attachment, Comment):
        model.objects.filter(ticket__subject=OLD).update(updated_at=then)
    orphan = storages["support_tickets"].save(f"0a/0a{'0' * 30}", ContentFile(b"x"))
    grow_old([orphan])
    received = [WebhookDelivery(provider="local", identity=f"{OLD}{n}", received_at=then) for n in range(webhooks)]
    WebhookDelivery.objects.bulk_create(received)


def store(user: Any, text: str, *, author: Any = None, **values: Any) -> None:
    """Store a ticket with two files, a comment, an event and a webhook, which all say `text`."""
    from django_support_tickets.models import Attachment, Comment, Ticket, TicketEvent, WebhookDelivery

    facts = {"provider": "local", "subject": text, "description": text, "contact_name": text, "requester": user}
    (ticket,) = Ticket.objects.bulk_create([Ticket(**facts, **values)])
    for _ in range(2):
        file = Attachment(ticket=ticket, name=f"{text}.pdf", delivery="delivered", size=1)
        file.file.save(file.name, ContentFile(b"x"), save=False)
        Attachment.objects.bulk_create([file])
    words = {"body": text, "author_name": text, "delivery": "delivered", "created_by": author or user}
    Comment.objects.bulk_create([Comment(ticket=ticket, **words)])
    TicketEvent.objects.create(ticket=ticket, kind="changed", source="pull", actor=author, changes={"subject": text})
    WebhookDelivery.objects.create(provider="local", identity=str(ticket.key), remote_id=values.get("remote_id", ""))


def die(command: str, point: Point, *, after: int) -> bool:
    """Run a command in a process that kills itself at a point; return whether it has."""
    connections.close_all()  # two processes must not share them
    pid = os.fork()
    if not pid:
        with ending(point, lambda: os.kill(os.getpid(), signal.SIGKILL), after=after):
            run(command)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def run(command: str) -> dict[str, Any]:
    """Run a command; return its report."""
    output = StringIO()
    call_command(f"support_tickets_{command}", *(["jo"] if command == "erase" else []), "--json", stdout=output)
    report: dict[str, Any] = json.loads(output.getvalue())
    return report


def left_over(command: str) -> dict[str, Any]:
    """Return what is left a day later; a run of `prune` finds the files that have lost their rows."""
    from django_support_tickets.models import Attachment, Comment

    if command == "prune":
        grow_old(files())
        run(command)
    dump = StringIO()
    call_command("dumpdata", "support_tickets", stdout=dump)
    stored, known = set(files()), set(Attachment.objects.exclude(file="").values_list("file", flat=True))
    return {
        "canaries": dump.getvalue().count(CANARY),
        "old": old_rows(),
        "others": Comment.objects.filter(body=YOUNG, ticket__subject=YOUNG).count(),
        "named": Comment.objects.filter(created_by__username="jo").count(),
        "files": len(stored),
        "orphans": len(stored - known),
        "missing": len(known - stored),
    }


def old_rows() -> int:
    from django_support_tickets.models import Ticket, WebhookDelivery

    tickets, webhooks = Ticket.objects.filter(subject=OLD), WebhookDelivery.objects.filter(identity__startswith=OLD)
    return tickets.count() + webhooks.count()


def rows() -> int:
    from django_support_tickets.models import Attachment, Comment, Ticket, WebhookDelivery

    return sum(model.objects.count() for model in (Ticket, Comment, Attachment, WebhookDelivery))


def ago() -> datetime:
    """Return a moment that is longer ago than anything is kept."""
    return timezone.now() - timedelta(days=31)


def grow_old(names: list[str]) -> None:
    """Let files be so old that they should have their row by now."""
    for name in names:
        os.utime(folder() / name, times=(time.time() - 90_000,) * 2)


def folder() -> Path:
    return Path(os.environ["SUPPORT_TICKETS_TEST_FILES"])


def files() -> list[str]:
    return [str(path.relative_to(folder())) for path in folder().rglob("*") if path.is_file()]


if __name__ == "__main__":
    main()
