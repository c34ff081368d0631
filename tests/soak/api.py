"""The long profile of the API: `python -m tests.soak.api [cases] [rounds]`.

Schemathesis asks every operation of docs/openapi.yaml, as an agent and as a customer, whatever the description allows
and much that it does not; and requests that come at the same moment are repeated, on PostgreSQL. Ends in one line of
counts, and in 1 if one of them is not as promised.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

from tests.matrix import answers

CASES, RACES = 1000, 20
ROLES = ("agent", "customer")
OPERATIONS = 16


def main(cases: int = CASES, rounds: int = RACES) -> int:
    for missing, is_there in {
        "PostgreSQL": answers("postgresql"),
        "schemathesis": importlib.util.find_spec("schemathesis") is not None,
    }.items():
        if not is_there:
            sys.stdout.write(f"api: NOT RUN: there is no {missing} here\n")
            return int(os.environ.get("CI") == "true")
    asking = [start("tests/api/test_openapi.py", "-m", "services", "-k", role, TEST_EXAMPLES=cases) for role in ROLES]
    flaky = sum(start("tests/api/test_parallel.py", TEST_DATABASE="postgresql").wait() != 0 for _ in range(rounds))
    failed = [role for role, process in zip(ROLES, asking, strict=True) if process.wait()]
    held = not failed and not flaky
    sys.stdout.write(
        f"api: operations {OPERATIONS} cases {cases} each, as {' and '.join(ROLES)}, failed {len(failed)};"
        f" races {rounds} failed {flaky}; {'held' if held else 'NOT HELD'}\n"
    )
    return int(not held)


def start(*arguments: str, **variables: object) -> subprocess.Popen[bytes]:
    """Start a part of the suite in a process of its own."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    environment |= {name: str(value) for name, value in variables.items()}
    environment.setdefault("TEST_DATABASE_NAME", "test_support_tickets_soak_api")
    return subprocess.Popen([sys.executable, "-m", "pytest", "-q", *arguments], env=environment)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
