"""Named points of a push at which a worker can be ended, found by Python's trace hook: nothing is patched."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass(frozen=True)
class Point:
    """The call or return of a function, named by the end of its file's path and its name."""

    file: str
    function: str
    event: str

    def __str__(self) -> str:
        return f"{self.file}:{self.function}:{self.event}"

    @classmethod
    def named(cls, text: str) -> Point:
        file, function, event = text.split(":")
        return cls(file, function, event)


POINTS = tuple(
    Point.named(name)
    for name in (
        # What nothing announced is queued, the claim not made.
        "outbox/intake.py:sweep:return",
        # Inside the transaction of the claim, the mark or the settlement, and after the claim's.
        "models/statements.py:run:call",
        "models/statements.py:run:return",
        "outbox/claims.py:_lease:return",
        "outbox/claims.py:claim_next:return",
        # Claimed, not marked.
        "outbox/items.py:next_item:return",
        "outbox/claims.py:mark:call",
        # Marked, not sent.
        "outbox/claims.py:mark:return",
        "transport/client.py:_start:call",
        # Sent, and waiting for the answer.
        "transport/connections.py:readinto:call",
        # Answered, not read.
        "transport/client.py:_start:return",
        # Answered, nothing of it stored.
        "outbox/delivery.py:_call:return",
        # Inside the transaction that stores it.
        "outbox/storing.py:store:return",
        "outbox/settling.py:_finish:return",
        "outbox/facts.py:write_event:return",
        # Stored.
        "outbox/settling.py:_store_delivered:return",
        "outbox/settling.py:settle_delivered:return",
        # An outcome that is no record.
        "outbox/delivery.py:_outcome:call",
        "models/pauses.py:pause:return",
        "models/pauses.py:note_failure:return",
        "outbox/claims.py:release:call",
        "outbox/claims.py:release:return",
        "outbox/settling.py:_settle_failed:return",
        # The search for what was lost.
        "outbox/searching.py:search:call",
        "outbox/searching.py:_look:call",
        "outbox/searching.py:_look:return",
        "outbox/searching.py:_decide:return",
    )
)


@contextmanager
def ending(point: Point, action: Callable[[], Any], *, after: int = 1) -> Iterator[None]:
    """Run `action` when the point is passed for the `after`th time inside the block, in any thread."""
    left = [after]

    def enter(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        if left[0] <= 0:
            sys.settrace(None)  # a thread that has outlived the block
            return None
        if code.co_name != point.function or not code.co_filename.endswith(point.file):
            return None  # nothing inside this frame is of interest
        if point.event == "call":
            pass_by()
            return None
        frame.f_trace_lines = False
        return leave

    def leave(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        if event == "return":
            pass_by()
        return leave

    def pass_by() -> None:
        left[0] -= 1
        if left[0] == 0:
            sys.settrace(None)
            action()

    before = sys.gettrace()
    threading.settrace(enter)
    sys.settrace(enter)
    try:
        yield
    finally:
        left[0] = 0
        sys.settrace(before)
        threading.settrace(before)  # type: ignore[arg-type]
