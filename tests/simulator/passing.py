"""Time passes by shifting rows back: no clock is patched, and the vendors' clock is moved on by as much."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F, Model

from django_support_tickets.models import OutboxEntry, ProviderState, Ticket
from django_support_tickets.testing.sandbox import Sandbox

#: Columns in epoch milliseconds, and those that are datetimes.
EPOCHS: dict[type[Model], tuple[str, ...]] = {
    OutboxEntry: ("sent_at", "tried_since", "leased_until"),
    ProviderState: ("paused_until", "run_leased_until", "next_walk_at", "walk_started_at"),
}
MOMENTS: dict[type[Model], tuple[str, ...]] = {Ticket: ("next_poll_at", "synced_at", "delivered_at", "missing_since")}


def pass_time(seconds: float, sandbox: Sandbox | None = None, *, using: str = "default") -> None:
    """Let everything be `seconds` older than it is."""
    milliseconds = int(seconds * 1000)
    for model, columns in EPOCHS.items():
        shifted = {name: F(name) - milliseconds for name in columns}
        model._base_manager.using(using).update(**shifted)
    OutboxEntry.objects.using(using).filter(not_before__gt=0).update(not_before=F("not_before") - milliseconds)
    for model, columns in MOMENTS.items():
        moved = {name: F(name) - timedelta(seconds=seconds) for name in columns}
        model._base_manager.using(using).update(**moved)
    if sandbox is not None:
        sandbox.advance(seconds)
