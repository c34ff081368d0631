"""Who may send: claim, mark, release. Every write after the claim is a compare-and-set on the lease token."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet

from django_support_tickets.models import EpochNow, OutboxEntry, Ticket, milliseconds, moment_of
from django_support_tickets.models.retries import repeated
from django_support_tickets.models.statements import Statement
from django_support_tickets.outbox.items import Item
from django_support_tickets.outbox.leases import (
    ENTRY,
    FACTS,
    TICKET,
    extending,
    lease_changes,
    leasing,
    marking,
    picked,
    reading,
    waiting,
)
from django_support_tickets.records import clean_text

BACKOFF_LEAST = 1.0
BACKOFF_BASE = 30.0
BACKOFF_MAX = 3600.0


@dataclass(slots=True)
class Claim:
    """An outbox entry that this worker alone may work on while its lease lasts."""

    entry: OutboxEntry
    token: uuid.UUID
    using: str
    #: Epoch milliseconds of the database at the claim.
    now: int = 0
    #: The ticket has files that are queued.
    has_files: bool = True
    #: A success is news for the account.
    is_troubled: bool = True
    #: A worker that had lost its lease has left a fact about the ticket.
    has_fact: bool = True
    _claimed_at: float = field(default_factory=time.monotonic)

    @property
    def identity(self) -> dict[str, Any]:
        """Return the values of the slots that `mine()` has."""
        return {"pk": self.entry.pk, "token": self.token}

    @property
    def rows(self) -> QuerySet[OutboxEntry]:
        """Return the entry's row if the lease is still ours, else no row."""
        return OutboxEntry.objects.using(self.using).filter(pk=self.entry.pk, lease_token=self.token)

    @property
    def moment(self) -> datetime:
        """Return the database's time, counted on from the claim: the clock of this machine may jump."""
        return moment_of(self.now + milliseconds(time.monotonic() - self._claimed_at))


def claim_next(
    alias: str, limit: int, *, using: str, ticket_id: int | None = None, is_probe: bool = False
) -> list[Claim]:
    """Claim up to `limit` entries that are due, for START_SECONDS; what others hold is skipped.

    None while the account is paused, but for the probe that `admit()` has allowed.
    """
    if limit < 1:
        return []
    token = uuid.uuid4()
    values = {"alias": alias, "ticket": ticket_id, "token": token}
    shape = {"limit": limit, "one_ticket": ticket_id is not None, "is_probe": is_probe}
    taken = repeated(lambda: _lease(shape, values, using=using), using=using)
    if not taken:
        return []
    claims = repeated(lambda: list(_claimed(alias, token, taken, using=using)), using=using)
    _give_back(claims[limit:])
    return claims[:limit]


def is_due(alias: str, *, using: str, ticket_id: int | None = None) -> bool:
    """Return whether an entry waits to be claimed, be the account paused or not."""
    return bool(waiting(one_ticket=ticket_id is not None).rows(using, alias=alias, ticket=ticket_id))


def mark(claim: Claim, item: Item, *, lease_seconds: float) -> bool:
    """Commit that a byte may leave from now on, and lease for the send.

    Return False if the lease is lost, or the item is no longer queued.
    """
    values = {**claim.identity, "item": item.row.pk, "lease": milliseconds(lease_seconds)}
    return bool(repeated(lambda: marking(item.kind).run(claim.using, **values), using=claim.using))


def extend(claim: Claim, *, seconds: float) -> bool:
    """Lease for `seconds` from now; return False if the lease is lost."""
    values = {**claim.identity, "lease": milliseconds(seconds)}
    return bool(repeated(lambda: extending().run(claim.using, **values), using=claim.using))


def release(claim: Claim, *, wait: float, error: str = "", request_id: str = "", **changes: Any) -> bool:
    """Give the entry back, due again in `wait` seconds; return False if the lease was lost before."""
    changes |= {
        "lease_token": None,
        "leased_until": None,
        "not_before": EpochNow() + milliseconds(wait),
        "last_error": error,
        "request_id": clean_text(request_id)[:100],
    }
    return bool(repeated(lambda: claim.rows.update(**changes), using=claim.using))


def backoff(trying: float) -> float:
    """Return seconds to wait after `trying` seconds of failing: full jitter over 30 seconds, growing up to an hour.

    With three times what was waited so far, tries come about as far apart as with a wait that doubles. It is one second
    at least, lest the push that has just failed tries again at once.
    """
    return random.uniform(BACKOFF_LEAST, min(BACKOFF_MAX, BACKOFF_BASE + 3 * trying))  # noqa: S311 -- spreads load


def _lease(shape: dict[str, Any], values: dict[str, Any], *, using: str) -> int:
    """Take entries by one statement, which needs no transaction and is atomic also where rows cannot be locked."""
    features = connections[using].features
    shape = {**shape, "skip_locked": features.has_select_for_update_skip_locked}
    if features.allow_sliced_subqueries_with_in:
        return leasing(**shape).run(using, **values)
    with transaction.atomic(using=using):
        chosen = [pk for (pk,) in Statement(picked(**shape).query).rows(using, **values)]  # MySQL
        return OutboxEntry.objects.using(using).filter(pk__in=chosen).update(**lease_changes(values["token"]))


def _claimed(alias: str, token: uuid.UUID, taken: int, *, using: str) -> Iterable[Claim]:
    # Read after the lease is committed: the ticket as an earlier snapshot shows it may have been sent since.
    for values in reading(taken).rows(using, alias=alias, token=token):
        facts, columns = values[: len(FACTS)], values[len(FACTS) :]
        ticket = Ticket.from_db(using, TICKET, columns[len(ENTRY) :])
        entry = OutboxEntry.from_db(using, ENTRY, columns[: len(ENTRY)])
        entry.ticket = ticket
        yield Claim(entry=entry, token=token, using=using, **dict(zip(FACTS, facts, strict=True)))


def _give_back(surplus: list[Claim]) -> None:
    """Free what a planner took beyond the limit: PostgreSQL may run the subquery of an UPDATE more than once."""
    for claim in surplus:
        claim.rows.update(lease_token=None, leased_until=None)
