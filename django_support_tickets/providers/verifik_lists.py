"""Verifik's list: pages of both dialects, whose order, size and filters a client must not trust.

Facts from docs.verifik.co /resources/list-all-support-tickets and /resources/support-tickets/support-ticket-api.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_support_tickets.providers.http import dict_of, int_of, list_of, short_reference, text_of, time_of
from django_support_tickets.providers.verifik_records import Dialect, Rows, id_of_ticket, key_tag
from django_support_tickets.records import TicketDraft, normalised_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of a list; `pages` and `total` are None where the vendor does not say them."""

    rows: Rows
    number: int
    pages: int | None = None
    total: int | None = None

    @property
    def is_last(self) -> bool:
        """Return whether nothing follows, by the vendor's word; see `contradicts_itself`."""
        return not self.rows or (self.pages is not None and self.number >= self.pages)

    @property
    def contradicts_itself(self) -> bool:
        """Return whether the vendor shows nothing on a page on which it says there is something."""
        return not self.rows and bool(self.total) and self.number <= (self.pages or 1)


def to_listing(payload: Any, *, number: int) -> Listing | None:
    """Return a page of either dialect, or None: {"data", "pagination"} or {"data", "page", "pages", "total"}."""
    answer = dict_of(payload)
    if not isinstance(answer.get("data"), list):
        return None
    paging = dict_of(answer.get("pagination")) or answer
    rows = [dict_of(row) for row in answer["data"]]
    return Listing(rows=rows, number=number, pages=int_of(paging.get("pages")), total=int_of(paging.get("total")))


class Search:
    """Look through list rows for what a draft has become, and know when enough of them were seen.

    The order of a list is not documented. It counts as known only while all rows so far came in falling order of one
    of their times; then rows older than `since` end the search. Otherwise every page must be read.
    """

    def __init__(self, draft: TicketDraft, *, dialect: Dialect, since: datetime | None) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self._tag, self._mark = key_tag(draft.key), short_reference(draft.key)
        self._title = normalised_text(draft.subject)
        self._dialect = dialect
        self._since = since
        self._seen: set[str] = set()
        self._total: int | None = None
        self._times: dict[str, list[datetime]] = {"updatedAt": [], "createdAt": []}
        self._is_sound = True

    def add(self, listing: Listing) -> bool:
        """Take the rows of a page; return whether one of them is new."""
        before = len(self._seen)
        for row in listing.rows:
            self._take(row)
        self._total = max(filter(None, (self._total, listing.total)), default=listing.total)
        return len(self._seen) > before

    def is_past(self) -> bool:
        """Return whether all rows still to come were made, and changed, before `since`."""
        return self._since is not None and any(
            len(set(times)) > 1 and times[-1] < self._since for times in self._times.values()
        )

    def is_complete(self) -> bool:
        """Return whether what was not found so far is not there."""
        has_all = self._total is not None and len(self._seen) >= self._total
        return self._is_sound and (self.is_past() or has_all)

    def _take(self, row: dict[str, Any]) -> None:
        remote_id = id_of_ticket(row)
        is_ours = self._tag in list_of(row.get("tags")) or self._mark in text_of(row.get("title"))
        if not remote_id or not (is_ours or self._is_foreign(row)):
            self._is_sound = False
        self._seen.add(remote_id)
        if is_ours and remote_id:
            self.found[remote_id] = row
        for name in list(self._times):
            self._note(name, time_of(row.get(name)))

    def _is_foreign(self, row: dict[str, Any]) -> bool:
        """Return whether a row without our key shows enough of itself to be somebody else's."""
        title = normalised_text(text_of(row.get("title")))
        if self._dialect == "app":
            return bool(title)
        return isinstance(row.get("tags"), list) or title not in ("", self._title)

    def _note(self, name: str, moment: datetime | None) -> None:
        times = self._times[name]
        if moment is None or (times and moment > times[-1]):
            del self._times[name]
        else:
            times.append(moment)
