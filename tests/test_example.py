from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent.parent / "example_project"


def test_a_demo_leaves_the_data_of_another_one_alone(tmp_path: Path) -> None:
    """`make demo` beside a running `make serve` would take its database away."""
    folder = shutil.copytree(EXAMPLE, tmp_path / "example_project", ignore=shutil.ignore_patterns("var"))
    data = folder / "var" / "db.sqlite3"
    data.parent.mkdir()
    data.touch()
    with (folder / "var" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([sys.executable, folder / "demo.py"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "`make serve` is at work with this data already. End it first" in done.stderr
    assert data.exists()
