"""Late answers of comments, files and closings, and what is in flight but gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_support_tickets.exceptions import Ambiguous, NotSent
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket, TicketEvent
from django_support_tickets.outbox.claims import Claim, mark
from django_support_tickets.outbox.facts import keep_fact
from django_support_tickets.outbox.intake import sweep
from django_support_tickets.outbox.items import Item, Kind, next_item
from django_support_tickets.outbox.push import push
from django_support_tickets.outbox.settling import LeaseLost, settle_delivered
from django_support_tickets.records import AttachmentRecord, CommentRecord, TicketRecord
from tests.outbox.paper import FULL, Desk
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]
Claimed = Callable[..., Claim]

LOST = Ambiguous("the answer was lost or cut")


@pytest.fixture
def ticket(desk: Desk, raised: Raise) -> Ticket:
    """A ticket that is at the vendor."""
    ticket = raised()
    push("paper")
    desk.calls.clear()
    ticket.refresh_from_db()
    return ticket


def freeze(claimed: Claimed) -> tuple[Claim, Item]:
    """Return what a worker has marked before it stood still."""
    claim = claimed()
    item = next_item(claim.entry.ticket, FULL, using="default")
    assert item is not None and mark(claim, item, lease_seconds=1)
    pass_time(2)
    assert push("paper").delivered == 0
    return claim, item


@pytest.mark.fault(12)
class TestLateAnswers:
    """The vendor's answer to a worker that has lost its lease settles the item: nothing is searched or sent again."""

    def settle_late(self, claimed: Claimed, record: Any) -> None:
        claim, item = freeze(claimed)
        OutboxEntry.objects.update(lease_token=None)
        with pytest.raises(LeaseLost):
            settle_delivered(claim, item, record)
        pass_time(61)
        assert push("paper").delivered == 1

    def test_of_a_comment(self, desk: Desk, ticket: Ticket, said: Any, claimed: Claimed) -> None:
        said(ticket)
        self.settle_late(claimed, CommentRecord(remote_id="C7"))
        comment = Comment.objects.get()
        assert (comment.delivery, comment.remote_id, desk.calls) == (Delivery.DELIVERED, "C7", [])

    def test_of_a_file(self, desk: Desk, ticket: Ticket, attached: Any, claimed: Claimed) -> None:
        attached(ticket)
        self.settle_late(claimed, AttachmentRecord(remote_id="F7"))
        file = Attachment.objects.get()
        assert (file.delivery, file.remote_id, desk.calls) == (Delivery.DELIVERED, "F7", [])

    def test_of_two_the_one_of_the_item_counts(self, desk: Desk, ticket: Ticket, said: Any, claimed: Claimed) -> None:
        """The id that another comment of ours has at the vendor is not taken from it."""
        first, second = said(ticket), said(ticket, "And now?")
        push("paper")
        Comment.objects.filter(pk=second.pk).update(delivery=Delivery.QUEUED, remote_id=None)
        sweep("paper", using="default")
        claim, item = freeze(claimed)
        keep_fact(claim, item, "C1")
        pass_time(61)
        assert push("paper").delivered == 1
        assert list(Comment.objects.order_by("pk").values_list("pk", "remote_id")) == [
            (first.pk, "C1"),
            (second.pk, "C2"),
        ]

    def test_the_id_that_a_row_has_already_is_no_news(self, desk: Desk, raised: Raise, claimed: Claimed) -> None:
        raised()
        claim, item = freeze(claimed)
        Ticket.objects.update(remote_id="R7")
        OutboxEntry.objects.update(lease_token=None)
        with pytest.raises(LeaseLost):
            settle_delivered(claim, item, TicketRecord(remote_id="R7"))
        assert not TicketEvent.objects.filter(kind=TicketEvent.Kind.LATE_ANSWER).exists()


class TestGone:
    @pytest.mark.fault(15)
    @pytest.mark.parametrize("change", ["deleted", "drafted", "refused"])
    def test_what_waits_behind_an_item_that_is_gone_begins_anew(
        self, desk: Desk, ticket: Ticket, said: Any, change: str
    ) -> None:
        said(ticket)
        desk.at("comment", NotSent("no connection"), LOST)
        push("paper")
        pass_time(60)
        push("paper")
        gone = Comment.objects.all()
        if change == "deleted":
            gone._raw_delete("default")
        else:
            gone.update(delivery=Delivery.DRAFT if change == "drafted" else Delivery.REFUSED)
        said(ticket, "And now?")
        pass_time(61)
        desk.at("comment", NotSent("no connection"))
        push("paper")
        entry = OutboxEntry.objects.get()
        assert (entry.item, entry.item_id, entry.sent_at, entry.attempts, entry.searches) == ("", None, None, 0, 0)
        pass_time(60)
        assert push("paper").delivered == 1
        assert [comment.body for comment in desk.tickets["R1"].comments or ()] == ["And now?"]

    def test_it_begins_its_own_72_hours(self, desk: Desk, ticket: Ticket, said: Any) -> None:
        said(ticket)
        desk.at("comment", LOST)
        push("paper")
        Comment.objects.all()._raw_delete("default")
        said(ticket, "And now?")
        pass_time(73 * 3600)
        desk.at("comment", NotSent("no connection"))
        assert push("paper").waiting == 2  # the one that is gone, and the try of the other
        assert Comment.objects.get().delivery == Delivery.QUEUED
        assert OutboxEntry.objects.get().item == "" and Kind.COMMENT in desk.calls
