"""Workers that are killed, and some that are stopped, on a real database: `python -m tests.simulator.kills --kills 40`.

Every worker is a process of its own and runs the real `push()`. When enough have died, unharmed ones finish the work,
and the vendors' books are compared with the rows.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from typing import Any

import django

from tests.outbox.servers import address_of, new_database, trouble_with

NAMES = ("ripio", "moov", "verifik-app", "ankra")
#: Where a worker may stand still and be overtaken without anybody being able to know better than it.
STANDSTILLS = ("outbox/items.py:next_item:return", "outbox/claims.py:mark:call", "outbox/delivery.py:_call:return")
#: Points at which a worker comes by if the vendor fails in one of these ways.
FAILURES = {
    "outbox/delivery.py:_outcome:call": ("rate-limited", "server-error", "reset-after-commit"),
    "models/pauses.py:pause:return": ("rate-limited",),
    "models/pauses.py:note_failure:return": ("server-error", "reset-before", "reset-after-commit"),
    "outbox/claims.py:release:call": ("rate-limited", "server-error", "reset-after-commit"),
    "outbox/claims.py:release:return": ("rate-limited", "server-error", "reset-after-commit"),
    "outbox/settling.py:_settle_failed:return": ("server-error", "reset-after-commit"),
}
#: Where no lost answer can be searched for, and all else ends well.
ONLY_AT = {"outbox/settling.py:_settle_failed:return": ("ripio",)}
LEASE = 2 * 120 + 1
TICKETS_AT_ONCE = 8


class Nursery:
    """The process that forks workers."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.simulator.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def order(self, **order: Any) -> dict[str, int]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()


class Ordeal:
    """One history in which workers die."""

    def __init__(self, sandbox: Any, nursery: Nursery, *, seed: int) -> None:
        from django_support_tickets.providers import providers
        from tests.simulator.desks import DESKS
        from tests.simulator.simulation import Simulation

        self.sandbox, self.nursery = sandbox, nursery
        self.draw = random.Random(seed)
        self.histories = {name: Simulation(DESKS[name], sandbox, seed) for name in NAMES}
        for name, history in self.histories.items():
            history.capabilities = providers[name].capabilities
        self.deaths: Counter[str] = Counter()
        self.stopped: list[int] = []
        self.unfreed = 0

    def run(self, kills: int) -> None:
        """Let `kills` workers die, then let others finish."""
        from tests.simulator.points import POINTS

        points = [str(point) for point in POINTS]
        while self.deaths.total() < kills:
            point = self.draw.choice(points)
            name = self.draw.choice(ONLY_AT.get(point, NAMES))
            self.live_on(name)
            if self.draw.random() < 0.1:
                self.stop(name)
            self.lead_to(point, name)
            self.kill(name, point)
            self.wait(self.draw.choice([0, 0, 31, 61, LEASE]))
            if self.draw.random() < 0.1:
                self.check_leases(name)
            self.wake_some()
        self.finish()

    def live_on(self, name: str) -> None:
        """Let people say something, and the vendor fail now and then."""
        from django_support_tickets.models import OutboxEntry

        history = self.histories[name]
        while OutboxEntry.objects.filter(provider=name).count() < self.draw.randint(1, TICKETS_AT_ONCE):
            history.raise_ticket()
        for step in (history.comment, history.attach, history.close):
            if self.draw.random() < 0.3:
                step()
        if self.draw.random() < 0.3:
            history.fail()

    def lead_to(self, point: str, name: str) -> None:
        """Let happen what a worker must meet to pass a point that is off the usual way."""
        vendor = self.sandbox_of(name)
        if point in FAILURES:
            self.end_pauses()
            vendor.fail_next("*", self.draw.choice(FAILURES[point]))
        if point.startswith("outbox/searching.py"):
            self.end_pauses()
            vendor.fail_next("create", "reset-after-commit")
            self.work(name)
            self.wait(LEASE)

    def kill(self, name: str, point: str) -> None:
        status = self.work(name, point=point, after=self.draw.choice([1, 1, 2]), signal="SIGKILL")["status"]
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            self.deaths[point] += 1

    def stop(self, name: str) -> None:
        answer = self.work(name, point=self.draw.choice(STANDSTILLS), after=1, signal="SIGSTOP", workers=1)
        if "stopped" in answer:
            self.stopped.append(answer["stopped"])
            self.wait(LEASE)

    def wake_some(self) -> None:
        if self.stopped and self.draw.random() < 0.5:
            self.nursery.order(**{"continue": self.stopped.pop(0)})

    def work(self, name: str, **order: Any) -> dict[str, int]:
        return self.nursery.order(**{"alias": name, "workers": self.draw.choice([1, 4]), **order})

    def wait(self, seconds: float) -> None:
        from tests.simulator.passing import pass_time

        if seconds:
            pass_time(seconds, self.sandbox)

    def check_leases(self, name: str) -> None:
        """A lease and one poll later nobody holds what the dead have held."""
        from django_support_tickets.models import OutboxEntry

        self.wait(LEASE)
        entries = OutboxEntry.objects.filter(provider=name)
        held = set(entries.filter(lease_token__isnull=False).values_list("lease_token", flat=True))
        self.sandbox_of(name).clear_failures()
        self.end_pauses()
        self.work(name)
        self.unfreed += entries.filter(lease_token__in=held).count()

    def sandbox_of(self, name: str) -> Any:
        return self.histories[name].vendor

    def end_pauses(self) -> None:
        from django_support_tickets.models import ProviderState

        ProviderState.objects.update(paused_until=None, pause="")

    def finish(self) -> None:
        from django_support_tickets.models import OutboxEntry

        while self.stopped:
            self.nursery.order(**{"continue": self.stopped.pop(0)})
        for name in NAMES:
            self.sandbox_of(name).clear_failures()
        for _ in range(60):
            for name in NAMES:
                self.work(name)
            if not OutboxEntry.objects.exists():
                return
            self.wait(3601)


