"""A comment, file or closing whose answer was lost: the ticket is read back, and what is there is adopted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from django_support_tickets.exceptions import (
    RemoteNotFound,
)
from django_support_tickets.models import (
    Attachment,
    Comment,
    Delivery,
    Ticket,
    TicketEvent,
)
from django_support_tickets.outbox.decisions import cancel, settle
from django_support_tickets.outbox.push import push
from django_support_tickets.records import (
    ABSENT,
    AttachmentRecord,
    AttachmentRules,
    AuthorType,
    CommentRecord,
    Status,
    TicketRecord,
)
from tests.outbox.lost import CREATE_ONLY, LOST, at_vendor, wait_and_push
from tests.outbox.paper import FULL, Desk

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]


def nameless(act: Callable[[], TicketRecord]) -> TicketRecord:
    """Return what the vendor shows without the ids of comments and files."""
    record = act()
    files = tuple(replace(file, remote_id="") for file in record.attachments or ())
    return replace(
        record, comments=tuple(replace(one, remote_id="") for one in record.comments or ()), attachments=files
    )


class TestComment:
    def lost(self, desk: Desk, ticket: Ticket, *, arrived: bool, body: str = "Any news?") -> Comment:
        comment = Comment.objects.create(ticket=ticket, body=body)
        if arrived:
            desk.lose_answer("comment", LOST)
        else:
            desk.at("comment", LOST)
        push("paper")
        return comment

    def test_it_is_found_by_its_text(self, desk: Desk, raised: Raise) -> None:
        comment = self.lost(desk, at_vendor(desk, raised), arrived=True)
        assert wait_and_push().delivered == 1
        comment.refresh_from_db()
        assert comment.remote_id == "C1"
        assert desk.calls == ["comment", "get"]

    def test_absent_twice_it_is_sent_again(self, desk: Desk, raised: Raise) -> None:
        self.lost(desk, at_vendor(desk, raised), arrived=False)
        wait_and_push()
        assert wait_and_push().delivered == 1
        assert desk.calls == ["comment", "get", "get", "comment"]

    def test_files_that_travelled_are_delivered_with_it(self, desk: Desk, raised: Raise, attached: Any) -> None:
        desk.capabilities = replace(FULL, attachments=AttachmentRules(moments=frozenset({"comment"})))
        ticket = at_vendor(desk, raised)
        file = attached(ticket, comment=Comment.objects.create(ticket=ticket, body="Any news?"))
        desk.lose_answer("comment", LOST)
        push("paper")
        assert wait_and_push().delivered == 1
        file.refresh_from_db()
        assert (file.delivery, desk.arrived["R1"]) == (Delivery.DELIVERED, ["receipt.png"])

    def test_of_several_with_the_same_words_the_last_is_ours(self, desk: Desk, raised: Raise) -> None:
        ticket = at_vendor(desk, raised)
        alike = CommentRecord(remote_id="C0", body="Any news?")
        desk.tickets["R1"] = replace(desk.tickets["R1"], comments=(alike,))
        comment = self.lost(desk, ticket, arrived=True)
        assert wait_and_push().delivered == 1
        comment.refresh_from_db()
        assert comment.remote_id == "C2"
        assert not TicketEvent.objects.filter(kind=TicketEvent.Kind.DUPLICATE).exists()

    def test_the_same_words_of_another_comment_of_ours_are_not_taken(self, desk: Desk, raised: Raise) -> None:
        ticket = at_vendor(desk, raised)
        Comment.objects.create(ticket=ticket, body="Any news?")
        push("paper")
        self.lost(desk, ticket, arrived=False)
        wait_and_push()
        wait_and_push()
        assert desk.calls.count("comment") == 3
        assert list(Comment.objects.order_by("pk").values_list("remote_id", flat=True)) == ["C1", "C2"]

    @pytest.mark.parametrize(("arrived", "sent"), [(False, 3), (True, 2)])
    def test_without_ids_the_first_of_the_same_words_are_of_what_came_first(
        self, desk: Desk, raised: Raise, arrived: bool, sent: int
    ) -> None:
        ticket = at_vendor(desk, raised)
        Comment.objects.create(ticket=ticket, body="Any news?")
        push("paper")
        self.lost(desk, ticket, arrived=arrived)
        Comment.objects.filter(remote_id="C1").update(remote_id=None)
        desk.at("get", *[nameless] * 2)
        wait_and_push()
        wait_and_push()
        assert desk.calls.count("comment") == sent
        assert [one.body for one in desk.tickets["R1"].comments or ()] == ["Any news?"] * 2
        assert set(Comment.objects.values_list("delivery", flat=True)) == {"delivered"}

    @pytest.mark.parametrize(
        "theirs",
        [
            CommentRecord(remote_id="C9", body="Any news?", author_type=AuthorType.AGENT),
            CommentRecord(remote_id="C9", body="Any news?", sent_at=datetime.now(UTC) - timedelta(days=2)),
        ],
        ids=["an agent's", "an old one"],
    )
    def test_the_same_words_of_somebody_else_are_not_taken(
        self, desk: Desk, raised: Raise, theirs: CommentRecord
    ) -> None:
        ticket = at_vendor(desk, raised)
        desk.tickets["R1"] = replace(desk.tickets["R1"], comments=(theirs,))
        self.lost(desk, ticket, arrived=False)
        wait_and_push()
        wait_and_push()
        assert desk.calls.count("comment") == 2

    def test_a_copy_that_a_pull_has_stored_gives_way(self, desk: Desk, raised: Raise) -> None:
        ticket = at_vendor(desk, raised)
        comment = self.lost(desk, ticket, arrived=True)
        copy = Comment(ticket=ticket, body="Any news?", remote_id="C1", delivery=Delivery.DELIVERED)
        Comment.objects.bulk_create([copy])
        wait_and_push()
        assert Comment.objects.get() == comment

    @pytest.mark.parametrize("delivery", [Delivery.QUEUED, Delivery.DRAFT, Delivery.REFUSED])
    def test_one_of_the_same_words_that_a_pull_took_for_it_gives_way(
        self, desk: Desk, raised: Raise, delivery: Delivery
    ) -> None:
        ticket = at_vendor(desk, raised)
        comment = self.lost(desk, ticket, arrived=True)
        Comment.objects.bulk_create([Comment(ticket=ticket, body="Any news?", remote_id="C1", delivery=delivery)])
        assert wait_and_push().delivered >= 1
        comment.refresh_from_db()
        assert (comment.delivery, comment.remote_id) == (Delivery.DELIVERED, "C1")
        assert Comment.objects.count() == 2

    def test_one_taken_back_loses_what_a_pull_took_for_it(self, desk: Desk, raised: Raise) -> None:
        ticket = at_vendor(desk, raised)
        comment = Comment.objects.create(ticket=ticket, body="Any news?")
        Comment.objects.update(remote_id="C1")
        cancel(comment)
        assert (comment.delivery, comment.remote_id) == (Delivery.DRAFT, None)

    @pytest.mark.parametrize("delivery", [Delivery.QUEUED, Delivery.DRAFT, Delivery.REFUSED])
    def test_it_gives_way_to_a_persons_word_too(self, desk: Desk, raised: Raise, delivery: Delivery) -> None:
        ticket = at_vendor(desk, raised)
        comment = self.lost(desk, ticket, arrived=True)
        Comment.objects.update(delivery=Delivery.UNCERTAIN)
        Comment.objects.bulk_create([Comment(ticket=ticket, body="Any news?", remote_id="C1", delivery=delivery)])
        settle(comment, exists="C1")
        assert dict(Comment.objects.values_list("remote_id", "delivery")) == {"C1": "delivered", None: delivery}

    @pytest.mark.parametrize("record", [{"comments": ABSENT}, None], ids=["not loaded", "no ticket"])
    def test_what_cannot_be_read_back_is_left_to_a_person(
        self, desk: Desk, raised: Raise, record: dict[str, Any] | None
    ) -> None:
        ticket = at_vendor(desk, raised)
        if record is None:
            desk.at("get", RemoteNotFound("the vendor does not know it"))
        else:
            desk.tickets["R1"] = replace(desk.tickets["R1"], **record)
        comment = Comment.objects.create(ticket=ticket, body="Any news?")
        desk.at("comment", LOST)
        push("paper")
        assert wait_and_push().uncertain == 1
        comment.refresh_from_db()
        assert comment.delivery == Delivery.UNCERTAIN

    def test_one_that_was_made_earlier_does_not_take_its_place(self, desk: Desk, raised: Raise) -> None:
        """Of two workers' clocks one may be behind: the item in flight is the one that was marked."""
        ticket = at_vendor(desk, raised)
        comment = self.lost(desk, ticket, arrived=True)
        earlier = comment.created_at - timedelta(minutes=5)
        Comment.objects.create(ticket=ticket, body="Hello?", created_at=earlier)
        wait_and_push()
        assert desk.calls == ["comment", "get", "comment"]
        assert [one.body for one in desk.tickets["R1"].comments or ()] == ["Any news?", "Hello?"]


