"""A ticket lives in one database, which need not be the default one; everything about it happens there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ValidationError
from django.db import connections, transaction
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from django_support_tickets.exceptions import Ambiguous
from django_support_tickets.models import Comment, Delivery, OutboxEntry, Ticket, TicketEvent
from django_support_tickets.outbox.claims import claim_next
from django_support_tickets.outbox.decisions import cancel, raise_again, settle
from django_support_tickets.outbox.push import push
from django_support_tickets.records import Capabilities
from tests.outbox.paper import Desk


@login_not_required
def fail_after_raising(request: HttpRequest) -> HttpResponse:
    Ticket.objects.create(subject="Deposit missing")
    raise ZeroDivisionError


urlpatterns = [path("fail/", fail_after_raising)]


@pytest.fixture(scope="module", autouse=True)
def other(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A second database, with our tables, for this module only."""
    file = str(tmp_path_factory.mktemp("other") / "database")
    engine = {"ENGINE": "django.db.backends.sqlite3", "NAME": file, "TEST": {"NAME": file}}
    connections.settings["other"] = connections.configure_settings({"default": {}, "other": engine})["other"]
    try:
        with django_db_blocker.unblock():
            name = connections["other"].creation.create_test_db(verbosity=0)
            yield "other"
            connections["other"].creation.destroy_test_db(name, verbosity=0)
    finally:  # not left to the tests of other modules
        del connections["other"]
        del connections.settings["other"]


def raised(using: str, **values: Any) -> Ticket:
    ticket = Ticket(subject="Deposit missing", **values)
    ticket.save(using=using)
    return ticket


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.fault(4)
class TestOtherDatabase:
    def test_nothing_is_sent_before_its_own_commit(self, other: str, settings: Any) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = "inline"
        with transaction.atomic(using=other):
            ticket = raised(other)
            assert ticket.delivery == Delivery.QUEUED
        ticket.refresh_from_db()
        assert (ticket.delivery, ticket._state.db) == (Delivery.DELIVERED, other)
        assert TicketEvent.objects.using(other).count() == 1
        for model in (Ticket, OutboxEntry, TicketEvent):
            assert not model._base_manager.exists()

    def test_a_transaction_on_any_database_keeps_http_away(self, other: str, settings: Any, caplog: Any) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = "inline"
        with transaction.atomic():
            ticket = raised(other)
            with pytest.raises(RuntimeError, match="open transaction"):
                push("local", using=other)
        assert "dispatcher failed: RuntimeError" in caplog.text
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.QUEUED
        assert push("local", using=other, workers=2).delivered == 1

    def test_comments_and_deletions_stay_there(self, other: str) -> None:
        ticket = raised(other)
        claims = claim_next("local", 1, using=other)
        with pytest.raises(ProtectedError), transaction.atomic(using=other):
            ticket.delete()
        assert len(claims) == 1
        OutboxEntry.objects.using(other).update(leased_until=None, lease_token=None)
        push("local", using=other)
        Comment(ticket=ticket, body="Any news?").save(using=other)
        assert push("local", using=other).delivered == 1
        ticket.delete()
        assert not Ticket.objects.using(other).exists()

    def test_decisions_are_made_there(self, other: str, desk: Desk) -> None:
        desk.capabilities = Capabilities()
        ticket = raised(other)
        cancel(ticket)
        ticket.submit()
        desk.at("create", Ambiguous("the answer was lost or cut"))
        push("paper", using=other)
        ticket.refresh_from_db()
        settle(ticket, exists="R7")
        assert raise_again(ticket)._state.db == other
        kinds = ["cancelled", "uncertain", "settled", "raised_again", "raised_again"]
        assert list(TicketEvent.objects.using(other).order_by("pk").values_list("kind", flat=True)) == kinds
        with pytest.raises(ValidationError):
            settle(ticket, exists="R8")


@pytest.mark.django_db(transaction=True)
@pytest.mark.fault(1, 93)
def test_a_request_that_fails_leaves_nothing(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.SUPPORT_TICKETS_DISPATCHER = "inline"
    database = connections["default"].settings_dict
    before, database["ATOMIC_REQUESTS"] = database["ATOMIC_REQUESTS"], True
    try:
        assert Client(raise_request_exception=False).get("/fail/").status_code == 500
    finally:
        database["ATOMIC_REQUESTS"] = before
    assert not Ticket.objects.exists()
    assert not OutboxEntry.objects.exists()
