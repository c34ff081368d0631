"""The suite of the API once more, in a site whose DRF defaults are none that anybody would choose."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-m", "pytest", "-q", "--ds", "tests.api.odd_settings", "--tb=short", *arguments]
    environment["TEST_DATABASE_NAME"] = f"{environment.get('TEST_DATABASE_NAME', 'test_support_tickets')}_odd"
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.fault(62)
def test_a_customer_notices_nothing() -> None:
    run(
        "tests/api/test_access.py",
        "tests/api/test_lists.py",
        "-k",
        "(customer and not other) or TestPages or TestOrdering",
    )


@pytest.mark.services
def test_nothing_of_the_suite_does() -> None:
    run("tests/api", "--deselect", "tests/api/test_odd_site.py")