class TestFile:
    @pytest.mark.fault(20)
    def test_it_is_found_by_name_and_size(self, desk: Desk, raised: Raise, attached: Any) -> None:
        ticket = at_vendor(desk, raised)
        file = attached(ticket)
        desk.lose_answer("upload", LOST)
        push("paper")
        assert wait_and_push().delivered == 1
        file.refresh_from_db()
        assert (file.remote_id, desk.calls) == ("F1", ["upload", "get"])

    @pytest.mark.fault(20)
    def test_the_third_of_five_fails_and_the_others_are_sent_once(
        self, desk: Desk, raised: Raise, attached: Any
    ) -> None:
        ticket = at_vendor(desk, raised)
        for number in range(5):
            attached(ticket, name=f"{number}.png")
        desk.at("upload", None, None, LOST)
        push("paper")
        wait_and_push()
        wait_and_push()
        sent = [file.name for file in desk.tickets["R1"].attachments or ()]
        assert sent == [f"{number}.png" for number in range(5)]
        assert (desk.calls.count("create"), desk.calls.count("upload")) == (0, 6)

    def test_without_ids_an_equal_one_is_of_the_file_that_came_first(
        self, desk: Desk, raised: Raise, attached: Any
    ) -> None:
        ticket = at_vendor(desk, raised)
        first, _ = attached(ticket), attached(ticket)
        desk.at("upload", None, LOST)
        push("paper")
        Attachment.objects.filter(pk=first.pk).update(remote_id=None)
        desk.at("get", *[nameless] * 2)
        wait_and_push()
        wait_and_push()
        assert len(desk.tickets["R1"].attachments or ()) == 2

    @pytest.mark.parametrize(
        "other",
        [
            AttachmentRecord(remote_id="F9", name="receipt.png", size=5),
            AttachmentRecord(remote_id="F9", name="other.png"),
            AttachmentRecord(remote_id="F9", name="receipt.png", created_at=datetime.now(UTC) - timedelta(hours=2)),
        ],
        ids=["of another size", "of another name", "an old one"],
    )
    def test_one_that_looks_different_is_another_file(
        self, desk: Desk, raised: Raise, attached: Any, other: AttachmentRecord
    ) -> None:
        ticket = at_vendor(desk, raised)
        desk.tickets["R1"] = replace(desk.tickets["R1"], attachments=(other,))
        attached(ticket)
        desk.at("upload", LOST)
        push("paper")
        wait_and_push()
        assert wait_and_push().delivered == 1
        assert Attachment.objects.get().remote_id == "F2"

    def test_of_several_that_look_the_same_the_last_is_ours(self, desk: Desk, raised: Raise, attached: Any) -> None:
        ticket = at_vendor(desk, raised)
        file = attached(ticket)
        alike = AttachmentRecord(remote_id="F0", name=file.name, size=file.size)
        desk.tickets["R1"] = replace(desk.tickets["R1"], attachments=(alike,))
        desk.lose_answer("upload", LOST)
        push("paper")
        assert wait_and_push().delivered == 1
        file.refresh_from_db()
        assert file.remote_id == "F2"
        assert not TicketEvent.objects.filter(kind=TicketEvent.Kind.DUPLICATE).exists()

    def test_files_that_are_not_shown_prove_nothing(self, desk: Desk, raised: Raise, attached: Any) -> None:
        ticket = at_vendor(desk, raised)
        desk.tickets["R1"] = replace(desk.tickets["R1"], attachments=ABSENT)
        attached(ticket)
        desk.at("upload", LOST)
        push("paper")
        assert wait_and_push().uncertain == 1

    @pytest.mark.fault(16, 20)
    def test_one_that_a_stale_instance_adds_is_refused_and_not_counted_as_sent(
        self, desk: Desk, raised: Raise, attached: Any
    ) -> None:
        desk.capabilities = CREATE_ONLY
        draft = raised(delivery=Delivery.DRAFT)
        stale = Ticket.objects.get()
        draft.submit()
        desk.lose_answer("create", LOST)
        push("paper")
        with pytest.raises(ValidationError, match="which was sent already"):
            attached(stale)
        assert wait_and_push().delivered == 1
        assert not Attachment.objects.exists()

    @pytest.mark.fault(20)
    def test_one_that_is_added_while_its_ticket_is_on_its_way_is_sent(
        self, desk: Desk, raised: Raise, attached: Any
    ) -> None:
        """At a vendor that takes files at any moment nobody could tell whether it was in time."""
        ticket = raised()
        desk.lose_answer("create", LOST)
        push("paper")
        attached(ticket)
        assert wait_and_push().delivered == 2
        assert [file.name for file in desk.tickets["R1"].attachments or ()] == ["receipt.png"]

    @pytest.mark.fault(16, 20)
    def test_one_that_is_added_to_a_stale_comment_is_refused(self, desk: Desk, raised: Raise, attached: Any) -> None:
        desk.capabilities = replace(
            CREATE_ONLY, can_comment=True, attachments=AttachmentRules(moments=frozenset({"comment"}))
        )
        ticket = at_vendor(desk, raised)
        comment = Comment.objects.create(ticket=ticket, body="Any news?", delivery=Delivery.DRAFT)
        stale = Comment.objects.get()
        comment.submit()
        desk.lose_answer("comment", LOST)
        push("paper")
        with pytest.raises(ValidationError, match="which was sent already"):
            attached(ticket, comment=stale)
        assert wait_and_push().delivered == 1


class TestClosing:
    @pytest.mark.parametrize("arrived", [True, False])
    def test_it_is_read_back(self, desk: Desk, raised: Raise, arrived: bool) -> None:
        ticket = at_vendor(desk, raised)
        Ticket.objects.update(close_delivery=Delivery.QUEUED)
        if arrived:
            desk.lose_answer("close", LOST)
        else:
            desk.at("close", LOST)
        push("paper")
        wait_and_push()
        wait_and_push()
        ticket.refresh_from_db()
        assert (ticket.close_delivery, ticket.status) == (Delivery.DELIVERED, Status.CLOSED)
        assert desk.calls == (["close", "get"] if arrived else ["close", "get", "get", "close"])

    def test_a_status_that_is_not_shown_proves_nothing(self, desk: Desk, raised: Raise) -> None:
        at_vendor(desk, raised)
        Ticket.objects.update(close_delivery=Delivery.QUEUED)
        desk.tickets["R1"] = replace(desk.tickets["R1"], status=ABSENT)
        desk.at("close", LOST)
        push("paper")
        assert wait_and_push().uncertain == 1
        assert Ticket.objects.get().close_delivery == Delivery.UNCERTAIN
