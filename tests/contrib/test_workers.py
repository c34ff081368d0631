"""200 tickets through two real workers of a queue, one of which is killed half-way: none lost, none doubled."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from django_support_tickets.testing.sandbox import Sandbox
from tests.contrib.site import Site, broker, wait_for
from tests.matrix import answers

pytestmark = pytest.mark.services

MOOV = "django_support_tickets.providers.moov.MoovProvider"
VALUES = {"provider": "moov", "customer_id": "acct-1", "contact_email": "someone@example.com"}
RAISED = 200


@pytest.fixture(scope="module")
def vendors() -> Iterator[Sandbox]:
    """The fake vendors, slow enough that a kill meets calls that are under way."""
    with Sandbox(latency=0.05) as sandbox:
        yield sandbox


@pytest.fixture
def moov(vendors: Sandbox) -> dict[str, Any]:
    vendors.reset()
    return {"moov": {"BACKEND": MOOV, "OPTIONS": {**vendors.moov.options(), "rate": None}}}


def need(name: str, *, is_there: bool) -> None:
    """Skip, loudly, where a server does not answer; fail where CI=true."""
    if not is_there and os.environ.get("CI") == "true":
        pytest.fail(f"{name} does not answer")
    if not is_there:
        pytest.skip(f"{name} does not answer")


def broker_answers() -> bool:
    address = urlsplit(broker())
    try:
        socket.create_connection((str(address.hostname), address.port or 6379), timeout=3).close()
    except OSError:
        return False
    return True


def kill_one_half_way(site: Site, vendors: Sandbox, *commands: tuple[str, ...]) -> None:
    """Have workers send the tickets, kill the first when a third has arrived, and judge the vendor's books."""
    keys = site.do("raise_tickets", RAISED, VALUES)
    first, *_ = [site.start(*command) for command in commands]
    wait_for(lambda: len(vendors.moov.tickets) > RAISED // 3, within=60, otherwise=site.logs)
    site.kill(first)
    assert len(vendors.moov.tickets) < RAISED, "nothing was left to do when the worker was killed"
    report = site.settle(within=120)
    assert report["delivery"] == {"delivered": RAISED}
    made = Counter(str(ticket["foreignID"]) for ticket in vendors.moov.tickets.values())
    assert made == Counter(keys)


def test_two_celery_workers(tmp_path: Path, vendors: Sandbox, moov: dict[str, Any]) -> None:
    pytest.importorskip("celery")
    need(broker(), is_there=broker_answers())
    need("PostgreSQL", is_there=answers("postgresql"))
    dispatcher = "django_support_tickets.contrib.celery.wake"
    with Site(tmp_path, dispatcher=dispatcher, providers=moov, on_postgresql=True) as site:
        worker = ("celery", "-A", "tests.contrib.celery_app", "worker", "--concurrency", "2", "--loglevel", "WARNING")
        kill_one_half_way(site, vendors, (*worker, "-n", f"a-{site.name}@%h"), (*worker, "-n", f"b-{site.name}@%h"))


@pytest.mark.parametrize("on_postgresql", [False, True], ids=["sqlite", "postgresql"])
def test_two_db_workers(tmp_path: Path, vendors: Sandbox, moov: dict[str, Any], on_postgresql: bool) -> None:
    pytest.importorskip("django_tasks_db")
    need("PostgreSQL", is_there=not on_postgresql or answers("postgresql"))
    dispatcher = "django_support_tickets.contrib.tasks.wake"
    with Site(tmp_path, dispatcher=dispatcher, providers=moov, on_postgresql=on_postgresql) as site:
        worker = ("django", "db_worker", "--interval", "0.1", "--no-startup-delay", "--verbosity", "0")
        kill_one_half_way(site, vendors, worker, worker)
