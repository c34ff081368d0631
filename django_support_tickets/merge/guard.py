"""Which of two states of a ticket is newer."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from django_support_tickets.merge import cleaning
from django_support_tickets.merge.arrivals import Fetched
from django_support_tickets.models import ERASED, comes_twice
from django_support_tickets.records import ABSENT, Capabilities

#: In `Ticket.digest`: the last look did not find the ticket; the second one in a row makes it missing.
NOT_FOUND = "not found"
#: A vendor's clock may be in another zone; one that is further ahead is wrong, and would outdate all later news.
TOMORROW = timedelta(days=1)


class Verdict(enum.Enum):
    """What a record is beside the stored row."""

    NEWS = "to be merged"
    SAME = "says what is stored"
    STALE = "older than what is stored"
    ERASED = "of a ticket that was erased here: nothing of it may come back"
    DOUBTFUL = "would re-open the ticket, but its fetch started before the stored one: to be fetched again"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the guard and the schedule need to know of a row; fields in the order of COLUMNS."""

    pk: int
    remote_id: str
    digest: str
    status: str
    synced_at: datetime | None
    remote_updated_at: datetime | None
    next_poll_at: datetime | None
    missing_since: datetime | None
    # The latest sign of life that is known.
    last_change: datetime


#: `last_change` in SQL; its reading from the database is what costs, so one column stands for four.
LAST_CHANGE = Greatest(
    *(Coalesce(name, "created_at") for name in ("remote_updated_at", "last_comment_at", "delivered_at"))
)
COLUMNS: tuple[Any, ...] = (*(name for name in Stored.__dataclass_fields__ if name != "last_change"), LAST_CHANGE)


def judge(stored: Stored, fetched: Fetched, digest: str, capabilities: Capabilities) -> Verdict:
    """Return what a record is beside the stored row.

    The vendor's own version decides; where it is equal or unknown, the later start of the fetch does.
    """
    started = fetched.started
    if stored.digest == ERASED:
        return Verdict.ERASED
    if stored.missing_since is not None:
        return Verdict.NEWS if started >= stored.missing_since else Verdict.STALE
    if not _is_newer(stored, cleaning.moment(fetched.record.updated_at), started):
        return Verdict.STALE
    if _reopens(stored, fetched, capabilities) and stored.synced_at is not None and started <= stored.synced_at:
        return Verdict.DOUBTFUL
    return Verdict.SAME if stored.digest == digest else Verdict.NEWS


def hint_since(stored: Stored, fetched: Fetched) -> datetime | None:
    """Return the `next_poll_at` that was set after this fetch was planned, or has started; None if there is none."""
    due_at = stored.next_poll_at
    is_other = fetched.due_at is not None and due_at != fetched.due_at
    is_later = due_at is not None and due_at >= fetched.started
    return due_at if is_other or is_later else None


def is_older(version: datetime, stored: datetime) -> bool:
    """Return whether the vendor's version is surely older than the stored one, which a time to come does not prove."""
    return version < stored < timezone.now() + TOMORROW and not (comes_twice(version) and comes_twice(stored))


def _is_newer(stored: Stored, version: datetime | None, started: datetime) -> bool:
    if version is not None and stored.remote_updated_at is not None:
        if is_older(version, stored.remote_updated_at):
            return False
        if is_older(stored.remote_updated_at, version):
            return True
    return stored.synced_at is None or started >= stored.synced_at


def _reopens(stored: Stored, fetched: Fetched, capabilities: Capabilities) -> bool:
    ends = capabilities.final_statuses | capabilities.settled_statuses
    status = fetched.record.status
    return stored.status in ends and status is not ABSENT and status not in ends
