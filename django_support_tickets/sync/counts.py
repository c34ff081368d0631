from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django_support_tickets.merge import MergeCounts


@dataclass(slots=True)
class PullCounts(MergeCounts):
    """What a pull did. `failures` names tickets and causes, never their text."""

    # GETs that were answered with a ticket.
    fetched: int = 0
    # Rows of list pages that were looked at, and how many of them made a ticket due.
    listed: int = 0
    hinted: int = 0
    # Files that were copied here at once.
    mirrored: int = 0
    # Tickets that were flagged as missing at the vendor.
    missing: int = 0
    # Tickets that would have been flagged, had they not been suspiciously many; a person must look.
    braked: int = 0
    # Why the account is paused, "" if it is not.
    paused: str = ""
    # The vendor refuses the account itself, or asks to wait.
    denied: bool = False
    busy: bool = False
    # Why the run ended before everything was done, "" if it did not.
    halted: str = ""
    # Somebody asked it to stop.
    stopped: bool = False

    @property
    def is_quiet(self) -> bool:
        """Return whether there was no news and no trouble."""
        news = self.changed + self.imported + self.found_again + self.missing + self.mirrored
        return not (news or self.failed or self.braked or self.halted or self.stopped)

    @property
    def needs_a_person(self) -> bool:
        """Return whether nothing but a person moves this account on."""
        return self.denied or self.braked > 0

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as JSON takes them."""
        return {**asdict(self), "quiet": self.is_quiet}
