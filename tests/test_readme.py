"""The README's quickstart, pasted into a new Django project as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.snippets import README, ROOT, settings_of, snippets

CODE = snippets(README)
SECRETS = ("RIPIO_CLIENT_ID", "RIPIO_CLIENT_SECRET", "RIPIO_WEBHOOK_SECRET")


def the(part: str) -> str:
    """Return the block of the README that holds this."""
    return next(text for text in CODE if part in text)


def run(folder: Path, *arguments: str, text: str | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **dict.fromkeys(SECRETS, "a-value-of-the-tests")}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a new project with the quickstart's settings and URLs."""
    run(tmp_path, "-m", "django", "startproject", "shop", ".")
    add(tmp_path / "shop" / "settings.py", settings_of(CODE))
    add(tmp_path / "shop" / "urls.py", the("# urls.py"))
    return tmp_path


def add(file: Path, text: str) -> None:
    with file.open("a") as opened:
        opened.write(f"\n{text}")


class TestQuickstart:
    def test_it_works_in_a_new_project(self, project: Path) -> None:
        run(project, "manage.py", "migrate", "--verbosity", "0")
        run(project, "manage.py", "shell", text=the("# anywhere in your code"))
        assert "1 sent" in run(project, "manage.py", "sync_tickets")
        after = (
            "from django_support_tickets.models import Ticket; t = Ticket.objects.get(); print(t.delivery, t.remote_id)"
        )
        assert re.search(r"delivered [0-9a-f-]{36}", run(project, "manage.py", "shell", "--command", after))

    def test_an_account_of_a_real_vendor_passes_the_checks(self, project: Path) -> None:
        add(project / "shop" / "settings.py", the('"ripio-sandbox"'))
        assert "no issues" in run(project, "manage.py", "check")
