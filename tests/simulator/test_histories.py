from __future__ import annotations

import os

import pytest

from tests.simulator.checker import Verdict
from tests.simulator.desks import DESKS
from tests.simulator.running import explain, live_through

#: Histories of all vendors together; more in the long profiles.
RUNS = int(os.environ.get("SIMULATOR_RUNS", "60"))
#: Replays one history.
SEED = os.environ.get("SIMULATOR_SEED")


@pytest.mark.fault(2, 3, 5, 6, 8, 10, 12, 14, 15, 20)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", DESKS)
def test_nothing_is_lost_and_nothing_doubled(name: str) -> None:
    seeds = [int(SEED)] if SEED else range(1, RUNS // len(DESKS) + 1)
    total = Verdict()
    for seed in seeds:
        simulation, verdict = live_through(DESKS[name], seed)
        assert not verdict.lost and not verdict.doubled, "\n".join(explain(simulation, verdict))
        total += verdict
