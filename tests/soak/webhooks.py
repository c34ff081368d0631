"""The long profile of webhooks, on PostgreSQL behind gunicorn: `python -m tests.soak.webhooks`.

Copies of one webhook, 50 at a time; the time to an answer at 20 requests per second, sent whether or not the last one
was answered, while the workers of push and pull wait for a vendor that takes ten seconds; and a million mutated
webhooks. Ends in one line of counts, and in 1 if one of them is not as promised.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.webhook_site.running import OURS, add_tickets, database, event, missing_server, post, request, server
from django_support_tickets.testing.sandbox import Fault, Sandbox

COPIES, AT_ONCE, EVENTS = 1000, 50, 10
PER_SECOND = 20
P99_MS = 50.0
STUCK_SECONDS = 10.0
WORKERS = 8
PROCESSES = 2


def main(seconds: float = 60.0, mutations: int = 1_000_000) -> int:
    if missing := missing_server():
        sys.stdout.write(f"webhooks: NOT RUN: {missing}\n")
        return int(os.environ.get("CI") == "true")
    failed = wait_for(start_mutants(mutations))
    with Sandbox() as vendors:
        os.environ["BENCHMARK_VENDOR"] = vendors.ripio.base_url
        with database(), server(threads=4) as port:
            answered, effects = send_copies(port)
            stuck = StuckWorkers(vendors)
            p99, unanswered, calls = open_loop(port, stuck, seconds=seconds)
    has_failed = answered < EVENTS * COPIES or effects != {EVENTS} or unanswered or failed
    held = not has_failed and p99 <= P99_MS and calls >= WORKERS  # else nobody was stuck
    sys.stdout.write(
        f"webhooks: copies {EVENTS * COPIES} not-2xx {EVENTS * COPIES - answered}"
        f" events {EVENTS} effects {max(effects)};"
        f" p99 {p99:.1f} ms (gate {P99_MS:.0f}) at {PER_SECOND}/s for {seconds:.0f} s, unanswered {unanswered},"
        f" while {calls} calls of workers took {STUCK_SECONDS:.0f} s each; mutated {mutations}, failed {failed};"
        f" {'held' if held else 'NOT HELD'}\n"
    )
    return int(not held)


def send_copies(port: int) -> tuple[int, set[int]]:
    """Send EVENTS webhooks COPIES times each; return how many were answered with 200, and how many rows and tickets
    show an effect.
    """
    from django.utils import timezone

    from django_support_tickets.models import Ticket, WebhookDelivery

    remote_ids, answered = add_tickets(EVENTS), 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, remote_id in enumerate(remote_ids):
            message = request(OURS, event(remote_id, number))
            statuses = pool.map(lambda _, copy=message: post(port, copy)[0], range(COPIES))
            answered += sum(status == 200 for status in statuses)
    due = Ticket.objects.filter(next_poll_at__lte=timezone.now()).count()
    return answered, {WebhookDelivery.objects.count(), due}


class StuckWorkers:
    """Push and pull in threads, each call of which the vendor answers after STUCK_SECONDS."""

    def __init__(self, vendors: Sandbox) -> None:
        self.vendors = vendors
        self.stop = threading.Event()

    def __enter__(self) -> StuckWorkers:
        from django_support_tickets.models import Ticket

        for operation in ("create", "get"):
            self.vendors.ripio.fail_next(operation, Fault.DELAY, times=None, seconds=STUCK_SECONDS)
        texts = {"provider": "ripio", "subject": "Deposit missing", "description": "Since Monday."}
        for _ in range(100):
            Ticket.objects.create(customer_id=self.vendors.ripio.CUSTOMER, **texts)
        self.threads = [threading.Thread(target=self._push), threading.Thread(target=self._pull)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _push(self) -> None:
        from django_support_tickets.outbox.push import push

        push("ripio", workers=WORKERS, stop=self.stop.is_set)

    def _pull(self) -> None:
        from django_support_tickets.sync import pull

        while not self.stop.is_set():
            pull("ripio", workers=WORKERS, stop=self.stop.is_set)
            time.sleep(0.5)


def open_loop(port: int, stuck: StuckWorkers, *, seconds: float) -> tuple[float, int, int]:
    """Send at a fixed rate, counting from when each should have left; return p99 in ms, failures and stuck calls."""
    remote_ids = itertools.cycle(add_tickets(200))
    took: list[float] = []
    failures: list[int] = []

    def send(message: bytes, due: float) -> None:
        status, _ = post(port, message)
        took.append(1000 * (time.perf_counter() - due))
        if status != 200:
            failures.append(status)

    with stuck, ThreadPoolExecutor(64) as pool:
        time.sleep(2)  # until they are stuck
        start = time.perf_counter()
        for number in range(int(seconds * PER_SECOND)):
            due = start + number / PER_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))
            pool.submit(send, request(OURS, event(next(remote_ids), 10_000 + number)), due)
        pool.shutdown()
    return statistics.quantiles(took, n=100)[98], len(failures), len(stuck.vendors.ripio.ledger)


def start_mutants(count: int) -> list[subprocess.Popen[bytes]]:
    """Start the seeded mutator of the suite in processes of its own, each with a share of the numbers."""
    share = count // PROCESSES
    command = [sys.executable, "-m", "pytest", "-q", "tests/webhooks/test_forgeries.py", "-k", "test_mutations"]
    return [
        subprocess.Popen(
            command,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "TEST_WEBHOOK_MUTATIONS": str(share),
                "TEST_WEBHOOK_FIRST_MUTATION": str(number * share),
            },
        )
        for number in range(PROCESSES)
    ]


def wait_for(processes: list[subprocess.Popen[bytes]]) -> int:
    return sum(process.wait() != 0 for process in processes)


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(main(float(given[0]) if given else 60.0, int(given[1]) if len(given) > 1 else 1_000_000))
