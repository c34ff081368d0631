"""Run the benchmarks and print one table of all gates: `python -m benchmarks [name …]`; exit 1 if one is not held.

    --full        1,000,000 rows instead of 100,000, and longer runs
    --write PAGE  put the table, the machine and the date between the markers of a Markdown page

Each benchmark is a module of this package whose `python -m benchmarks.<name>` reports as `report.py` says and exits 1
if a gate is not held.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.page import write
from benchmarks.report import HEAD, Line, parse

NAMES = ("pull", "push", "webhooks", "attachments", "api", "admin", "startup", "peers")
HERE = Path(__file__).resolve().parent


def main() -> int:
    options = arguments()
    asked = options.names or [name for name in NAMES if (HERE / f"{name}.py").exists()]
    profile = "full" if options.full else "short"
    lines: list[Line] = []
    failed = [name for name in asked if not run(name, profile, lines)]
    say("\n".join(["", str(HEAD), *map(str, lines)]))
    if options.write:
        write(options.write, lines, profile=profile)
    if failed:
        say(f"\nnot held: {', '.join(failed)}")
    return int(bool(failed))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--full", action="store_true", help="the full profile")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the results into this Markdown page")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in NAMES]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    return options


def run(name: str, profile: str, lines: list[Line]) -> bool:
    """Run one benchmark, show what it prints, keep its figures; return whether all its gates are held."""
    say(f"\n[{name}]")
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    environment = {**os.environ, "BENCH_PROFILE": profile}
    with subprocess.Popen(command, cwd=HERE.parent, env=environment, stdout=subprocess.PIPE, text=True) as process:
        lines += figures(iter(process.stdout or ()))
    return process.returncode == 0


def figures(output: Iterator[str]) -> Iterator[Line]:
    """Show every printed line, and yield those that hold a figure."""
    for text in output:
        say(text.rstrip("\n"))
        if line := parse(text):
            yield line


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
