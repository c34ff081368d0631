"""Who may send: claim, mark, release. Every write after the claim is a compare-and-set on the lease token."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, cast

from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.models import Case, Exists, F, IntegerField, OuterRef, Q, QuerySet, When
from django.db.models.functions import Coalesce

from django_support_tickets.models import (
    Attachment,
    Delivery,
    EpochNow,
    OutboxEntry,
    TicketEvent,
    milliseconds,
    moment_of,
)
from django_support_tickets.models.pauses import hindered, troubled
from django_support_tickets.outbox.items import Item, is_queued
from django_support_tickets.records import clean_text

T = TypeVar("T")

BACKOFF_BASE = 30.0
BACKOFF_MAX = 3600.0
#: How long a claim may take until its mark, in seconds.
START_SECONDS = 60.0


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
    def rows(self) -> QuerySet[OutboxEntry]:
        """Return the entry's row if the lease is still ours, else no row."""
        return OutboxEntry.objects.using(self.using).filter(pk=self.entry.pk, lease_token=self.token)

    @property
    def moment(self) -> datetime:
        """Return the database's time, counted on from the claim: the clock of this machine may jump."""
        return cast("datetime", moment_of(self.now + milliseconds(time.monotonic() - self._claimed_at)))


def claim_next(
    alias: str, limit: int, *, using: str, ticket_id: int | None = None, is_probe: bool = False
) -> list[Claim]:
    """Claim up to `limit` entries that are due, for START_SECONDS; what others hold is skipped.

    None while the account is paused, but for the probe that `admit()` has allowed.
    """
    if limit < 1:
        return []
    due = _due(alias, using=using)
    if ticket_id is not None:
        due = due.filter(ticket_id=ticket_id)
    if not is_probe:
        due = due.filter(~Exists(hindered(alias)))
    token = uuid.uuid4()
    taken = repeated(lambda: _lease(due, limit, token=token, using=using), using=using)
    if not taken:
        return []
    claims = repeated(lambda: list(_claimed(alias, token, taken, using=using)), using=using)
    _give_back(claims[limit:])
    return claims[:limit]


def is_due(alias: str, *, using: str, ticket_id: int | None = None) -> bool:
    """Return whether an entry waits to be claimed, be the account paused or not."""
    due = _due(alias, using=using)
    return (due if ticket_id is None else due.filter(ticket_id=ticket_id)).exists()


def mark(claim: Claim, item: Item, *, lease_seconds: float) -> bool:
    """Commit that a byte may leave from now on, and lease for the send.

    Return False if the lease is lost, or the item is no longer queued.
    """
    alive = claim.rows.filter(Exists(is_queued(item)), leased_until__gt=EpochNow())
    return _write(
        claim,
        alive,
        item=item.kind,
        item_id=item.row.pk,
        sent_at=EpochNow(),
        attempts=F("attempts") + 1,
        tried_since=Coalesce(F("tried_since"), EpochNow()),
        leased_until=EpochNow() + milliseconds(lease_seconds),
    )


def extend(claim: Claim, *, seconds: float) -> bool:
    """Lease for `seconds` from now; return False if the lease is lost."""
    alive = claim.rows.filter(leased_until__gt=EpochNow())
    return _write(claim, alive, leased_until=EpochNow() + milliseconds(seconds))


def release(claim: Claim, *, wait: float, error: str = "", request_id: str = "", **changes: Any) -> bool:
    """Give the entry back, due again in `wait` seconds; return False if the lease was lost before."""
    return _write(
        claim,
        claim.rows,
        lease_token=None,
        leased_until=None,
        not_before=EpochNow() + milliseconds(wait),
        last_error=error,
        request_id=clean_text(request_id)[:100],
        **changes,
    )


def backoff(trying: float) -> float:
    """Return seconds to wait after `trying` seconds of failing: full jitter over 30 seconds, growing up to an hour.

    With three times what was waited so far, tries come about as far apart as with a wait that doubles.
    """
    return random.uniform(0, min(BACKOFF_MAX, BACKOFF_BASE + 3 * trying))  # noqa: S311 -- spreads load


