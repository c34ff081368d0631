from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

#: Seconds that are left to end by itself before the main thread is interrupted, and between two interruptions.
PATIENCE = 3.0
AGAIN = 0.2


class Stopping:
    """Turn SIGTERM and the first SIGINT into a wish to end, inside the block.

    What is under way may end for PATIENCE seconds, then the main thread gets a KeyboardInterrupt; a second signal
    brings it at once. What was being sent then stays marked as such, and the next push settles it.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._wish = threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGTERM, signal.SIGINT):
                self._before[signum] = signal.signal(signum, self._on_signal)
            if hasattr(signal, "SIGALRM"):
                self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.calm()
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def __call__(self) -> bool:
        """Return whether somebody has asked to end."""
        return self._wish.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep for so long, or until somebody asks to end; return whether somebody has."""
        return self._wish.wait(seconds)

    def calm(self) -> None:
        """Interrupt no more."""
        if hasattr(signal, "setitimer") and self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        is_second = self._wish.is_set()
        self.signum = signum
        self._wish.set()
        if hasattr(signal, "setitimer"):
            # Repeated: an interruption may be caught by a block that waits for threads on its way out.
            signal.setitimer(signal.ITIMER_REAL, AGAIN if is_second else PATIENCE, AGAIN)
        if is_second:
            raise KeyboardInterrupt

    def _interrupt(self, signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt
