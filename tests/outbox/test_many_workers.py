"""F3: every row is claimed exactly once, by threads and processes with real connections."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.outbox.servers import new_database, require

#: Tickets and comments for sixteen workers; 10,000 in the long profile.
ROWS = int(os.environ.get("SUPPORT_TICKETS_TEST_CLAIMS", "2000"))


def start(
    database: str, path: Path, *arguments: object, provider_class: str = "NotedProvider"
) -> subprocess.Popen[str]:
    """Start a worker process."""
    provider = {"BACKEND": f"tests.outbox.worker.{provider_class}", "OPTIONS": {"path": str(path)}}
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.outbox.site",
        "SUPPORT_TICKETS_TEST_DATABASE": database,
        "SUPPORT_TICKETS_TEST_PROVIDERS": json.dumps({"noted": provider}),
    }
    command = [sys.executable, "-m", "tests.outbox.worker", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a worker process has printed; its log must be empty."""
    out, log = process.communicate(timeout=600)
    assert process.returncode == 0, log
    assert log == ""
    answer: dict[str, Any] = json.loads(out)
    return answer


def send_all(database: str, path: Path, *, rows: int, processes: int, threads: int) -> list[dict[str, Any]]:
    """Send tickets and comments from many workers and check that each was sent once."""
    answer(start(database, path, "prepare", rows))
    counts = [answer(process) for process in [start(database, path, "push", threads) for _ in range(processes)]]
    sent = Counter(path.read_text().split())
    assert len(sent) == rows
    assert set(sent.values()) == {1}
    assert sum(count["delivered"] for count in counts) == rows
    assert sum(count["waiting"] for count in counts) == 0
    return counts


@pytest.mark.fault(11, 90)
def test_four_workers_on_a_sqlite_file(tmp_path: Path) -> None:
    """In SQLite's default transaction mode, in which reading before writing fails at once."""
    counts = send_all(f"sqlite://{tmp_path}/rows", tmp_path / "sent", rows=300, processes=2, threads=2)
    assert all(count["delivered"] for count in counts)


@pytest.mark.fault(11, 90)
def test_the_vendor_is_called_while_an_answer_is_written_down(tmp_path: Path) -> None:
    """No more is claimed for it than is sent at once."""
    database, path = f"sqlite://{tmp_path}/rows", tmp_path / "sent"
    answer(start(database, path, "prepare", 60))
    counts = answer(start(database, path, "watch", 4, provider_class="WatchedProvider"))
    assert counts == {"delivered": 60, "waiting": 0, "most_held": 4, "overlaps": [True]}


@pytest.mark.services
@pytest.mark.fault(11, 90)
def test_sixteen_workers_on_a_sqlite_file(tmp_path: Path) -> None:
    send_all(f"sqlite://{tmp_path}/rows", tmp_path / "sent", rows=ROWS, processes=4, threads=4)


@pytest.mark.services
@pytest.mark.fault(11, 91)
@pytest.mark.parametrize("server", ["postgresql", "mysql"])
@pytest.mark.parametrize(("processes", "threads"), [(4, 4), (1, 16)])
def test_sixteen_workers_on_a_server(tmp_path: Path, server: str, processes: int, threads: int) -> None:
    with new_database(require(server)) as database:
        send_all(database, tmp_path / "sent", rows=ROWS, processes=processes, threads=threads)
