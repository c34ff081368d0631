"""The long profile of races: every test marked `race` twenty times on each database; `python -m tests.soak.races`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.matrix import answers

ROOT = Path(__file__).resolve().parents[2]
TIMES = 20
DATABASES = ("sqlite", "postgresql", "mariadb")


def main(times: int = TIMES, databases: tuple[str, ...] = DATABASES) -> int:
    return max(run(database, times) for database in databases)


def run(database: str, times: int) -> int:
    """Run the tests on one database; print its line of counts, and all that failed."""
    if not answers(database):
        sys.stdout.write(f"races {database}: NOT RUN: it does not answer\n")
        return int(os.environ.get("CI") == "true")
    started = time.monotonic()
    variables = {**os.environ, "TEST_DATABASE": database, "TEST_TIMES": str(times)}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "race", "--tb=short"]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    counts = {what: count for count, what in re.findall(r"(\d+) (passed|failed|errors?)", done.stdout.splitlines()[-1])}
    flaked = sum(int(count) for what, count in counts.items() if what != "passed")
    if done.returncode:
        sys.stdout.write(done.stdout[-20_000:])
    held = not done.returncode and int(counts.get("passed", 0)) > 0
    sys.stdout.write(
        f"races {database}: times {times} passed {counts.get('passed', 0)} flaked {flaked}"
        f" in {time.monotonic() - started:.0f} s; {'held' if held else 'NOT HELD'}\n"
    )
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
