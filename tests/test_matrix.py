from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.matrix import CELLS, PORTS, answers, interpreter, version_of

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
#: A version that nobody has.
NEVER = "3.99"


def program(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


class TestInterpreters:
    def test_the_one_that_runs_this_is_taken_for_its_version(self) -> None:
        assert interpreter(HERE) == sys.executable
        assert version_of(sys.executable) == HERE

    def test_one_under_pyenv_is_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        found = tmp_path / "versions" / f"{NEVER}.1" / "bin" / "python"
        program(found, f"echo {NEVER}")
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
        assert interpreter(NEVER) == str(found)

    def test_a_shim_that_stands_for_none_is_passed_over(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program(tmp_path / "shims" / f"python{NEVER}", "echo 'no such version is installed' >&2", "exit 127")
        monkeypatch.setenv("PATH", str(tmp_path / "shims"))
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
        assert interpreter(NEVER) is None


def test_a_server_that_is_not_there_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for host, port, _ in PORTS.values():
        monkeypatch.setenv(host, "127.0.0.1")
        monkeypatch.setenv(port, "9")
    assert [answers(database) for database in ("sqlite", *PORTS)] == [True, False, False]


def test_the_cells_are_those_that_the_readme_promises() -> None:
    """Python 3.11 to 3.13, Django 5.2 to 6.1, and each kind of database."""
    assert {cell.python for cell in CELLS} == {"3.11", "3.12", "3.13"}
    assert {cell.django for cell in CELLS} == {"5.2", "6.0", "6.1"}
    assert {cell.database for cell in CELLS} == {"sqlite", "postgresql", "mariadb"}
