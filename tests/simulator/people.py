"""What people do, as rules that Hypothesis puts in any order; their vendor is one on paper."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.db import transaction
from django.db.models import ProtectedError
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.outbox import decisions
from django_support_tickets.outbox.push import push
from django_support_tickets.records import AttachmentRules, Status
from tests.outbox.paper import FULL, Desk, reset_desk
from tests.simulator.passing import pass_time
from tests.simulator.running import empty_tables

PICTURE = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
#: When the vendor takes files.
MOMENTS = (frozenset({"create", "after", "comment"}), frozenset({"create", "comment"}), frozenset({"create"}))
#: Seconds after which the vendor has done what it was asked, within the time that it is given to settle.
LATEST = 59
#: Which of several rows, and words and names that are used more than once.
numbers = st.integers(0, 5)
words = st.sampled_from(["Any news?", "Hello?"])
names = st.sampled_from(["receipt.png", "photo.png"])


class People(RuleBasedStateMachine):
    """They raise tickets, talk, change their minds, and say what they see at the vendor."""

    desk: Desk

    @initialize(
        searchable=st.sampled_from([True, False]),
        closes=st.sampled_from([True, False]),
        moments=st.sampled_from(MOMENTS),
        lag=st.sampled_from([0, LATEST]),
        tickets=st.integers(0, 2),
    )
    def begin(self, searchable: bool, closes: bool, moments: frozenset[str], lag: float, tickets: int) -> None:
        empty_tables()
        self.desk = reset_desk()
        self.desk.lag = lag
        rules = AttachmentRules(moments=moments)
        self.desk.capabilities = replace(FULL, can_find=searchable, can_close=closes, attachments=rules)
        self.moments = moments
        #: Keys of tickets that were deleted before anything of them could have left.
        self.deleted: set[str] = set()
        self.closed_here: set[int] = set()
        #: Remote ids that workers without a lease have brought.
        self.named_late: dict[int, str] = {}
        #: The vendor is late to show what it has once; later it shows a part and says so.
        self.times_hidden = 0
        #: The vendor has left something out of a ticket that it showed.
        self.left_something_out = False
        for _ in range(tickets):
            self.raise_ticket([])
        push("paper")

    def pass_time(self, seconds: float) -> None:
        pass_time(seconds)
        self.desk.advance(seconds)

    def some(self, number: int, model: type[Any] = Ticket, **facts: Any) -> Any:
        found = list(model.objects.filter(**facts).order_by("pk"))
        return found[number % len(found)] if found else None

    @rule(files=st.lists(names, max_size=2))
    def submit(self, files: list[str]) -> None:
        self.raise_ticket(files)

    def raise_ticket(self, files: list[str]) -> Ticket:
        with transaction.atomic():
            ticket = Ticket.objects.create(subject="Deposit missing", description=f"Number {Ticket.objects.count()}")
            for name in files:
                self.add_file(ticket, name)
        return ticket

    def add_file(self, ticket: Ticket, name: str, comment: Comment | None = None) -> None:
        file = ContentFile(PICTURE, name=name)
        Attachment.objects.create(ticket=ticket, comment=comment, file=file)

    @rule(number=numbers, body=words, files=st.lists(names, max_size=1))
    def comment(self, number: int, body: str, files: list[str]) -> None:
        if ticket := self.some(number, delivery__in=[Delivery.QUEUED, Delivery.DELIVERED]):
            try:
                self.say(ticket, body, files)
            except ValidationError:  # a worker that has its entry may have read what there was
                assert files and OutboxEntry.objects.filter(ticket=ticket).exclude(lease_token=None).exists()

    def say(self, ticket: Ticket, body: str, files: list[str]) -> None:
        with transaction.atomic():
            comment = Comment.objects.create(ticket=ticket, body=body)
            for name in files if "comment" in self.moments else []:
                self.add_file(ticket, name, comment)

    @rule(number=numbers, name=names)
    def attach(self, number: int, name: str) -> None:
        if ticket := self.some(number, delivery__in=[Delivery.QUEUED, Delivery.DELIVERED]):
            self.try_to_attach(ticket, name)

    def try_to_attach(self, ticket: Ticket, name: str) -> None:
        try:
            self.add_file(ticket, name)
        except ValidationError:
            assert "after" not in self.moments

    @rule(number=numbers)
    def close(self, number: int) -> None:
        if ticket := self.some(number, delivery=Delivery.DELIVERED):
            self.try_to_close(ticket)

    def try_to_close(self, ticket: Ticket) -> None:
        under_way = ticket.close_delivery in (Delivery.QUEUED, Delivery.UNCERTAIN)
        try:
            decisions.request_close(ticket)
        except ValidationError:
            assert not self.desk.capabilities.can_close or ticket.status == Status.CLOSED or under_way

    @rule(number=numbers)
    def close_here(self, number: int) -> None:
        if ticket := self.some(number):
            try:
                decisions.close_here(ticket)
            except ValidationError:
                is_sent = ticket.delivery not in (Delivery.DRAFT, Delivery.QUEUED)
                assert self.desk.capabilities.can_close or ticket.status == Status.CLOSED or not is_sent
            else:
                self.closed_here.add(ticket.pk)

    @rule(number=numbers, submitted=st.booleans())
    def raise_again(self, number: int, submitted: bool) -> None:
        if ticket := self.some(number):
            try:
                draft = decisions.raise_again(ticket)
            except ValidationError:
                assert ticket.delivery in (Delivery.DRAFT, Delivery.QUEUED)
            else:
                assert draft.key != ticket.key
                if submitted:
                    with transaction.atomic():
                        draft.submit()

    @rule(number=numbers, model=st.sampled_from([Ticket, Comment, Attachment]))
    def cancel(self, number: int, model: type[Any]) -> None:
        if item := self.some(number, model, delivery=Delivery.QUEUED):
            self.try_to_cancel(item, item if model is Ticket else item.ticket)

    @rule(number=numbers)
    def cancel_closing(self, number: int) -> None:
        if ticket := self.some(number, delivery=Delivery.DELIVERED, close_delivery=Delivery.QUEUED):
            self.try_to_cancel(ticket, ticket)

    def try_to_cancel(self, item: Any, ticket: Ticket) -> None:
        try:
            decisions.cancel(item)
        except ValidationError as error:
            held = OutboxEntry.objects.filter(ticket=ticket).exclude(lease_token=None, sent_at=None)
            carrier = getattr(item, "comment", None) or ticket
            assert carrier.delivery == Delivery.UNCERTAIN if error.code == "uncertain" else held.exists()

    @rule(number=numbers)
    def delete(self, number: int) -> None:
        if ticket := self.some(number, delivery=Delivery.QUEUED):
            self.try_to_delete(ticket)

    def try_to_delete(self, ticket: Ticket) -> None:
        try:
            with transaction.atomic():
                ticket.delete()
        except ProtectedError:
            assert OutboxEntry.objects.filter(ticket=ticket).exclude(lease_token=None, sent_at=None).exists()
        else:
            self.deleted.add(str(ticket.key))

    @precondition(lambda self: any(self.uncertain()))
    @rule(number=numbers)
    def settle(self, number: int) -> None:
        found = list(self.uncertain())
        self.tell_the_truth(found[number % len(found)])

    @rule(number=numbers)
    def settle_without_a_look(self, number: int) -> None:
        """Say that it is not there, which is refused where a late answer has said that it is."""
        late = Ticket.objects.filter(delivery=Delivery.UNCERTAIN, pk__in=self.named_late).order_by("pk")
        if found := list(late):
            ticket = found[number % len(found)]
            with pytest.raises(ValidationError, match=self.named_late[ticket.pk]):
                decisions.settle(ticket, send_again=True)

    def uncertain(self) -> list[Any]:
        """Return what waits for a person: tickets, their closings, comments and files."""
        found: list[Any] = list(Ticket.objects.filter(close_delivery=Delivery.UNCERTAIN))
        for model in (Ticket, Comment, Attachment):
            found += model._base_manager.filter(delivery=Delivery.UNCERTAIN).order_by("pk")
        return found

    def tell_the_truth(self, item: Any) -> None:
        """Look at the vendor when nothing can be on its way any more, and say what is there."""
        self.pass_time(LATEST)
        remote_id = self.remote_id_of(item)
        if remote_id is None:
            self.closed_here.discard(item.pk)  # it begins anew
            for key in (str(item.key), item.remote_id):
                self.desk.lost_at.pop(key, None)
        decisions.settle(item, exists=remote_id, send_again=remote_id is None)

    def remote_id_of(self, item: Any) -> str | None:
        if isinstance(item, Ticket) and item.delivery == Delivery.UNCERTAIN:
            return next((key for key, one in self.desk.tickets.items() if one.key == str(item.key)), None)
        record = self.desk.tickets[str((item if isinstance(item, Ticket) else item.ticket).remote_id)]
        if isinstance(item, Ticket):
            return item.remote_id if record.status == Status.CLOSED else None
        there = _equal_to(item, record)
        taken = set(type(item)._base_manager.filter(ticket=item.ticket_id).values_list("remote_id", flat=True))
        return next((remote_id for remote_id in there if remote_id not in taken), None)


def _equal_to(item: Comment | Attachment, record: Any) -> list[str]:
    if isinstance(item, Comment):
        return [one.remote_id for one in record.comments if one.body == item.body]
    return [one.remote_id for one in record.attachments if (one.name, one.size) == (item.name, item.size)]
