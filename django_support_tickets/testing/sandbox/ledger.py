"""What a fake vendor remembers of every request."""

from __future__ import annotations

import dataclasses
import threading

BODY_KEPT = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One request as the vendor saw it, or (operation `webhook`) one webhook it sent.

    `at` is monotonic seconds on arrival; header names are lower case; `body` holds the first 1 MB. `status`
    is None when no answer left; `committed` says whether the vendor's state changed, for a late commit as
    soon as it has; `remote_id` is the ticket concerned, or "".
    """

    sequence: int
    at: float
    operation: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    body_size: int
    body_sha256: str
    status: int | None
    fault: str | None
    committed: bool
    remote_id: str


class Ledger:
    """An append-only list of entries that many connections may write to."""

    def __init__(self) -> None:
        self.entries: list[LedgerEntry] = []
        self._sequence = 0
        self._lock = threading.Lock()

    def append(self, entry: LedgerEntry) -> LedgerEntry:
        """Store the entry under the next sequence number; return it as stored."""
        with self._lock:
            self._sequence += 1
            entry = dataclasses.replace(entry, sequence=self._sequence)
            self.entries.append(entry)
        return entry

    def settle(self, entry: LedgerEntry, *, committed: bool, remote_id: str) -> None:
        """Note in place that the change of an earlier request was applied after all."""
        with self._lock:
            if entry in self.entries:
                position = self.entries.index(entry)
                self.entries[position] = dataclasses.replace(entry, committed=committed, remote_id=remote_id)

    def clear(self) -> None:
        with self._lock:
            self.entries = []
            self._sequence = 0
