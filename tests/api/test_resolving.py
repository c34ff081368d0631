"""What the scope asks a project's resolver, and what becomes of its answers."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from django_support_tickets.api.scope import customer_of, offered, tickets_for
from django_support_tickets.models import Ticket

LOCAL = {"BACKEND": "django_support_tickets.providers.local.LocalProvider"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def ana(settings: Any) -> Any:
    settings.SUPPORT_TICKETS_PROVIDERS = {"desk": LOCAL, "other": LOCAL, "broken": {"BACKEND": "nowhere.Provider"}}
    return get_user_model().objects.create_user("ana")


def resolve_to(settings: Any, **values: Any) -> None:
    settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: values if alias == "desk" else None


def test_it_is_asked_about_this_account(ana: Any, settings: Any) -> None:
    resolve_to(settings, customer_id="c-1")
    assert offered(ana, "desk") is not None
    assert offered(ana, "other") is None
    assert offered(ana, "nowhere") is None
    settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = None
    assert offered(ana, "broken") is None
    assert customer_of(ana, "desk") == {}


@pytest.mark.parametrize("nothing", ["", None, 0])
def test_nothing_is_an_empty_text_and_no_complaint(
    ana: Any, settings: Any, caplog: pytest.LogCaptureFixture, nothing: Any
) -> None:
    resolve_to(settings, customer_id=nothing, contact_name=nothing, contact_email=nothing)
    assert customer_of(ana, "desk") == {"customer_id": "", "contact_name": "", "contact_email": ""}
    assert caplog.records == []


def test_what_no_ticket_can_have_is_dropped_and_named_in_the_log(
    ana: Any, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    resolve_to(settings, customer_id="c" * 256, contact_name=" Ana\0 " + "n" * 300, contact_email="no address")
    with caplog.at_level(logging.WARNING):
        found = customer_of(ana, "desk")
    assert found == {"customer_id": "", "contact_name": ("Ana\ufffd " + "n" * 300)[:200], "contact_email": ""}
    assert [record.getMessage() for record in caplog.records] == [
        "the customer resolver gives no usable customer_id for desk",
        "the customer resolver gives no usable contact_email for desk",
    ]
    assert {record.__dict__["event"] for record in caplog.records} == {"api.customer"}
    assert {record.__dict__["account"] for record in caplog.records} == {"desk"}


def test_a_text_that_no_database_can_hold_is_dropped(ana: Any, settings: Any) -> None:
    resolve_to(settings, customer_id="c-\0")
    assert (customer_of(ana, "desk") or {})["customer_id"] == ""


def test_nobody_has_no_tickets_even_if_the_scope_gives_all(settings: Any) -> None:
    settings.SUPPORT_TICKETS_TICKET_SCOPE = lambda user: 1 / 0
    assert not tickets_for(None).exists()


def test_the_scope_is_asked_about_this_user(ana: Any, settings: Any) -> None:
    asked: list[Any] = []
    settings.SUPPORT_TICKETS_TICKET_SCOPE = lambda user: asked.append(user) or Ticket.objects.none()
    assert not tickets_for(ana).exists()
    assert asked == [ana]
