from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SITE = "site"


class Level(StrEnum):
    """How a finding is to be read."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: `subject` is an account or "site"; `text` is in the active language."""

    level: Level
    subject: str
    topic: str
    text: str
