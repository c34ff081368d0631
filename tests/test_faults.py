"""Every number of the fault catalogue is named by a test, and no test names a number that is not in it."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
CATALOGUE = TESTS.parent / "docs" / "faults.md"


def catalogue() -> set[int]:
    """Return the numbers of the catalogue."""
    return {int(number) for number in re.findall(r"^- \*\*(\d+)\*\* ", CATALOGUE.read_text(), re.MULTILINE)}


def named_faults() -> set[int]:
    """Return the numbers that some test names."""
    marks = (
        mark for path in TESTS.rglob("*.py") for mark in re.findall(r"mark\.fault\(([\d,\s]+)\)", path.read_text())
    )
    return {int(number) for mark in marks for number in re.findall(r"\d+", mark)}


def test_the_catalogue_can_be_read() -> None:
    assert {1, 5, 36, 95} <= catalogue()
    assert len(catalogue()) == 86


def test_every_number_is_named_by_a_test() -> None:
    assert sorted(catalogue() - named_faults()) == []


def test_marks_name_numbers_of_the_catalogue() -> None:
    assert sorted(named_faults() - catalogue()) == []
