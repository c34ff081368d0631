"""What a walk through a list keeps in mind, and what in a list is news."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django_support_tickets.merge import cleaning, is_older
from django_support_tickets.models import ERASED, ProviderState, Ticket
from django_support_tickets.records import ABSENT, TicketRecord

STATUS_MAX = Ticket._meta.get_field("remote_status").max_length


@dataclass(slots=True)
class Walk:
    """One walk through one list."""

    state: ProviderState
    cursor: str | None
    started_at: int
    # From its first page on in this process: only then it is known which tickets it has not shown.
    is_whole: bool
    pages: int = 0
    saved_at: float = 0.0
    # Listed and not yet compared with what is stored.
    rows: dict[str, TicketRecord] = field(default_factory=dict)
    seen: array[int] = field(default_factory=lambda: array("q"))
    cursors: set[str] = field(default_factory=set)

    def unseen(self, pks: Sequence[int]) -> set[int]:
        """Return those of some keys, in their order, that the list has not shown; `seen` must be sorted."""
        shown = self.seen[bisect_left(self.seen, pks[0]) : bisect_right(self.seen, pks[-1])]
        return set(pks).difference(shown)


class Listed(NamedTuple):
    """What a list row is compared with."""

    pk: int
    remote_id: str
    remote_updated_at: datetime | None
    remote_status: str
    missing_since: datetime | None
    digest: str


def is_news(row: Listed, record: TicketRecord) -> bool:
    """Return whether a list row says that a GET would bring something."""
    if row.digest == ERASED:
        return False
    if row.missing_since is not None:
        return True
    if (record.updated_at, record.remote_status) == (row.remote_updated_at, row.remote_status):
        return False  # nearly all rows, at a fraction of what follows
    version = cleaning.moment(record.updated_at)
    if version is not None and row.remote_updated_at is not None and is_older(version, row.remote_updated_at):
        return False
    is_newer = version is not None and version != row.remote_updated_at
    status = record.remote_status
    return is_newer or (status is not ABSENT and cleaning.text(status, STATUS_MAX) != row.remote_status)
