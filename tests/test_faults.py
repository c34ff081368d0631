from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def named_faults() -> set[int]:
    """Return the catalogue numbers that some test names."""
    texts = (path.read_text() for path in TESTS.rglob("*.py"))
    marks = (mark for text in texts for mark in re.findall(r"mark\.fault\(([\d,\s]+)\)", text))
    return {int(number) for mark in marks for number in re.findall(r"\d+", mark)}


def test_marks_name_numbers_of_the_catalogue() -> None:
    assert named_faults() <= set(range(1, 96))
