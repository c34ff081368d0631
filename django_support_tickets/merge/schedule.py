"""When a ticket is to be looked at again."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from django_support_tickets.conf import settings
from django_support_tickets.records import Capabilities

Intervals = tuple[tuple[timedelta, timedelta | None], ...]

SHORTEST_BACKOFF = timedelta(minutes=1)
LONGEST_BACKOFF = timedelta(hours=1)


def intervals() -> Intervals:
    """Return SUPPORT_TICKETS_POLL_SCHEDULE, youngest first."""
    return tuple(sorted(settings.POLL_SCHEDULE, key=lambda pair: pair[0]))


def next_poll(
    status: str,
    last_change: datetime | None,
    *,
    now: datetime,
    capabilities: Capabilities,
    steps: Intervals | None = None,
) -> datetime | None:
    """Return when a ticket is due again, None: never. A settled one waits the schedule's last interval."""
    if status in capabilities.final_statuses:
        return None
    steps = intervals() if steps is None else steps
    if not steps:
        return None
    age = timedelta.max if last_change is None or status in capabilities.settled_statuses else now - last_change
    interval = next((wait for until, wait in steps if age <= until), steps[-1][1])
    return None if interval is None else now + interval


def backoff(succeeded_at: datetime, *, now: datetime) -> datetime:
    """Return when to try again after a failed GET: full jitter over the time since the last success.

    That time grows with each failure as a doubling counter would, so no counter is needed; it stays within an hour.
    """
    longest = min(max(now - succeeded_at, SHORTEST_BACKOFF), LONGEST_BACKOFF)
    return now + timedelta(seconds=1) + longest * random.random()  # noqa: S311 -- spreads load, guards nothing


def rarest_poll(*, now: datetime) -> datetime | None:
    """Return when something of which hardly any news is expected is due again, None: never."""
    steps = intervals()
    interval = steps[-1][1] if steps else None
    return None if interval is None else now + interval
