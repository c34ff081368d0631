"""The long profile of races: `python -m tests.soak races`, about thirteen minutes on two cores.

Every test marked `race` twenty times: those that use the suite's own database on each of the three, those that start
servers of their own once. Ends in one line of counts; before it comes all that has failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.matrix import answers

ROOT = Path(__file__).resolve().parents[2]
TIMES = 20
# So long may all of it take, in seconds: a race that ends in a deadlock would never end.
SECONDS = 14.5 * 60
#: The suite's database, which of the tests, and the servers that they need.
ROUNDS = (
    ("sqlite", "race and not services", ("sqlite",)),
    ("postgresql", "race and not services", ("postgresql",)),
    ("mariadb", "race and not services", ("mariadb",)),
    ("sqlite", "race and services", ("postgresql", "mariadb")),
)
FINE = {"passed", "skipped", "deselected"}


def main(times: int = TIMES, seconds: float = SECONDS) -> int:
    ends_at, total, held = time.monotonic() + seconds, Counter[str](), True
    for database, marked, servers in ROUNDS:
        if missing := [server for server in servers if not answers(server)]:
            sys.stdout.write(f"races: NOT RUN: {marked}: {' and '.join(missing)} does not answer\n")
            held &= os.environ.get("CI") != "true"
            continue
        counts, output = run(database, marked, times, seconds=ends_at - time.monotonic())
        if counts.keys() - FINE:
            sys.stdout.write(output[-20_000:])
        sys.stdout.write(f"races: {marked}, {database}: {shown(counts)}\n")
        sys.stdout.flush()
        held &= counts["passed"] > 0 and counts.keys() <= FINE
        total += counts
    took = time.monotonic() - ends_at + seconds
    verdict = ("held" if total["passed"] else "NOT RUN") if held else "NOT HELD"
    sys.stdout.write(f"races: times {times} {shown(total)} in {took:.0f} s; {verdict}\n")
    return int(not held)


def run(database: str, marked: str, times: int, *, seconds: float) -> tuple[Counter[str], str]:
    """Return how the tests have ended, by what pytest calls it, and what it printed."""
    variables = {**os.environ, "TEST_DATABASE": database, "TEST_TIMES": str(times)}
    variables.setdefault("TEST_DATABASE_NAME", "test_support_tickets_soak_races")
    command = [sys.executable, "-m", "pytest", "-q", "-m", marked, "--tb=short", "--numprocesses", "2"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=max(seconds, 1.0)
        )
    except subprocess.TimeoutExpired as late:
        return Counter({"late": 1}), (late.stdout or b"").decode(errors="replace")
    last = (done.stdout.splitlines() or [""])[-1]
    counts = Counter({what: int(count) for count, what in re.findall(r"(\d+) ([a-z]+)", last.partition(" in ")[0])})
    return (counts if done.returncode == 0 else counts + Counter(broken=1)), done.stdout + done.stderr


def shown(counts: Counter[str]) -> str:
    flaked = sum(count for what, count in counts.items() if what not in FINE)
    return f"passed {counts['passed']} flaked {flaked} skipped {counts['skipped']}"


if __name__ == "__main__":
    sys.exit(main())
