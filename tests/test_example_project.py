"""The example project's own tests, as its reader runs them: with pytest and with `manage.py test`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "example_project"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "site_project.settings", "PYTHONPATH": str(PROJECT.parent)}
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)


def test_pytest() -> None:
    done = run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(PROJECT), "test_site.py"
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_unittest() -> None:
    done = run("manage.py", "test", "--pattern", "test_site_unittest.py")
    assert done.returncode == 0, done.stderr
    assert "Ran 2 tests" in done.stderr
