"""Ids in a query or a body: others' are as good as none. The path is test_access's."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from rest_framework.test import APIClient

from django_support_tickets.api.filters import TicketFilter
from django_support_tickets.models import Comment, Ticket
from tests.api.conftest import ALL_PERMISSIONS, client_of, staff
from tests.api.test_access import PARTS, ROUTES, Door, address, call, file_of, routes_of_the_urlconf, rows_of, ticket_of

User = get_user_model()

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

MODELS = (Ticket, *PARTS)
#: What a request says by itself, and what is no id.
SAID = {"subject", "description", "body", "file", "files", "draft", "tags", "options", "status", "delivery"}
SAID |= {"exists", "send_again", "created_at", "updated_at", "priority", "provider", "category"}
NAMES = {name for model in MODELS for field in model._meta.concrete_fields for name in (field.name, field.attname)}
NAMES |= {"pk", "ticket_key", "comment_key", "attachment", "file_key", "event", "user", "user_id", "owner", "account"}
NAMES |= {"customer", "requester_username", "about", "item", "search", "cursor_key", "created_by__id", "ticket__key"}
NAMES -= SAID
CASES = [(route, method) for route, doors in ROUTES.items() for method in doors]


@pytest.fixture
def stranger(db: None) -> User:
    return User.objects.create_user("stranger")


@pytest.fixture
def theirs(stranger: User) -> Ticket:
    """A ticket of somebody else with a comment, a file and everything that a name can lead to."""
    ticket = ticket_of(stranger, {"delivery": "delivered", "remote_id": "R-"})
    kind = ContentType.objects.get_for_model(User)
    Ticket.objects.filter(pk=ticket.pk).update(
        reference="SUP-7", customer_id="C-7", contact_email="c@example.com", about_type=kind, about_id=str(stranger.pk)
    )
    Comment.objects.bulk_create([Comment(ticket=ticket, body="Secret", created_by=stranger)])
    file_of(ticket)
    ticket.refresh_from_db()
    return ticket


def pairs(theirs: Ticket) -> Iterator[tuple[Any, Any]]:
    """Return each id of theirs beside one like it that nobody has."""
    comment, file = theirs.comments.get(), theirs.attachments.get()
    for row in (theirs, comment, file):
        yield str(row.key), str(uuid.uuid4())
    yield theirs.pk, theirs.pk + 10**6
    user = theirs.requester_id
    yield (user, user + 10**6) if isinstance(user, int) else (str(user), str(uuid.uuid4()))
    yield theirs.reference, "SUP-8"
    yield theirs.remote_id, "R-nobody"
    yield theirs.customer_id, "C-8"
    yield theirs.contact_email, "d@example.com"
    label = User._meta.label_lower
    yield f"{label}:{theirs.about_id}", f"{label}:0"


def said(answer: Any) -> Any:
    """Return an answer without what each new row has of its own."""
    if answer.streaming or not answer.content:
        return answer.status_code, b"".join(answer)
    own = {"key", "created_at", "updated_at", "submitted_at"}
    found = json.loads(answer.content, object_hook=lambda row: {k: v for k, v in row.items() if k not in own})
    return answer.status_code, found


def ask(client: APIClient, route: str, method: str, user: Any, *, query: Any = None, body: Any = None) -> Any:
    door = ROUTES[route][method]
    where = address(
        routes_of_the_urlconf()[route], "own", route=route, values=door.ticket, user=user, stranger=user
    ) + (f"?{urlencode(query)}" if query else "")
    data = {**(body or {}), **door.data()}
    asked = Door(**{**vars(door), "data": lambda: data}) if method in ("POST", "PATCH") else door
    return call(client, method, where, asked)


@pytest.mark.fault(79, 80)
@pytest.mark.parametrize(("route", "method"), CASES, ids=lambda part: part)
def test_others_ids_are_as_good_as_none(
    route: str, method: str, customer: User, as_customer: APIClient, theirs: Ticket
) -> None:
    before = rows_of(theirs.requester)
    for foreign, missing in pairs(theirs):
        for part in ("query", "body"):
            with_foreign = ask(as_customer, route, method, customer, **{part: dict.fromkeys(NAMES, foreign)})
            Ticket.objects.filter(requester=customer).delete()
            with_missing = ask(as_customer, route, method, customer, **{part: dict.fromkeys(NAMES, missing)})
            Ticket.objects.filter(requester=customer).delete()
            assert said(with_foreign) == said(with_missing), (part, foreign)
            assert "Secret" not in str(said(with_foreign))
    assert rows_of(theirs.requester) == before


@pytest.mark.fault(79)
@pytest.mark.parametrize("role", ["customer", "staff in a scope"])
@pytest.mark.parametrize("name", [*TicketFilter.base_filters, "key", "ordering", "cursor", "format"])
def test_no_filter_tells_of_others(role: str, name: str, customer: User, theirs: Ticket, settings: Any) -> None:
    settings.SUPPORT_TICKETS_TICKET_SCOPE = lambda user: Ticket.objects.filter(requester=customer)
    client = client_of(customer if role == "customer" else staff("agent", *ALL_PERMISSIONS))
    ticket_of(customer, {})
    values = [found for pair in pairs(theirs) for found in pair]
    with_theirs = [client.get("/api/tickets/", {name: value}) for value in values]
    Ticket.objects.filter(pk=theirs.pk).delete()
    without = [client.get("/api/tickets/", {name: value}) for value in values]
    for first, second in zip(with_theirs, without, strict=True):
        assert (first.status_code, first.content) == (second.status_code, second.content), name


@pytest.mark.fault(80)
def test_no_conflict_tells_of_others(customer: User, theirs: Ticket, settings: Any) -> None:
    settings.SUPPORT_TICKETS_TICKET_SCOPE = lambda user: Ticket.objects.filter(requester=customer)
    ticket = ticket_of(customer, {"delivery": "uncertain"})
    client, data = client_of(staff("agent", *ALL_PERMISSIONS)), {"exists": theirs.remote_id}
    answer = client.post(f"/api/tickets/{ticket.key}/settle/", data, format="json")
    assert (answer.status_code, answer.json()) == (400, {"exists": ["Something else has this remote id."]})
