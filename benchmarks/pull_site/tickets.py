"""The tickets of the fake Ankra, made from their number: 1.5 kB of JSON with three comments and a file."""

from __future__ import annotations

import uuid
from typing import Any

ORGANISATION = "0b6c6c1e-5d6f-4a7e-9c53-2f1d0a4b7e10"
TEXT = "The transfer is pending for two days and the customer asks again. "
#: What a list leaves out.
ONLY_IN_FULL = ("organisation_id", "description", "ai_summary", "comments", "attachments")


def remote_id(number: int) -> str:
    return str(uuid.UUID(int=number + 1, version=4))


def number_of(remote_id: str) -> int:
    return uuid.UUID(remote_id).int % 2**62 - 1


def ticket(number: int) -> dict[str, Any]:
    """Return a ticket as a GET shows it."""
    at = f"2026-11-{1 + number % 20:02d}T10:{number % 60:02d}:00Z"
    return {
        "id": remote_id(number),
        "ticket_number": f"ANK-{number:07d}",
        "organisation_id": ORGANISATION,
        "source": "api",
        "category": "technical",
        "subject": f"Transfer {number} is stuck",
        "description": TEXT * 5,
        "status": "open",
        "severity": "high",
        "ai_review_status": "passed",
        "ai_summary": None,
        "cluster_id": None,
        "cluster_name": None,
        "is_tracked_by_team": False,
        "created_at": at,
        "updated_at": at,
        "comments": [comment(number, place, at) for place in range(3)],
        "attachments": [attachment(number, at)],
    }


def comment(number: int, place: int, at: str) -> dict[str, Any]:
    return {
        "id": f"c-{number}-{place}",
        "author_type": "ankra_team",
        "author_label": "Ana",
        "body": f"{TEXT}({place})",
        "created_at": at,
    }


def attachment(number: int, at: str) -> dict[str, Any]:
    return {
        "id": f"f-{number}",
        "filename": "log.png",
        "content_type": "image/png",
        "size_bytes": 18231,
        "created_at": at,
    }


def short_row(number: int) -> dict[str, Any]:
    """Return a ticket as Ankra's list shows it."""
    return {name: value for name, value in ticket(number).items() if name not in ONLY_IN_FULL}


def page(number: int, size: int, total: int, *, is_short: bool = False) -> dict[str, Any]:
    """Return a page of the list, of whole tickets or of short rows; pages are counted from 1."""
    numbers = range((number - 1) * size, min(number * size, total))
    pages = {"page": number, "page_size": size, "total_pages": -(-total // size), "total_count": total}
    return {"result": [(short_row if is_short else ticket)(one) for one in numbers], "pagination": pages}
