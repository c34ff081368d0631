"""The code of the README and of the documentation, as their readers would copy it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """One fenced block: its language, its text, and the line at which it stands."""

    language: str
    text: str
    line: int


def pages() -> list[Path]:
    """Return the README and every page of the documentation."""
    return [README, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Snippet]:
    """Yield the fenced blocks of a page; one inside a list has its indentation removed."""
    text = page.read_text()
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Snippet(match[2], textwrap.dedent(match[3]), line)


def snippets(page: Path) -> list[str]:
    """Return the Python code of a page, block by block."""
    return [block.text for block in blocks(page) if block.language == "python"]


def settings_of(code: list[str]) -> str:
    """Return the settings that make a new project use the app: the first block that begins with `# settings.py`."""
    return next(text for text in code if text.startswith("# settings.py") and "INSTALLED_APPS +=" in text)
