"""The vendors' time, which a test may shift."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable

Now = Callable[[], datetime.datetime]


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class VendorClock:
    """Return aware UTC datetimes: what `now` says, plus what was advanced."""

    def __init__(self, now: Now | None = None) -> None:
        self._now = now or utc_now
        self._offset = datetime.timedelta()
        self._lock = threading.Lock()

    def now(self) -> datetime.datetime:
        return (self._now() + self._offset).astimezone(datetime.UTC)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._offset += datetime.timedelta(seconds=seconds)

    def reset(self) -> None:
        with self._lock:
            self._offset = datetime.timedelta()


def stamp(moment: datetime.datetime, timespec: str = "seconds") -> str:
    """Return the RFC 3339 text all four vendors show in their samples: UTC with a `Z`."""
    return moment.astimezone(datetime.UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
