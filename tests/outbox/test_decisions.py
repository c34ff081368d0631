"""What a person takes back, closes and raises again, and what is no longer possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.files.storage import InMemoryStorage, storages

from django_support_tickets.exceptions import Ambiguous, NotSent, Refused
from django_support_tickets.models import Comment, Delivery, OutboxEntry, Ticket, TicketEvent
from django_support_tickets.outbox.claims import Claim, mark
from django_support_tickets.outbox.decisions import cancel, close_here, raise_again, request_close, settle
from django_support_tickets.outbox.items import Item, Kind
from django_support_tickets.outbox.push import push
from django_support_tickets.records import AttachmentRules, Capabilities, Status
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


class TestCancel:
    @pytest.mark.fault(15)
    def test_a_ticket_is_a_draft_again_and_is_not_sent(self, desk: Desk, raised: Raise, actor: Any) -> None:
        ticket = raised()
        cancel(ticket, actor=actor, source=TicketEvent.Source.API)
        assert (ticket.delivery, ticket.submitted_at) == (Delivery.DRAFT, None)
        assert not OutboxEntry.objects.exists()
        event = ticket.events.latest("pk")
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
        event = ticket.events.latest("pk")
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
        assert draft.events.latest("pk").changes["raised_from"] == str(ticket.key)
        event = ticket.events.latest("pk")
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
        assert caught.value.error_dict["file"][0].code == "storage"
        assert Ticket.objects.get() == ticket
        assert "AKIASECRET" not in f"{caplog.text} {caught.value!r}"
