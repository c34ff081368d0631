"""F4: whatever order changes, polls, hints, duplicates and losses come in, the end is the vendor's state."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from django_support_tickets.merge import Fetched, merge
from django_support_tickets.models import Comment, ProviderState, SyncRun, Ticket, TicketEvent, epoch_now
from django_support_tickets.records import ABSENT, AuthorType, CommentRecord, Status, TicketRecord
from django_support_tickets.sync import has_work, hint, pull
from tests.sync import scripted

pytestmark = pytest.mark.django_db

#: How many histories; the long profiles ask for more.
HISTORIES = int(os.environ.get("PULL_HISTORIES", "200"))
T0 = datetime(2026, 3, 1, tzinfo=UTC)
STATUSES = [Status.PENDING, Status.OPEN, Status.WAITING, Status.RESOLVED, Status.CLOSED]

STEPS = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(STATUSES)),
    st.tuples(st.just("answer"), st.booleans()),  # the vendor writes a comment; its version moves or not
    st.tuples(st.just("write"), st.just(0)),  # one of our own comments arrives at the vendor
    st.tuples(st.just("start"), st.booleans()),  # a fetch starts: a planned one or a click
    st.tuples(st.just("end"), st.integers(0, 9)),  # one of those under way is merged
    st.tuples(st.just("lose"), st.integers(0, 9)),
    st.tuples(st.just("repeat"), st.integers(0, 9)),  # one that was merged before is merged again
    st.tuples(st.just("hint"), st.just(0)),
    st.tuples(st.just("pull"), st.just(0)),
)


@dataclass
class World:
    """A vendor with one ticket, our row of it, and the fetches under way between them."""

    versions: str
    has_ids: bool
    status: Status = Status.PENDING
    ticks: int = 0
    version: int = 0
    comments: list[CommentRecord] = field(default_factory=list)
    under_way: list[Fetched] = field(default_factory=list)
    merged: list[Fetched] = field(default_factory=list)
    clock: int = 0

    def __post_init__(self) -> None:
        for model in (Comment, TicketEvent, Ticket, ProviderState, SyncRun):
            model._base_manager.all()._raw_delete("default")
        self.clock = epoch_now("default")
        now = timezone.now()
        self.ticket = Ticket.objects.bulk_create(
            [Ticket(provider="desk", remote_id="R-1", subject="S", delivery="delivered", next_poll_at=now)]
        )[0]
        self.publish()

    def publish(self) -> None:
        scripted.DESK.tickets["R-1"] = self.record()

    def record(self) -> TicketRecord:
        version = {"none": ABSENT, "whole seconds": T0 + timedelta(seconds=self.version // 2)}
        return TicketRecord(
            remote_id="R-1",
            status=self.status,
            remote_status=str(self.status),
            updated_at=version.get(self.versions, T0 + timedelta(microseconds=self.version)),
            comments=tuple(self.comments),
        )

    def now(self) -> int:
        """Return a millisecond that no fetch has started in before."""
        while (now := epoch_now("default")) <= self.clock:
            time.sleep(0.0002)
        self.clock = now
        return now

    def change(self, status: Status) -> None:
        self.status = status
        self.version += 1
        self.publish()

    def say(self, body: str, author: AuthorType, *, moves: bool) -> None:
        self.ticks += 1
        remote_id = f"c{self.ticks}" if self.has_ids else ""
        sent_at = T0 + timedelta(seconds=self.ticks // 3)
        self.comments.append(CommentRecord(remote_id=remote_id, author_type=author, body=body, sent_at=sent_at))
        self.version += moves
        self.publish()

    def answer(self, moves: bool) -> None:
        self.say(f"Answer {self.ticks % 2}", AuthorType.AGENT, moves=moves)

    def write(self, _: int) -> None:
        body = f"Ours {self.ticks % 2}"
        now = timezone.now()
        Comment.objects.bulk_create([Comment(ticket=self.ticket, body=body, delivery="delivered", submitted_at=now)])
        self.say(body, AuthorType.CUSTOMER, moves=True)

    def start(self, is_planned: bool) -> None:
        due_at = Ticket.objects.values_list("next_poll_at", flat=True).get() if is_planned else None
        self.under_way.append(Fetched(self.record(), self.now(), due_at))

    def end(self, number: int) -> None:
        if self.under_way:
            one = self.under_way.pop(number % len(self.under_way))
            self.merged.append(one)
            merge("desk", [one])

    def lose(self, number: int) -> None:
        if self.under_way:
            self.under_way.pop(number % len(self.under_way))

    def repeat(self, number: int) -> None:
        if self.merged:
            merge("desk", [self.merged[number % len(self.merged)]])

    def hint(self, _: int) -> None:
        hint("desk", ["R-1"])

    def pull(self, _: int) -> None:
        self.now()
        pull("desk", workers=1)
        self.clock = epoch_now("default")

    def is_true(self) -> bool:
        stored = Ticket.objects.get()
        bodies = sorted(stored.comments.values_list("body", flat=True))
        return stored.status == self.status and bodies == sorted(comment.body for comment in self.comments)


@settings(max_examples=HISTORIES)
@given(
    steps=st.lists(STEPS, max_size=11),
    versions=st.sampled_from(["none", "whole seconds", "exact"]),
    has_ids=st.booleans(),
    webhook_comes=st.booleans(),
)
@pytest.mark.fault(46, 50)
def test_every_history_ends_in_the_vendors_state(
    desk: Any, steps: list[tuple[str, Any]], versions: str, has_ids: bool, webhook_comes: bool
) -> None:
    world = World(versions, has_ids)
    for name, argument in steps:
        getattr(world, name)(argument)
    if webhook_comes:
        world.hint(0)
    while world.under_way:
        world.end(0)
    if not webhook_comes:  # time passes until the ticket is due by its schedule
        Ticket.objects.update(next_poll_at=F("next_poll_at") - timedelta(days=8))
    assert has_work("desk")
    world.pull(0)
    assert world.is_true()
    for one in world.merged:
        merge("desk", [one])
    assert world.is_true()
