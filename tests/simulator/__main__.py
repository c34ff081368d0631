"""Run many histories and print what they come to: `python -m tests.simulator --runs 10000 [--provider ripio]`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.simulator.desks import DESKS
from tests.simulator.soak import results, set_up


def main() -> int:
    """Return 0 if nothing was lost and nothing doubled."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="Histories of all providers together.")
    parser.add_argument("--provider", action="append", choices=DESKS, help="Only this one; may be repeated.")
    parser.add_argument("--seed", type=int, default=1, help="The first seed.")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="At the same time.")
    parser.add_argument("--seconds", type=float, default=840, help="Begin nothing after so many seconds.")
    options = parser.parse_args()

    names = options.provider or list(DESKS)
    jobs = [(names[number % len(names)], options.seed + number // len(names)) for number in range(options.runs)]
    totals = {name: [0, 0, 0, 0] for name in names}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=context, initializer=set_up) as executor:
        for name, lost, doubled, uncertain, story in results(executor, jobs, seconds=options.seconds):
            totals[name] = [a + b for a, b in zip(totals[name], (lost, doubled, uncertain, 1), strict=True)]
            if story:
                sys.stdout.write(story + "\n")
    for name, (lost, doubled, uncertain, runs) in totals.items():
        sys.stdout.write(f"{name} lost {lost} doubled {doubled} uncertain {uncertain} runs {runs}\n")
    return int(any(lost or doubled for lost, doubled, _, _ in totals.values()))


if __name__ == "__main__":
    sys.exit(main())
