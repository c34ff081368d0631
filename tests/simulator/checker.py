"""Judge a history by what the vendor has in the end, as its ledger and its books show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q, QuerySet

from django_support_tickets.models import Attachment, Comment, Delivery, Ticket
from django_support_tickets.testing.sandbox import LedgerEntry
from tests.simulator.simulation import Simulation, token_of


@dataclass
class Verdict:
    """What is wrong with a history; `uncertain` is not: people were told."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    uncertain: int = 0

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(self.lost + other.lost, self.doubled + other.doubled, self.uncertain + other.uncertain)


def judge(simulation: Simulation) -> Verdict:
    """Return what was lost and doubled in a history that has come to rest."""
    verdict = Verdict(uncertain=_uncertain(simulation))
    verdict.lost += [f"{what} is still queued" for what in _queued(simulation)]
    verdict.lost += [f"{what} was refused" for what in _refused(simulation)]
    for ticket in simulation.tickets.order_by("pk"):
        _judge_ticket(simulation, ticket, verdict)
    verdict.doubled += list(_sent_after_deletion(simulation))
    if not simulation.capabilities.can_find:
        verdict.doubled += list(_possibly_doubled(simulation))
    return verdict


def _rows(simulation: Simulation) -> Iterator[QuerySet[Any]]:
    """Yield the tickets, comments and files of the simulated account."""
    yield simulation.tickets
    for model in (Comment, Attachment):
        yield model._base_manager.filter(ticket__provider=simulation.alias)


def _uncertain(simulation: Simulation) -> int:
    closings = simulation.tickets.filter(close_delivery=Delivery.UNCERTAIN).count()
    return closings + sum(rows.filter(delivery=Delivery.UNCERTAIN).count() for rows in _rows(simulation))


def _queued(simulation: Simulation) -> Iterator[str]:
    """Yield what still waits, without what waits for a person to settle its ticket or comment."""
    tickets, comments, files = _rows(simulation)
    at_vendor = Q(ticket__delivery=Delivery.DELIVERED)
    sendable = Q(comment=None) | Q(comment__delivery__in=[Delivery.QUEUED, Delivery.DELIVERED])
    closing = tickets.filter(delivery=Delivery.DELIVERED, close_delivery=Delivery.QUEUED)
    waiting = (tickets, comments.filter(at_vendor), files.filter(at_vendor & sendable))
    for rows in (closing, *(rows.filter(delivery=Delivery.QUEUED) for rows in waiting)):
        yield from map(token_of, rows)


def _refused(simulation: Simulation) -> Iterator[str]:
    """Nothing that the simulated people say is refused by the vendors, and time is too short to give up."""
    for rows in _rows(simulation):
        for item in rows.filter(delivery=Delivery.REFUSED):
            yield f"{token_of(item)} ({item.delivery_error})"


def _judge_ticket(simulation: Simulation, ticket: Ticket, verdict: Verdict) -> None:
    desk, stored = simulation.desk, simulation.vendor.tickets
    remote_ids = [key for key, one in stored.items() if desk.description(one).startswith(ticket.description)]
    if ticket.delivery == Delivery.DELIVERED and ticket.remote_id not in remote_ids:
        verdict.lost.append(f"{ticket.description} is delivered as {ticket.remote_id}, the vendor has {remote_ids}")
    if ticket.delivery in (Delivery.DRAFT, Delivery.REFUSED) and remote_ids:
        verdict.doubled.append(f"{ticket.description} is {ticket.delivery}, but the vendor has it")
    if len(remote_ids) > 1:
        verdict.doubled.append(f"{ticket.description} is there {len(remote_ids)} times")
    if ticket.delivery == Delivery.DELIVERED and ticket.remote_id in stored:
        _judge_conversation(simulation, ticket, verdict)


def _sent_after_deletion(simulation: Simulation) -> Iterator[str]:
    """Yield what the vendor has although it was deleted here, which nobody can do once a byte may have left."""
    ours = set(simulation.tickets.filter(origin=Ticket.Origin.HERE).values_list("description", flat=True))
    for stored in simulation.vendor.tickets.values():
        description = simulation.desk.description(stored)
        if not any(description.startswith(known) for known in ours):
            yield f"{description} was deleted here, but the vendor has it"


def _judge_conversation(simulation: Simulation, ticket: Ticket, verdict: Verdict) -> None:
    desk, stored = simulation.desk, simulation.vendor.tickets[str(ticket.remote_id)]
    comments = ticket.comments.exclude(submitted_at=None).values_list("body", "delivery")
    _compare(list(comments), desk.comments(stored), verdict)
    files = ticket.attachments.exclude(submitted_at=None).values_list("name", "delivery")
    _compare(list(files), desk.files(simulation.vendor, stored), verdict)
    if ticket.close_delivery == Delivery.DELIVERED and not desk.is_closed(stored):
        verdict.lost.append(f"the closing of {ticket.description}")


def _compare(ours: list[tuple[str, str]], theirs: list[str], verdict: Verdict) -> None:
    there = Counter(text.strip() for text in theirs)
    delivered = Counter(text for text, delivery in ours if delivery == Delivery.DELIVERED)
    possible = delivered + Counter(text for text, delivery in ours if delivery == Delivery.UNCERTAIN)
    verdict.lost += [f"{text} is delivered {n} times, there {there[text]}" for text, n in (delivered - there).items()]
    verdict.doubled += [f"{text} is there {n} times too often" for text, n in (there - possible).items()]


def _possibly_doubled(simulation: Simulation) -> Iterator[str]:
    """Yield the tickets of which more than one POST may have arrived without a person's word."""
    told = Counter(line.split("settle ")[1].rsplit(" ", 1)[0] for line in simulation.log if "settle " in line)
    entries = [entry for entry in simulation.vendor.ledger if entry.operation == "create" and _may_have_arrived(entry)]
    for ticket in simulation.tickets:
        arrived = [entry for entry in entries if ticket.description.encode() in entry.body]
        if len(arrived) > 1 + told[ticket.description]:
            yield f"{ticket.description}: {len(arrived)} POSTs may have arrived"


def _may_have_arrived(entry: LedgerEntry) -> bool:
    return entry.status is None or entry.status < 400 or entry.status >= 500
