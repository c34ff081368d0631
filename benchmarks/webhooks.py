"""Webhooks per second against a bare Django view with the same HMAC and one INSERT, on PostgreSQL behind gunicorn.

    python -m benchmarks.webhooks [ROUNDS [SECONDS]]

Both views run in one server, in turns. A line per figure: name, ours, floor, ratio, gate, held; exit 1 if not held.
Needs gunicorn and psycopg; PGHOST, PGPORT, PGUSER and PGPASSWORD say where the database server is.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.report import not_run, note, report
from benchmarks.webhook_site.running import (
    BARE,
    OURS,
    add_tickets,
    database,
    event,
    missing_server,
    post,
    request,
    server,
)

GATE = 0.60
GOAL = 0.75
CLIENTS = 8
TICKETS = 1000


@dataclass
class Runs:
    """What the runs against one path have measured."""

    per_second: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.per_second)

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.seconds, n=100)[percent - 1]


def main(rounds: int = 7, seconds: float = 3.0) -> int:
    if missing := missing_server():
        return not_run("webhooks", missing)
    with database():
        remote_ids = itertools.cycle(add_tickets(TICKETS))
        numbers = itertools.count()
        runs = {OURS: Runs(), BARE: Runs()}
        with server() as port:
            for path in runs:
                measure(port, messages(path, remote_ids, numbers), Runs(), seconds=1.0)
            for number in range(rounds):
                for path in list(runs)[:: 1 if number % 2 else -1]:
                    measure(port, messages(path, remote_ids, numbers), runs[path], seconds=seconds)
    return show(runs[OURS], runs[BARE])


def messages(path: str, remote_ids: Iterator[str], numbers: Iterator[int]) -> Iterator[bytes]:
    """Yield signed requests, no two alike, over all tickets."""
    return (request(path, event(remote_id, number)) for remote_id, number in zip(remote_ids, numbers, strict=False))


def measure(port: int, requests: Iterator[bytes], runs: Runs, *, seconds: float) -> None:
    """Let CLIENTS post as fast as they are answered."""
    lock, ready = threading.Lock(), list(itertools.islice(requests, int(3000 * seconds)))
    end = time.perf_counter() + seconds
    before = len(runs.seconds)

    def work() -> None:
        while ready and time.perf_counter() < end:
            status, took = post(port, ready.pop())
            with lock:
                runs.seconds.append(took)
                runs.failed += status != 200

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runs.per_second.append((len(runs.seconds) - before) / (time.perf_counter() - started))


def show(ours: Runs, bare: Runs) -> int:
    ratio = ours.median / bare.median
    held = ratio >= GATE and not ours.failed and not bare.failed
    times = [1000 * runs.percentile(percent) for runs in (ours, bare) for percent in (50, 99)]
    report(
        "webhooks.per_second",
        ours=f"{ours.median:.0f}/s",
        floor=f"{bare.median:.0f}/s",
        ratio=f"{ratio:.0%}",
        gate=f"≥ {GATE:.0%}",
        held=held,
    )
    note(
        f"goal {GOAL:.0%}; medians of {len(ours.per_second)} runs; failed {ours.failed + bare.failed};"
        f" p50 and p99 in ms: ours {times[0]:.1f} {times[1]:.1f}, floor {times[2]:.1f} {times[3]:.1f}"
    )
    return 0 if held else 1


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(main(int(arguments[0]) if arguments else 7, float(arguments[1]) if len(arguments) > 1 else 3.0))
