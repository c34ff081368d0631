from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from rest_framework.test import APIClient

from django_support_tickets.models import Attachment, Comment, OutboxEntry, Ticket, TicketEvent
from tests.api import desk

User = get_user_model()

LOCAL = "django_support_tickets.providers.local.LocalProvider"
BASE = "/api"


@pytest.fixture(autouse=True)
def accounts(settings: Any) -> None:
    """Two accounts: "local", which takes everything, and "desk", which wants a lot."""
    settings.SUPPORT_TICKETS_PROVIDERS = {
        "local": {"BACKEND": LOCAL},
        "desk": {"BACKEND": desk.BACKEND, "OPTIONS": {"secret": "canary-secret"}},
    }
    settings.SUPPORT_TICKETS_QUOTA = None


@pytest.fixture(autouse=True)
def content_types() -> Iterator[None]:
    """Let the cache of content types, which lives as long as the process, not hide a query."""
    yield
    ContentType.objects.clear_cache()


def client_of(user: User | None) -> APIClient:
    """Return a client whose requests somebody else has authenticated, as with a token."""
    client = APIClient()
    if user is not None:
        client.force_authenticate(user)
    return client


def staff(name: str, *codenames: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="support_tickets", codename__in=codenames)
    )
    return User.objects.get(pk=user.pk)


ALL_PERMISSIONS = (
    "view_ticket",
    "add_ticket",
    "change_ticket",
    "delete_ticket",
    "sync_ticket",
    "settle_ticket",
    "add_comment",
    "add_attachment",
    "view_attachment",
)


@pytest.fixture
def customer(db: None) -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def other(db: None) -> User:
    return User.objects.create_user("bob")


@pytest.fixture
def agent(db: None) -> User:
    return staff("agent", *ALL_PERMISSIONS)


@pytest.fixture
def as_customer(customer: User) -> APIClient:
    return client_of(customer)


@pytest.fixture
def as_other(other: User) -> APIClient:
    return client_of(other)


@pytest.fixture
def as_agent(agent: User) -> APIClient:
    return client_of(agent)


@pytest.fixture
def stored(customer: User) -> Callable[..., Ticket]:
    """Store a ticket as it is, without submitting it."""

    def make(**values: Any) -> Ticket:
        values = {"provider": "local", "subject": "Deposit missing", "requester": customer, **values}
        return Ticket.objects.bulk_create([Ticket(**values)])[0]

    return make


@pytest.fixture
def delivered(stored: Callable[..., Ticket]) -> Callable[..., Ticket]:
    """Store a ticket that its vendor has."""

    def make(remote_id: str = "R-1", **values: Any) -> Ticket:
        return stored(**{"remote_id": remote_id, "delivery": "delivered", "status": "open", **values})

    return make


@pytest.fixture
def everything(customer: User, agent: User) -> Ticket:
    """A ticket whose every column that is not for customers holds a canary."""
    ticket = Ticket.objects.bulk_create(
        [
            Ticket(
                provider="local",
                subject="Deposit missing",
                requester=customer,
                delivery="refused",
                delivery_error="canary-reason [20061] (request 77)",
                remote_id="canary-remote",
                remote_status="canary-status",
                customer_id="canary-customer",
                raw={"agent": "canary-agent@vendor.example"},
                digest="canary-digest",
                request_digest="canary-request",
                about_id="canary-about",
                reference="SUP-1",
            )
        ]
    )[0]
    comment = Comment.objects.bulk_create(
        [
            Comment(
                ticket=ticket,
                body="We look into it.",
                author_type="agent",
                author_name="Eve <canary-eve@vendor.example>",
                remote_id="canary-comment",
                delivery="refused",
                delivery_error="canary-comment-error",
                request_digest="canary-comment-request",
            )
        ]
    )[0]
    Attachment.objects.bulk_create(
        [
            Attachment(
                ticket=ticket,
                comment=comment,
                name="receipt.txt",
                remote_id="canary-file",
                remote_url="https://vendor.example/canary-url",
                file="canary-path",
                sha256="canary-sha",
                error="canary-file-error",
                delivery="refused",
                delivery_error="canary-file-delivery",
                request_digest="canary-file-request",
                state="quarantined",
            )
        ]
    )
    for kind in TicketEvent.Kind:
        changes = {"status": ["open", "closed"], "remote_id": "canary-event", "remote_status": ["a", "canary-old"]}
        TicketEvent.objects.create(
            ticket=ticket, kind=kind, source="admin", actor=agent, changes={**changes, "reason": "canary-why"}
        )
    OutboxEntry.objects.create(
        ticket=ticket, provider="local", last_error="canary-outbox", request_id="canary-id", sent_at=1
    )
    return ticket
