"""A machine whose rules Hypothesis puts in any order: people, workers that die or stand still, a vendor that fails."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from django_support_tickets.exceptions import Ambiguous, Busy, NotSent
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.outbox.claims import Claim, claim_next, mark
from django_support_tickets.outbox.delivery import _call, deliver
from django_support_tickets.outbox.items import Item, next_item
from django_support_tickets.outbox.push import push
from django_support_tickets.outbox.settling import LeaseLost, settle_delivered
from django_support_tickets.outbox.storing import Result
from django_support_tickets.providers import providers
from django_support_tickets.records import ABSENT, Found, Status
from tests.simulator.people import LATEST, People, numbers

OPERATIONS = ("create", "comment", "upload", "close", "find", "get")
FAULTS = ("lost before", "lost after", "late", "not sent", "busy", "gateway", "a mistake", "hidden")
LOST = Ambiguous("the answer was lost or cut")
#: Of a gateway that has lost patience with a vendor that has not.
GATEWAY = Busy("the vendor asks to wait", status=503, retry_after=5.0)
stages = st.sampled_from(["claimed", "marked", "sent"])
POSSIBLY_THERE = (Delivery.QUEUED, Delivery.UNCERTAIN, Delivery.DELIVERED)


class Push(People):
    """Whatever happens, nothing is lost or doubled, and what nobody can know is left to a person."""

    # The vendor.

    @rule(
        operation=st.sampled_from(OPERATIONS),
        fault=st.sampled_from(
            ["lost before", "lost after", "not sent", "late", "busy", "gateway", "a mistake", "hidden"]
        ),
    )
    def fail(self, operation: str, fault: str) -> None:
        self.break_next(operation, fault)

    def break_next(self, operation: str, fault: str) -> None:
        errors = {
            "lost before": LOST,
            "not sent": NotSent("no connection could be made"),
            "busy": Busy("the vendor asks to wait", retry_after=5.0),
            "a mistake": KeyError("id"),
        }
        if fault in ("lost after", "gateway"):
            self.desk.lose_answer(operation, LOST if fault == "lost after" else GATEWAY)
        elif fault == "late":
            self.desk.postpone(operation, LOST, seconds=LATEST)
        elif fault == "hidden":
            self.hide(operation)
        else:
            self.desk.at(operation, errors[fault])

    def hide(self, operation: str) -> None:
        """Let the vendor show only a part, which proves nothing; and once, show later what it has already."""
        if operation == "get":
            self.left_something_out = True
            unknown = {"comments": ABSENT, "attachments": ABSENT, "status": ABSENT}
            self.desk.at("get", lambda act: replace(act(), **unknown))
        if operation == "find":
            nothing = Found(records=(), complete=not self.times_hidden)
            self.times_hidden += 1
            self.desk.at("find", lambda act: nothing)

    @precondition(lambda self: Ticket.objects.filter(delivery=Delivery.DELIVERED).exists())
    @rule(
        number=numbers,
        operation=st.sampled_from(["create", "comment", "upload", "close"]),
        fault=st.sampled_from(["lost before", "lost after", "late", "gateway"]),
        is_shown=st.booleans(),
    )
    def lose_an_answer(self, number: int, operation: str, fault: str, is_shown: bool) -> None:
        """Let one of the answers about a ticket be lost, and the vendor show what it has got, or not."""
        ticket = self.some(number, delivery=Delivery.DELIVERED)
        self.break_next(operation, fault)
        if not is_shown:
            self.hide("find" if operation == "create" else "get")
        match operation:
            case "create":
                self.raise_ticket([])
            case "comment":
                self.say(ticket, "Any news?", [])
            case "upload":
                self.try_to_attach(ticket, "receipt.png")
            case "close":
                self.try_to_close(ticket)
        for _ in range(2):
            self.pass_time(61)
            push("paper")

    # Workers.

    def begin_to_send(self, stage: str, ticket: Ticket | None = None) -> tuple[Claim, Item] | None:
        """Let a worker come as far as its claim, its mark or the answer; return what it has marked."""
        provider = providers["paper"]
        for claim in claim_next("paper", 1, using="default", ticket_id=ticket and ticket.pk):
            item = next_item(claim.entry.ticket, provider.capabilities, using="default")
            if stage == "claimed" or item is None or claim.entry.sent_at is not None:
                return None
            if not mark(claim, item, lease_seconds=60):
                return None
            if stage == "sent":
                self.send(claim, item)
            return claim, item
        return None

    def send(self, claim: Claim, item: Item) -> Result | None:
        """Return the answer, None if it is lost and the worker has ended with its error."""
        try:
            return _call(claim, item, providers["paper"])
        except Exception:
            return None

    @rule(stage=stages)
    def crash(self, stage: str) -> None:
        """End a worker after its claim, its mark or its send; what it held comes free by itself."""
        self.begin_to_send(stage)

    @rule(seconds=st.sampled_from([5, 31, 61, 1000]))
    def restart(self, seconds: int) -> None:
        self.pass_time(seconds)
        push("paper")

    @rule(
        seconds=st.sampled_from([1, 61]),
        fault=st.sampled_from(["", "lost before", "lost after", "late", "gateway"]),
        others=st.booleans(),
    )
    def freeze_after_the_claim(self, seconds: int, fault: str, others: bool) -> None:
        """Let a worker stand still after its claim until another has been at work, or nobody."""
        ticket = self.raise_ticket([])
        frozen = claim_next("paper", 1, using="default", ticket_id=ticket.pk)
        self.pass_time(seconds)
        if fault and others:
            self.break_next("create", fault)
            push("paper")
        elif others:
            sent = self.begin_to_send("sent", ticket)
            assert not (sent and frozen and seconds < 60), "taken over before the end of the lease"
        asked = self.desk.calls.count("create")
        for claim in frozen:
            deliver(claim, providers["paper"])
        assert seconds < 60 or not frozen or asked == self.desk.calls.count("create"), "sent after the end of the lease"

    def begin_with(self, kind: str) -> Ticket:
        """Queue something of this kind; return its ticket."""
        ticket = self.raise_ticket([])
        if kind != "create":
            push("paper")
            ticket.refresh_from_db()
        if ticket.delivery != Delivery.DELIVERED:
            return ticket
        match kind:
            case "comment":
                self.say(ticket, "Hello?", [])
            case "upload":
                self.try_to_attach(ticket, "receipt.png")
            case "close":
                self.try_to_close(ticket)
        return ticket

    @rule(
        kind=st.sampled_from(["create", "comment", "upload", "close"]),
        seconds=st.sampled_from([0, LATEST]),
        rounds=st.integers(0, 3),
        talk=st.sampled_from(["", "before", "after"]),
    )
    def freeze_with_the_answer(self, kind: str, seconds: int, rounds: int, talk: str) -> None:
        """Let an answer come late, or its worker stand still, until others have settled what they could.

        Something more may have been said meanwhile, and others may have ended in the middle of sending it.
        """
        ticket = self.begin_with(kind)
        if (begun := self.begin_to_send("marked", ticket)) is None:
            return
        assert not claim_next("paper", 1, using="default", ticket_id=ticket.pk), "two have the same"
        self.pass_time(seconds)
        if (result := self.send(*begun)) is None:
            return
        if talk == "before":
            self.say(ticket, "Hello?", [])
        for _ in range(rounds):
            self.pass_time(61)
            push("paper")
        if talk == "after" and Ticket.objects.get(pk=ticket.pk).delivery == Delivery.DELIVERED:
            self.say(ticket, "Hello?", [])
            self.begin_to_send("sent", ticket)
        self.go_on_with_the_answer(*begun, result)

    def go_on_with_the_answer(self, claim: Claim, item: Item, result: Result) -> None:
        is_mine = OutboxEntry.objects.filter(pk=claim.entry.pk, lease_token=claim.token).exists()
        before = self.written()
        try:
            settle_delivered(claim, item, result)
        except LeaseLost:
            if item.operation == "create":
                self.named_late[claim.entry.ticket_id] = result.remote_id
        assert is_mine or self.written() == before, "a worker without a lease has written"

    def written(self) -> list[Any]:
        models = (Ticket, Comment, Attachment, OutboxEntry)
        return [list(model._base_manager.order_by("pk").values()) for model in models]

    @rule(stage=stages, action=st.sampled_from(["cancel", "delete"]))
    def take_back_what_is_on_its_way(self, stage: str, action: str) -> None:
        ticket = self.raise_ticket([])
        self.begin_to_send(stage, ticket)
        if action == "cancel":
            self.try_to_cancel(ticket, ticket)
        else:
            self.try_to_delete(ticket)

    # What holds.

    @invariant()
    def no_ticket_is_doubled(self) -> None:
        keys = Counter(record.key for record in self.desk.tickets.values())
        assert all(count == 1 for count in keys.values()), keys
        drafts = {str(key) for key in Ticket.objects.filter(delivery=Delivery.DRAFT).values_list("key", flat=True)}
        assert not keys.keys() & (self.deleted | drafts), "sent although it was taken back"

    @invariant()
    def nothing_is_asked_before_the_vendor_has_settled(self) -> None:
        assert not self.desk.too_early

    @invariant()
    def what_is_delivered_is_there(self) -> None:
        for ticket in Ticket.objects.filter(delivery=Delivery.DELIVERED):
            assert self.desk.tickets[str(ticket.remote_id)].key == str(ticket.key)

    @invariant()
    def nothing_is_said_too_often(self) -> None:
        for ticket in Ticket.objects.exclude(remote_id=None):
            for there, ours in self.said(ticket):
                possible = Counter(text for text, delivery in ours if delivery in POSSIBLY_THERE)
                assert not there - possible, (ticket, there, ours)

    @invariant()
    def what_the_vendor_shows_is_no_question(self) -> None:
        """Nobody is asked for a comment, file or closing while the vendor shows its tickets whole."""
        if not self.left_something_out:
            tickets = Ticket.objects.filter(delivery=Delivery.UNCERTAIN)
            assert not [item for item in self.uncertain() if item not in tickets]

    def said(self, ticket: Ticket) -> list[tuple[Counter[str], list[tuple[str, str]]]]:
        """Return for comments and files what the vendor has, and what we have with its delivery."""
        record = self.desk.tickets[str(ticket.remote_id)]
        return [
            (Counter(one.body for one in record.comments or ()), list(ticket.comments.values_list("body", "delivery"))),
            (Counter(self.desk.arrived[record.remote_id]), list(ticket.attachments.values_list("name", "delivery"))),
        ]

    def teardown(self) -> None:
        """Faults end, people say what is there, and all comes to rest without being lost."""
        self.desk.script.clear()
        self.come_to_rest()
        if self.desk.capabilities.can_find and self.times_hidden < 2:
            assert not Ticket.objects.filter(delivery=Delivery.UNCERTAIN).exists()
        while found := self.uncertain():
            self.tell_the_truth(found[0])
        self.come_to_rest()
        assert not self.uncertain()
        assert not Ticket.objects.filter(delivery__in=[Delivery.QUEUED, Delivery.REFUSED]).exists()
        self.no_ticket_is_doubled()
        self.what_is_delivered_is_there()
        for ticket in Ticket.objects.filter(delivery=Delivery.DELIVERED):
            self.check_conversation(ticket)

    def come_to_rest(self) -> None:
        for _ in range(40):
            self.pass_time(3601)
            push("paper")
            if not OutboxEntry.objects.exists():
                return

    def check_conversation(self, ticket: Ticket) -> None:
        for there, ours in self.said(ticket):
            assert there == Counter(text for text, delivery in ours if delivery == Delivery.DELIVERED)
        for rows in (ticket.comments.all(), ticket.attachments.exclude(comment__delivery=Delivery.DRAFT)):
            assert set(rows.values_list("delivery", flat=True)) <= {Delivery.DELIVERED, Delivery.DRAFT}
        assert ticket.close_delivery in ("", Delivery.DELIVERED)
        is_closed = self.desk.tickets[str(ticket.remote_id)].status == Status.CLOSED
        assert is_closed == (ticket.close_delivery == Delivery.DELIVERED)
        assert ticket.pk not in self.closed_here or ticket.status == Status.CLOSED
