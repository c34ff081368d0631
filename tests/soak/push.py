"""The long profile of push: `python -m tests.soak push`, at most a quarter of an hour.

10,000 random histories at every vendor (F1); beside them, so that no core is ever idle, workers killed by SIGKILL at
named points on PostgreSQL (F2), claims by sixteen workers on three databases (F3), and the state machine of Hypothesis.
Ends in a line per provider: lost, doubled, uncertain; and in 1 if anything was lost, doubled, claimed twice or not
freed, or there was not enough time.
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
RUNS = 10_000
CORES = os.cpu_count() or 1


def main(
    minutes: float = MINUTES, kills: int = KILLS, rows: int = ROWS, examples: int = EXAMPLES, runs: int = RUNS
) -> int:
    missing = [server for server in ("postgresql", "mysql") if trouble_with(server, address_of(server))]
    for server in missing:
        sys.stdout.write(f"push: NOT RUN on {server}: it does not answer\n")
    failed = bool(missing) and os.environ.get("CI") == "true"
    histories = live_through(runs, seconds=minutes * 60)
    try:
        if "postgresql" not in missing:
            failed |= bool(kill_workers(kills))
        failed |= bool(claim_rows(rows))
        failed |= bool(look_for_stories(examples))
        sys.stdout.write(histories.communicate()[0])
    finally:
        histories.kill()
    return int(failed or histories.returncode != 0)


def live_through(runs: int, *, seconds: float) -> subprocess.Popen[str]:
    """Begin with the histories, which take what the rest leaves of the cores."""
    command = [sys.executable, "-m", "tests.simulator", "--runs", str(runs), "--seconds", str(seconds)]
    return subprocess.Popen(["nice", *command], stdout=subprocess.PIPE, text=True)


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
    say(f"killed {deaths}")
    return int(any(ordeal.returncode for ordeal in ordeals) or deaths < kills)


def claim_rows(rows: int) -> int:
    """Let sixteen workers, four threads in each of four processes, claim so many rows on every database."""
    suite = ["-m", "pytest", "-q", "-m", "", "-k", "sixteen and not 1-16", "tests/outbox/test_many_workers.py"]
    return run("claims", [*suite, "--durations", "0"], SUPPORT_TICKETS_TEST_CLAIMS=str(rows))


def look_for_stories(examples: int) -> int:
    """Let Hypothesis look for a history that breaks a promise."""
    suite = ["-m", "pytest", "-q", "tests/simulator/test_state_machine.py"]
    return run("state machine", suite, SIMULATOR_EXAMPLES=str(examples))


def run(name: str, arguments: list[str], **variables: str) -> int:
    started = time.monotonic()
    sys.stdout.flush()
    code = subprocess.run([sys.executable, *arguments], env={**os.environ, **variables}).returncode
    say(f"{name}: {time.monotonic() - started:.0f} s")
    return code


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _all(pattern: str, outputs: Iterable[str]) -> list[str]:
    return [found for output in outputs for found in re.findall(pattern, output)]


if __name__ == "__main__":
    sys.exit(main())