def judge_all(ordeal: Ordeal) -> bool:
    """Print a line per provider; return whether something is wrong."""
    from django_support_tickets.models import Attachment, Comment, Ticket
    from tests.simulator.checker import judge

    is_wrong = bool(ordeal.unfreed)
    for name, history in ordeal.histories.items():
        verdict = judge(history)
        tickets = Ticket.objects.filter(provider=name).count()
        line = f"{name} lost {len(verdict.lost)} doubled {len(verdict.doubled)} uncertain {verdict.uncertain}"
        sys.stdout.write(f"{line} tickets {tickets}\n")
        for what in (*verdict.lost, *verdict.doubled):
            sys.stdout.write(f"  {what}\n")
        is_wrong |= bool(verdict.lost or verdict.doubled)
    rows = Comment.objects.count() + Attachment.objects.count()
    deaths = f"killed {ordeal.deaths.total()} at {len(ordeal.deaths)} points, not freed {ordeal.unfreed}"
    sys.stdout.write(f"{deaths}, comments and files {rows}\n")
    return is_wrong


def main() -> int:
    """Return 0 if nothing was lost and nothing doubled, 75 without a PostgreSQL server."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    address = address_of("postgresql")
    if problem := trouble_with("postgresql", address):
        sys.stderr.write(f"postgresql: {problem}\n")
        return 75
    with new_database(address) as database, tempfile.TemporaryDirectory() as files:
        return torment(database, files, kills=options.kills, seed=options.seed)


def torment(database: str, files: str, *, kills: int, seed: int) -> int:
    """Set up this process and its workers, and return 0 if all went well."""
    from django_support_tickets.testing.sandbox import Sandbox
    from tests.simulator.desks import DESKS

    with Sandbox(seed=seed) as sandbox:
        accounts: dict[str, Any] = {name: DESKS[name].provider(sandbox) for name in NAMES}
        accounts["local"] = {"BACKEND": "django_support_tickets.providers.local.LocalProvider"}
        os.environ["SUPPORT_TICKETS_TEST_DATABASE"] = database
        os.environ["SUPPORT_TICKETS_TEST_PROVIDERS"] = json.dumps(accounts)
        os.environ["SUPPORT_TICKETS_TEST_FILES"] = files
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.outbox.site"
        django.setup()
        logging.disable(logging.CRITICAL)
        from django.core.management import call_command

        call_command("migrate", run_syncdb=True, verbosity=0)
        nursery = Nursery()
        try:
            ordeal = Ordeal(sandbox, nursery, seed=seed)
            ordeal.run(kills)
        finally:
            nursery.close()
        return int(judge_all(ordeal))


if __name__ == "__main__":
    sys.exit(main())
