"""The README's own snippets, pasted into a new Django project as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from django_support_tickets.testing.sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent
SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def run(folder: Path, *arguments: str, text: str | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    run(tmp_path, "-m", "django", "startproject", "shop", ".")
    return tmp_path


class TestTenLines:
    def test_they_work_in_a_new_project(self, project: Path) -> None:
        settings, code = SNIPPETS[0], SNIPPETS[1]
        with (project / "shop" / "settings.py").open("a") as file:
            file.write(settings)
        run(project, "manage.py", "migrate", "--verbosity", "0")
        run(project, "manage.py", "shell", text=code)
        assert "1 sent" in run(project, "manage.py", "sync_tickets")
        after = (
            "from django_support_tickets.models import Ticket; t = Ticket.objects.get(); print(t.delivery, t.remote_id)"
        )
        assert re.search(r"delivered [0-9a-f-]{36}", run(project, "manage.py", "shell", "--command", after))

    def test_the_account_of_a_real_vendor_passes_the_checks(self, project: Path) -> None:
        settings = 'import os\nos.environ |= {"RIPIO_CLIENT_ID": "a", "RIPIO_CLIENT_SECRET": "b"}\n'
        with (project / "shop" / "settings.py").open("a") as file:
            file.write(settings + SNIPPETS[0] + SNIPPETS[2])
        assert "no issues" in run(project, "manage.py", "check")


class TestYourOwnSite:
    @pytest.mark.usefixtures("db")
    def test_the_example_passes(self, support_tickets_sandbox: Sandbox, settings: Any) -> None:
        (snippet,) = (text for text in SNIPPETS if "def test_a_lost" in text)
        names: dict[str, Any] = {}
        exec(snippet, names)  # noqa: S102 -- the README's own code
        names["test_a_lost_answer_is_not_sent_twice"](support_tickets_sandbox, settings, None)
        assert len(support_tickets_sandbox.ripio.tickets) == 1
