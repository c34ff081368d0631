"""Pull: at a vendor over HTTP against workers / latency and bare loops, and its storing against one object at a time.

    python -m benchmarks.pull [--rounds N]

A line per figure: name, ours, floor or peer, ratio, gate, held; exit 1 if a gate is not held. PostgreSQL and MariaDB
are where PGHOST, PGPORT, PGUSER, PGPASSWORD and MARIADB_HOST, … say, by default on this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import is_full, not_run, note, report

ROOT = Path(__file__).resolve().parent.parent
LATENCY = 0.05
#: GETs that each of so many workers does in a run.
EACH = {16: 100, 32: 40}
#: How many times faster than the peer: first import, unchanged by stamp, unchanged by digest.
GATES = {"sqlite": (12, 150, 50), "postgresql": (40, 150, 50), "mariadb": (25, 150, 50)}
MEMORY_MB = 30.0


@contextlib.contextmanager
def database(vendor: str) -> Iterator[dict[str, str]]:
    """Make a database with the tables, yield the environment that names it, and drop it in the end."""
    with contextlib.ExitStack() as stack:
        if vendor == "sqlite":
            name = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "bench.sqlite3")
        else:
            name = f"bench_pull_{secrets.token_hex(4)}"
            administer(vendor, f"CREATE DATABASE {name}")
            end = " WITH (FORCE)" if vendor == "postgresql" else ""
            stack.callback(administer, vendor, f"DROP DATABASE {name}{end}")
        environment = {
            "BENCH_PULL_DATABASE": f"{vendor}:{name}",
            "DJANGO_SETTINGS_MODULE": "benchmarks.pull_site.settings",
        }
        command = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=True)
        yield environment


def administer(vendor: str, statement: str) -> None:
    """Run a statement on a server; raise the driver's OperationalError if there is none."""
    if vendor == "postgresql":
        import psycopg

        where = {"host": "127.0.0.1", "port": "5432", "user": "postgres", "password": ""}
        server = {name: os.environ.get(f"PG{name.upper()}", value) for name, value in where.items()}
        with psycopg.connect(dbname="postgres", autocommit=True, **server) as connection:  # type: ignore[call-overload]
            connection.execute(statement)
        return
    import MySQLdb

    where = {"host": "127.0.0.1", "port": "3306", "user": "root", "password": ""}
    server = {name: os.environ.get(f"MARIADB_{name.upper()}", value) for name, value in where.items()}
    connection = MySQLdb.connect(**{**server, "port": int(server["port"])})
    connection.cursor().execute(statement)
    connection.close()


@contextlib.contextmanager
def vendor(latency: float, total: int, *words: str) -> Iterator[str]:
    """Run the vendor in a process of its own; yield its address."""
    command = [sys.executable, "-m", "benchmarks.pull_site.vendor", str(latency), str(total), *words]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


def case(environment: dict[str, str], *arguments: object, url: str = "") -> Any:
    """Return what a case prints."""
    options = {"BENCH_PULL_OPTIONS": json.dumps({"base_url": url})} if url else {}
    command = [sys.executable, "-m", "benchmarks.pull_site.case", *map(str, arguments)]
    env = {**os.environ, **environment, **options}
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def fetching(rounds: int) -> bool:
    """GET per ticket at 50 ms; the ratio is the share of workers / latency."""
    seen: dict[tuple[str, int], list[float]] = {}
    with database("postgresql") as environment, vendor(LATENCY, 0) as url:
        runs = [(name, workers) for workers in (16, 32) for name in ("fetch", "bare")]
        for number in range(rounds):
            for name, workers in runs[:: 1 if number % 2 else -1]:
                count = workers * EACH[workers]
                for part, seconds in case(environment, name, url, workers, count, url=url).items():
                    seen.setdefault((part, workers), []).append(count / seconds)
    rates = {key: statistics.median(values) for key, values in seen.items()}
    held = []
    for part, workers, gate in (("first", 16, 0.85), ("unchanged", 16, 0.90), ("first", 32, 0), ("unchanged", 32, 0)):
        share = rates[part, workers] * LATENCY / workers
        line = partial(report, f"pull.get_{part} {workers} workers", ours=f"{rates[part, workers]:.0f}/s")
        line = partial(line, floor=f"{rates['seconds', workers]:.0f}/s", ratio=f"{share:.0%}")
        held.append(line(gate=f"≥ {gate:.0%}", held=share >= gate) if gate else line(gate="reported"))
    note("share of workers / latency at 50 ms, PostgreSQL; floor: a bare loop of so many threads; goal 92% / 95% at 32")
    return all(held)


