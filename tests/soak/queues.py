"""The long profile of queues: `python -m tests.soak.queues`.

Tickets through two real workers, on PostgreSQL, while one after the other is killed and replaced: Celery on RabbitMQ,
Celery on Redis, Django's own tasks. In the end the books of the fake vendor are compared with what was raised.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from django_support_tickets.testing.sandbox import Sandbox
from tests.contrib.site import (
    CELERY,
    DB_WORKER,
    TASKS,
    VALUES,
    Site,
    celery_worker,
    listens,
    moov_account,
    rabbitmq_url,
    redis_url,
    wait_for,
)
from tests.matrix import answers

TICKETS, KILLS = 1000, 6
# Seconds that a share of the tickets may take, and that what the kills have left behind may.
SHARE, SETTLING = 120, 300


def main(tickets: int = TICKETS, kills: int = KILLS) -> int:
    if not answers("postgresql"):
        return not_run("PostgreSQL")
    failed = 0
    for name, broker in (("rabbitmq", rabbitmq_url()), ("redis", redis_url()), ("tasks", "")):
        if broker and not listens(broker):
            failed |= not_run(name)
        else:
            failed |= run(name, broker, tickets=tickets, kills=kills)
    return failed


def not_run(name: str) -> int:
    sys.stdout.write(f"queues: NOT RUN: {name} does not answer\n")
    return int(os.environ.get("CI") == "true")


def run(name: str, broker: str, *, tickets: int, kills: int) -> int:
    """Run one profile; print its line of counts."""
    started = time.monotonic()
    with Sandbox(latency=0.02) as vendors, tempfile.TemporaryDirectory() as folder:
        site = Site(
            Path(folder), dispatcher=CELERY if broker else TASKS, providers=moov_account(vendors), broker=broker
        )
        with site:
            keys = site.do("raise_tickets", tickets, VALUES)
            kill_in_turn(
                site, vendors, is_celery=bool(broker), steps=[tickets * n // (kills + 1) for n in range(kills)]
            )
            deliveries = site.settle(within=SETTLING)["delivery"]
        made = Counter(str(ticket["foreignID"]) for ticket in vendors.moov.tickets.values())
    counts = {
        "lost": len(set(keys) - set(made)),
        "doubled": sum(times > 1 for times in made.values()),
        "undelivered": tickets - deliveries.get("delivered", 0),
    }
    shown = " ".join(f"{what} {count}" for what, count in counts.items())
    verdict = "NOT HELD" if any(counts.values()) else "held"
    took = time.monotonic() - started
    sys.stdout.write(f"queues {name}: tickets {tickets} kills {kills} {shown} in {took:.0f} s; {verdict}\n")
    sys.stdout.flush()
    return int(any(counts.values()))


def kill_in_turn(site: Site, vendors: Sandbox, *, is_celery: bool, steps: list[int]) -> None:
    """Have two workers at work, and replace the older one whenever so many tickets have arrived."""

    def start(number: int) -> None:
        workers.append(site.start(*(celery_worker(f"{number}-{site.name}@%h") if is_celery else DB_WORKER)))

    workers: list = []
    start(0)
    start(1)
    for number, step in enumerate(steps, start=2):
        # What a killed worker has in hand comes back when its lease has run out, so the end of the row is left to that.
        wait_for(lambda step=step: len(vendors.moov.tickets) > step, within=SHARE, otherwise=site.logs)
        site.kill(workers.pop(0))
        start(number)


if __name__ == "__main__":
    sys.exit(main())
