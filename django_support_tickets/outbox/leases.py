"""The statements of a claim, each compiled once: which entries are due, their lease, what a worker reads, the mark."""

from __future__ import annotations

import uuid
from functools import cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, Case, Exists, F, Func, IntegerField, OuterRef, Q, QuerySet, When
from django.db.models.functions import Coalesce
from django.db.models.sql.compiler import SQLCompiler

from django_support_tickets.models import (
    Attachment,
    Delivery,
    EpochNow,
    OutboxEntry,
    Ticket,
    TicketEvent,
    milliseconds,
)
from django_support_tickets.models.pauses import hindered, troubled
from django_support_tickets.models.statements import Slot, Statement, slot, updating
from django_support_tickets.outbox.items import Kind, queued_items

#: How long a claim may take until its mark, in seconds.
START_SECONDS = 60.0
#: What a claim reads: the columns of the entry and of its ticket, and what is asked beside them.
ENTRY = [field.attname for field in OutboxEntry._meta.concrete_fields]
TICKET = [field.attname for field in Ticket._meta.concrete_fields if field.name != "raw"]
FACTS = ("now", "has_files", "is_troubled", "has_fact")


def mine() -> QuerySet[OutboxEntry]:
    """Return the row of a claim whose lease is still ours, for use in a statement."""
    return OutboxEntry.objects.filter(
        pk=slot(OutboxEntry, "id", "pk"), lease_token=slot(OutboxEntry, "lease_token", "token")
    )


def due(alias: str | Slot) -> QuerySet[OutboxEntry]:
    """Return the entries of an account that may be claimed, the longest due first."""
    free = Q(leased_until=None) | Q(leased_until__lt=EpochNow())
    rows = OutboxEntry.objects.filter(free, provider=alias, not_before__lte=EpochNow())
    # As the index has them: by anything more, a whole backlog would be sorted for each claim.
    return rows.order_by("not_before")


@cache
def waiting(*, one_ticket: bool) -> Statement:
    """Return the statement that finds one entry that is due; slots: alias, ticket."""
    return Statement(_of_slots(one_ticket=one_ticket).values_list("pk")[:1].query)


@cache
def leasing(**shape: Any) -> Statement:
    """Return the statement that takes what `picked()` picks; slots: alias, ticket, token."""
    rows = OutboxEntry.objects.filter(pk__in=picked(**shape))
    return Statement(updating(rows, **lease_changes(slot(OutboxEntry, "lease_token", "token"))))


def picked(*, limit: int, one_ticket: bool, is_probe: bool, skip_locked: bool) -> QuerySet[OutboxEntry, Any]:
    """Return the keys of what a worker may take, locked; none while the account is paused, but for its probe."""
    rows = _of_slots(one_ticket=one_ticket).select_for_update(skip_locked=skip_locked)
    if not is_probe:
        rows = rows.filter(~Exists(hindered(slot(OutboxEntry, "provider", "alias"))))
    return rows.values_list("pk")[:limit]


class Unflushed(Func):
    """A value whose statement PostgreSQL commits without waiting for its disk.

    A lease that a crash of the server takes back was not used: the mark before the first byte is flushed, and with it
    all that was committed before.
    """

    template = "%(expressions)s"

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        # For this transaction, which is the statement's own.
        flag = "set_config('synchronous_commit', 'off', true)"
        return self.as_sql(compiler, connection, template=f"CASE WHEN {flag} IS NOT NULL THEN %(expressions)s END")


def _of_slots(*, one_ticket: bool) -> QuerySet[OutboxEntry]:
    """Return what is due of the account, or the ticket, that a run names."""
    rows = due(slot(OutboxEntry, "provider", "alias"))
    return rows.filter(ticket_id=slot(OutboxEntry, "id", "ticket")) if one_ticket else rows


def lease_changes(token: uuid.UUID | Slot) -> dict[str, Any]:
    """Return what a claim writes."""
    # A lease that ran out without a mark counts as an attempt: the item may have ended its worker.
    # First of all, since MySQL reads columns as they were set further left.
    died = Q(lease_token__isnull=False, sent_at__isnull=True)
    return {
        "attempts": Case(When(died, then=F("attempts") + 1), default=F("attempts"), output_field=IntegerField()),
        "lease_token": token,
        "leased_until": Unflushed(EpochNow() + milliseconds(START_SECONDS), output_field=BigIntegerField()),
    }


@cache
def reading(taken: int) -> Statement:
    """Return the statement that reads what was taken, FACTS, ENTRY and TICKET of each; slots: alias, token."""
    alias = slot(OutboxEntry, "provider", "alias")
    files = Attachment.objects.filter(
        ticket=OuterRef("ticket"), delivery=Delivery.QUEUED, direction=Attachment.Direction.OUT
    )
    facts = TicketEvent.objects.filter(ticket=OuterRef("ticket"), kind=TicketEvent.Kind.LATE_ANSWER)
    rows = OutboxEntry.objects.filter(provider=alias, lease_token=slot(OutboxEntry, "lease_token", "token"))
    rows = rows.annotate(now=EpochNow(), has_files=Exists(files), has_fact=Exists(facts))
    rows = rows.annotate(is_troubled=Exists(troubled(alias))).order_by("not_before")
    # The limit ends the search: what was taken stands first in the index.
    return Statement(rows.values_list(*FACTS, *ENTRY, *(f"ticket__{name}" for name in TICKET))[:taken].query)


@cache
def extending() -> Statement:
    """Return the statement that leases on from now, if the lease has not run out; slots: those of `mine()`, lease."""
    lease = EpochNow() + slot(OutboxEntry, "leased_until", "lease")
    return Statement(updating(mine().filter(leased_until__gt=EpochNow()), leased_until=lease))


@cache
def marking(kind: Kind) -> Statement:
    """Return the statement that marks an item that is still queued; slots: those of `mine()`, item, lease."""
    queued = queued_items(kind).filter(pk=slot(OutboxEntry, "id", "item"))
    return Statement(
        updating(
            mine().filter(Exists(queued), leased_until__gt=EpochNow()),
            item=kind,
            item_id=slot(OutboxEntry, "id", "item"),
            sent_at=EpochNow(),
            attempts=F("attempts") + 1,
            tried_since=Coalesce(F("tried_since"), EpochNow()),
            leased_until=EpochNow() + slot(OutboxEntry, "leased_until", "lease"),
        )
    )
