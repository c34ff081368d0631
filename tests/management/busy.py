"""A site at work while a user is erased again and again and old rows are pruned: `python -m tests.management.busy 40`.

Prints as JSON what is left of the user, and what became of everybody else.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import django
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db import connections, transaction
from django.utils import timezone

from django_support_tickets.providers.local import LocalProvider
from django_support_tickets.records import Capabilities, CommentRecord, Status, TicketDraft, TicketRecord, TicketRef
from tests.outbox.worker import NotedProvider

CANARY = "canary"
OLD_ROWS = 100


class ChattyProvider(NotedProvider):
    """A vendor that repeats what it was told whenever it is asked."""

    told: dict[str, str] = {}
    seconds = 0.005

    def __init__(self, alias: str, **options: Any) -> None:
        super().__init__(alias, **options)
        files = LocalProvider.capabilities.attachments
        self.capabilities = Capabilities(can_find=True, can_comment=True, attachments=files)

    def create(self, draft: TicketDraft) -> TicketRecord:
        self.told[draft.key] = draft.description
        time.sleep(self.seconds)
        return super().create(draft)

    def get(self, ref: TicketRef) -> TicketRecord:
        time.sleep(self.seconds)
        text = self.told[ref.remote_id]
        comments = (CommentRecord(remote_id=f"c{ref.remote_id}", body=text),)
        return TicketRecord(
            remote_id=ref.remote_id, status=Status.OPEN, resolution=text, comments=comments, raw={"text": text}
        )


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.outbox.site")
    django.setup()
    sys.stdout.write(json.dumps(live(int(sys.argv[1]))))


def live(count: int) -> dict[str, Any]:
    """Raise so many tickets of each user, send, fetch, erase and prune at once, then let all come to an end."""
    from django.conf import settings
    from django.contrib.auth import get_user_model

    from django_support_tickets.management.erasure import erase
    from django_support_tickets.management.pruning import prune

    call_command("migrate", run_syncdb=True, verbosity=0)
    settings.SUPPORT_TICKETS_RETENTION = {"webhook_deliveries": 1, "tickets": 1, "events": None}
    jo, sam = (get_user_model().objects.create_user(name) for name in ("jo", "sam"))
    fill_with_old_rows()
    work = Work()
    customers = [work.start(work.raising(user, text, count)) for user, text in ((jo, CANARY), (sam, "harmless"))]
    for action in (work.push, work.push, work.pull):
        work.start(action)
    erased = pruned = 0
    # What is in flight is left to the next time, so that the first ones may find nothing.
    while not erased or any(customer.is_alive() for customer in customers):
        result = erase(jo, using="default")
        erased += result.removed + result.redacted
        pruned += sum(prune(using="default").removed.values())
    work.end()
    last = erase(jo, using="default")
    pruned += sum(prune(using="default").removed.values())
    return {
        "errors": work.errors,
        "erased": erased,
        "complete": last.is_complete,
        "pruned": pruned,
        "copies": [copy.remote_id for copy in last.vendor_copies],
        **left_over(sam),
    }


def fill_with_old_rows() -> None:
    """Store rows that are older than their retention."""
    from django_support_tickets.models import Ticket, WebhookDelivery

    then = timezone.now() - timedelta(days=9)
    WebhookDelivery.objects.bulk_create(
        [WebhookDelivery(provider="noted", identity=str(n), received_at=then) for n in range(OLD_ROWS)]
    )
    facts = {"provider": "noted", "subject": "S", "delivery": "delivered", "status": "closed", "created_at": then}
    Ticket.objects.bulk_create([Ticket(**facts, remote_id=f"old-{n}") for n in range(OLD_ROWS)])
    Ticket.objects.update(updated_at=then)


def left_over(sam: Any) -> dict[str, Any]:
    """Return what is left of jo, which files have no row, and how sam's tickets fared."""
    from django_support_tickets.models import Attachment, Ticket

    dump = StringIO()
    call_command("dumpdata", "support_tickets", stdout=dump)
    folder = Path(os.environ["SUPPORT_TICKETS_TEST_FILES"])
    stored = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    tickets = Ticket.objects.filter(requester=sam)
    return {
        "canaries": dump.getvalue().count(CANARY),
        "orphans": len(stored - set(Attachment.objects.values_list("file", flat=True))),
        "old": Ticket.objects.filter(remote_id__startswith="old-").count(),
        "deliveries": Counter(tickets.values_list("delivery", flat=True)),
        "keys": [str(key) for key in tickets.values_list("key", flat=True)],
    }


class Work:
    """What a site does all day, each in a thread of its own."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._threads: list[threading.Thread] = []
        self._closed = False

    def start(self, action: Callable[[], bool]) -> threading.Thread:
        """Repeat an action until it returns False."""

        def run() -> None:
            try:
                while action():
                    time.sleep(0.001)
            except Exception as error:
                self.errors.append("".join(traceback.format_exception(error)))
            finally:
                connections.close_all()

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()
        return self._threads[-1]

    def end(self) -> None:
        """Wait until all that was raised is sent."""
        self._closed = True
        for thread in self._threads:
            thread.join()

    def raising(self, user: Any, text: str, count: int) -> Callable[[], bool]:
        from django_support_tickets.models import Attachment, Comment, Ticket

        left = iter(range(count, 0, -1))

        def raise_one() -> bool:
            with transaction.atomic():
                ticket = Ticket.objects.create(subject=text, description=text, contact_name=text, requester=user)
                Attachment.objects.create(ticket=ticket, name="a.pdf", file=ContentFile(b"%PDF-1.4 x", name="a.pdf"))
                Comment.objects.create(ticket=ticket, body=text, created_by=user)
            time.sleep(0.03)
            return next(left) > 1

        return raise_one

    def push(self) -> bool:
        from django_support_tickets.models import OutboxEntry
        from django_support_tickets.outbox.push import push

        push("noted", workers=2)
        return not self._closed or OutboxEntry.objects.exists()

    def pull(self) -> bool:
        from django_support_tickets.sync import hint_all, pull

        hint_all("noted")
        pull("noted", workers=2)
        return not self._closed


if __name__ == "__main__":
    main()
