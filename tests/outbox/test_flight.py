"""What travels with what, and which facts are found again."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import transaction

from django_support_tickets.models import Attachment, Comment, OutboxEntry, Ticket, TicketEvent
from django_support_tickets.outbox.claims import claim_next, mark
from django_support_tickets.outbox.decisions import settle
from django_support_tickets.outbox.facts import keep_fact, late_answer, note_decision
from django_support_tickets.outbox.flight import is_in_flight
from django_support_tickets.outbox.items import Item, Kind
from django_support_tickets.outbox.push import push
from django_support_tickets.records import AttachmentRules, Capabilities
from tests.outbox.paper import Desk

pytestmark = pytest.mark.django_db
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture
def ticket() -> Ticket:
    return Ticket.objects.create(subject="Deposit missing")


def attach(ticket: Ticket, **values: Any) -> Attachment:
    return Attachment.objects.create(ticket=ticket, file=ContentFile(PNG, name="a.png"), **values)


def flies(item: Any) -> bool:
    with transaction.atomic():
        return is_in_flight(item, using="default")


class TestWhatTravels:
    def test_with_a_ticket_only_what_hangs_on_it_directly(self, ticket: Ticket) -> None:
        with_ticket, comment = attach(ticket), Comment.objects.create(ticket=ticket, body="one")
        with_comment = attach(ticket, comment=comment)
        (claim,) = claim_next("local", 1, using="default")
        mark(claim, Item(Kind.CREATE, ticket), lease_seconds=60)
        assert [flies(item) for item in (ticket, with_ticket, comment, with_comment)] == [True, True, False, False]

    def test_with_a_comment_its_own_files(self, ticket: Ticket) -> None:
        push("local")
        first, second = (Comment.objects.create(ticket=ticket, body=body) for body in ("one", "two"))
        files = [attach(ticket), attach(ticket, comment=first), attach(ticket, comment=second)]
        (claim,) = claim_next("local", 1, using="default")
        mark(claim, Item(Kind.COMMENT, first), lease_seconds=60)
        assert [flies(item) for item in (first, second, *files)] == [True, False, False, True, False]

    def test_a_file_by_itself(self, ticket: Ticket) -> None:
        push("local")
        first, second = attach(ticket), attach(ticket)
        (claim,) = claim_next("local", 1, using="default")
        mark(claim, Item(Kind.UPLOAD, first), lease_seconds=60)
        assert [flies(item) for item in (first, second)] == [True, False]

    @pytest.mark.parametrize("of_comment", [True, False])
    def test_what_a_person_settles_with_a_ticket_or_comment(
        self, desk: Desk, said: Any, attached: Any, of_comment: bool
    ) -> None:
        desk.capabilities = Capabilities(
            can_comment=True, attachments=AttachmentRules(moments=frozenset({"create", "comment"}))
        )
        ticket = Ticket.objects.create(subject="Deposit missing")
        with_ticket, comment = attached(ticket), said(ticket)
        with_comment, with_other = attached(ticket, comment=comment), attached(ticket, comment=said(ticket))
        Ticket.objects.update(
            delivery="delivered" if of_comment else "uncertain", remote_id="R1" if of_comment else None
        )
        Comment.objects.filter(pk=comment.pk).update(delivery="uncertain" if of_comment else "queued")
        settle(comment if of_comment else ticket, exists="X7")
        settled = Attachment.objects.get(delivery="delivered")
        assert settled == (with_comment if of_comment else with_ticket) != with_other

    def test_nothing_without_an_entry(self, ticket: Ticket) -> None:
        assert not flies(ticket)
        OutboxEntry.objects.all().delete()
        assert not flies(ticket)


class TestFacts:
    def answered(self, ticket: Ticket, **changes: Any) -> None:
        facts = {"item": "create", "key": str(ticket.key), **changes}
        TicketEvent.objects.create(ticket=ticket, kind="late_answer", source="push", changes=facts)

    def test_an_answer_without_an_id_names_none(self, ticket: Ticket) -> None:
        self.answered(ticket)
        assert late_answer(ticket.pk, "create", str(ticket.key), using="default") == ""

    def test_the_first_answer_about_this_item_counts(self, ticket: Ticket) -> None:
        other = Ticket.objects.create(subject="Other")
        self.answered(other, remote_id="R0")
        self.answered(ticket, remote_id="R1", item="comment")
        self.answered(ticket, remote_id="R2")
        self.answered(ticket, remote_id="R3")
        assert late_answer(ticket.pk, "create", str(ticket.key), using="default") == "R2"
        assert late_answer(other.pk, "create", str(ticket.key), using="default") == ""

    def test_a_late_answer_is_kept_once_and_said_in_the_log(
        self, ticket: Ticket, caplog: pytest.LogCaptureFixture
    ) -> None:
        (claim,) = claim_next("local", 1, using="default")
        item = Item(Kind.CREATE, ticket)
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                keep_fact(claim, item, "R7")
            keep_fact(claim, item, "")
        event = TicketEvent.objects.get(kind="late_answer")
        assert event.changes == {"item": "create", "key": str(ticket.key), "remote_id": "R7"}
        (record,) = caplog.records
        assert record.getMessage() == "late answer: remote id R7"
        assert record.__dict__["event"] == "push.late_answer"
        assert record.__dict__["account"] == "local"

    def test_a_decision_names_what_it_is_about(self, ticket: Ticket) -> None:
        note_decision(ticket, TicketEvent.Kind.SETTLED, actor=None, source="code", exists="R1")
        event = TicketEvent.objects.get(kind="settled")
        assert event.changes == {"key": str(ticket.key), "exists": "R1"}
        assert (event.source, event.actor) == ("code", None)
