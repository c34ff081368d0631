"""Workers of a history: some are ended, others stand still and go on when another has done their work."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from django_support_tickets.outbox.claims import claim_next, mark
from django_support_tickets.outbox.delivery import deliver
from django_support_tickets.outbox.items import next_item, ticket_draft
from django_support_tickets.outbox.push import push
from django_support_tickets.outbox.settling import LeaseLost, settle_delivered
from django_support_tickets.providers import providers
from django_support_tickets.sync import pull
from django_support_tickets.testing.sandbox import Sandbox
from django_support_tickets.transport import forget_accounts
from tests.simulator.points import POINTS, Point, ending
from tests.simulator.standstills import STANDSTILLS, Standstill


class Died(BaseException):
    """The worker has been ended at this point."""


class Workers(ABC):
    """Everything is done in one thread, so that a seed decides in which order."""

    def __init__(self, alias: str, sandbox: Sandbox, vendor: Any, draw: random.Random) -> None:
        self.alias, self.sandbox, self.vendor, self.draw = alias, sandbox, vendor, draw
        self.clock = 0.0
        self.log: list[str] = []
        #: Workers that stand still, to go on later.
        self.frozen: list[Callable[[], Any]] = []
        #: What workers have done without a lease: written on what others had settled, and sent or taken.
        self.overwritten: list[str] = []
        self.unleased: list[str] = []

    def note(self, text: str) -> None:
        self.log.append(f"{self.clock:9.0f} {text}")

    @abstractmethod
    def raise_ticket(self) -> None: ...

    @abstractmethod
    def comment(self) -> None: ...

    @abstractmethod
    def attach(self) -> None: ...

    @abstractmethod
    def fail(self) -> None: ...

    @abstractmethod
    def wait(self, seconds: float | None = None) -> None: ...

    def push(self) -> None:
        self.note(f"push {push(self.alias)}")

    def pull(self) -> None:
        counts = pull(self.alias, workers=1)
        self.note(f"pull, fetched {counts.fetched} imported {counts.imported}")

    def push_and_die(self, point: Point | None = None) -> None:
        after = 1 if point else self.draw.choice([1, 1, 1, 2, 3])
        point = point or self.draw.choice(POINTS)

        def die() -> None:
            raise Died

        self.note(f"push, and die at {point} ({after})")
        has_died = False
        try:
            with ending(point, die, after=after):
                push(self.alias)
        except Died:
            has_died = True
        if has_died:  # not in the block above: there the error keeps the connection open
            self.note("died")
            forget_accounts()
            self._await_vendor()

    def _await_vendor(self) -> None:
        """Let the vendor end what it was asked, lest time passes in the middle of it, which no seed decides.

        Connections that stay open longer are idle ones of workers that stood still.
        """
        ends_at = time.monotonic() + 0.25
        while self.sandbox.connections and time.monotonic() < ends_at:
            time.sleep(0.0005)

    def freeze(self) -> None:
        """Let a worker stand still after its claim, after its mark, or after the answer."""
        claims = claim_next(self.alias, 1, using="default")
        if not claims:
            return
        claim, provider = claims[0], providers[self.alias]
        item = next_item(claim.entry.ticket, provider.capabilities, using="default")
        is_new = claim.entry.sent_at is None and item is not None and item.row.submitted_at is not None
        if item is None or not is_new or item.operation != "create" or self.draw.random() < 0.5:
            self.note(f"frozen after its claim of {claim.entry.ticket.description}")
            self.frozen.append(partial(deliver, claim, provider))
        elif mark(claim, item, lease_seconds=60):
            try:
                record = provider.create(ticket_draft(claim.entry.ticket, item.files, sent_at=None))
            except Exception:
                return  # died with its error
            self.note(f"frozen after the answer to {claim.entry.ticket.description}")
            self.frozen.append(partial(settle_delivered, claim, item, record))

    def stand_still(self) -> None:
        """Let a worker stand still until others have taken its claim over."""
        self.freeze()
        if not self.frozen:
            return
        self.wait(self.draw.choice([61, 250]))
        for _ in range(self.draw.choice([1, 2])):
            self.draw.choice([self.fail, self.push_and_die, self.wait])()
            self.push()
        if self.draw.random() < 0.5:  # they may be in the middle of what came next
            self.comment()
            self.push_and_die()
        self.thaw()

    def interrupt(self) -> None:
        """Let a worker stand still in the middle of its work while others, and people, go on."""
        self.draw.choice([self.raise_ticket, self.comment, self.attach, self.fail])()
        self.stop_at(self.draw.choice(STANDSTILLS), meanwhile=self._go_on)

    def stop_at(self, point: Point, *, meanwhile: Callable[[], None]) -> None:
        """Let a worker begin, and stand still at a point if it passes it."""
        for claim in claim_next(self.alias, 1, using="default"):
            self.note(f"a worker has {claim.entry.ticket.description}, and may stand still at {point}")
            standstill = Standstill(self, claim, meanwhile)
            self.note(f"it goes on: {standstill.work(point)}")
            self.overwritten += standstill.overwritten
            self.unleased += standstill.unleased

    def _go_on(self) -> None:
        """Let others work, and sometimes be ended with their mark made, and people do what they do."""
        self.note("it stands still")
        self.wait(self.draw.choice([1, 5, 61, 250]))
        for _ in range(self.draw.choice([0, 1, 2, 3])):
            self.draw.choice([self.push, self.push, self.begin_and_die, self.comment, self.attach, self.wait])()

    def begin_and_die(self) -> None:
        frozen = len(self.frozen)
        self.freeze()
        del self.frozen[frozen:]

    def thaw(self) -> None:
        if self.frozen:
            try:
                self.note(f"thawed: {self.frozen.pop(0)()}")
            except LeaseLost:
                self.note("thawed: its lease was lost")
