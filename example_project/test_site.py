"""How a site tests that its tickets travel: with pytest, against fake vendors over real HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from django_support_tickets.models import Comment, Ticket
from django_support_tickets.outbox.push import push
from django_support_tickets.sync import pull
from django_support_tickets.testing.sandbox import AnkraSandbox, Fault, RipioSandbox, Sandbox

RIPIO = "django_support_tickets.providers.ripio.RipioProvider"
ANKRA = "django_support_tickets.providers.ankra.AnkraProvider"

# Sending needs real commits, as in production: it refuses to run inside a transaction of yours.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def accounts(settings: Any, support_tickets_sandbox: Sandbox) -> None:
    settings.SUPPORT_TICKETS_PROVIDERS = {
        "ripio": {"BACKEND": RIPIO, "OPTIONS": support_tickets_sandbox.ripio.options()},
        "ankra": {"BACKEND": ANKRA, "OPTIONS": support_tickets_sandbox.ankra.options()},
    }


@pytest.fixture
def ripio(support_tickets_sandbox: Sandbox) -> RipioSandbox:
    return support_tickets_sandbox.ripio


@pytest.fixture
def ankra(support_tickets_sandbox: Sandbox) -> AnkraSandbox:
    return support_tickets_sandbox.ankra


def test_a_ticket_reaches_the_vendor(ripio: RipioSandbox) -> None:
    ticket = Ticket.objects.create(
        provider="ripio", customer_id=ripio.CUSTOMER, subject="Deposit missing", description="Since Monday."
    )
    push("ripio")
    ticket.refresh_from_db()
    assert ticket.delivery == "delivered"
    assert ripio.tickets[ticket.remote_id]["summary"] == "Deposit missing"


def test_a_lost_answer_is_not_sent_twice(ripio: RipioSandbox) -> None:
    ripio.fail_next("create", Fault.RESET_AFTER_COMMIT)
    ticket = Ticket.objects.create(
        provider="ripio", customer_id=ripio.CUSTOMER, subject="Deposit missing", description="Since Monday."
    )
    push("ripio")
    ticket.refresh_from_db()
    assert ticket.delivery == "uncertain"
    assert len(ripio.tickets) == 1


def test_the_vendors_answer_arrives(ankra: AnkraSandbox) -> None:
    ticket = Ticket.objects.create(
        provider="ankra", category="technical", subject="Cluster unreachable", description="Nodes are NotReady."
    )
    push("ankra")
    ticket.refresh_from_db()
    ankra.reply(ticket.remote_id, "Please try again.")
    pull("ankra", full=True)
    assert Comment.objects.get(ticket=ticket, author_type="agent").body == "Please try again."


def test_a_webhook_brings_the_number(client: Any, ripio: RipioSandbox, sign_webhook: Any) -> None:
    ticket = Ticket.objects.create(
        provider="ripio", customer_id=ripio.CUSTOMER, subject="Deposit missing", description="Since Monday."
    )
    push("ripio")
    ticket.refresh_from_db()
    ripio.register(ticket.remote_id)

    headers, body = sign_webhook("ripio", ripio.event(ticket.remote_id))
    url = reverse("support_tickets:webhook", args=["ripio"])
    for _ in range(2):  # the second one is a copy: 200, and no effect
        assert client.post(url, body, content_type="application/json", headers=headers).status_code == 200
    assert client.post(url, b"{}", content_type="application/json", headers=headers).status_code == 401

    pull("ripio")
    ticket.refresh_from_db()
    assert ticket.reference == "SUP-1"
