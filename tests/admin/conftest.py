from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from django_support_tickets.models import Comment, Delivery, OutboxEntry, Ticket

PNG = b"\x89PNG\r\n\x1a\n0000"
#: Accounts whose forms differ; nothing of them is called.
ACCOUNTS = {
    "local": {"BACKEND": "django_support_tickets.providers.local.LocalProvider"},
    "ripio": {
        "BACKEND": "django_support_tickets.providers.ripio.RipioProvider",
        "OPTIONS": {"base_url": "https://ripio.invalid", "client_id": "a", "client_secret": "b"},
    },
    "moov": {
        "BACKEND": "django_support_tickets.providers.moov.MoovProvider",
        "OPTIONS": {"public_key": "a", "secret_key": "b"},
    },
    "ankra": {
        "BACKEND": "django_support_tickets.providers.ankra.AnkraProvider",
        "OPTIONS": {"token": "a", "organisation_id": "00000000-0000-0000-0000-000000000001"},
    },
}


def url(name: str, *args: Any) -> str:
    """Return the address of one of the ticket admin's pages."""
    return reverse(f"admin:support_tickets_ticket_{name}", args=args)


def said(answer: Any) -> str:
    """Return the messages that an answer leaves for the next page, without loading it."""
    assert answer.status_code == 302
    return " ".join(map(str, get_messages(answer.wsgi_request)))


def text_of(answer: Any) -> str:
    """Return a page as text."""
    return str(answer.content.decode())


@pytest.fixture
def accounts(settings: Any) -> None:
    settings.SUPPORT_TICKETS_PROVIDERS = ACCOUNTS


@pytest.fixture
def agent(db: None) -> Any:
    people: Any = get_user_model()
    return people.objects.create_superuser("agent", "agent@example.com", "secret")


@pytest.fixture
def client(agent: Any) -> Client:
    """A browser in which an agent who may do everything is logged in."""
    client = Client()
    client.force_login(agent)
    return client


@pytest.fixture
def staff(db: None) -> Callable[..., Client]:
    """Make a browser in which a member of staff with these permissions is logged in."""
    people: Any = get_user_model()

    def make(*codenames: str) -> Client:
        user = people.objects.create_user(f"staff-{people.objects.count()}", is_staff=True)
        found = Permission.objects.filter(content_type__app_label="support_tickets", codename__in=codenames)
        assert found.count() == len(set(codenames))
        user.user_permissions.set(found)
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def make_ticket(db: None) -> Callable[..., Ticket]:
    """Make a ticket that is in any state, without anybody having sent it."""

    def make(**values: Any) -> Ticket:
        delivery = values.pop("delivery", Delivery.DELIVERED)
        if delivery == Delivery.DELIVERED:
            values.setdefault("remote_id", f"r-{Ticket.objects.count()}")
        made = {"provider": "local", "subject": "Deposit missing", "description": "Since noon.", **values}
        ticket = Ticket.objects.bulk_create([Ticket(delivery=delivery, **made)])[0]
        ticket = Ticket.objects.get(key=ticket.key)
        if delivery == Delivery.QUEUED:
            OutboxEntry.objects.create(ticket=ticket, provider=ticket.provider)
        return ticket

    return make


@pytest.fixture
def make_comment(db: None) -> Callable[..., Comment]:
    def make(ticket: Ticket, **values: Any) -> Comment:
        comment = Comment(ticket=ticket, **{"body": "Any news?", "delivery": Delivery.DELIVERED, **values})
        Comment.objects.bulk_create([comment])
        return Comment.objects.get(key=comment.key)

    return make
