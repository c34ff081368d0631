"""The two tutorials, done as their readers would do them: the first ten minutes, and adding a vendor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_support_tickets.testing.sandbox import Sandbox
from tests.snippets import ROOT, snippets

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"


def test_the_provider_of_the_tutorial_keeps_the_contract() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": str(EXAMPLES.parent.parent)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(EXAMPLES)]
    done = subprocess.run(command, cwd=EXAMPLES, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


class TestTenMinutes:
    PAGE = snippets(ROOT / "docs" / "tutorial.md")

    def the(self, part: str) -> str:
        return next(text for text in self.PAGE if part in text)

    def run(self, folder: Path, *arguments: str, text: str | None = None) -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @pytest.fixture
    def shop(self, tmp_path: Path, support_tickets_sandbox: Sandbox) -> Path:
        """Return the project as it is after the first two steps, with the vendors on another port."""
        self.run(tmp_path, "-m", "django", "startproject", "shop", ".")
        port = support_tickets_sandbox.url.rpartition(":")[2]
        for name in ("settings", "urls"):
            with (tmp_path / "shop" / f"{name}.py").open("a") as file:
                file.write("\n" + self.the(f"# {name}.py").replace(":8800", f":{port}"))
        self.run(tmp_path, "manage.py", "migrate", "--verbosity", "0")
        return tmp_path

    def test_a_ticket_reaches_the_vendor(self, shop: Path, support_tickets_sandbox: Sandbox) -> None:
        assert "no issues" in self.run(shop, "manage.py", "check")
        raising = self.the("Ticket.objects.create(")
        assert "queued" in self.run(shop, "manage.py", "shell", text=raising)
        assert "1 sent" in self.run(shop, "manage.py", "sync_tickets")
        looking = "from django_support_tickets.models import Ticket\nticket = Ticket.objects.get()\n"
        assert "delivered" in self.run(shop, "manage.py", "shell", text=looking + self.the("ticket.refresh_from_db()"))
        assert len(support_tickets_sandbox.ankra.tickets) == 1
