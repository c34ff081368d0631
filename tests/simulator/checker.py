"""Judge a history by what the vendor has in the end, as its ledger and its books show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django_support_tickets.models import Attachment, Comment, Delivery, Ticket
from django_support_tickets.outbox.items import SENDABLE
from django_support_tickets.testing.sandbox import LedgerEntry
from tests.simulator.books import Books
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
    books, stored = Books(simulation.alias), simulation.vendor.tickets
    descriptions = {remote_id: simulation.desk.description(one) for remote_id, one in stored.items()}
    verdict = Verdict(list(simulation.overwritten), list(simulation.unleased), _uncertain(books))
    verdict.lost += [f"{what} is still queued" for what in _queued(books)]
    verdict.lost += [f"{what} was refused" for what in _refused(books)]
    for ticket in books.tickets:
        _judge_ticket(ticket, descriptions, verdict)
        if ticket.delivery == Delivery.DELIVERED and ticket.remote_id in stored:
            _judge_conversation(simulation, books, ticket, verdict)
    verdict.doubled += list(_sent_after_deletion(books, descriptions))
    if verdict.uncertain and simulation.capabilities.can_find and _was_all_shown(simulation):
        verdict.lost.append(f"{verdict.uncertain} wait for a person although the vendor has shown all")
    if not simulation.capabilities.can_find:
        verdict.doubled += list(_possibly_doubled(simulation, books))
    return verdict


def _uncertain(books: Books) -> int:
    closings = sum(ticket.close_delivery == Delivery.UNCERTAIN for ticket in books.tickets)
    return closings + sum(item.delivery == Delivery.UNCERTAIN for item in books.items)


def _queued(books: Books) -> Iterator[str]:
    """Yield what still waits, without what waits for a person to settle its ticket or comment."""
    for ticket in books.tickets:
        at_vendor = ticket.delivery == Delivery.DELIVERED
        if ticket.delivery == Delivery.QUEUED or (at_vendor and ticket.close_delivery == Delivery.QUEUED):
            yield token_of(ticket)
        if at_vendor:
            comments, files = books.comments[ticket.pk], books.files[ticket.pk]
            held = {comment.pk for comment in comments if comment.delivery not in SENDABLE}
            free = [file for file in files if file.comment_id not in held]
            yield from (token_of(item) for item in (*comments, *free) if item.delivery == Delivery.QUEUED)


def _refused(books: Books) -> Iterator[str]:
    """Nothing that the simulated people say is refused by the vendors, and time is too short to give up."""
    for item in books.items:
        if item.delivery == Delivery.REFUSED:
            yield f"{token_of(item)} ({item.delivery_error})"


def _judge_ticket(ticket: Ticket, descriptions: dict[str, str], verdict: Verdict) -> None:
    remote_ids = [key for key, description in descriptions.items() if description.startswith(ticket.description)]
    if ticket.delivery == Delivery.DELIVERED and ticket.remote_id not in remote_ids:
        verdict.lost.append(f"{ticket.description} is delivered as {ticket.remote_id}, the vendor has {remote_ids}")
    if ticket.delivery in (Delivery.DRAFT, Delivery.REFUSED) and remote_ids:
        verdict.doubled.append(f"{ticket.description} is {ticket.delivery}, but the vendor has it")
    if len(remote_ids) > 1:
        verdict.doubled.append(f"{ticket.description} is there {len(remote_ids)} times")


def _sent_after_deletion(books: Books, descriptions: dict[str, str]) -> Iterator[str]:
    """Yield what the vendor has although it was deleted here, which nobody can do once a byte may have left."""
    ours = {ticket.description for ticket in books.tickets if ticket.origin == Ticket.Origin.HERE}
    for description in descriptions.values():
        if not any(description.startswith(known) for known in ours):
            yield f"{description} was deleted here, but the vendor has it"


def _judge_conversation(simulation: Simulation, books: Books, ticket: Ticket, verdict: Verdict) -> None:
    desk, stored = simulation.desk, simulation.vendor.tickets[str(ticket.remote_id)]
    _compare(ticket, books.comments[ticket.pk], desk.comments(stored), verdict)
    _compare(ticket, books.files[ticket.pk], desk.files(simulation.vendor, stored), verdict)
    if ticket.close_delivery == Delivery.DELIVERED and not desk.is_closed(stored):
        verdict.lost.append(f"the closing of {ticket.description}")


def _compare(ticket: Ticket, rows: Sequence[Comment | Attachment], theirs: list[str], verdict: Verdict) -> None:
    there = Counter(text.strip() for text in theirs)
    copies = Counter(token_of(row) for row in rows if row.submitted_at is None and row.delivery == Delivery.DELIVERED)
    if ticket.origin == Ticket.Origin.VENDOR:  # an imported copy shows what its original has sent
        there -= copies
    ours = [row for row in rows if row.submitted_at is not None]
    delivered = Counter(token_of(row) for row in ours if row.delivery == Delivery.DELIVERED)
    possible = delivered + Counter(token_of(row) for row in ours if row.delivery == Delivery.UNCERTAIN)
    verdict.lost += [f"{text} is delivered {n} times, there {there[text]}" for text, n in (delivered - there).items()]
    verdict.doubled += [f"{text} is there {n} times too often" for text, n in (there - possible).items()]
    if ticket.origin == Ticket.Origin.HERE:
        shown = delivered + copies
        verdict.doubled += [f"{text} is shown {n} times too often" for text, n in (shown - there).items()]


def _possibly_doubled(simulation: Simulation, books: Books) -> Iterator[str]:
    """Yield the tickets of which more than one POST may have arrived without a person's word."""
    told = Counter(line.split("settle ")[1].rsplit(" ", 1)[0] for line in simulation.log if "settle " in line)
    entries = [entry for entry in simulation.vendor.ledger if entry.operation == "create" and _may_have_arrived(entry)]
    for ticket in books.tickets:
        arrived = [entry for entry in entries if ticket.description.encode() in entry.body]
        if len(arrived) > 1 + told[ticket.description]:
            yield f"{ticket.description}: {len(arrived)} POSTs may have arrived"


def _was_all_shown(simulation: Simulation) -> bool:
    """Return whether no answer to a search was one that looks whole and is not."""
    searches = [entry for entry in simulation.vendor.ledger if entry.operation in ("get", "list")]
    return not any(entry.fault is not None and entry.status == 200 for entry in searches)


def _may_have_arrived(entry: LedgerEntry) -> bool:
    return entry.status is None or entry.status < 400 or entry.status >= 500
