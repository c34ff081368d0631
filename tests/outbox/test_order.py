"""What goes next: in order per ticket, nothing before its ticket, and nothing that the vendor cannot take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_support_tickets.exceptions import AccessDenied, Ambiguous, Refused
from django_support_tickets.management.backlog import parked
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.outbox.claims import Claim
from django_support_tickets.outbox.decisions import cancel
from django_support_tickets.outbox.delivery import deliver
from django_support_tickets.outbox.push import push, push_ticket
from django_support_tickets.providers import providers
from django_support_tickets.records import AttachmentRules, Capabilities
from tests.outbox.conftest import PICTURE
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]


def rules(*moments: str, **more: Any) -> Capabilities:
    return Capabilities(can_find=True, attachments=AttachmentRules(moments=frozenset(moments)), **more)


class TestOrder:
    def test_comments_and_files_go_in_the_order_in_which_they_were_made(
        self, desk: Desk, raised: Raise, said: Any, attached: Any
    ) -> None:
        desk.capabilities = rules("after", can_comment=True, can_close=True)
        ticket = raised()
        Ticket.objects.update(close_delivery=Delivery.QUEUED)
        said(ticket, "one")
        attached(ticket)
        said(ticket, "two")
        assert push("paper").delivered == 5
        assert desk.calls == ["create", "comment", "upload", "comment", "close"]

    def test_a_file_of_a_comment_goes_before_it_where_it_cannot_travel_with_it(
        self, desk: Desk, raised: Raise, said: Any, attached: Any
    ) -> None:
        desk.capabilities = rules("after", can_comment=True)
        ticket = raised()
        comment = said(ticket)
        attached(ticket, comment=comment)
        push("paper")
        assert desk.calls == ["create", "upload", "comment"]

    def test_files_travel_with_their_comment(self, desk: Desk, raised: Raise, said: Any, attached: Any) -> None:
        desk.capabilities = rules("comment", can_comment=True)
        ticket = raised()
        said(ticket, "Look:")
        attached(ticket, comment=said(ticket, "And this:"))
        push("paper")
        assert desk.calls == ["create", "comment", "comment"]
        assert [name for name, _ in desk.files] == ["receipt.png"]

    def test_other_tickets_do_not_wait(self, desk: Desk, raised: Raise, said: Any) -> None:
        first, _ = raised(), raised()
        said(first)
        desk.at("create", Ambiguous("the answer was lost or cut"))
        counts = push("paper")
        assert (counts.waiting, counts.delivered) == (1, 1)

    def test_a_file_in_flight_stays_in_flight_when_its_comment_is_cancelled(
        self, desk: Desk, raised: Raise, said: Any, attached: Any
    ) -> None:
        desk.capabilities = rules("after", can_comment=True)
        ticket = raised()
        push("paper")
        comment = said(ticket)
        attached(ticket, comment=comment)
        desk.lose_answer("upload", Ambiguous("the answer was lost or cut"))
        push("paper")
        cancel(comment)
        pass_time(61)
        assert push("paper").delivered == 1
        assert desk.calls.count("upload") == 1

    def test_first_come_first_served_whoever_has_more_to_say(self, desk: Desk, raised: Raise, said: Any) -> None:
        talkative, other = raised(), raised()
        for number in range(3):
            said(talkative, f"{number}")
        push("paper")
        assert desk.calls == ["create", "create", "comment", "comment", "comment"]
        assert list(Ticket.objects.order_by("remote_id")) == [talkative, other]

    def test_an_uncertain_comment_holds_nothing(self, desk: Desk, raised: Raise, said: Any) -> None:
        ticket = raised()
        push("paper")
        said(ticket)
        desk.at("comment", Ambiguous("the answer was lost or cut"))
        desk.at("get", Refused("the vendor refuses it"))
        push("paper")
        said(ticket, "And now?")
        pass_time(61)
        counts = push("paper")
        assert (counts.uncertain, counts.delivered) == (1, 1)

    def test_a_file_waits_for_the_comment_that_was_refused(
        self, desk: Desk, raised: Raise, said: Any, attached: Any
    ) -> None:
        desk.capabilities = rules("comment", can_comment=True)
        ticket = raised()
        push("paper")
        comment = said(ticket)
        attached(ticket, comment=comment)
        desk.at("comment", Refused("the vendor refuses it"))
        push("paper")
        assert Attachment.objects.get().delivery == Delivery.QUEUED
        assert not OutboxEntry.objects.exists()
        comment.refresh_from_db()
        comment.submit()
        assert push("paper").delivered == 1
        assert Attachment.objects.get().delivery == Delivery.DELIVERED


class TestDraft:
    def test_the_vendor_gets_all_that_was_said(self, desk: Desk, raised: Raise, attached: Any) -> None:
        desk.capabilities = rules("create", option_names=frozenset({"tx"}))
        values = {"customer_id": "c-1", "contact_name": "Ana", "contact_email": "ana@example.com", "priority": "high"}
        values |= {"category": "bug", "options": {"tx": "0x1"}, "subject": "Deposit missing"}
        ticket = raised(**values, tags=["a", "b"])
        file = attached(ticket)
        assert push("paper").delivered == 1
        draft = desk.drafts["R1"]
        assert {name: getattr(draft, name) for name in values} == values
        assert (draft.key, draft.tags, draft.description) == (str(ticket.key), ("a", "b"), "Since noon.")
        (sent,) = draft.files
        for name in ("name", "content_type", "size", "sha256"):
            assert getattr(sent, name) == getattr(file, name)
        assert (sent.key, sent.size) == (str(file.key), len(PICTURE))


class TestNoWay:
    """What the vendor has no way to take ends refused with a sentence, and not queued for ever."""

    def test_a_comment(self, desk: Desk, raised: Raise, caplog: Any) -> None:
        ticket = raised()
        push("paper")
        desk.capabilities = Capabilities(no_comment_reason="Ripio answers by e-mail")
        Comment.objects.bulk_create([Comment(ticket=ticket, body="Any news?", submitted_at=ticket.created_at)])
        assert push("paper").refused == 1
        assert Comment.objects.get().delivery_error == "Ripio answers by e-mail"
        assert caplog.messages == ["refused: not sent"]

    def test_a_file(self, desk: Desk, raised: Raise, attached: Any) -> None:
        ticket = raised()
        push("paper")
        attached(ticket)
        desk.capabilities = rules("create")
        assert push("paper").refused == 1
        assert "only together with the ticket" in Attachment.objects.get().delivery_error

    def test_a_closing(self, desk: Desk, raised: Raise) -> None:
        raised()
        push("paper")
        Ticket.objects.update(close_delivery=Delivery.QUEUED)
        desk.capabilities = Capabilities()
        assert push("paper").refused == 1
        assert Ticket.objects.get().close_delivery == Delivery.REFUSED


class TestAccounts:
    @pytest.mark.fault(18)
    def test_what_is_queued_for_a_removed_alias_is_parked_and_counted(
        self, desk: Desk, raised: Raise, settings: Any
    ) -> None:
        raised()
        configured = settings.SUPPORT_TICKETS_PROVIDERS
        settings.SUPPORT_TICKETS_PROVIDERS = {"renamed": configured["paper"]}
        assert push("renamed").delivered == 0
        assert parked(["renamed"], using="default") == {"paper": 1}
        assert Ticket.objects.get().delivery == Delivery.QUEUED
        settings.SUPPORT_TICKETS_PROVIDERS = configured
        assert parked(["paper"], using="default") == {}
        assert push("paper").delivered == 1

    @pytest.mark.fault(18)
    def test_who_renames_an_account_in_the_tickets_has_its_entries_follow(
        self, desk: Desk, raised: Raise, settings: Any
    ) -> None:
        raised()
        settings.SUPPORT_TICKETS_PROVIDERS = {"renamed": settings.SUPPORT_TICKETS_PROVIDERS["paper"]}
        Ticket.objects.update(provider="renamed")
        assert push("renamed").delivered == 1

    @pytest.mark.fault(18)
    def test_what_may_be_at_the_vendor_follows_nobody(self, desk: Desk, raised: Raise, settings: Any) -> None:
        raised()
        desk.lose_answer("create", Ambiguous("the answer was lost or cut"))
        push("paper")
        settings.SUPPORT_TICKETS_PROVIDERS = {"other": settings.SUPPORT_TICKETS_PROVIDERS["paper"]}
        Ticket.objects.update(provider="other")
        pass_time(3600)
        assert push("other").delivered == 0
        assert parked(["other"], using="default") == {"paper": 1}
        assert desk.calls == ["create"]

    @pytest.mark.fault(18)
    def test_rows_in_bulk_for_an_alias_that_is_not_there_are_counted_too(self, desk: Desk) -> None:
        Ticket.objects.bulk_create([Ticket(provider="typo", subject="In bulk")])
        assert parked(["paper"], using="default") == {"typo": 1}

    def test_a_draft_that_moves_to_another_account_goes_there(
        self, desk: Desk, raised: Raise, attached: Any, settings: Any
    ) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS |= {"other": settings.SUPPORT_TICKETS_PROVIDERS["paper"]}
        draft = raised(provider="paper", delivery=Delivery.DRAFT)
        attached(draft)
        assert not OutboxEntry.objects.exists()
        OutboxEntry.objects.create(ticket=draft, provider="paper")
        draft.provider = "other"
        draft.submit()
        assert push("paper").delivered == 0
        assert push("other").delivered == 2

    def test_an_entry_of_another_account_is_handed_over(self, desk: Desk, raised: Raise, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS |= {"other": settings.SUPPORT_TICKETS_PROVIDERS["paper"]}
        raised(provider="paper")
        OutboxEntry.objects.update(provider="other")
        assert push("other").delivered == 0
        assert desk.calls == []
        assert push("paper").delivered == 1


class TestPushTicket:
    @pytest.mark.fault(11)
    def test_what_a_worker_has_claimed_is_not_sent_now_as_well(
        self, desk: Desk, raised: Raise, claimed: Callable[..., Claim]
    ) -> None:
        ticket = raised()
        claim = claimed()
        assert (push_ticket(ticket.pk).delivered, push("paper").delivered) == (0, 0)
        assert deliver(claim, providers["paper"]) == "delivered"
        assert push_ticket(ticket.pk).delivered == 0
        assert desk.calls == ["create"]

    def test_it_sends_what_is_due_of_one_ticket_only(self, desk: Desk, raised: Raise, said: Any) -> None:
        first, second = raised(), raised()
        said(second)
        assert push_ticket(second.pk).delivered == 2
        first.refresh_from_db()
        assert first.delivery == Delivery.QUEUED

    def test_it_finds_what_nothing_announced(self, desk: Desk, raised: Raise) -> None:
        ticket, _ = raised(), raised()
        OutboxEntry.objects.all().delete()
        assert push_ticket(ticket.pk).delivered == 1
        assert not OutboxEntry.objects.exists()  # of the other, which is for a push of all

    def test_it_waits_like_everybody_while_the_account_is_paused(self, desk: Desk, raised: Raise) -> None:
        _, ticket, other = raised(), raised(), raised()
        desk.at("create", AccessDenied("the vendor refuses this account"))
        push_ticket(other.pk)
        assert push_ticket(ticket.pk).delivered == 0
        pass_time(16 * 60)
        assert push_ticket(ticket.pk).delivered == 1
