from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.simulator.checker import Verdict
from tests.simulator.desks import DESKS, WAYS
from tests.simulator.running import explain, live_through

#: Histories of each vendor, and how many of them one test lives through.
RUNS = int(os.environ.get("SIMULATOR_RUNS", "60"))
STEP = 20
#: Of each vendor in the long suite; 10,000 in the long profile.
MANY = 375
#: Replays one history.
SEED = os.environ.get("SIMULATOR_SEED")

pytestmark = pytest.mark.fault(2, 3, 5, 6, 8, 10, 12, 14, 15, 20)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", [int(SEED)] if SEED else range(1, RUNS + 1, STEP))
@pytest.mark.parametrize("name", DESKS)
def test_nothing_is_lost_and_nothing_doubled(name: str, first: int) -> None:
    last = first if SEED else min(first + STEP - 1, RUNS)
    total = Verdict()
    for seed in range(first, last + 1):
        simulation, verdict = live_through(DESKS[name], seed)
        assert not verdict.lost and not verdict.doubled, "\n".join(explain(simulation, verdict))
        total += verdict


@pytest.mark.services
def test_in_many_histories_neither() -> None:
    command = [sys.executable, "-m", "tests.simulator", "--runs", str(MANY), "--seed", str(RUNS + 1)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pattern = rf"(\w+) lost 0 doubled 0 uncertain \d+ histories {MANY} of {MANY}\n"
    assert re.fullmatch(f"({pattern})+", done.stdout)
    assert re.findall(pattern, done.stdout) == list(WAYS)
