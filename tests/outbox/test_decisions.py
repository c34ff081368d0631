"""What a person decides, and what is no longer possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, storages

from django_support_tickets.exceptions import Ambiguous, NotSent, Refused
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket, TicketEvent
from django_support_tickets.outbox.claims import Claim, mark
from django_support_tickets.outbox.decisions import (
    cancel,
    close_here,
    known_remote_id,
    raise_again,
    request_close,
    settle,
)
from django_support_tickets.outbox.items import Item, Kind
from django_support_tickets.outbox.push import push
from django_support_tickets.outbox.settling import LeaseLost, settle_delivered
from django_support_tickets.records import AttachmentRules, Capabilities, Status, TicketRecord
from django_support_tickets.signals import ticket_delivered
from tests.outbox.conftest import PICTURE
from tests.outbox.paper import FULL, Desk
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]

LOST = Ambiguous("the answer was lost or cut")
UNSEARCHABLE = Capabilities(can_comment=True, attachments=AttachmentRules(moments=frozenset({"create"})))


class TroubledStorage(InMemoryStorage):
    """A storage that is "down", or "full"."""

    trouble = ""

    def _open(self, name: str, mode: str = "rb") -> Any:
        if self.trouble == "down":
            raise RuntimeError("bucket AKIASECRET")
        return super()._open(name, mode)

    def _save(self, name: str, content: Any) -> str:
        if self.trouble == "full":
            raise OSError("no space left for AKIASECRET")
        return super()._save(name, content)


@pytest.fixture
def actor() -> Any:
    return get_user_model().objects.create_user("ana")


@pytest.fixture
def uncertain(desk: Desk, raised: Raise) -> Ticket:
    """A ticket of a vendor that cannot be searched, whose answer was lost."""
    desk.capabilities = UNSEARCHABLE
    ticket = raised()
    desk.at("create", LOST)
    push("paper")
    ticket.refresh_from_db()
    return ticket


def last_event(ticket: Ticket) -> TicketEvent:
    return ticket.events.latest("pk")


class TestSettleTicket:
    def test_it_exists(self, desk: Desk, uncertain: Ticket, actor: Any) -> None:
        settle(uncertain, exists=" R7 ", actor=actor, source=TicketEvent.Source.ADMIN)
        assert (uncertain.delivery, uncertain.remote_id, uncertain.delivery_error) == (Delivery.DELIVERED, "R7", "")
        assert uncertain.delivered_at is not None and uncertain.next_poll_at is not None
        event = last_event(uncertain)
        assert (event.kind, event.actor, event.source) == (TicketEvent.Kind.SETTLED, actor, "admin")
        assert event.changes["remote_id"] == "R7"
        assert push("paper").delivered == 0

    def test_it_is_sent_again(self, desk: Desk, uncertain: Ticket) -> None:
        settle(uncertain, send_again=True)
        assert (uncertain.delivery, uncertain.delivery_error) == (Delivery.QUEUED, "")
        assert last_event(uncertain).changes["send_again"] is True
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


class TestCancel:
    @pytest.mark.fault(15)
    def test_a_ticket_is_a_draft_again_and_is_not_sent(self, desk: Desk, raised: Raise, actor: Any) -> None:
        ticket = raised()
        cancel(ticket, actor=actor, source=TicketEvent.Source.API)
        assert (ticket.delivery, ticket.submitted_at) == (Delivery.DRAFT, None)
        assert not OutboxEntry.objects.exists()
        event = last_event(ticket)
        assert (event.kind, event.actor, event.source) == (TicketEvent.Kind.CANCELLED, actor, "api")
        assert push("paper").delivered == 0
        ticket.subject = "Edited"
        ticket.submit()
        assert push("paper").delivered == 1
        assert desk.drafts["R1"].subject == "Edited"

    def test_a_retry_can_be_cancelled_too(self, desk: Desk, raised: Raise) -> None:
        ticket = raised()
        desk.at("create", NotSent("no connection"))
        push("paper")
        cancel(ticket)
        pass_time(3600)
        assert push("paper").delivered == 0

    @pytest.mark.fault(15)
    def test_what_is_in_flight_cannot_be(self, desk: Desk, raised: Raise, claimed: Callable[..., Claim]) -> None:
        ticket = raised()
        claim = claimed()
        with pytest.raises(ValidationError, match="being sent"):
            cancel(ticket)
        mark(claim, Item(Kind.CREATE, ticket), lease_seconds=60)
        pass_time(1000)
        with pytest.raises(ValidationError, match="being sent"):
            cancel(ticket)

    def test_a_comment_and_a_file(self, desk: Desk, raised: Raise, said: Any, attached: Any) -> None:
        ticket = raised()
        push("paper")
        comment, file = said(ticket), attached(ticket)
        cancel(comment)
        cancel(file)
        assert (comment.delivery, file.delivery) == (Delivery.DRAFT, Delivery.DRAFT)
        assert push("paper").delivered == 0
        comment.submit()
        assert push("paper").delivered == 1

    def test_a_comment_beside_one_in_flight(self, desk: Desk, raised: Raise, said: Any) -> None:
        ticket = raised()
        push("paper")
        first, second = said(ticket), said(ticket, "And now?")
        desk.at("comment", LOST)
        push("paper")
        with pytest.raises(ValidationError, match="being sent"):
            cancel(first)
        cancel(second)
        assert second.delivery == Delivery.DRAFT

    def test_a_file_that_may_have_come_with_its_ticket_cannot_be(
        self, desk: Desk, raised: Raise, attached: Any
    ) -> None:
        desk.capabilities = UNSEARCHABLE
        ticket = raised()
        file = attached(ticket)
        desk.at("create", LOST)
        push("paper")
        with pytest.raises(ValidationError, match="uncertain") as refusal:
            cancel(file)
        assert refusal.value.code == "uncertain"
        ticket.refresh_from_db()
        settle(ticket, send_again=True)
        cancel(file)
        assert file.delivery == Delivery.DRAFT

    def test_a_file_that_may_have_come_with_its_comment_cannot_be(
        self, desk: Desk, raised: Raise, said: Any, attached: Any
    ) -> None:
        desk.capabilities = replace(FULL, attachments=AttachmentRules(moments=frozenset({"comment"})))
        ticket = raised()
        push("paper")
        comment = said(ticket)
        file = attached(ticket, comment=comment)
        Comment.objects.update(delivery=Delivery.UNCERTAIN)
        with pytest.raises(ValidationError, match="uncertain"):
            cancel(file)
        Comment.objects.update(delivery=Delivery.REFUSED)
        cancel(file)
        assert file.delivery == Delivery.DRAFT

    def test_a_file_that_goes_by_itself_can_be(self, desk: Desk, raised: Raise, attached: Any) -> None:
        desk.capabilities = replace(FULL, can_find=False)
        ticket = raised()
        file = attached(ticket)
        desk.at("create", LOST)
        push("paper")
        cancel(file)
        assert file.delivery == Delivery.DRAFT

    def test_a_closing(self, desk: Desk, raised: Raise) -> None:
        ticket = raised()
        push("paper")
        ticket.refresh_from_db()
        request_close(ticket)
        cancel(ticket)
        assert (ticket.delivery, ticket.close_delivery) == (Delivery.DELIVERED, "")
        assert push("paper").delivered == 0

    def test_what_is_delivered_cannot_be(self, desk: Desk, raised: Raise) -> None:
        ticket = raised()
        push("paper")
        with pytest.raises(ValidationError, match="not queued"):
            cancel(ticket)


class TestClosing:
    def test_it_is_queued_after_all_else(self, desk: Desk, raised: Raise, said: Any, actor: Any) -> None:
        ticket = raised()
        request_close(ticket, actor=actor)
        said(ticket)
        push("paper")
        assert desk.calls == ["create", "comment", "close"]
        submitted = TicketEvent.objects.get(kind=TicketEvent.Kind.SUBMITTED)
        assert (submitted.actor, submitted.changes["item"]) == (actor, "close")

    def test_what_is_not_possible_says_why(self, desk: Desk, raised: Raise) -> None:
        ticket = raised(delivery=Delivery.DRAFT)
        with pytest.raises(ValidationError, match="not at the vendor"):
            request_close(ticket)
        ticket.submit()
        request_close(ticket)
        with pytest.raises(ValidationError, match="under way"):
            request_close(ticket)
        push("paper")
        with pytest.raises(ValidationError, match="closed already"):
            request_close(ticket)
        desk.capabilities = Capabilities()
        with pytest.raises(ValidationError, match="no way to close"):
            request_close(ticket)

    def test_here_only_where_the_vendor_has_no_way(self, desk: Desk, raised: Raise, actor: Any) -> None:
        ticket = raised()
        with pytest.raises(ValidationError, match="can close tickets"):
            close_here(ticket)
        desk.capabilities = Capabilities()
        with pytest.raises(ValidationError, match="not at the vendor"):
            close_here(ticket)
        push("paper")
        close_here(ticket, actor=actor)
        assert (ticket.status, ticket.next_poll_at) == (Status.CLOSED, None)
        assert ticket.closed_at is not None
        event = last_event(ticket)
        assert (event.kind, event.actor, event.changes["status"]) == (TicketEvent.Kind.CLOSED_HERE, actor, "open")
        with pytest.raises(ValidationError, match="closed already"):
            close_here(ticket)


class TestRaiseAgain:
    def test_a_new_draft_has_text_files_and_subject_matter(
        self, desk: Desk, raised: Raise, attached: Any, actor: Any
    ) -> None:
        about = ContentType.objects.get_for_model(Ticket)
        values = {"customer_id": "c-1", "contact_name": "Ana", "contact_email": "ana@example.com", "priority": "high"}
        desk.capabilities = FULL
        ticket = raised(**values, requester=actor, about_type=about, about_id="7", category="bug", tags=["a"])
        attached(ticket)
        desk.at("create", Refused("the vendor refuses it"))
        push("paper")
        draft = raise_again(ticket, actor=actor)
        draft.refresh_from_db()
        assert (draft.delivery, draft.remote_id, draft.pk != ticket.pk) == (Delivery.DRAFT, None, True)
        for name in (*values, "subject", "description", "requester", "about_type", "about_id", "category", "tags"):
            assert getattr(draft, name) == getattr(ticket, name), name
        copy = draft.attachments.get()
        assert copy.file.name != ticket.attachments.get().file.name
        assert (copy.name, copy.file.read()) == ("receipt.png", PICTURE)
        assert last_event(draft).changes["raised_from"] == str(ticket.key)
        event = last_event(ticket)
        assert (event.kind, event.actor) == (TicketEvent.Kind.RAISED_AGAIN, actor)
        assert event.changes["raised_as"] == str(draft.key)
        draft.submit()
        assert push("paper").delivered == 2  # the ticket and its file
        assert desk.files == [("receipt.png", PICTURE)]

    def test_what_has_not_been_sent_cannot_be(self, desk: Desk, raised: Raise) -> None:
        for delivery in (Delivery.DRAFT, Delivery.QUEUED):
            with pytest.raises(ValidationError, match="not been sent yet"):
                raise_again(raised(delivery=delivery))

    def test_a_file_that_is_gone_is_named_and_nothing_is_made(self, desk: Desk, raised: Raise, attached: Any) -> None:
        ticket = raised()
        file = attached(ticket)
        push("paper")
        file.file.storage.delete(file.file.name)
        with pytest.raises(ValidationError, match="receipt.png"):
            raise_again(ticket)
        assert Ticket.objects.get() == ticket

    @pytest.mark.fault(74)
    @pytest.mark.parametrize("trouble", ["down", "full"])
    def test_a_storage_that_does_not_work_is_a_sentence_and_nothing_is_made(
        self, desk: Desk, raised: Raise, attached: Any, settings: Any, caplog: Any, trouble: str
    ) -> None:
        backend = {"BACKEND": f"{__name__}.TroubledStorage"}
        settings.STORAGES = {**settings.STORAGES, "support_tickets": backend}
        ticket = raised()
        attached(ticket)
        push("paper")
        storages["support_tickets"].trouble = trouble  # type: ignore[attr-defined]
        with pytest.raises(ValidationError, match="storage of files does not work") as caught:
            raise_again(ticket)
        assert Ticket.objects.get() == ticket
        assert "AKIASECRET" not in f"{caplog.text} {caught.value!r}"


class TestWaking:
    def test_a_decision_asks_for_a_worker(
        self, desk: Desk, uncertain: Ticket, settings: Any, django_capture_on_commit_callbacks: Any
    ) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = "inline"
        with django_capture_on_commit_callbacks(execute=True):
            settle(uncertain, send_again=True)
        uncertain.refresh_from_db()
        assert uncertain.delivery == Delivery.DELIVERED
