"""What a person decides about what is uncertain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile

from django_support_tickets.exceptions import Ambiguous, Refused
from django_support_tickets.models import Attachment, Comment, Delivery, Ticket, TicketEvent
from django_support_tickets.outbox.claims import Claim, mark
from django_support_tickets.outbox.decisions import known_remote_id, request_close, settle
from django_support_tickets.outbox.items import Item, Kind
from django_support_tickets.outbox.push import push
from django_support_tickets.outbox.settling import LeaseLost, settle_delivered
from django_support_tickets.records import AttachmentRules, Capabilities, Status, TicketRecord
from django_support_tickets.signals import ticket_delivered
from tests.outbox.conftest import PICTURE
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]

LOST = Ambiguous("the answer was lost or cut")
UNSEARCHABLE = Capabilities(can_comment=True, attachments=AttachmentRules(moments=frozenset({"create"})))


@pytest.fixture
def uncertain(desk: Desk, raised: Raise) -> Ticket:
    """A ticket of a vendor that cannot be searched, whose answer was lost."""
    desk.capabilities = UNSEARCHABLE
    ticket = raised()
    desk.at("create", LOST)
    push("paper")
    ticket.refresh_from_db()
    return ticket


class TestSettleTicket:
    def test_it_exists(self, desk: Desk, uncertain: Ticket, actor: Any) -> None:
        settle(uncertain, exists=" R7 ", actor=actor, source=TicketEvent.Source.ADMIN)
        assert (uncertain.delivery, uncertain.remote_id, uncertain.delivery_error) == (Delivery.DELIVERED, "R7", "")
        assert uncertain.delivered_at is not None and uncertain.next_poll_at is not None
        event = uncertain.events.latest("pk")
        assert (event.kind, event.actor, event.source) == (TicketEvent.Kind.SETTLED, actor, "admin")
        assert event.changes["remote_id"] == "R7"
        assert push("paper").delivered == 0

    def test_while_something_of_its_imported_copy_is_being_sent_it_waits(
        self, desk: Desk, uncertain: Ticket, said: Any, claimed: Any
    ) -> None:
        desk.tickets["R7"] = TicketRecord(remote_id="R7")
        values = {"provider": "paper", "remote_id": "R7", "origin": "vendor", "delivery": "delivered"}
        said(Ticket.objects.bulk_create([Ticket(**values)])[0])
        claimed()
        with pytest.raises(ValidationError, match="copy is being sent"):
            settle(uncertain, exists="R7")
        pass_time(61)
        push("paper")
        settle(uncertain, exists="R7")
        assert Comment.objects.get().ticket == uncertain

    def test_it_is_sent_again(self, desk: Desk, uncertain: Ticket) -> None:
        settle(uncertain, send_again=True)
        assert (uncertain.delivery, uncertain.delivery_error) == (Delivery.QUEUED, "")
        assert uncertain.events.latest("pk").changes["send_again"] is True
        assert push("paper").delivered == 1
        assert desk.calls == ["create", "create"]

    def test_what_waited_behind_it_goes_on(self, desk: Desk, raised: Raise, said: Any) -> None:
        desk.capabilities = UNSEARCHABLE
        ticket = raised()
        said(ticket)
        desk.at("create", LOST)
        push("paper")
        desk.tickets["R7"] = TicketRecord(remote_id="R7")
        ticket.refresh_from_db()
        settle(ticket, exists="R7")
        assert push("paper").delivered == 1

    def test_files_that_travelled_are_settled_with_it(self, desk: Desk, raised: Raise, attached: Any) -> None:
        desk.capabilities = UNSEARCHABLE
        ticket = raised()
        attached(ticket)
        desk.at("create", LOST)
        push("paper")
        ticket.refresh_from_db()
        settle(ticket, exists="R7")
        assert Attachment.objects.get().delivery == Delivery.DELIVERED

    def test_a_file_that_came_later_is_not(self, desk: Desk, raised: Raise, attached: Any) -> None:
        desk.capabilities = UNSEARCHABLE
        ticket = raised()
        attached(ticket)
        desk.at("create", LOST)
        push("paper")
        Attachment.objects.bulk_create([Attachment(ticket=ticket, file=ContentFile(PICTURE, name="late.png"))])
        ticket.refresh_from_db()
        settle(ticket, exists="R7")
        assert list(Attachment.objects.order_by("pk").values_list("delivery", flat=True)) == ["delivered", "queued"]

    def test_it_is_announced(self, desk: Desk, uncertain: Ticket, django_capture_on_commit_callbacks: Any) -> None:
        heard: list[str] = []

        def hear(ticket: Ticket, **kwargs: Any) -> None:
            heard.append(str(ticket.remote_id))

        ticket_delivered.connect(hear)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                settle(uncertain, exists="R7")
        finally:
            ticket_delivered.disconnect(hear)
        assert heard == ["R7"]

    @pytest.mark.parametrize("remote_id", ["", "  ", "../x", "a b", "a/b", "x" * 256, "a\n"])
    @pytest.mark.fault(36)
    def test_what_cannot_be_an_id_is_refused(self, desk: Desk, uncertain: Ticket, remote_id: str) -> None:
        if remote_id == "a\n":
            remote_id = "a\nb"
        with pytest.raises(ValidationError, match="cannot be a remote id"):
            settle(uncertain, exists=remote_id)
        assert Ticket.objects.get().delivery == Delivery.UNCERTAIN

    def test_the_id_of_another_ticket_is_refused_and_names_it(
        self, desk: Desk, uncertain: Ticket, raised: Raise
    ) -> None:
        other = raised()
        push("paper")
        with pytest.raises(ValidationError, match=str(other.key)):
            settle(uncertain, exists="R1")

    def test_the_copy_that_a_pull_has_imported_is_absorbed(self, desk: Desk, uncertain: Ticket) -> None:
        copy = Ticket(
            provider="paper",
            remote_id="R7",
            origin=Ticket.Origin.VENDOR,
            subject="Deposit missing",
            delivery=Delivery.DELIVERED,
        )
        Ticket.objects.bulk_create([copy])
        settle(uncertain, exists="R7")
        assert Ticket.objects.get() == uncertain

    def test_both_answers_or_none_are_no_decision(self, desk: Desk, uncertain: Ticket) -> None:
        for answers in ({}, {"exists": "R7", "send_again": True}):
            with pytest.raises(ValidationError, match="Say either"):
                settle(uncertain, **answers)  # type: ignore[arg-type]

    def test_it_can_be_settled_once(self, desk: Desk, uncertain: Ticket) -> None:
        stale = Ticket.objects.get()
        settle(uncertain, exists="R7")
        for answers in ({"exists": "R8"}, {"send_again": True}):
            with pytest.raises(ValidationError, match="not uncertain"):
                settle(stale, **answers)  # type: ignore[arg-type]
        assert Ticket.objects.get().remote_id == "R7"
        assert TicketEvent.objects.filter(kind=TicketEvent.Kind.SETTLED).count() == 1

    @pytest.mark.fault(12)
    def test_a_late_answer_is_shown(self, desk: Desk, raised: Raise, claimed: Callable[..., Claim]) -> None:
        desk.capabilities = UNSEARCHABLE
        ticket = raised()
        claim = claimed()
        item = Item(Kind.CREATE, claim.entry.ticket)
        mark(claim, item, lease_seconds=60)
        pass_time(61)
        push("paper")
        assert known_remote_id(ticket) == ""
        with pytest.raises(LeaseLost):
            settle_delivered(claim, item, TicketRecord(remote_id="R7"))
        assert known_remote_id(ticket) == "R7"
        with pytest.raises(ValidationError, match="named its remote id, R7"):
            settle(ticket, send_again=True)
        settle(ticket, exists="R7")
        assert ticket.remote_id == "R7"

    @pytest.mark.fault(12)
    def test_an_answer_that_comes_after_the_decision_keeps_it_from_being_sent(
        self, desk: Desk, raised: Raise, claimed: Callable[..., Claim]
    ) -> None:
        desk.capabilities = UNSEARCHABLE
        ticket = raised()
        claim = claimed()
        item = Item(Kind.CREATE, claim.entry.ticket)
        mark(claim, item, lease_seconds=60)
        pass_time(61)
        push("paper")
        settle(ticket, send_again=True)
        with pytest.raises(LeaseLost):
            settle_delivered(claim, item, TicketRecord(remote_id="R7"))
        assert push("paper").delivered == 1
        ticket.refresh_from_db()
        assert (ticket.remote_id, desk.calls) == ("R7", [])


class TestSettleItems:
    @pytest.fixture
    def ticket(self, desk: Desk, raised: Raise) -> Ticket:
        ticket = raised()
        push("paper")
        ticket.refresh_from_db()
        return ticket

    def lose(self, desk: Desk, operation: str) -> None:
        desk.at(operation, LOST)
        desk.at("get", Refused("the vendor refuses it"))
        push("paper")
        pass_time(61)
        assert push("paper").uncertain == 1

    def test_a_comment_exists(self, desk: Desk, ticket: Ticket, said: Any) -> None:
        comment = said(ticket)
        self.lose(desk, "comment")
        settle(comment, exists="C9")
        assert (comment.delivery, comment.remote_id) == (Delivery.DELIVERED, "C9")

    def test_a_comment_exists_at_a_vendor_that_gives_no_ids(self, desk: Desk, ticket: Ticket, said: Any) -> None:
        comment = said(ticket)
        self.lose(desk, "comment")
        settle(comment, exists="")
        assert (comment.delivery, comment.remote_id) == (Delivery.DELIVERED, None)

    def test_a_comment_takes_the_place_of_the_copy_that_a_pull_has_stored(
        self, desk: Desk, ticket: Ticket, said: Any
    ) -> None:
        comment = said(ticket)
        self.lose(desk, "comment")
        Comment.objects.bulk_create(
            [Comment(ticket=ticket, body="Any news?", remote_id="C9", delivery=Delivery.DELIVERED)]
        )
        settle(comment, exists="C9")
        assert Comment.objects.get() == comment

    def test_a_comment_cannot_have_the_id_of_another(self, desk: Desk, ticket: Ticket, said: Any) -> None:
        first = said(ticket)
        push("paper")
        comment = said(ticket, "And now?")
        self.lose(desk, "comment")
        with pytest.raises(ValidationError, match=str(first.key)):
            settle(comment, exists="C1")

    def test_a_file_is_sent_again(self, desk: Desk, ticket: Ticket, attached: Any) -> None:
        file = attached(ticket)
        self.lose(desk, "upload")
        file.refresh_from_db()
        assert file.delivery == Delivery.UNCERTAIN
        settle(file, send_again=True)
        assert push("paper").delivered == 1

    def test_a_closing(self, desk: Desk, ticket: Ticket) -> None:
        request_close(ticket)
        self.lose(desk, "close")
        ticket.refresh_from_db()
        with pytest.raises(ValidationError, match="not the remote id of the ticket"):
            settle(ticket, exists="R9")
        settle(ticket, exists="R1")
        assert ticket.close_delivery == Delivery.DELIVERED

    def test_a_closing_is_sent_again(self, desk: Desk, ticket: Ticket) -> None:
        request_close(ticket)
        self.lose(desk, "close")
        settle(ticket, send_again=True)
        assert push("paper").delivered == 1
        ticket.refresh_from_db()
        assert ticket.status == Status.CLOSED


class TestWaking:
    def test_a_decision_asks_for_a_worker(
        self, desk: Desk, uncertain: Ticket, settings: Any, django_capture_on_commit_callbacks: Any
    ) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = "inline"
        with django_capture_on_commit_callbacks(execute=True):
            settle(uncertain, send_again=True)
        uncertain.refresh_from_db()
        assert uncertain.delivery == Delivery.DELIVERED
