"""Many histories in several processes, each with a database of its own."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor

import django
from django.test.utils import setup_test_environment

BATCH = 100
Job = tuple[str, int]
#: The provider, how many were lost, doubled and uncertain, and the story if something went wrong.
Result = tuple[str, int, int, int, str]


def set_up() -> None:
    """Give this process a database of its own in memory."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    setup_test_environment()
    logging.disable(logging.CRITICAL)
    from django.db import connection

    connection.creation.create_test_db(verbosity=0)


def live(job: Job) -> Result:
    """Live through one history."""
    from tests.simulator.desks import DESKS
    from tests.simulator.running import explain, live_through

    name, seed = job
    simulation, verdict = live_through(DESKS[name], seed)
    is_wrong = verdict.lost or verdict.doubled
    story = "\n".join(explain(simulation, verdict)) if is_wrong else ""
    return name, len(verdict.lost), len(verdict.doubled), verdict.uncertain, story


def results(executor: Executor, jobs: list[Job], *, seconds: float) -> Iterator[Result]:
    """Yield the results; begin nothing after `seconds`."""
    ends_at = time.monotonic() + seconds
    for start in range(0, len(jobs), BATCH):
        if time.monotonic() > ends_at:
            return
        yield from executor.map(live, jobs[start : start + BATCH], chunksize=5)
