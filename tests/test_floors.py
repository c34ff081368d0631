"""The contracts of import-linter name rooms one by one: none may be forgotten."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "django_support_tickets"


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
