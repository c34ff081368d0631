"""The contracts of import-linter name rooms one by one: none may be forgotten."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "django_support_tickets"
TESTING = ROOT / PACKAGE / "testing"


def contracts() -> dict[str, dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["name"]: contract for contract in settings["tool"]["importlinter"]["contracts"]}


def rooms() -> set[str]:
    """Return the modules and packages that hold code, with their full names."""
    found = {path.stem for path in (ROOT / PACKAGE).glob("*.py")} - {"__init__"}
    found |= {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")} - {"migrations"}
    return {f"{PACKAGE}.{name}" for name in found}


def test_every_room_has_a_floor() -> None:
    (floors,) = [one for one in contracts().values() if one["type"] == "layers"]
    named = {name.strip(" ()") for layer in floors["layers"] for name in layer.split("|")}
    assert named == rooms() - {f"{PACKAGE}.testing"}


def test_no_room_may_import_testing_or_contrib() -> None:
    (inside,) = [one for name, one in contracts().items() if name.startswith("Nothing of ours imports")]
    assert set(inside["source_modules"]) == rooms() - {f"{PACKAGE}.testing", f"{PACKAGE}.contrib"}
    assert inside["forbidden_modules"] == [f"{PACKAGE}.testing", f"{PACKAGE}.contrib"]


@cache
def imports_of(path: Path) -> dict[str, set[str]]:
    """Return what a module imports from our modules: their full names, and the names from each."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith(PACKAGE):
            found.setdefault(node.module, set()).update(alias.name for alias in node.names)
    return found


def loaded_by(package: Path) -> set[str]:
    """Return the full names of the submodules that importing a package imports, one way or another."""
    found, todo, whole = set(), [package / "__init__.py"], f"{PACKAGE}.{package.name}"
    while todo:
        imports = imports_of(todo.pop())
        names = {name.removeprefix(f"{whole}.") for name in imports if name.startswith(f"{whole}.")}
        new = {name for name in names | imports.get(whole, set()) if (package / f"{name}.py").exists()} - found
        found |= new
        todo += [package / f"{name}.py" for name in new]
    return {f"{whole}.{name}" for name in found}


@pytest.mark.parametrize("room", ["attachments", "merge", "outbox", "providers", "sync", "transport"])
def test_what_a_package_loads_is_imported_from_the_package(room: str) -> None:
    """One thread importing the package and another its module, each for the first time, would wait for each other.

    Models are loaded before there are threads.
    """
    package = ROOT / PACKAGE / room
    outside = [path for path in (ROOT / PACKAGE).rglob("*.py") if not {package, TESTING} & set(path.parents)]
    deep = {path.name: set(imports_of(path)) & loaded_by(package) for path in outside}
    assert {name: modules for name, modules in deep.items() if modules} == {}


def test_a_settings_module_may_import_what_providers_are_written_with() -> None:
    lines = [f"import {PACKAGE}.{name}" for name in ("exceptions", "records", "providers", "testing.contract")]
    variables = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
