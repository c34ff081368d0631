"""The long profile of queues: `python -m tests.soak.queues`.

Tickets through two real workers, on PostgreSQL, while one after the other is killed and replaced: Celery on RabbitMQ,
Celery on Redis, Django's own tasks. Then the books of the fake vendor are compared with what was raised. Ends in one
line of counts.
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
# Seconds that a share of the tickets may take, and that what the kills have left behind may; and each queue with all.
SHARE, SETTLING = 60, 120
WHOLE = 280
COUNTED = ("lost", "doubled", "undelivered")


def main(tickets: int = TICKETS, kills: int = KILLS) -> int:
    started, total, ran, held = time.monotonic(), Counter[str](), 0, True
    for name, broker in (("rabbitmq", rabbitmq_url()), ("redis", redis_url()), ("tasks", "")):
        if not answers("postgresql") or (broker and not listens(broker)):
            sys.stdout.write(f"queues: NOT RUN: {name}, of which a server does not answer\n")
            held &= os.environ.get("CI") != "true"
            continue
        try:
            counts = run(broker, tickets=tickets, kills=kills)
        except AssertionError as stuck:  # what was waited for has not come
            sys.stdout.write(f"{str(stuck)[-20_000:]}\n")
            counts = Counter(undelivered=tickets)
        sys.stdout.write(f"queues: {name}: {shown(counts)}\n")
        sys.stdout.flush()
        total, ran, held = total + counts, ran + 1, held and not any(counts.values())
    verdict = ("held" if ran else "NOT RUN") if held else "NOT HELD"
    took = time.monotonic() - started
    sys.stdout.write(f"queues: {ran} × tickets {tickets} kills {kills} {shown(total)} in {took:.0f} s; {verdict}\n")
    return int(not held)


def shown(counts: Counter[str]) -> str:
    return " ".join(f"{what} {counts[what]}" for what in COUNTED)


def run(broker: str, *, tickets: int, kills: int) -> Counter[str]:
    """Send the tickets through the workers of one queue, without a broker Django's tasks; return what is wrong."""
    ends_at = time.monotonic() + WHOLE
    dispatcher = CELERY if broker else TASKS
    with Sandbox(latency=0.02) as vendors, tempfile.TemporaryDirectory() as folder:
        account = moov_account(vendors)
        with Site(Path(folder), dispatcher=dispatcher, providers=account, broker=broker) as site:
            keys = site.do("raise_tickets", tickets, VALUES)
            steps = [tickets * number // (kills + 1) for number in range(kills)]
            kill_in_turn(site, vendors, is_celery=bool(broker), steps=steps, ends_at=ends_at)
            deliveries = site.settle(within=min(SETTLING, ends_at - time.monotonic()))["delivery"]
        made = Counter(str(ticket["foreignID"]) for ticket in vendors.moov.tickets.values())
    return Counter(
        lost=len(set(keys) - set(made)),
        doubled=sum(times > 1 for times in made.values()),
        undelivered=tickets - deliveries.get("delivered", 0),
    )


def kill_in_turn(site: Site, vendors: Sandbox, *, is_celery: bool, steps: list[int], ends_at: float) -> None:
    """Have two workers at work, and replace the older one whenever so many tickets have arrived."""

    def start(number: int) -> None:
        workers.append(site.start(*(celery_worker(f"{number}-{site.name}@%h") if is_celery else DB_WORKER)))

    workers: list = []
    start(0)
    start(1)
    for number, step in enumerate(steps, start=2):
        # What a killed worker has in hand comes back when its lease has run out, so the end of the row is left to that.
        within = min(SHARE, ends_at - time.monotonic())
        wait_for(lambda step=step: len(vendors.moov.tickets) > step, within=within, otherwise=site.logs)
        site.kill(workers.pop(0))
        start(number)


if __name__ == "__main__":
    sys.exit(main())
