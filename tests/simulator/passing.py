"""Time passes by shifting rows back: no clock is patched, and the vendors' clock is moved on by as much."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import cache

from django.db.models import DurationField, F, Model

from django_support_tickets.models import OutboxEntry, ProviderState, Ticket
from django_support_tickets.models.statements import Slot, Statement, slot, updating
from django_support_tickets.testing.sandbox import Sandbox

#: Columns in epoch milliseconds, and those that are datetimes.
EPOCHS: dict[type[Model], tuple[str, ...]] = {
    OutboxEntry: ("sent_at", "tried_since", "leased_until"),
    ProviderState: ("paused_until", "run_leased_until", "next_walk_at", "walk_started_at"),
}
MOMENTS: dict[type[Model], tuple[str, ...]] = {Ticket: ("next_poll_at", "synced_at", "delivered_at", "missing_since")}


def pass_time(seconds: float, sandbox: Sandbox | None = None, *, using: str = "default") -> None:
    """Let everything be `seconds` older than it is."""
    for statement in _shifting():
        statement.run(using, milliseconds=int(seconds * 1000), time=timedelta(seconds=seconds))
    if sandbox is not None:
        sandbox.advance(seconds)


@cache
def _shifting() -> tuple[Statement, ...]:
    """Return the statements that shift all rows; slots: milliseconds, time."""
    return tuple(_statements())


def _statements() -> Iterator[Statement]:
    milliseconds = slot(OutboxEntry, "not_before", "milliseconds")
    for model, columns in EPOCHS.items():
        yield Statement(updating(model._base_manager.all(), **{name: F(name) - milliseconds for name in columns}))
    waiting = OutboxEntry.objects.filter(not_before__gt=0)
    yield Statement(updating(waiting, not_before=F("not_before") - milliseconds))
    for model, columns in MOMENTS.items():
        time = Slot("time", DurationField())
        yield Statement(updating(model._base_manager.all(), **{name: F(name) - time for name in columns}))
