from __future__ import annotations

import time
from typing import Any, TextIO

#: Seconds between two drawings of the bar.
REDRAW = 0.1
WIDTH = 30


class Progress:
    """A bar on the terminal, and nothing elsewhere; `said` lines go where the bar is without breaking it."""

    def __init__(self, stream: TextIO | Any, label: str) -> None:
        self._stream = stream
        self._label = label
        self._drawn_at = 0.0
        self._is_drawn = False
        self.is_shown = _is_terminal(stream)

    def __call__(self, done: int, total: int = 0) -> None:
        """Draw how much of how much is done."""
        if not self.is_shown or (time.monotonic() - self._drawn_at < REDRAW and done != total):
            return
        self._drawn_at, self._is_drawn = time.monotonic(), True
        filled = WIDTH * done // total if total else 0
        bar = "#" * filled + "-" * (WIDTH - filled) if total else ""
        self._write(f"\r{self._label} [{bar}] {done}/{total}" if total else f"\r{self._label} {done}")

    def clear(self) -> None:
        """Take the bar away."""
        if self._is_drawn:
            self._write("\r\x1b[2K")
            self._is_drawn = False

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            self.is_shown = False


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False
