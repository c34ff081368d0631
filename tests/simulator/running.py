"""Run many histories and add up what they come to."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.files.storage import storages
from django.db import connection

from django_support_tickets.models import (
    Attachment,
    Comment,
    OutboxEntry,
    ProviderState,
    SyncRun,
    Ticket,
    TicketEvent,
    WebhookDelivery,
)
from django_support_tickets.testing.sandbox import Sandbox
from tests.simulator.checker import Verdict, judge
from tests.simulator.desks import Desk
from tests.simulator.simulation import Simulation

TABLES = (OutboxEntry, TicketEvent, Attachment, Comment, Ticket, ProviderState, SyncRun, WebhookDelivery)


def live_through(desk: Desk, seed: int) -> tuple[Simulation, Verdict]:
    """Return a history and what is to be said of it."""
    empty_tables()
    with Sandbox(seed=seed) as sandbox:
        simulation = Simulation(desk, sandbox, seed)
        simulation.run()
        return simulation, judge(simulation)


def empty_tables() -> None:
    """Forget all rows and stored files of this app, whatever state they are in."""
    for model in TABLES:
        model._base_manager.all()._raw_delete(connection.alias)
    storage = storages["support_tickets"]
    for folder in storage.listdir("")[0]:
        storage.delete(folder)


def explain(simulation: Simulation, verdict: Verdict) -> Iterator[str]:
    """Yield the lines that tell what went wrong, and how to see it again."""
    yield f"{simulation.desk.name}, seed {simulation.seed}:"
    yield from (f"  lost: {what}" for what in verdict.lost)
    yield from (f"  doubled: {what}" for what in verdict.doubled)
    yield from (f"  {line}" for line in simulation.log)
    yield f"Again: SIMULATOR_SEED={simulation.seed} python -m pytest tests/simulator -k {simulation.desk.name}"
