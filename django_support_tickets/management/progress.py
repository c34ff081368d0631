from __future__ import annotations

import time
from typing import Any

from django.core.management.base import OutputWrapper

#: Seconds between two drawings of the bar, and between two plain lines where there is no terminal.
REDRAW = 0.1
REPEAT = 10.0
WIDTH = 30


class Progress:
    """Show how much of how much is done: a bar on a terminal, now and then a plain line elsewhere."""

    def __init__(self, stream: Any, label: str) -> None:
        self._stream = stream
        self._label = label
        self._is_terminal = _is_terminal(stream)
        self._shown_at = 0.0 if self._is_terminal else time.monotonic()
        self._is_drawn = False

    def __call__(self, done: int, total: int = 0) -> None:
        if time.monotonic() - self._shown_at < (REDRAW if self._is_terminal else REPEAT):
            return
        self._shown_at = time.monotonic()
        counted = f"{done}/{total}" if total else str(done)
        if not self._is_terminal:
            self._write(f"{self._label} {counted}\n")
            return
        self._is_drawn = True
        filled = WIDTH * done // total if total else 0
        bar = f" [{'#' * filled}{'-' * (WIDTH - filled)}]" if total else ""
        self._write(f"\r{self._label}{bar} {counted}\x1b[K")

    def clear(self) -> None:
        """Take the bar away, so that a line can be printed in its place."""
        if self._is_drawn:
            self._write("\r\x1b[K")
            self._is_drawn = False

    def _write(self, text: str) -> None:
        try:
            if isinstance(self._stream, OutputWrapper):
                self._stream.write(text, lambda line: line, ending="")  # neither in red nor with a line's end
            else:
                self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._is_terminal, self._shown_at = False, float("inf")  # nobody is looking


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False
