from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(slots=True)
class PushCounts:
    """What a push did; `failures` names what needs a look, without any ticket text."""

    delivered: int = 0
    refused: int = 0
    uncertain: int = 0
    waiting: int = 0
    paused: str = ""
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, outcome: str, failure: str = "") -> None:
        """Count one outcome: delivered, refused, uncertain or waiting. Safe for threads."""
        with self._lock:
            setattr(self, outcome, getattr(self, outcome) + 1)
            if failure:
                self.failures.append(failure)
