"""A ticket lives in one database, which need not be the default one; everything about it happens there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.db import IntegrityError, connections, transaction
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from django_support_tickets.exceptions import AccessDenied, Ambiguous, Busy, NotSent, Refused
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket, TicketEvent
from django_support_tickets.models.statements import Statement, slot, updating
from django_support_tickets.outbox.claims import claim_next, mark
from django_support_tickets.outbox.decisions import cancel, close_here, raise_again, request_close, settle
from django_support_tickets.outbox.delivery import deliver
from django_support_tickets.outbox.items import Item, Kind
from django_support_tickets.outbox.push import PushCounts, push
from django_support_tickets.outbox.settling import LeaseLost, settle_delivered
from django_support_tickets.providers import providers
from django_support_tickets.records import AttachmentRules, Capabilities, Status, TicketRecord
from tests.outbox.conftest import PICTURE
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

#: Nobody needs its data after a crash.
FAST = {"init_command": "PRAGMA synchronous=OFF"}
LOST = Ambiguous("the answer was lost or cut")


@login_not_required
def fail_after_raising(request: HttpRequest) -> HttpResponse:
    Ticket.objects.create(subject="Deposit missing")
    raise ZeroDivisionError


urlpatterns = [path("fail/", fail_after_raising)]


@pytest.fixture(scope="module", autouse=True)
def other(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A second database, with our tables, for this module only."""
    file = str(tmp_path_factory.mktemp("other") / "database")
    engine = {"ENGINE": "django.db.backends.sqlite3", "NAME": file, "TEST": {"NAME": file}, "OPTIONS": FAST}
    connections.settings["other"] = connections.configure_settings({"default": {}, "other": engine})["other"]
    try:
        with django_db_blocker.unblock():
            name = connections["other"].creation.create_test_db(verbosity=0)
            yield "other"
            connections["other"].creation.destroy_test_db(name, verbosity=0)
    finally:  # not left to the tests of other modules
        del connections["other"]
        del connections.settings["other"]


def picture() -> ContentFile[bytes]:
    return ContentFile(PICTURE, name="receipt.png")


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


@pytest.mark.django_db(transaction=True, databases=["other"])
@pytest.mark.fault(4, 5, 12)
class TestOnlyOtherDatabase:
    """A query to the default one is an error here, and most errors would put the ticket off."""

    def push(self, seconds: float = 0) -> PushCounts:
        pass_time(seconds, using="other")
        return push("paper", using="other", workers=1)

    def test_a_ticket_that_meets_every_trouble(self, other: str, desk: Desk) -> None:
        ticket = raised(other)
        desk.at("create", Busy("wait", retry_after=1.0), AccessDenied("no"), NotSent("no connection"))
        desk.lose_answer("create", LOST)
        assert [self.push(seconds).waiting for seconds in (0, 60, 1000, 60)] == [1, 1, 1, 1]
        desk.at("find", NotSent("no connection"))
        assert [self.push(seconds).delivered for seconds in (61, 3600)] == [0, 1]
        ticket.refresh_from_db()
        assert (ticket.remote_id, desk.calls.count("create")) == ("R1", 4)

    def test_what_is_said_and_attached(self, other: str, desk: Desk) -> None:
        ticket = raised(other)
        self.push()
        for operation, said in (("comment", Comment(body="Any news?")), ("upload", Attachment(file=picture()))):
            said.ticket = ticket
            said.save(using=other)
            desk.lose_answer(operation, LOST)
            assert [self.push(seconds).delivered for seconds in (0, 61)] == [0, 1]
        desk.at("comment", Refused("no"))
        Comment.objects.using(other).bulk_create([Comment(ticket=ticket, body="In bulk")])
        file = Attachment(ticket=ticket, name="a.png", file=picture())
        Attachment.objects.using(other).bulk_create([file])
        counts = self.push()
        assert (counts.refused, counts.delivered) == (1, 1)
        request_close(ticket)
        desk.lose_answer("close", LOST)
        assert [self.push(seconds).delivered for seconds in (0, 61)] == [0, 1]
        ticket.refresh_from_db()
        assert ticket.status == Status.CLOSED

    @pytest.mark.parametrize("can_find", [True, False])
    def test_what_travels(self, other: str, desk: Desk, can_find: bool) -> None:
        rules = AttachmentRules(moments=frozenset({"create"}), max_bytes=100)
        desk.capabilities = Capabilities(can_find=can_find, attachments=rules)
        ticket = raised(other)
        file = Attachment(ticket=ticket, file=picture())
        file.save(using=other)
        large = Attachment(ticket=ticket, file=ContentFile(PICTURE * 2, name="large.png"))
        Attachment.objects.using(other).bulk_create([large])
        desk.lose_answer("create", LOST)
        for seconds in (0, 61):
            self.push(seconds)
        ticket.refresh_from_db()
        if not can_find:
            settle(ticket, exists="R1")
        for row, delivery in ((ticket, "delivered"), (file, "delivered"), (large, "refused")):
            row.refresh_from_db()
            assert row.delivery == delivery

    def test_a_statement_that_fails_ends_the_transaction_there(self, other: str) -> None:
        first, second = raised(other), raised(other)
        rows = Ticket.objects.filter(pk=slot(Ticket, "id", "pk"))
        with transaction.atomic(using=other):
            with pytest.raises(IntegrityError):
                Statement(updating(rows, key=slot(Ticket, "key"))).run(other, pk=first.pk, key=second.key)
            assert connections[other].needs_rollback

    def test_a_late_answer_and_the_copy_of_a_pull(self, other: str, desk: Desk) -> None:
        ticket = raised(other)
        (claim,) = claim_next("paper", 1, using=other)
        item = Item(Kind.CREATE, claim.entry.ticket)
        assert mark(claim, item, lease_seconds=1)
        pass_time(2, using=other)
        (taken_over,) = claim_next("paper", 1, using=other)
        for _ in range(2):
            with pytest.raises(LeaseLost):
                settle_delivered(claim, item, TicketRecord(remote_id="R7"))
        assert ticket.events.filter(kind=TicketEvent.Kind.LATE_ANSWER).count() == 1
        values = {"provider": "paper", "remote_id": "R7", "origin": Ticket.Origin.VENDOR, "delivery": "delivered"}
        Ticket.objects.using(other).bulk_create([Ticket(subject="Copy", **values)])
        assert deliver(taken_over, providers["paper"]) == "waiting"  # its claim has not seen the fact
        assert self.push(61).delivered == 1
        assert Ticket.objects.using(other).get().remote_id == "R7"

    def test_comments_and_files_are_decided_there(self, other: str, desk: Desk) -> None:
        ticket = raised(other)
        self.push()
        ticket.refresh_from_db()
        for item in (Comment(ticket=ticket, body="Any news?"), Attachment(ticket=ticket, file=picture())):
            item.save(using=other)
            cancel(item)
            item.submit()
            type(item)._base_manager.using(other).update(delivery=Delivery.UNCERTAIN)
            copy = type(item)(ticket=ticket, remote_id="C9", delivery=Delivery.DELIVERED)
            type(item)._base_manager.using(other).bulk_create([copy])
            item.refresh_from_db()
            settle(item, exists="C9")
            assert type(item)._base_manager.using(other).get().pk == item.pk
        desk.capabilities = Capabilities()
        close_here(ticket)
        assert ticket.status == Status.CLOSED


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
