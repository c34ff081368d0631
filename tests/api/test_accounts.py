from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from django_support_tickets.providers import providers

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

ANN = {"customer_id": "C-1", "contact_email": "ann@example.com"}


def test_everything_that_a_form_needs(as_customer: APIClient, settings: Any) -> None:
    settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: ANN
    _local, desk = as_customer.get("/api/providers/").json()
    assert desk == {
        "alias": "desk",
        "required_fields": ["description", "subject"],
        "sent_fields": ["category", "priority"],
        "subject_max": 40,
        "description_max": 100,
        "comment_max": None,
        "categories": ["deposit", "card"],
        "priorities": ["low", "high"],
        "options": ["topic"],
        "required_options": {},
        "option_max": {},
        "can_comment": False,
        "no_comment_reason": "The desk answers by e-mail.",
        "can_close": False,
        "files": {
            "moments": ["create"],
            "max_count": 2,
            "max_bytes": 1000,
            "max_total_bytes": 1500,
            "extensions": ["txt"],
            "content_types": [],
        },
    }


def test_the_resolver_is_asked_once_for_each_account(as_customer: APIClient, settings: Any) -> None:
    asked = []
    settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: asked.append(alias)
    assert as_customer.get("/api/providers/").json() == []
    settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: asked.append(alias) or ANN
    assert len(as_customer.get("/api/providers/").json()) == len(list(providers))
    assert asked == [*providers, *providers]


def test_a_form_that_follows_it_is_taken(as_customer: APIClient, settings: Any) -> None:
    settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: ANN
    for account in as_customer.get("/api/providers/").json():
        data = {name: "x" * (account[f"{name}_max"] or 10) for name in account["required_fields"]}
        data |= {"category": account["categories"][:1], "priority": account["priorities"][:1]}
        answer = as_customer.post("/api/tickets/", {"provider": account["alias"], **data})
        assert answer.status_code == 201, answer.content


def test_options_say_the_same(as_customer: APIClient) -> None:
    options = as_customer.options("/api/tickets/").json()
    assert options["accounts"] == as_customer.get("/api/providers/").json()
    assert options["actions"]["POST"]["subject"]["required"] is True
    assert "accounts" not in as_customer.options("/api/providers/").json()


@pytest.mark.parametrize("action", ["submit", "close", "refresh", "settle"])
def test_options_name_no_fields_where_none_are_read(as_agent: APIClient, stored: Any, action: str) -> None:
    ticket = stored()
    assert "actions" not in as_agent.options(f"/api/tickets/{ticket.key}/{action}/").json()
    assert "POST" in as_agent.options(f"/api/tickets/{ticket.key}/comments/").json()["actions"]


@pytest.mark.parametrize(
    ("backend", "values"),
    [
        ("ripio.RipioProvider", {"base_url": "https://ripio.example", "client_id": "c", "client_secret": "c"}),
        ("moov.MoovProvider", {"public_key": "c", "secret_key": "c"}),
        ("verifik.VerifikProvider", {"token": "c", "write_dialect": "app"}),
        ("ankra.AnkraProvider", {"token": "c", "organisation_id": "3c90c3cc-0d44-4b50-8888-8dd25736052a"}),
    ],
)
def test_every_vendor_of_ours_can_be_shown(as_agent: APIClient, settings: Any, backend: str, values: Any) -> None:
    settings.SUPPORT_TICKETS_PROVIDERS = {
        "vendor": {"BACKEND": f"django_support_tickets.providers.{backend}", "OPTIONS": values}
    }
    (account,) = as_agent.get("/api/providers/").json()
    capabilities = providers["vendor"].capabilities
    assert account["can_close"] == capabilities.can_close
    assert account["categories"] == list(capabilities.categories)
    assert (account["files"] is None) == (capabilities.attachments is None)
