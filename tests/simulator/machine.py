"""A machine whose rules Hypothesis puts in any order: people, workers that die or stand still, a vendor that fails."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from django_support_tickets.exceptions import Ambiguous, Busy, NotSent
from django_support_tickets.models import Delivery, OutboxEntry, Ticket
from django_support_tickets.outbox.claims import Claim, claim_next, mark
from django_support_tickets.outbox.delivery import _call, deliver
from django_support_tickets.outbox.items import Item, next_item
from django_support_tickets.outbox.push import push
from django_support_tickets.outbox.settling import LeaseLost, settle_delivered
from django_support_tickets.outbox.storing import Result
from django_support_tickets.providers import providers
from django_support_tickets.records import ABSENT, Found, Status
from tests.simulator.passing import pass_time
from tests.simulator.people import People, numbers

OPERATIONS = ("create", "comment", "upload", "close", "find", "get")
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
        fault=st.sampled_from(["lost before", "lost after", "not sent", "busy", "gateway", "a mistake", "hidden"]),
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
        elif fault == "hidden":
            self.hide(operation)
        else:
            self.desk.at(operation, errors[fault])

    def hide(self, operation: str) -> None:
        """Let the vendor show only a part, which proves nothing; and once, show later what it has already."""
        if operation == "get":
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
        fault=st.sampled_from(["lost before", "lost after", "gateway"]),
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
            pass_time(61)
            push("paper")

    # Workers.

    def begin_to_send(self, stage: str, ticket: Ticket | None = None) -> tuple[Claim, Item, Result] | None:
        """Let a worker come as far as its claim, its mark or the answer; return what it has then."""
        provider = providers["paper"]
        for claim in claim_next("paper", 1, using="default", ticket_id=ticket and ticket.pk):
            item = next_item(claim.entry.ticket, provider.capabilities, using="default")
            if stage == "claimed" or item is None or claim.entry.sent_at is not None:
                return None
            if mark(claim, item, lease_seconds=60) and stage == "sent":
                try:
                    return claim, item, _call(claim, item, provider)
                except Exception:
                    return None
        return None

    @rule(stage=stages)
    def crash(self, stage: str) -> None:
        """End a worker after its claim, its mark or its send; what it held comes free by itself."""
        self.begin_to_send(stage)

    @rule(seconds=st.sampled_from([5, 31, 61, 1000]))
    def restart(self, seconds: int) -> None:
        pass_time(seconds)
        push("paper")

    @rule(seconds=st.sampled_from([1, 61]), fault=st.sampled_from(["", "lost before", "lost after", "gateway"]))
    def freeze_after_the_claim(self, seconds: int, fault: str) -> None:
        """Let a worker stand still after its claim until another has been at work."""
        ticket = self.raise_ticket([])
        frozen = claim_next("paper", 1, using="default", ticket_id=ticket.pk)
        pass_time(seconds)
        if fault:
            self.break_next("create", fault)
            push("paper")
        else:
            self.begin_to_send("sent", ticket)
        for claim in frozen:
            deliver(claim, providers["paper"])

    @rule(rounds=st.integers(0, 3), has_more=st.booleans())
    def freeze_after_the_answer(self, rounds: int, has_more: bool) -> None:
        """Let a worker stand still with an answer in its hands until others have settled what they could.

        They may have begun with what came next, and ended in the middle of it.
        """
        if (sent := self.begin_to_send("sent", self.raise_ticket([]))) is None:
            return
        for _ in range(rounds):
            pass_time(61)
            push("paper")
        ticket = Ticket.objects.get(pk=sent[0].entry.ticket_id)
        if has_more and ticket.delivery == Delivery.DELIVERED:
            self.say(ticket, "Hello?", [])
            self.begin_to_send("sent", ticket)
        try:
            settle_delivered(*sent)
        except LeaseLost:
            self.named_late[ticket.pk] = sent[2].remote_id

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
    def what_is_delivered_is_there(self) -> None:
        for ticket in Ticket.objects.filter(delivery=Delivery.DELIVERED):
            assert self.desk.tickets[str(ticket.remote_id)].key == str(ticket.key)

    @invariant()
    def nothing_is_said_too_often(self) -> None:
        for ticket in Ticket.objects.exclude(remote_id=None):
            for there, ours in self.said(ticket):
                possible = Counter(text for text, delivery in ours if delivery in POSSIBLY_THERE)
                assert not there - possible, (ticket, there, ours)

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
            pass_time(3601)
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
