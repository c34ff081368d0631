"""Hypothesis looks for a history of submits, comments, crashes, restarts and decisions that breaks a promise."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_support_tickets.exceptions import Ambiguous, Busy, NotSent
from django_support_tickets.models import Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.outbox import decisions
from django_support_tickets.outbox.claims import claim_next, mark
from django_support_tickets.outbox.delivery import _call, deliver
from django_support_tickets.outbox.items import next_item
from django_support_tickets.outbox.push import push
from django_support_tickets.providers import providers
from django_support_tickets.records import Capabilities, Status
from tests.outbox.paper import FULL, Desk, reset_desk
from tests.simulator.passing import pass_time
from tests.simulator.running import empty_tables

EXAMPLES = int(os.environ.get("SIMULATOR_EXAMPLES", "15"))
OPERATIONS = ("create", "comment", "close", "find", "get")
LOST = Ambiguous("the answer was lost or cut")


class Push(RuleBasedStateMachine):
    """People, workers and a vendor on paper."""

    desk: Desk
    searchable: bool

    @initialize(searchable=st.booleans())
    def begin(self, searchable: bool) -> None:
        empty_tables()
        self.desk, self.searchable = reset_desk(), searchable
        if not searchable:
            self.desk.capabilities = Capabilities(can_comment=True, can_close=True)
        self.told_to_send_again: Counter[str] = Counter()

    def some(self, number: int, **facts: Any) -> Ticket | None:
        found = list(Ticket.objects.filter(**facts).order_by("pk"))
        return found[number % len(found)] if found else None

    @rule()
    def submit(self) -> None:
        Ticket.objects.create(subject="Deposit missing", description=f"Number {Ticket.objects.count()}")

    @rule(number=st.integers(0, 5), words=st.sampled_from(["Any news?", "Hello?"]))
    def comment(self, number: int, words: str) -> None:
        if ticket := self.some(number, delivery__in=[Delivery.QUEUED, Delivery.DELIVERED]):
            Comment.objects.create(ticket=ticket, body=words)

    @rule(number=st.integers(0, 5))
    def close(self, number: int) -> None:
        if ticket := self.some(number, delivery=Delivery.DELIVERED):
            try:
                decisions.request_close(ticket)
            except ValidationError:
                assert ticket.status == Status.CLOSED or ticket.close_delivery in (Delivery.QUEUED, Delivery.UNCERTAIN)

    @rule(number=st.integers(0, 5))
    def cancel(self, number: int) -> None:
        if ticket := self.some(number, delivery=Delivery.QUEUED):
            try:
                decisions.cancel(ticket)
            except ValidationError:
                assert OutboxEntry.objects.filter(ticket=ticket).exclude(lease_token=None, sent_at=None).exists()

    @rule(
        operation=st.sampled_from(OPERATIONS),
        fault=st.sampled_from(["lost before", "lost after", "not sent", "busy", "a mistake"]),
    )
    def fail(self, operation: str, fault: str) -> None:
        errors = {
            "lost before": LOST,
            "not sent": NotSent("no connection could be made"),
            "busy": Busy("the vendor asks to wait", retry_after=5.0),
            "a mistake": KeyError("id"),
        }
        if fault == "lost after":
            self.desk.lose_answer(operation, LOST)
        else:
            self.desk.at(operation, errors[fault])

    @rule(stage=st.sampled_from(["claimed", "marked", "sent"]))
    def crash(self, stage: str) -> None:
        """End a worker after its claim, its mark or its send; what it held comes free by itself."""
        provider = providers["paper"]
        for claim in claim_next("paper", 1, using="default"):
            item = next_item(claim.entry.ticket, provider.capabilities, using="default")
            if stage == "claimed" or item is None or claim.entry.sent_at is not None:
                return
            if mark(claim, item, lease_seconds=60) and stage == "sent":
                try:
                    _call(claim, item, provider)
                except Exception:
                    return

    @rule(seconds=st.sampled_from([5, 31, 61, 1000]))
    def restart(self, seconds: int) -> None:
        pass_time(seconds)
        push("paper")

    @rule()
    def freeze(self) -> None:
        """Let a worker stand still after its claim until another has been at work."""
        frozen = claim_next("paper", 1, using="default")
        pass_time(61)
        push("paper")
        for claim in frozen:
            deliver(claim, providers["paper"])

    @precondition(lambda self: Ticket.objects.filter(delivery=Delivery.UNCERTAIN).exists())
    @rule(number=st.integers(0, 5))
    def settle(self, number: int) -> None:
        ticket = self.some(number, delivery=Delivery.UNCERTAIN)
        assert ticket is not None
        remote_id = next((key for key, one in self.desk.tickets.items() if one.key == str(ticket.key)), None)
        decisions.settle(ticket, exists=remote_id, send_again=remote_id is None)

    @invariant()
    def nothing_is_doubled(self) -> None:
        keys = Counter(record.key for record in self.desk.tickets.values())
        assert all(count == 1 for count in keys.values()), keys

    @invariant()
    def what_is_delivered_is_there(self) -> None:
        for ticket in Ticket.objects.filter(delivery=Delivery.DELIVERED):
            assert self.desk.tickets[str(ticket.remote_id)].key == str(ticket.key)

    def teardown(self) -> None:
        """Faults end, and all comes to rest without being lost."""
        self.desk.script.clear()
        for _ in range(40):
            pass_time(3601)
            push("paper")
            if not OutboxEntry.objects.exists():
                break
        assert not Ticket.objects.filter(delivery__in=[Delivery.QUEUED, Delivery.REFUSED]).exists()
        assert not self.searchable or not Ticket.objects.filter(delivery=Delivery.UNCERTAIN).exists()
        self.nothing_is_doubled()
        self.what_is_delivered_is_there()
        for ticket in Ticket.objects.filter(delivery=Delivery.DELIVERED):
            self.check_conversation(ticket)

    def check_conversation(self, ticket: Ticket) -> None:
        record = self.desk.tickets[str(ticket.remote_id)]
        there = Counter(comment.body for comment in record.comments or ())
        ours = Counter(ticket.comments.filter(delivery=Delivery.DELIVERED).values_list("body", flat=True))
        assert there == ours
        assert not ticket.comments.exclude(delivery=Delivery.DELIVERED).exists()
        assert ticket.close_delivery in ("", Delivery.DELIVERED)
        assert (record.status == Status.CLOSED) == (ticket.close_delivery == Delivery.DELIVERED)


@pytest.mark.fault(5, 6, 10, 12)
@pytest.mark.django_db
def test_no_history_breaks_a_promise(settings: Any) -> None:
    account = {"BACKEND": "tests.outbox.paper.PaperProvider", "OPTIONS": {"settle_seconds": 60.0}}
    settings.SUPPORT_TICKETS_PROVIDERS = {"paper": account}
    profile = hypothesis_settings(
        max_examples=EXAMPLES,
        stateful_step_count=20,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Push, settings=profile)
    assert FULL.can_find
