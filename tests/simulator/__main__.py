"""Run many histories and print what they come to: `python -m tests.simulator --runs 10000 [--provider ripio]`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.simulator.desks import WAYS
from tests.simulator.soak import Total, results, set_up


def main() -> int:
    """Return 0 if nothing was lost and nothing doubled, and there was time for all."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--runs", type=int, default=60, help="Histories of each provider.")
    parser.add_argument("--provider", action="append", choices=WAYS, help="Only this one; may be repeated.")
    parser.add_argument("--seed", type=int, default=1, help="The first seed.")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="At the same time.")
    parser.add_argument("--seconds", type=float, default=840, help="Begin nothing after so many seconds.")
    options = parser.parse_args()

    totals = {provider: Total() for provider in options.provider or WAYS}
    jobs = [
        (desk, options.seed + number)
        for number in range(options.runs)
        for desk in (WAYS[provider][number % len(WAYS[provider])] for provider in totals)
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context, initializer=set_up) as executor:
        for result in results(executor, jobs, seconds=options.seconds):
            totals[result.provider].add(result)
            if result.story:
                sys.stdout.write(result.story + "\n")
    for provider, total in totals.items():
        sys.stdout.write(f"{provider} {total} of {options.runs}\n")
    return int(any(total.is_bad or total.runs < options.runs for total in totals.values()))


if __name__ == "__main__":
    sys.exit(main())
