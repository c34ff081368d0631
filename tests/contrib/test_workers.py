"""200 tickets through two real workers of a queue, one of which is killed half-way: none lost, none doubled."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from django_support_tickets.testing.sandbox import Sandbox
from tests.contrib.site import (
    CELERY,
    DB_WORKER,
    TASKS,
    VALUES,
    Site,
    celery_beat,
    celery_worker,
    listens,
    moov_account,
    redis_url,
    wait_for,
)
from tests.matrix import answers
from tests.snippets import ROOT, blocks

pytestmark = [pytest.mark.services, pytest.mark.queues]

RAISED = 200


@pytest.fixture(scope="module")
def vendors() -> Iterator[Sandbox]:
    """The fake vendors, slow enough that a kill meets calls that are under way."""
    with Sandbox(latency=0.05) as sandbox:
        yield sandbox


def need(name: str, *, is_there: bool) -> None:
    """Skip, loudly, where a server does not answer; fail where CI=true."""
    if not is_there and os.environ.get("CI") == "true":
        pytest.fail(f"{name} does not answer")
    if not is_there:
        pytest.skip(f"{name} does not answer")


def kill_one_half_way(site: Site, vendors: Sandbox, *commands: tuple[str, ...]) -> None:
    """Have workers send the tickets, kill the first when a third has arrived, and judge the vendor's books."""
    keys = site.do("raise_tickets", RAISED, VALUES)
    first, *_ = [site.start(*command) for command in commands]
    wait_for(lambda: len(vendors.moov.tickets) > RAISED // 3, within=180, otherwise=site.logs)
    site.kill(first)
    assert len(vendors.moov.tickets) < RAISED, "nothing was left to do when the worker was killed"
    report = site.settle(within=300)
    assert report["delivery"] == {"delivered": RAISED}
    made = Counter(str(ticket["foreignID"]) for ticket in vendors.moov.tickets.values())
    assert made == Counter(keys)


def test_two_celery_workers(tmp_path: Path, vendors: Sandbox) -> None:
    need("Redis", is_there=listens(redis_url()))
    need("PostgreSQL", is_there=answers("postgresql"))
    vendors.reset()
    with Site(tmp_path, dispatcher=CELERY, providers=moov_account(vendors), broker=redis_url()) as site:
        kill_one_half_way(site, vendors, celery_worker(f"a-{site.name}@%h"), celery_worker(f"b-{site.name}@%h"))


def documented_timetable() -> dict[str, Any]:
    """Return CELERY_BEAT_SCHEDULE as the documentation has it."""
    operations = ROOT / "docs" / "operations.md"
    (block,) = [one.text for one in blocks(operations) if "CELERY_BEAT_SCHEDULE" in one.text]
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102 -- the documentation's own code
    timetable: dict[str, Any] = names["CELERY_BEAT_SCHEDULE"]
    return timetable


@pytest.mark.fault(2, 14)
def test_celery_beat_finds_what_nobody_announced(tmp_path: Path, vendors: Sandbox) -> None:
    """The documented timetable, every second instead of every minute, kept by a real beat."""
    need("Redis", is_there=listens(redis_url()))
    need("PostgreSQL", is_there=answers("postgresql"))
    vendors.reset()
    timetable = {name: {**entry, "schedule": 1.0} for name, entry in documented_timetable().items()}
    account = moov_account(vendors)
    with Site(tmp_path, dispatcher=CELERY, providers=account, broker=redis_url(), timetable=timetable) as site:
        for command in (celery_worker(f"a-{site.name}@%h"), celery_beat(tmp_path)):
            site.start(*command)
        for number in (1, 2):  # the second one is found by a later sweep
            site.do("insert_tickets", 1, VALUES)
            wait_for(lambda number=number: delivered(site) == number, within=120, otherwise=site.logs)
        assert len(vendors.moov.tickets) == 2


def delivered(site: Site) -> int:
    """Return how many tickets have arrived; nothing of them is left to send."""
    report = site.do("report")
    return 0 if report["entries"] else int(report["delivery"].get("delivered", 0))


@pytest.mark.parametrize("on_postgresql", [False, True], ids=["sqlite", "postgresql"])
def test_two_db_workers(tmp_path: Path, vendors: Sandbox, on_postgresql: bool) -> None:
    """With django.tasks, and on Django 5.2 with the package of that name."""
    need("PostgreSQL", is_there=not on_postgresql or answers("postgresql"))
    vendors.reset()
    with Site(tmp_path, dispatcher=TASKS, providers=moov_account(vendors), on_postgresql=on_postgresql) as site:
        kill_one_half_way(site, vendors, DB_WORKER, DB_WORKER)
