"""The results as a Markdown page says them."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.report import HEAD, Line

MARKERS = re.compile(r"(<!-- results -->\n).*?(<!-- end -->)", re.DOTALL)
PACKAGES = ("Django", "djangorestframework", "requests", "psycopg", "mysqlclient", "gunicorn")


def write(page: Path, lines: Sequence[Line], *, profile: str) -> None:
    """Put results between the markers of a page; raise ValueError if it has none."""
    text, count = MARKERS.subn(lambda found: f"{found[1]}{results(lines, profile=profile)}{found[2]}", page.read_text())
    if count != 1:
        raise ValueError(f"{page} must hold <!-- results --> and <!-- end --> once")
    page.write_text(text)


def results(lines: Sequence[Line], *, profile: str) -> str:
    """Return when, where and what was measured as Markdown."""
    rows = [row(HEAD), "|" + "---|" * len(astuple(HEAD)), *map(row, lines)]
    return "\n".join([f"Measured on {datetime.now(UTC):%d %B %Y}, {profile} profile, {machine()}.", "", *rows, ""])


def row(line: Line) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in astuple(line)) + " |"


def machine() -> str:
    """Return the machine and the versions in one sentence, without its name."""
    versions = ", ".join(f"{package} {number}" for package, number in installed())
    cores = f"{os.cpu_count()} cores, {memory_gb():.0f} GB of memory"
    return f"{processor()}, {cores}; Python {platform.python_version()}, {versions}"


def installed() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def processor() -> str:
    """Return the processor's name where the system tells it."""
    known = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", known.read_text()) if known.exists() else []
    return names[0] if names else platform.machine()
