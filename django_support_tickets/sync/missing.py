"""Tickets that the vendor does not know any more: two looks in a row, and a brake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django_support_tickets.merge import NOT_FOUND, begin_writing, in_transaction
from django_support_tickets.models import Ticket, TicketEvent
from django_support_tickets.signals import ticket_missing

#: More missing tickets than this, or than this share of the account, look like a fault and not like deletions.
BRAKE_COUNT = 50
BRAKE_SHARE = 0.10
BRAKE_FROM = 5


def is_braked(missing: int, *, of: int) -> bool:
    """Return whether so many missing tickets among `of` must be looked at by a person."""
    return missing > BRAKE_COUNT or (missing > BRAKE_FROM and missing > BRAKE_SHARE * of)


def mark_missing(pks: Sequence[int], *, now: datetime, using: str) -> int:
    """Flag tickets as missing, with an event and a signal each; return how many. Nothing is ever deleted."""
    tickets = in_transaction(lambda: _mark(pks, now=now, using=using), using=using)
    for ticket in tickets:
        ticket.missing_since = now
        ticket_missing.send_robust(Ticket, ticket=ticket, missing=True)
    return len(tickets)


def _mark(pks: Sequence[int], *, now: datetime, using: str) -> list[Ticket]:
    begin_writing(Ticket, using=using)
    # Whoever has found one of them in the meantime has written another digest.
    rows = Ticket.objects.using(using).select_for_update().filter(pk__in=pks, digest=NOT_FOUND, missing_since=None)
    tickets = list(rows.order_by("pk").defer("raw"))
    found = Ticket.objects.using(using).filter(pk__in=[ticket.pk for ticket in tickets])
    found.update(missing_since=now, updated_at=now)
    TicketEvent.objects.using(using).bulk_create(
        TicketEvent(ticket=ticket, kind=TicketEvent.Kind.MISSING, source=TicketEvent.Source.PULL, at=now)
        for ticket in tickets
    )
    return tickets
