"""The one form in which every benchmark reports, and the two sizes in which it runs.

A line per figure: name, ours, floor or peer, ratio, gate, held; columns are two blanks or more apart. What else is
worth knowing stands below as an indented note.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import astuple, dataclass

HELD = {True: "yes", False: "NO", None: "–"}
WIDTHS = (36, 12, 14, 9, 12, 4)


@dataclass(frozen=True)
class Line:
    """One figure as texts, with their units; `held` is "yes", "NO", or "–" where there is no gate."""

    name: str
    ours: str
    floor: str = "–"
    ratio: str = "–"
    gate: str = "–"
    held: str = HELD[None]

    def __str__(self) -> str:
        return "  ".join(text.ljust(width) for text, width in zip(astuple(self), WIDTHS, strict=True)).rstrip()


HEAD = Line("name", "ours", "floor or peer", "ratio", "gate", "held")


def report(
    name: str, *, ours: str, floor: str = "–", ratio: str = "–", gate: str = "–", held: bool | None = None
) -> bool:
    """Print a figure; return whether its gate is held, True where there is none."""
    _say(str(Line(name, ours, floor, ratio, gate, HELD[held])))
    return held is not False


def note(text: str) -> None:
    """Print what belongs to the figures above, such as how they were measured."""
    _say(f"  {text}")


def not_run(name: str, reason: object) -> int:
    """Say loudly that a benchmark could not run; return its exit code, which is 1 where CI=true."""
    _say(f"{name}: NOT RUN: {reason}")
    return int(os.environ.get("CI") == "true")


def parse(text: str) -> Line | None:
    """Return the figure that a printed line holds, None for any other line."""
    columns = re.split(r"\s{2,}", text.rstrip())
    is_figure = len(columns) == len(WIDTHS) and columns[-1] in HELD.values()
    return Line(*columns) if is_figure else None


def is_full() -> bool:
    """Return whether the full profile runs: BENCH_PROFILE=full, set by `python -m benchmarks --full`."""
    return os.environ.get("BENCH_PROFILE") == "full"


def default_rows() -> int:
    """Return how many tickets a big table has: 100,000, in the full profile 1,000,000."""
    return 1_000_000 if is_full() else 100_000


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
