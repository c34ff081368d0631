"""Erasure and retention while everybody works, on real connections."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.outbox.servers import new_database, require

ROOT = Path(__file__).resolve().parents[2]


def live(database: str, folder: Path, *, tickets: int) -> None:
    """Let the site live, and judge what is left."""
    sent, files = folder / "sent", folder / "files"
    files.mkdir()
    provider = {"BACKEND": "tests.management.busy.ChattyProvider", "OPTIONS": {"path": str(sent)}}
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.outbox.site",
        "SUPPORT_TICKETS_TEST_DATABASE": database,
        "SUPPORT_TICKETS_TEST_FILES": str(files),
        "SUPPORT_TICKETS_TEST_PROVIDERS": json.dumps({"noted": provider}),
    }
    command = [sys.executable, "-m", "tests.management.busy", str(tickets)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    assert report["errors"] == []
    assert report["erased"] > 0
    # Of the user nothing is left here, and every copy at the vendor is named.
    assert (report["complete"], report["canaries"], report["orphans"]) == (True, 0, 0)
    times = Counter(sent.read_text().split())
    assert set(report["copies"]) <= set(times)
    # What was old is gone, and what others raised was sent, once.
    assert (report["old"], report["pruned"] >= 200) == (0, True)
    assert set(report["deliveries"]) == {"delivered"}
    assert {times[key] for key in report["keys"]} == {1}


@pytest.mark.services
@pytest.mark.fault(89)
def test_on_a_sqlite_file(tmp_path: Path) -> None:
    live(f"sqlite://{tmp_path}/rows?transaction_mode=IMMEDIATE", tmp_path, tickets=20)


@pytest.mark.services
@pytest.mark.fault(89)
@pytest.mark.parametrize("server", ["postgresql", "mysql"])
def test_on_a_server(tmp_path: Path, server: str) -> None:
    with new_database(require(server)) as database:
        live(database, tmp_path, tickets=100)
