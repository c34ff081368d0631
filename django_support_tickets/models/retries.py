from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connections

T = TypeVar("T")


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
