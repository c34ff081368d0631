"""Push against a bare loop over one requests session, at a vendor that answers after 50 ms; rows on PostgreSQL.

    python -m benchmarks.push [--rounds N] [--tickets N]

A line per figure: name, ours, floor, ratio, gate, held; exit 1 if a gate is not held. The ratio is the share of what so
many workers can do at most, workers / latency. PGHOST, PGPORT, PGUSER and PGPASSWORD say where the server is.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import secrets
import ssl
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import django
import psycopg
from django.core.management import call_command

from benchmarks.report import note, report

ROOT = Path(__file__).resolve().parent.parent
TLS = ROOT / "tests" / "data" / "tls"
LATENCY = 0.05


@contextlib.contextmanager
def database() -> Iterator[None]:
    """Make a database with our tables, and drop it in the end."""
    name = f"bench_push_{secrets.token_hex(4)}"
    os.environ |= {"BENCH_PUSH_DATABASE": name, "DJANGO_SETTINGS_MODULE": "benchmarks.push_site.settings"}
    administer(f'CREATE DATABASE "{name}"')
    try:
        django.setup()
        call_command("migrate", verbosity=0)
        yield
    finally:
        administer(f'DROP DATABASE "{name}" WITH (FORCE)')


def administer(statement: str) -> None:
    server = {
        "host": os.environ.get("PGHOST", "127.0.0.1"),
        "port": os.environ.get("PGPORT", "5432"),
        "user": os.environ.get("PGUSER", "postgres"),
    }
    with psycopg.connect(dbname="postgres", autocommit=True, **server) as connection:  # type: ignore[call-overload]
        connection.execute(statement)


@contextlib.contextmanager
def vendor(certificate: str = "") -> Iterator[int]:
    """Run the vendor in a process of its own; yield its port."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.push_site.vendor",
        str(LATENCY),
        *([certificate] if certificate else []),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def measure(case: str, url: str, workers: int, count: int, **options: object) -> dict[str, float]:
    """Return what a case prints."""
    # No rate: the vendor's forty requests per second and account are no measure of what workers can do.
    environment = {**os.environ, "BENCH_PUSH_OPTIONS": json.dumps({"base_url": url, "rate": None, **options})}
    command = [sys.executable, "-m", "benchmarks.push_site.case", case, url, str(workers), str(count)]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def rates(url: str, *, rounds: int, count: int) -> dict[tuple[str, int], float]:
    """Return the median of tickets per second by case and workers; the rounds are interleaved."""
    cases = [(case, workers) for workers in (8, 16) for case in ("ours", "bare")]
    seen: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    for number in range(rounds):
        for case, workers in cases if number % 2 == 0 else cases[::-1]:
            seen[case, workers].append(count / measure(case, url, workers, count)["seconds"])
    return {case: statistics.median(values) for case, values in seen.items()}


def connections(port: int) -> int:
    """Ask the vendor how many connections it has accepted."""
    context = ssl.create_default_context(cafile=str(TLS / "authority.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
    connection.request("GET", "/connections")
    accepted: int = json.loads(connection.getresponse().read())["accepted"]
    connection.close()
    return accepted


def run(*, rounds: int, count: int) -> bool:
    """Measure everything; return whether all gates are held."""
    held = []
    with vendor() as port:
        url = f"http://127.0.0.1:{port}"
        cost = measure("queries", url, 1, 1)
        for name, value, most in (("claim_and_mark", cost["before"], 3), ("settle", cost["after"], 4)):
            held.append(report(f"push.statements_{name}", ours=f"{value}", gate=f"≤ {most}", held=value <= most))
        medians = rates(url, rounds=rounds, count=count)
    for workers, least in ((8, 0.75), (16, None)):
        ours, bare = medians["ours", workers], medians["bare", workers]
        share = ours * LATENCY / workers
        is_held = None if least is None else share >= least
        gate = "–" if least is None else f"≥ {least:.0%}"
        figures = {"ours": f"{ours:.0f}/s", "floor": f"{bare:.0f}/s", "ratio": f"{share:.0%}"}
        held.append(report(f"push.{workers}_workers", **figures, gate=gate, held=is_held))
    with vendor(str(TLS / "good.pem")) as port:
        url = f"https://127.0.0.1:{port}"
        measure("ours", url, 16, 1000, verify=str(TLS / "authority.pem"))
        accepted = connections(port)
    held.append(report("push.tls_connections", ours=f"{accepted}", floor="16", gate="≤ 32", held=accepted <= 32))
    note("connections for 1,000 tickets by 16 workers; the ratio of workers is the share of workers / latency")
    return all(held)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tickets", type=int, default=400)
    options = parser.parse_args()
    with database():
        return int(not run(rounds=options.rounds, count=options.tickets))


if __name__ == "__main__":
    sys.exit(main())
