"""Erasure and retention that are killed half-way, as by a power cut, and run again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.outbox.servers import new_database, require

ROOT = Path(__file__).resolve().parents[2]
COPIES = ["R-0", "R-1", "R-2", ""]
#: How many rows and files the dead have left, of 58 and 23 for an erasure, of 655 and 23 for a pruning.
HALF = {
    # A file is gone, whose row says so; nothing else has happened.
    "attachments/storing.py:discard:return 1": [58, 22],
    # One ticket is done; of the second or third the files are gone, but no row.
    "management/erasure.py:_delete_files:return 2": [54, 19],
    "management/erasure.py:_redact:call 2": [50, 17],
    "management/erasure.py:_redact:return 2": [50, 17],
    # Between two tickets, and after all of them.
    "management/erasure.py:_erase_ticket:return 3": [46, 17],
    "management/erasure.py:_forget_elsewhere:call 1": [31, 9],
    # A batch of webhooks is gone.
    "management/pruning.py:_delete:return 1": [155, 23],
    # Amid the transaction of the second ticket, after the commit of the first but before its files go, and between two.
    "attachments/cleanup.py:delete_file_after_commit:return 3": [51, 21],
    "attachments/storing.py:discard:call 1": [51, 23],
    "management/pruning.py:_delete_ticket:return 2": [47, 19],
    # Only a file without a row is left.
    "attachments/cleanup.py:_is_older:return 1": [43, 17],
}


def ordeals(database: str, folder: Path) -> list[dict[str, Any]]:
    """Let both commands die at every point and run again; return what is left."""
    (files := folder / "files").mkdir()
    variables = {"SUPPORT_TICKETS_TEST_DATABASE": database, "SUPPORT_TICKETS_TEST_FILES": str(files)}
    variables["DJANGO_SETTINGS_MODULE"] = "tests.outbox.site"
    command = [sys.executable, "-m", "tests.management.cut_off"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def judge(found: list[dict[str, Any]]) -> None:
    """Compare with what the next run must have made of it."""
    assert [one["point"] for one in found if not one["killed"]] == []
    assert {one["point"]: one["half"] for one in found} == HALF
    for one in found:
        assert (one["missing"], one["others"]) == (0, 1), one
    for one in (one for one in found if one["command"] == "erase"):
        # Nothing of the user is left but what the vendors have, which is listed; sam's files and the old ones stay.
        assert (one["report"]["complete"], one["canaries"], one["named"], one["files"]) == (True, 0, 0, 9), one
        assert [copy["remote_id"] for copy in one["report"]["vendor_copies"]] == COPIES, one
    for one in (one for one in found if one["command"] == "prune"):
        assert (one["old"], one["orphans"], one["files"]) == (0, 0, 16), one


@pytest.mark.services
@pytest.mark.fault(89)
def test_on_a_sqlite_file(tmp_path: Path) -> None:
    judge(ordeals(f"sqlite://{tmp_path}/rows?transaction_mode=IMMEDIATE", tmp_path))


@pytest.mark.services
@pytest.mark.fault(89)
@pytest.mark.parametrize("server", ["postgresql", "mysql"])
def test_on_a_server(tmp_path: Path, server: str) -> None:
    with new_database(require(server)) as database:
        judge(ordeals(database, tmp_path))
