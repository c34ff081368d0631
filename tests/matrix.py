"""Run the suite in every cell of the matrix, each in a virtual environment of its own: `python -m tests.matrix`.

Interpreters are looked for on the path and under pyenv (PYENV_ROOT, or ~/.pyenv). One that is missing is said loudly,
and fails where CI=true; so does a database server that does not answer.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PORTS = {
    "postgresql": ("PGHOST", "PGPORT", 5432),
    "mariadb": ("MARIADB_HOST", "MARIADB_PORT", 3306),
}


@dataclass(frozen=True)
class Cell:
    """One combination of Python, Django, database and site settings."""

    python: str
    django: str
    database: str
    switches: dict[str, str] = field(default_factory=dict, hash=False)
    # Which tests of those that the short suite leaves out; they start servers and workers, so one runs at a time.
    marked: str = ""

    def __str__(self) -> str:
        switches = " ".join(f"{name}={value}" for name, value in self.switches.items())
        return f"{self.python} × Django {self.django} × {self.database} {switches}".rstrip()


#: More generated histories than a short run has time for.
LONGER = {"PULL_HISTORIES": "500"}
# The queues everywhere but with PostgreSQL: their framework differs by Django.
CELLS = (
    Cell("3.11", "5.2", "sqlite", {"TEST_OUTAGE": "10000"}, marked="services or browser or index"),
    Cell("3.11", "5.2", "postgresql", {"TEST_ATOMIC_REQUESTS": "1"}),
    Cell("3.12", "6.0", "mariadb", {"TEST_USE_TZ": "0"}, marked="queues"),
    Cell("3.13", "6.1", "sqlite", {"TEST_LOGIN_REQUIRED": "1", "TEST_UUID_USER": "1"}, marked="queues"),
)


def interpreter(version: str) -> str | None:
    """Return the path of a Python of this version that runs, None if there is none."""
    candidates = [sys.executable, shutil.which(f"python{version}") or ""]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python")), reverse=True)
    return next((path for path in candidates if path and version_of(path) == version), None)


def version_of(python: str) -> str:
    """Return what an interpreter says it is, "" if it does not run: a shim of pyenv may stand for none."""
    command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def answers(database: str) -> bool:
    """Return whether the database's server can be reached."""
    if database not in PORTS:
        return True
    host, port, default = PORTS[database]
    try:
        address = (os.environ.get(host, "127.0.0.1"), int(os.environ.get(port, default)))
        socket.create_connection(address, timeout=3).close()
    except OSError:
        return False
    return True


def environment(cell: Cell, python: str) -> Path:
    """Return the virtual environment of a cell, made and filled if it is not there."""
    folder = ROOT / f".venv-{cell.python}-{cell.django}"
    if not (folder / "ready").exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "pip"), "install", "--quiet"]
        subprocess.run([*pip, f"Django=={cell.django}.*", "--editable", f"{ROOT}[test-all]"], check=True)
        # For the axe-core that it carries; its Playwright (165 MB) is not used.
        subprocess.run([*pip, "--no-deps", "axe-playwright-python>=0.1.8"], check=True)
        (folder / "ready").touch()
    return folder


def run(cell: Cell) -> str:
    """Run the suite in one cell; return "passed", "failed", or why it was skipped."""
    python = interpreter(cell.python)
    if python is None:
        return f"no Python {cell.python} here"
    if not answers(cell.database):
        return f"no {cell.database} server answers"
    folder = environment(cell, python)
    variables = {**LONGER, **os.environ, "TEST_DATABASE": cell.database, **cell.switches}
    rounds = [["--numprocesses", "auto"], *([["-m", cell.marked]] if cell.marked else [])]
    command = [str(folder / "bin" / "python"), "-m", "pytest", "-q", *sys.argv[1:]]
    codes = [subprocess.run([*command, *arguments], cwd=ROOT, env=variables).returncode for arguments in rounds]
    return "failed" if any(codes) else "passed"


def main() -> int:
    results: dict[Cell, str] = {}
    for cell in CELLS:
        sys.stdout.write(f"\n=== {cell}\n")
        sys.stdout.flush()
        started = time.monotonic()
        results[cell] = run(cell)
        sys.stdout.write(f"=== {cell}: {results[cell]} ({time.monotonic() - started:.0f} s)\n")
    skipped = [cell for cell, result in results.items() if result not in ("passed", "failed")]
    for cell in skipped:
        sys.stdout.write(f"NOT RUN: {cell}: {results[cell]}\n")
    has_failed = "failed" in results.values() or (bool(skipped) and os.environ.get("CI") == "true")
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
