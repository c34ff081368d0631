"""Who may send: claim, mark, release. Every write after the claim is a compare-and-set on the lease token."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import OperationalError, connections, transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from django_support_tickets.models import EpochNow, OutboxEntry, milliseconds
from django_support_tickets.outbox.items import Item

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
    now: int = field(default=0)

    @property
    def rows(self) -> QuerySet[OutboxEntry]:
        """Return the entry's row if the lease is still ours, else no row."""
        return OutboxEntry.objects.using(self.using).filter(pk=self.entry.pk, lease_token=self.token)


def claim_next(alias: str, limit: int, *, using: str, ticket_id: int | None = None) -> list[Claim]:
    """Claim up to `limit` entries that are due, for START_SECONDS; what others hold is skipped."""
    if limit < 1:
        return []
    token = uuid.uuid4()
    due = OutboxEntry.objects.using(using).filter(
        Q(leased_until=None) | Q(leased_until__lt=EpochNow()), provider=alias, not_before__lte=EpochNow()
    )
    if ticket_id is not None:
        due = due.filter(ticket_id=ticket_id)
    lease = {"lease_token": token, "leased_until": EpochNow() + milliseconds(START_SECONDS)}
    with transaction.atomic(using=using):
        if connections[using].features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True)
        ids = list(due.order_by("not_before", "pk").values_list("pk", flat=True)[:limit])
        if not ids:
            return []
        # The condition again: without row locks (SQLite) two workers may have read the same ids.
        free = Q(leased_until=None) | Q(leased_until__lt=EpochNow())
        OutboxEntry.objects.using(using).filter(free, pk__in=ids).update(**lease)
    mine = OutboxEntry.objects.using(using).filter(pk__in=ids, lease_token=token).order_by("not_before", "pk")
    return [
        Claim(entry=entry, token=token, using=using, now=entry.claimed_at)
        for entry in mine.select_related("ticket").annotate(claimed_at=EpochNow())
    ]


def mark(claim: Claim, item: Item, *, lease_seconds: float) -> bool:
    """Commit that a byte may leave from now on, and lease for the send; return False if the lease is lost."""
    marked = claim.rows.filter(leased_until__gt=EpochNow()).update(
        item=item.kind,
        item_id=item.row.pk,
        sent_at=EpochNow(),
        attempts=F("attempts") + 1,
        tried_since=Coalesce(F("tried_since"), EpochNow()),
        leased_until=EpochNow() + milliseconds(lease_seconds),
    )
    return bool(marked)


def extend(claim: Claim, *, seconds: float) -> bool:
    """Lease for `seconds` from now; return False if the lease is lost."""
    alive = claim.rows.filter(leased_until__gt=EpochNow())
    return bool(alive.update(leased_until=EpochNow() + milliseconds(seconds)))


def release(claim: Claim, *, wait: float, error: str = "", request_id: str = "", **changes: Any) -> bool:
    """Give the entry back, due again in `wait` seconds; return False if the lease was lost before."""
    changes.setdefault("last_error", error)
    released = claim.rows.update(
        lease_token=None,
        leased_until=None,
        not_before=EpochNow() + Value(milliseconds(wait)),
        request_id=request_id,
        **changes,
    )
    return bool(released)


def backoff(attempts: int) -> float:
    """Return seconds to wait: full jitter over 30 s doubling to an hour."""
    # Ten doublings pass the cap; more would only make a huge number.
    return random.uniform(0, min(BACKOFF_MAX, BACKOFF_BASE * 2 ** min(max(attempts, 1) - 1, 10)))  # noqa: S311


def repeated(action: Callable[[], None], *, using: str, times: int = 5) -> None:
    """Run a whole transaction, again after a deadlock, a locked database or a lost connection."""
    for attempt in range(times):
        try:
            return action()
        except OperationalError:
            if attempt == times - 1:
                raise
            connections[using].close_if_unusable_or_obsolete()
            time.sleep(random.uniform(0.01, 0.1) * 2**attempt)  # noqa: S311
    return None
