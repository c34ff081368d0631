"""What the demo does, in the words that a project of yours would use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
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

    step("The vendors work: Ripio registers, Moov and Ankra answer, Verifik starts. Then fetch again.")
    vendors_work(sandbox)
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


def vendors_work(sandbox: Sandbox) -> None:
    sandbox.ripio.process_pending()
    for remote_id in remote_ids("moov"):
        sandbox.moov.reply(remote_id, "We are looking into it.")
    for remote_id in remote_ids("ankra"):
        sandbox.ankra.reply(remote_id, "Please try again.")
        sandbox.ankra.set_status(remote_id, "waiting_customer")
    for remote_id in remote_ids("verifik"):
        sandbox.verifik.set_status(remote_id, "in_progress")


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
