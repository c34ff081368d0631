"""The admin before vendors that answer over real HTTP: nothing of a request waits for them inside its transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client

from django_support_tickets.models import Attachment, Delivery, Ticket
from django_support_tickets.records import Status
from django_support_tickets.sync import pull
from django_support_tickets.testing.sandbox import Sandbox
from tests.admin.conftest import PNG, said, url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("atomic_requests")]
Make = Callable[..., Any]
BACKENDS = "django_support_tickets.providers"


@pytest.fixture
def atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every view that does not say otherwise runs in a transaction, as on a site with ATOMIC_REQUESTS."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)


@pytest.fixture
def vendors(sandbox: Sandbox, settings: Any) -> Sandbox:
    options = sandbox.options()
    options["ankra"]["rate"] = 50
    settings.SUPPORT_TICKETS_PROVIDERS = {
        "ankra": {"BACKEND": f"{BACKENDS}.ankra.AnkraProvider", "OPTIONS": options["ankra"]},
        "verifik": {"BACKEND": f"{BACKENDS}.verifik.VerifikProvider", "OPTIONS": options["verifik"]},
    }
    return sandbox


def requests_of(vendors: Sandbox) -> list[str]:
    """Return which operations the vendors have been asked for."""
    return [entry.operation for vendor in vendors.vendors.values() for entry in vendor.ledger]


def raise_ticket(client: Client) -> Ticket:
    values = {"subject": "Node down", "description": "Since noon.", "category": "technical", "_submit": ""}
    picture = SimpleUploadedFile("a.png", PNG)
    assert client.post(f"{url('add')}?account=ankra", {**values, "uploads": [picture]}).status_code == 302
    return Ticket.objects.get()


def test_without_a_dispatcher_nothing_goes_out(client: Client, vendors: Sandbox) -> None:
    ticket = raise_ticket(client)
    for name in ("send", "sync", "close", "cancel", "raise_again"):
        said(client.post(url(name, ticket.pk)))
    assert requests_of(vendors) == []


def test_inline_everything_goes_out_after_the_commit(client: Client, vendors: Sandbox, settings: Any) -> None:
    settings.SUPPORT_TICKETS_DISPATCHER = "inline"
    ticket = raise_ticket(client)
    ticket.refresh_from_db()
    assert (ticket.delivery, ticket.attachments.get().delivery) == (Delivery.DELIVERED, Delivery.DELIVERED)
    assert ticket.remote_id
    vendors.ankra.reply(ticket.remote_id, "Which version?")
    said(client.post(url("sync", ticket.pk)))
    assert ticket.comments.get().body == "Which version?"
    said(client.post(url("reply", ticket.pk), {"body": "1.31.2"}))
    assert ticket.comments.get(body="1.31.2").delivery == Delivery.DELIVERED
    said(client.post(url("close", ticket.pk)))
    said(client.post(url("changelist"), {"action": "sync_selected", "_selected_action": [ticket.pk]}))
    assert vendors.ankra.tickets[ticket.remote_id]["status"] == "closed"


def test_a_vendors_file_is_fetched_outside_the_transaction(client: Client, vendors: Sandbox, make_ticket: Make) -> None:
    remote_id = vendors.verifik.add_ticket()
    document = vendors.verifik.add_file("receipt.png", PNG, "image/png")
    vendors.verifik.reply(remote_id, "See the receipt.", attachments=[document])
    ticket = make_ticket(provider="verifik", remote_id=remote_id, status=Status.OPEN)
    said(client.post(url("sync", ticket.pk)))
    pull("verifik")
    file = ticket.attachments.get()
    assert file.state == Attachment.State.REMOTE
    assert "Stored" in said(client.post(url("fetch_file", ticket.pk, file.key)))
    answer: Any = client.get(url("file", ticket.pk, file.key))
    assert b"".join(answer.streaming_content) == PNG
