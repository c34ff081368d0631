"""Many histories in several processes, each with a database of its own."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import django
from django.test.utils import setup_test_environment

#: Histories that a process is given at a time.
PORTION = 10
Job = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Result:
    """What one history has come to; `story` tells it if something went wrong."""

    provider: str
    lost: int
    doubled: int
    uncertain: int
    story: str


@dataclass(slots=True)
class Total:
    """What the histories of one provider have come to."""

    lost: int = 0
    doubled: int = 0
    uncertain: int = 0
    runs: int = 0

    def add(self, result: Result) -> None:
        self.lost += result.lost
        self.doubled += result.doubled
        self.uncertain += result.uncertain
        self.runs += 1

    @property
    def is_bad(self) -> bool:
        return bool(self.lost or self.doubled)

    def __str__(self) -> str:
        return f"lost {self.lost} doubled {self.doubled} uncertain {self.uncertain} histories {self.runs}"


def set_up() -> None:
    """Give this process a database of its own in memory."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    setup_test_environment()
    logging.disable(logging.CRITICAL)
    from django.db import connection

    connection.creation.create_test_db(verbosity=0)
    gc.freeze()  # what stays is not looked through again and again
    gc.set_threshold(50_000, 20, 20)


def live(job: Job) -> Result:
    """Live through one history."""
    from tests.simulator.desks import DESKS
    from tests.simulator.running import explain, live_through

    name, seed = job
    simulation, verdict = live_through(DESKS[name], seed)
    is_wrong = verdict.lost or verdict.doubled
    story = "\n".join(explain(simulation, verdict)) if is_wrong else ""
    return Result(DESKS[name].provider_name, len(verdict.lost), len(verdict.doubled), verdict.uncertain, story)


def live_all(jobs: list[Job]) -> list[Result]:
    return [live(job) for job in jobs]


def results(executor: Executor, jobs: list[Job], *, seconds: float) -> Iterator[Result]:
    """Yield the results in order; begin nothing after `seconds`."""
    ends_at = time.monotonic() + seconds
    waiting = deque(executor.submit(live_all, portion) for portion in _portions(jobs))
    while waiting:
        yield from waiting.popleft().result()
        if time.monotonic() > ends_at:
            waiting = deque(future for future in waiting if not future.cancel())


def _portions(jobs: list[Job]) -> Iterator[list[Job]]:
    for start in range(0, len(jobs), PORTION):
        yield jobs[start : start + PORTION]
