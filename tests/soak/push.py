"""The long profile of push: `python -m tests.soak push`, at most a quarter of an hour.

Workers killed by SIGKILL at named points on PostgreSQL (F2), claims by sixteen workers on three databases (F3), the
state machine of Hypothesis, then random histories at every vendor until the time is up (F1). Ends in a line per
provider: lost, doubled, uncertain; and in 1 if anything was lost, doubled, claimed twice or not freed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable

from tests.outbox.servers import address_of, trouble_with

MINUTES = 14.5
KILLS = 1000
ROWS = 10_000
EXAMPLES = 300
RUNS = 50_000
CORES = os.cpu_count() or 1


def main(
    minutes: float = MINUTES, kills: int = KILLS, rows: int = ROWS, examples: int = EXAMPLES, runs: int = RUNS
) -> int:
    started = time.monotonic()
    failed = False
    missing = [server for server in ("postgresql", "mysql") if trouble_with(server, address_of(server))]
    for server in missing:
        sys.stdout.write(f"push: NOT RUN on {server}: it does not answer\n")
        failed |= os.environ.get("CI") == "true"
    if "postgresql" not in missing:
        failed |= bool(kill_workers(kills))
    failed |= bool(claim_rows(rows))
    failed |= bool(look_for_stories(examples))
    left = max(60.0, minutes * 60 - (time.monotonic() - started))
    failed |= bool(run(["-m", "tests.simulator", "--runs", str(runs), "--seconds", str(int(left))]))
    return int(failed)


def kill_workers(kills: int) -> int:
    """Let `kills` workers die, shared out to a process per core, each with a database and a seed of its own."""
    share = str(-(-kills // CORES))
    command = [sys.executable, "-m", "tests.simulator.kills", "--kills", share, "--seed"]
    ordeals = [
        subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE, text=True) for seed in range(1, CORES + 1)
    ]
    outputs = [ordeal.communicate()[0] for ordeal in ordeals]
    for output in outputs:
        sys.stdout.write(output)
    deaths = sum(map(int, _all(r"killed (\d+)", outputs)))
    sys.stdout.write(f"killed {deaths}\n")
    sys.stdout.flush()
    return int(any(ordeal.returncode for ordeal in ordeals) or deaths < kills)


def claim_rows(rows: int) -> int:
    """Let sixteen workers claim so many rows on every database."""
    suite = ["-m", "pytest", "-q", "-m", "", "--durations", "0", "tests/outbox/test_many_workers.py"]
    return run(suite, SUPPORT_TICKETS_TEST_CLAIMS=str(rows))


def look_for_stories(examples: int) -> int:
    """Let Hypothesis look for a history that breaks a promise."""
    return run(["-m", "pytest", "-q", "tests/simulator/test_state_machine.py"], SIMULATOR_EXAMPLES=str(examples))


def run(arguments: list[str], **variables: str) -> int:
    sys.stdout.flush()
    return subprocess.run([sys.executable, *arguments], env={**os.environ, **variables}).returncode


def _all(pattern: str, outputs: Iterable[str]) -> list[str]:
    return [found for output in outputs for found in re.findall(pattern, output)]


if __name__ == "__main__":
    sys.exit(main())
