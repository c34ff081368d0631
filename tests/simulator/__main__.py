"""Run many histories and print what they come to: `python -m tests.simulator --runs 10000 [--provider ripio]`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

import django
from django.test.utils import setup_test_environment


def main() -> int:
    """Return 0 if nothing was lost and nothing doubled."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="Histories of all providers together.")
    parser.add_argument("--provider", action="append", help="Only this one; may be repeated.")
    parser.add_argument("--seed", type=int, default=1, help="The first seed.")
    parser.add_argument("--seconds", type=float, default=900, help="Begin no history after so many seconds.")
    options = parser.parse_args()

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    setup_test_environment()
    logging.disable(logging.CRITICAL)

    from django.db import connection

    from tests.simulator.checker import Verdict
    from tests.simulator.desks import DESKS
    from tests.simulator.running import explain, live_through

    connection.creation.create_test_db(verbosity=0)
    names = options.provider or list(DESKS)
    totals = {name: Verdict() for name in names}
    counts, started = dict.fromkeys(names, 0), time.monotonic()
    for number in range(options.runs):
        if time.monotonic() - started > options.seconds:
            break
        name = names[number % len(names)]
        simulation, verdict = live_through(DESKS[name], options.seed + number // len(names))
        totals[name], counts[name] = totals[name] + verdict, counts[name] + 1
        if verdict.lost or verdict.doubled:
            sys.stdout.write("\n".join(explain(simulation, verdict)) + "\n")
    for name, total in totals.items():
        line = f"{name} lost {len(total.lost)} doubled {len(total.doubled)} uncertain {total.uncertain}"
        sys.stdout.write(f"{line} runs {counts[name]}\n")
    return int(any(total.lost or total.doubled for total in totals.values()))


if __name__ == "__main__":
    sys.exit(main())