def repeated(action: Callable[[], T], *, using: str, times: int = 5) -> T:
    """Return what a whole transaction returns, run again after a deadlock, a locked database or a lost connection.

    Inside a transaction of the caller's it runs once: what the database has undone cannot be repeated from here.
    """
    tries = 1 if connections[using].in_atomic_block else times
    for attempt in range(1, tries + 1):
        try:
            return action()
        except (OperationalError, InterfaceError):
            if attempt == tries:
                raise
            connections[using].close_if_unusable_or_obsolete()
            time.sleep(random.uniform(0.01, 0.1) * 2 ** (attempt - 1))  # noqa: S311 -- spreads load
    raise AssertionError("unreachable")


def _due(alias: str, *, using: str) -> QuerySet[OutboxEntry]:
    free = Q(leased_until=None) | Q(leased_until__lt=EpochNow())
    due = OutboxEntry.objects.using(using).filter(free, provider=alias, not_before__lte=EpochNow())
    # As the index has them: by anything more, a whole backlog would be sorted for each claim.
    return due.order_by("not_before")


def _lease(due: QuerySet[OutboxEntry], limit: int, *, token: uuid.UUID, using: str) -> int:
    """Take entries by one statement, which is atomic also where rows cannot be locked (SQLite)."""
    features = connections[using].features
    with transaction.atomic(using=using):
        if features.has_select_for_update:
            due = due.select_for_update(skip_locked=features.has_select_for_update_skip_locked)
        picked: Iterable[Any] = due.values_list("pk", flat=True)[:limit]
        if not features.allow_sliced_subqueries_with_in:  # MySQL
            picked = list(picked)
        # A lease that ran out without a mark counts as an attempt: the item may have ended its worker.
        # First of all, since MySQL reads columns as they were set further left.
        died = Q(lease_token__isnull=False, sent_at__isnull=True)
        return (
            OutboxEntry.objects.using(using)
            .filter(pk__in=picked)
            .update(
                attempts=Case(When(died, then=F("attempts") + 1), default=F("attempts"), output_field=IntegerField()),
                lease_token=token,
                leased_until=EpochNow() + milliseconds(START_SECONDS),
            )
        )


def _claimed(alias: str, token: uuid.UUID, taken: int, *, using: str) -> Iterable[Claim]:
    # Read after the lease is committed: the ticket as an earlier snapshot shows it may have been sent since.
    files = Attachment.objects.filter(
        ticket=OuterRef("ticket"), delivery=Delivery.QUEUED, direction=Attachment.Direction.OUT
    )
    mine = OutboxEntry.objects.using(using).filter(provider=alias, lease_token=token).order_by("not_before")
    mine = mine.select_related("ticket").defer("ticket__raw")
    facts = TicketEvent.objects.filter(ticket=OuterRef("ticket"), kind=TicketEvent.Kind.LATE_ANSWER)
    mine = mine.annotate(now=EpochNow(), has_files=Exists(files), has_fact=Exists(facts))
    mine = mine.annotate(is_troubled=Exists(troubled(alias)))
    # The limit ends the search: what was taken stands first in the index.
    for entry in mine[:taken]:
        yield Claim(
            entry=entry,
            token=token,
            using=using,
            now=entry.now,
            has_files=entry.has_files,
            is_troubled=entry.is_troubled,
            has_fact=entry.has_fact,
        )


def _write(claim: Claim, rows: QuerySet[OutboxEntry], **changes: Any) -> bool:
    return bool(repeated(lambda: rows.update(**changes), using=claim.using))


def _give_back(surplus: list[Claim]) -> None:
    """Free what a planner took beyond the limit: PostgreSQL may run the subquery of an UPDATE more than once."""
    for claim in surplus:
        claim.rows.update(lease_token=None, leased_until=None)
