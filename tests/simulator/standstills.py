"""A worker that stands still at a named point while others go on, all in one thread: a seed decides everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django_support_tickets.models import Attachment, Comment, OutboxEntry, Ticket, epoch_now
from django_support_tickets.outbox.claims import Claim
from django_support_tickets.outbox.delivery import deliver
from django_support_tickets.providers import providers
from tests.simulator.books import COLUMNS, read
from tests.simulator.points import Point, ending

if TYPE_CHECKING:
    from tests.simulator.workers import Workers

WRITES = ("create", "comment", "upload", "close")
#: Outside of transactions, and not between the mark and the first byte, where nobody can know better than the worker.
STANDSTILLS = tuple(
    Point.named(name)
    for name in (
        "outbox/items.py:next_item:return",
        "outbox/claims.py:mark:call",
        "outbox/delivery.py:_call:return",
        "outbox/delivery.py:_outcome:call",
        "outbox/settling.py:settle_delivered:call",
        "outbox/settling.py:_settle_failed:call",
        "outbox/searching.py:search:call",
        "outbox/searching.py:_look:return",
        "outbox/searching.py:_decide:call",
    )
)


class Standstill:
    """The work on one claim, which `meanwhile` interrupts; `overwritten` and `unleased` say what must not be."""

    def __init__(self, workers: Workers, claim: Claim, meanwhile: Callable[[], None]) -> None:
        self.workers, self.claim, self.meanwhile = workers, claim, meanwhile
        self.overwritten: list[str] = []
        self.unleased: list[str] = []
        self._is_late = False
        self._rows: dict[str, Any] = {}
        self._asked = 0

    def work(self, point: Point) -> str:
        """Bring the claim to its outcome, standing still at the point if it is passed."""
        with ending(point, self._stand_still):
            outcome = deliver(self.claim, providers[self.workers.alias])
        if self._is_late:
            self._look_back(point)
        return outcome

    def _stand_still(self) -> None:
        clock, lease = self.workers.clock, self._lease()
        self.meanwhile()
        has_run_out = lease < (self.workers.clock - clock) * 1000
        is_lost = not OutboxEntry.objects.filter(pk=self.claim.entry.pk, lease_token=self.claim.token).exists()
        if is_lost and not has_run_out:
            self.unleased.append(f"the lease of {self.claim.entry.ticket.description} was taken before its end")
        self._is_late, self._asked = has_run_out or is_lost, self._count_asked()
        self._rows = self._read_rows() if is_lost else {}

    def _lease(self) -> int:
        """Return for how many milliseconds the claim is leased from now on."""
        until = OutboxEntry.objects.values_list("leased_until", flat=True).get(pk=self.claim.entry.pk)
        return int(until or 0) - epoch_now("default")

    def _look_back(self, point: Point) -> None:
        what = f"a worker whose lease was over at {point} has"
        if self._asked < self._count_asked():
            self.unleased.append(f"{what} asked something of {self.claim.entry.ticket.description}")
        if self._rows and self._rows != self._read_rows():
            self.overwritten.append(f"{what} written on {self.claim.entry.ticket.description}")

    def _count_asked(self) -> int:
        return len(self.workers.vendor.ledger)

    def _read_rows(self) -> dict[str, Any]:
        rows = [row for model in (Ticket, Comment, Attachment) for row in read(model, self.workers.alias)]
        stored = {f"{type(row).__name__} {row.pk}": [getattr(row, name) for name in COLUMNS[type(row)]] for row in rows}
        return stored | {"entries": list(OutboxEntry.objects.order_by("pk").values())}
