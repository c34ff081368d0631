from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from django_support_tickets.testing.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
CELERY = "django_support_tickets.contrib.celery.wake"
TASKS = "django_support_tickets.contrib.tasks.wake"
MOOV = "django_support_tickets.providers.moov.MoovProvider"
#: What a ticket at Moov needs beside its text.
VALUES = {"provider": "moov", "customer_id": "acct-1", "contact_email": "someone@example.com"}
#: The command line of a worker of django-tasks-db.
DB_WORKER = ("django", "db_worker", "--interval", "0.1", "--no-startup-delay", "--verbosity", "0")


class Site:
    """A site in processes of its own: one that raises tickets, and workers that can be killed."""

    def __init__(
        self,
        folder: Path,
        *,
        dispatcher: str,
        providers: dict[str, Any],
        on_postgresql: bool = True,
        broker: str = "",
        timetable: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = f"st_site_{uuid.uuid4().hex[:8]}"
        self.folder = folder
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.contrib.site_settings",
            "SITE_DATABASE": self.name if on_postgresql else str(folder / "site.sqlite3"),
            "TEST_DATABASE": "postgresql" if on_postgresql else "sqlite",
            "SITE_DISPATCHER": dispatcher,
            "SITE_PROVIDERS": json.dumps(providers),
            "SITE_PREFIX": self.name,
            "SITE_BROKER": broker,
            "SITE_TIMETABLE": json.dumps(timetable or {}),
        }
        self._workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.contrib.driver"]
        self._driver = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.do("create")
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            self.kill(worker)
        self.do("drop")
        self._driver.communicate(timeout=60)

    def do(self, command: str, *arguments: Any) -> Any:
        """Have the site's code do something; return what it returns."""
        assert self._driver.stdin is not None and self._driver.stdout is not None
        self._driver.stdin.write(json.dumps([command, arguments]) + "\n")
        self._driver.stdin.flush()
        answer = self._driver.stdout.readline()
        assert answer, f"the site's code has failed at {command}"
        return json.loads(answer)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a worker in a process group of its own."""
        log = open(self.folder / f"worker-{len(self._workers)}.log", "wb")  # noqa: SIM115 -- the worker's
        with log:
            worker = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._workers.append(worker)
        return worker

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """End a worker and its children at once, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(timeout=60)

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def settle(self, *, within: float) -> dict[str, Any]:
        """Let time pass until nothing is left to send; return the last report.

        Rows are shifted back only while nobody sends: what lives keeps its lease.
        """
        ends_at = time.monotonic() + within
        while time.monotonic() < ends_at:
            self.do("sweep")
            report = self._quiet_report(ends_at)
            if not report["entries"]:
                return report
            self.do("age", 600)
        raise AssertionError(f"not settled: {self.do('report')}\n{self.logs()}")

    def _quiet_report(self, ends_at: float) -> dict[str, Any]:
        """Return the report once it has stayed the same for two seconds."""
        report, since = self.do("report"), time.monotonic()
        while time.monotonic() - since < 2.0 and time.monotonic() < ends_at:
            time.sleep(0.2)
            if (now := self.do("report")) != report:
                report, since = now, time.monotonic()
        return report


def redis_url() -> str:
    return os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")


def rabbitmq_url() -> str:
    return os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")


def listens(url: str) -> bool:
    """Return whether something listens at the address of a broker."""
    address = urlsplit(url)
    try:
        socket.create_connection((str(address.hostname), address.port or 5672), timeout=3).close()
    except OSError:
        return False
    return True


def moov_account(vendors: Sandbox) -> dict[str, Any]:
    """Return SUPPORT_TICKETS_PROVIDERS with the fake Moov, which can be searched, as its only account."""
    return {"moov": {"BACKEND": MOOV, "OPTIONS": {**vendors.moov.options(), "rate": None}}}


def celery_worker(name: str) -> tuple[str, ...]:
    """Return the command line of a worker of Celery."""
    return ("celery", "-A", "tests.contrib.celery_app", "worker", "-n", name, "-c", "2", "-l", "WARNING")


def celery_beat(folder: Path) -> tuple[str, ...]:
    """Return the command line of Celery's clock, which keeps its notes in a folder."""
    notes = ("-s", str(folder / "beat"), "--pidfile", str(folder / "beat.pid"))
    return ("celery", "-A", "tests.contrib.celery_app", "beat", "-l", "WARNING", *notes)


def wait_for(condition: Callable[[], bool], *, within: float, otherwise: Callable[[], str] = str) -> None:
    """Wait until `condition` holds; fail with what `otherwise` returns."""
    ends_at = time.monotonic() + within
    while not condition():
        assert time.monotonic() < ends_at, otherwise()
        time.sleep(0.05)
