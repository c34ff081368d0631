"""What the demo does, in the words that a project of yours would use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application
from django.db import transaction

from django_support_tickets.models import Attachment, Comment, Ticket
from django_support_tickets.testing.sandbox import Sandbox

COLUMNS = ("account", "our key", "remote id", "reference", "delivery", "status")


def tell(sandbox: Sandbox, fault: Any, picture: bytes) -> None:
    """Raise tickets at every vendor, deliver them, let the vendors answer, fetch the answers, print the result."""
    step("Raise a ticket at each vendor; the file travels because it is created in the same transaction.")
    raise_tickets(sandbox, picture)
    step("Send and fetch: manage.py sync_tickets")
    sync()

    step("The connection to Ripio breaks after Ripio has stored the ticket: nobody can know, so nothing is doubled.")
    sandbox.ripio.fail_next("create", fault.RESET_AFTER_COMMIT)
    Ticket.objects.create(
        provider="ripio",
        customer_id=sandbox.ripio.CUSTOMER,
        subject="Withdrawal not credited",
        description="Sent at 10:12, not there at 12:00.",
    )
    sync()

    step("Ripio registers and Moov answers: their signed webhooks arrive, and each makes its ticket due.")
    with site() as address:
        sandbox.ripio.webhook_url = f"{address}/support-tickets/webhooks/ripio/"
        sandbox.moov.webhook_url = f"{address}/support-tickets/webhooks/moov/"
        sandbox.ripio.process_pending()
        for remote_id in remote_ids("moov"):
            sandbox.moov.reply(remote_id, "We are looking into it.")
        for vendor in (sandbox.ripio, sandbox.moov):
            print(f"  {vendor.name}: answered {vendor.deliver_webhooks()}")
    sync()
    for ticket in Ticket.objects.of("ripio").exclude(reference=""):
        print(f"  Ripio's webhook came: {ticket.remote_id} is registered as {ticket.reference}")

    step("Ankra asks back and Verifik starts; they send no webhooks, so look at all that is open.")
    for remote_id in remote_ids("ankra"):
        sandbox.ankra.reply(remote_id, "Please try again.")
        sandbox.ankra.set_status(remote_id, "waiting_customer")
    for remote_id in remote_ids("verifik"):
        sandbox.verifik.set_status(remote_id, "in_progress")
    sync("--full")

    step("The result")
    print_table()
    for ticket in Ticket.objects.exclude(delivery_error=""):
        print(f"  {ticket.provider} {ticket.delivery}: {ticket.delivery_error}")


def raise_tickets(sandbox: Sandbox, picture: bytes) -> None:
    with transaction.atomic():
        ticket = Ticket.objects.create(
            provider="ripio",
            customer_id=sandbox.ripio.CUSTOMER,
            subject="Deposit missing",
            description="The receipt is attached.",
        )
        Attachment.objects.create(ticket=ticket, file=ContentFile(picture, name="receipt.png"))
    Ticket.objects.create(
        provider="ripio",
        customer_id=sandbox.ripio.CUSTOMER_WITHOUT_EMAIL,
        subject="Card blocked",
        description="This customer has no e-mail at Ripio, which Ripio refuses.",
    )
    Ticket.objects.create(
        provider="moov",
        customer_id="acct-1",
        contact_name="Ana Lima",
        contact_email="ana@example.com",
        subject="Transfer stuck",
        description="Pending for two days.",
    )
    Ticket.objects.create(
        provider="verifik",
        category="technical",
        priority="high",
        subject="Liveness check fails",
        description="HTTP 500 since this morning.",
    )
    Ticket.objects.create(
        provider="ankra", category="technical", subject="Cluster unreachable", description="Nodes are NotReady."
    )


@contextmanager
def site() -> Iterator[str]:
    """Serve the example site on a free port, for the vendors to send their webhooks to."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietHandler)
    server.set_app(get_wsgi_application())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class QuietHandler(WSGIRequestHandler):
    """Answer without a line per request."""

    def log_message(self, format: str, *args: Any) -> None:
        return


def remote_ids(alias: str) -> Iterator[str]:
    for remote_id in Ticket.objects.of(alias).values_list("remote_id", flat=True):
        if remote_id:
            yield remote_id


def sync(*options: str) -> None:
    """Run sync_tickets; it says by its exit code that something needs a person, which the demo shows on purpose."""
    try:
        call_command("sync_tickets", *options)
    except (CommandError, SystemExit) as end:
        print(f"  exit code {getattr(end, 'returncode', getattr(end, 'code', 1))}: something needs a person")


def print_table() -> None:
    rows = [
        (
            ticket.provider,
            str(ticket.key),
            ticket.remote_id or "–",
            ticket.reference or "–",
            ticket.get_delivery_display(),
            ticket.get_status_display() if ticket.remote_id else "–",
        )
        for ticket in Ticket.objects.order_by("provider", "id")
    ]
    widths = [max(len(str(row[column])) for row in [COLUMNS, *rows]) for column in range(len(COLUMNS))]
    for row in [COLUMNS, tuple("─" * width for width in widths), *rows]:
        print("  " + "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    answers = Comment.objects.count()
    print(f"\n  {len(rows)} tickets, {answers} answers from vendors, {Attachment.objects.count()} file sent\n")


def step(title: str, show: Callable[[str], None] = print) -> None:
    show(f"\n▸ {title}")
