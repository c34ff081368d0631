from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from django_support_tickets.models import moment_of
from django_support_tickets.records import TicketRecord
from django_support_tickets.vocabulary import one_line

logger = logging.getLogger(__name__)

#: How many failures a run names; the rest is only counted.
NAMED = 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """A record and when its fetch started, in epoch milliseconds of the database's clock.

    `due_at` is the ticket's `next_poll_at` as it was read before the fetch, None if it was not read. If the row has
    another one when the record arrives, a hint has come in between, and the ticket stays due.
    """

    record: TicketRecord
    started_at: int
    due_at: datetime | None = None
    #: `started_at` as this project's datetimes are.
    started: datetime = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "started", moment_of(self.started_at))


@dataclass(frozen=True, slots=True)
class Difference:
    """What a merge would change on one ticket: {field: (old, new)}, with "changed" for texts; counts of new rows."""

    ticket: str
    changes: Mapping[str, tuple[Any, Any]]
    comments: int = 0
    attachments: int = 0


@dataclass(slots=True)
class MergeCounts:
    """What became of the records; `failures` names tickets and causes, never their text."""

    # A visible field changed, or a comment or file arrived.
    changed: int = 0
    unchanged: int = 0
    # The record is older than what is stored.
    stale: int = 0
    # No ticket of this account has the remote id.
    unknown: int = 0
    comments: int = 0
    attachments: int = 0
    # Was missing at the vendor and is there again.
    found_again: int = 0
    imported: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: MergeCounts) -> None:
        """Count what another has counted; of its failures, those that there is room to name."""
        for one in fields(MergeCounts):
            if one.name != "failures":
                setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        self.failures.extend(other.failures[: NAMED - len(self.failures)])

    def fail(self, name: str, cause: str, *, account: str) -> None:
        """Count a failure; the first ones are named and logged."""
        self.failed += 1
        if len(self.failures) < NAMED:
            named = one_line(name)  # with the id that the vendor has given it
            self.failures.append(f"{named}: {cause}")
            logger.warning("%s: %s", named, cause, extra={"event": "pull.item_failed", "account": account})