def walking(rounds: int) -> bool:
    """A list in which nothing has changed, against a bare loop over the same pages."""
    total = 100_000 if is_full() else 20_000
    held = []
    for name, words in (("list_unchanged", ()), ("list_unchanged short rows", ("short",))):
        with database("postgresql") as environment, vendor(0, total, *words) as url:
            found = case(environment, "walk", url, total, rounds, url=url)
        ours, bare = (statistics.median(found[part]) for part in ("ours", "bare"))
        line = partial(report, f"pull.{name}", ours=f"{total / ours:.0f}/s", floor=f"{total / bare:.0f}/s")
        line = partial(line, ratio=f"{ours / bare:.2f} ×")
        held.append(line(gate="reported") if words else line(gate="≤ 2.0 ×", held=ours <= 2.0 * bare))
    note(f"{total} tickets, 100 a page, PostgreSQL; rows of 1.5 kB, as in the goal of 1.3 ×, and of 0.4 kB")
    return all(held)


def storing(name: str, rounds: int) -> bool:
    """What is stored of records, against one object at a time."""
    count, peers = (20_000, 500) if is_full() else (5_000, 100)
    with database(name) as environment:
        found = case(environment, "storing", rounds, count, peers)
    cost = {part: statistics.median(values) for part, values in found.items()}
    held = []
    parts = (("first", "peer first"), ("stamp", "peer unchanged"), ("digest", "peer unchanged"))
    for (part, peer), gate in zip(parts, GATES[name], strict=True):
        times = cost[peer] / cost[f"ours {part}"]
        held.append(
            report(
                f"pull.{name} {part}",
                ours=f"{1 / cost[f'ours {part}']:.0f}/s",
                floor=f"{1 / cost[peer]:.0f}/s",
                ratio=f"{times:.0f} ×",
                gate=f"≥ {gate} ×",
                held=times >= gate,
            )
        )
    return all(held)


def footprint() -> bool:
    """Memory and statements, which must not grow with the number of tickets."""
    few, many = 2_000, 100_000
    most, counts = {}, {}
    with database("sqlite") as environment:
        for total in (few, many):
            case(environment, "fill", total)
            most[total] = case(environment, "memory", total)["most"]
        for size in (10, 200):
            counts[size] = case(environment, "statements", size)
    more = most[many] - most[few]
    held = report(
        "pull.memory",
        ours=f"{most[many]:.0f} MB",
        floor=f"{most[few]:.0f} MB",
        ratio=f"+{more:.1f} MB",
        gate=f"≤ +{MEMORY_MB:.0f} MB",
        held=more <= MEMORY_MB,
    )
    is_constant = report(
        "pull.statements_per_page",
        ours="/".join(map(str, counts[200].values())),
        floor="/".join(map(str, counts[10].values())),
        gate="constant",
        held=counts[200] == counts[10],
    )
    note(f"peak of {many} against {few} tickets, goal +10 MB; 200 against 10 in a page: {', '.join(counts[10])}")
    return held and is_constant


PARTS = {
    "fetching": fetching,
    "walking": walking,
    **{name: partial(storing, name) for name in GATES},
    "footprint": lambda rounds: footprint(),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pull", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part, by default all")
    options = parser.parse_args()
    failed = 0
    for name in options.only or PARTS:
        try:
            failed |= not PARTS[name](options.rounds)
        except Exception as error:
            if type(error).__name__ != "OperationalError":
                raise
            failed |= not_run(f"pull.{name}", error)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
