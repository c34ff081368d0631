"""What is for agents is nowhere in what a customer can get hold of."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from rest_framework.settings import api_settings
from rest_framework.test import APIClient

from django_support_tickets.models import Ticket, TicketEvent

User = get_user_model()

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

CANARY = "canary"


@pytest.fixture
def ticket(everything: Ticket) -> Ticket:
    return everything


def paths_of(ticket: Ticket) -> list[str]:
    file = ticket.attachments.get()
    base = f"/api/tickets/{ticket.key}/"
    parts = ("", "comments/", "attachments/", "events/", f"attachments/{file.key}/content/")
    actions = ("submit/", "close/", "refresh/", "settle/")
    return ["/api/tickets/", "/api/providers/", *(base + part for part in (*parts, *actions))]


@pytest.mark.fault(82)
@pytest.mark.parametrize("method", ["get", "options", "post", "patch", "delete"])
def test_nothing_of_it_reaches_a_customer(ticket: Ticket, as_customer: APIClient, method: str) -> None:
    for path in paths_of(ticket):
        for query in ("", "?format=api", "?format=json", "?ordering=raw", "?search=canary", "?remote_id=canary-remote"):
            body: Any = {} if method == "get" else {"data": {}, "format": "json"}
            answer = getattr(as_customer, method)(path + query, **body)
            seen = b"".join(answer.streaming_content) if answer.streaming else answer.content
            seen += repr(dict(answer.headers)).encode()
            assert CANARY not in seen.decode(), (method, path, query)
            assert "20061" not in seen.decode()


@pytest.mark.fault(82)
def test_the_representation_of_a_customer_has_no_such_field(ticket: Ticket, as_customer: APIClient) -> None:
    hidden = {"raw", "outbox", "remote_id", "remote_status", "delivery_error", "customer_id", "requester", "about"}
    hidden |= {"origin", "synced_at", "next_poll_at", "missing_since", "actor", "source", "created_by", "error"}
    for path in paths_of(ticket)[:6]:
        found = as_customer.get(path).json()
        rows = found if isinstance(found, list) else found.get("results", [found])
        assert rows, path
        for row in rows:
            assert not hidden & set(row), path
    options = as_customer.options("/api/tickets/").json()["actions"]["POST"]
    assert not hidden & set(options)


def test_an_agent_sees_it(ticket: Ticket, as_agent: APIClient, agent: User) -> None:
    base = f"/api/tickets/{ticket.key}/"
    seen = as_agent.get(base).json()
    assert seen["delivery_error"] == "canary-reason [20061] (request 77)"
    assert (seen["raw"], seen["remote_id"]) == ({"agent": "canary-agent@vendor.example"}, "canary-remote")
    assert (seen["outbox"]["last_error"], seen["outbox"]["may_be_at_the_vendor"]) == ("canary-outbox", True)
    assert "raw" not in as_agent.get("/api/tickets/").json()["results"][0]
    assert as_agent.get(base + "comments/").json()["results"][0]["author_name"] == "Eve <canary-eve@vendor.example>"
    assert as_agent.get(base + "attachments/").json()["results"][0]["error"] == "canary-file-error"
    events = as_agent.get(base + "events/").json()["results"]
    assert len(events) == len(TicketEvent.Kind)
    assert (events[0]["actor"], events[0]["changes"]["reason"]) == (
        agent.pk if isinstance(agent.pk, int) else str(agent.pk),
        "canary-why",
    )


def test_a_customer_reads_sentences(ticket: Ticket, as_customer: APIClient) -> None:
    base = f"/api/tickets/{ticket.key}/"
    seen = as_customer.get(base).json()
    assert (seen["delivery"], seen["delivery_text"]) == ("refused", "The support desk did not accept it.")
    assert as_customer.get(base + "comments/").json()["results"][0]["author_name"] == "Eve"
    events = as_customer.get(base + "events/").json()["results"]
    kinds = [event["kind"] for event in events]
    assert "changed" in kinds
    assert not {"late_answer", "duplicate", "settled", "uncertain", "missing"} & set(kinds)
    changes = {event["kind"]: event["changes"] for event in events}
    assert changes["changed"] == {"status": ["open", "closed"]}
    assert changes["refused"] == {}


@pytest.mark.fault(82)
def test_an_account_says_nothing_of_its_credentials(as_agent: APIClient) -> None:
    answer = as_agent.get("/api/providers/")
    assert len(answer.json()) == 2
    assert CANARY not in answer.content.decode()


@pytest.mark.fault(82)
def test_errors_name_no_account_that_is_not_offered(
    settings: Any, as_customer: APIClient, customer: User, stored: Any
) -> None:
    settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: None if alias == "desk" else {}
    unknown = as_customer.post("/api/tickets/", {"provider": "nobody", "subject": "Hello"}, format="json")
    unoffered = as_customer.post("/api/tickets/", {"provider": "desk", "subject": "Hello"}, format="json")
    assert unknown.content == unoffered.content
    assert unknown.json() == {"provider": ["There is no such account."]}
    gone = stored(provider="gone", delivery="delivered", remote_id="R-1", status="open")
    base = f"/api/tickets/{gone.key}/"
    for answer in (
        as_customer.post(base + "comments/", {"body": "Hello"}, format="json"),
        as_customer.post(base + "close/"),
        as_customer.post(f"/api/tickets/{stored(provider='gone', delivery='draft').key}/submit/"),
        as_customer.options("/api/tickets/"),
        as_customer.get("/api/providers/"),
    ):
        assert b"desk" not in answer.content.replace(b"support desk", b""), answer.content
    assert not Ticket.objects.exclude(provider="gone").exists()


def test_no_page_for_a_browser(as_customer: APIClient) -> None:
    assert as_customer.get("/api/tickets/", headers={"accept": "text/html"}).status_code == 406
    assert as_customer.get(f"/api/tickets/?{api_settings.URL_FORMAT_OVERRIDE}=api").status_code == 404


def test_times_are_those_of_the_site(as_customer: APIClient, stored: Any) -> None:
    moment = timezone.now()
    stored(created_at=moment)
    shown = as_customer.get("/api/tickets/").json()["results"][0]["created_at"]
    assert shown == (timezone.localtime(moment) if timezone.is_aware(moment) else moment).isoformat()
