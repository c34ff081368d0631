"""Who a customer is at a vendor, is for the project's resolver to say and for nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from django_support_tickets.models import Ticket

User = get_user_model()

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

URL = "/api/tickets/"
HELLO = {"provider": "desk", "subject": "Hello", "description": "Hi"}
ANN = {"customer_id": "C-ann", "contact_name": "Ann", "contact_email": "ann@example.com"}


def resolve(user: User, alias: str) -> dict[str, str] | None:
    return ANN if user.username == "ann" else None


@pytest.fixture
def resolver(settings: Any) -> None:
    settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = "tests.api.test_customers.resolve"


class TestWithoutResolver:
    def test_a_customer_cannot_raise_where_the_vendor_must_know_them(self, as_customer: APIClient) -> None:
        for draft in (True, False):
            answer = as_customer.post(URL, {**HELLO, "draft": draft}, format="json")
            assert answer.status_code == 400
            (sentence,) = answer.json()["provider"]
            assert "contact_email, customer_id" in sentence
        assert not Ticket.objects.exists()
        assert [account["alias"] for account in as_customer.get("/api/providers/").json()] == ["local"]

    def test_naming_oneself_does_not_help(self, as_customer: APIClient) -> None:
        assert as_customer.post(URL, {**HELLO, **ANN}, format="json").status_code == 400
        answer = as_customer.post(URL, {**HELLO, **ANN, "provider": "local"}, format="json")
        assert answer.json()["contact_email"] == ""
        assert Ticket.objects.get().customer_id == ""

    def test_an_agent_can(self, as_agent: APIClient) -> None:
        assert as_agent.post(URL, {**HELLO, **ANN}, format="json").status_code == 201


class TestWithResolver:
    @pytest.mark.fault(80)
    def test_it_says_who_the_customer_is(self, resolver: None, as_customer: APIClient) -> None:
        forged = {"customer_id": "C-bob", "contact_name": "Bob", "contact_email": "bob@example.com"}
        answer = as_customer.post(URL, {**HELLO, **forged}, format="json")
        assert answer.status_code == 201, answer.content
        ticket = Ticket.objects.get()
        assert {name: getattr(ticket, name) for name in ANN} == ANN
        assert (answer.json()["contact_name"], answer.json()["contact_email"]) == ("Ann", "ann@example.com")

    def test_an_account_that_it_does_not_offer_is_not_there(self, resolver: None, as_other: APIClient) -> None:
        unoffered = as_other.post(URL, HELLO, format="json")
        missing = as_other.post(URL, {**HELLO, "provider": "nobody"}, format="json")
        assert (unoffered.status_code, unoffered.content) == (missing.status_code, missing.content)
        assert as_other.get("/api/providers/").json() == []

    def test_a_form_asks_for_what_is_left(self, resolver: None, as_customer: APIClient, as_agent: APIClient) -> None:
        (_local, desk) = as_customer.get("/api/providers/").json()
        assert desk["required_fields"] == ["description", "subject"]
        assert as_agent.get("/api/providers/").json()[1]["required_fields"] == [
            "contact_email",
            "customer_id",
            "description",
            "subject",
        ]

    @pytest.mark.fault(80)
    def test_a_draft_is_of_whom_it_was_raised_for(self, resolver: None, as_customer: APIClient, stored: Any) -> None:
        draft = stored(delivery="draft", customer_id="C-bob", contact_email="bob@example.com")
        url = f"{URL}{draft.key}/"
        assert as_customer.patch(url, {**HELLO, "customer_id": "C-bob"}, format="json").status_code == 200
        Ticket.objects.update(customer_id="C-bob")
        assert as_customer.post(f"{url}submit/").status_code == 200
        assert Ticket.objects.get().customer_id == "C-ann"

    def test_somebody_in_the_scope_acts_for_the_requester(
        self, resolver: None, settings: Any, as_other: APIClient, stored: Any
    ) -> None:
        settings.SUPPORT_TICKETS_TICKET_SCOPE = lambda user: Ticket.objects.all()
        settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: {"customer_id": f"C-{user.username}"}
        draft = stored(delivery="draft")
        assert as_other.post(f"{URL}{draft.key}/submit/").status_code == 200
        assert Ticket.objects.get().customer_id == "C-ann"

    def test_what_it_leaves_out_is_missing(self, settings: Any, as_customer: APIClient) -> None:
        settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: {"customer_id": 7, "contact_email": None}
        (sentence,) = as_customer.post(URL, HELLO, format="json").json()["provider"]
        assert "contact_email" in sentence
        assert "customer_id" not in sentence

    def test_it_is_not_asked_about_agents(self, settings: Any, as_agent: APIClient) -> None:
        settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: 1 / 0
        assert as_agent.post(URL, {**HELLO, **ANN}, format="json").status_code == 201
        assert len(as_agent.get("/api/providers/").json()) == 2
