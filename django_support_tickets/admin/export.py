"""Tickets as CSV: streamed, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from django_support_tickets.models import Ticket

CHUNK = 2000
#: A spreadsheet takes what begins so for a formula: a cell, or what follows a sign that it may take for the end of one.
FORMULA = re.compile(r"(^|[;\t\r\n])(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r\n])")
COLUMNS = (
    *("key", "provider", "remote_id", "reference", "delivery", "status", "remote_status", "subject", "requester"),
    *("customer_id", "contact_name", "contact_email", "category", "priority", "created_at", "submitted_at"),
    *("delivered_at", "last_comment_at", "resolved_at", "closed_at", "delivery_error"),
)


class Echo:
    """A file for the csv module that hands back what is written."""

    def write(self, line: str) -> str:
        return line


def csv_response(tickets: QuerySet[Ticket]) -> StreamingHttpResponse:
    """Return tickets as a file to be saved; rows are read while they are sent."""
    name = f"tickets-{timezone.now():%Y-%m-%d}.csv"
    return StreamingHttpResponse(
        csv_lines(tickets),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )


def csv_lines(tickets: QuerySet[Ticket]) -> Iterator[str]:
    """Yield the lines of the file; the first begins with the mark by which spreadsheets know UTF-8."""
    writer = csv.writer(Echo(), quoting=csv.QUOTE_ALL)
    yield "\ufeff" + writer.writerow(COLUMNS)
    rows = tickets.defer(None).select_related(None).prefetch_related(None).values_list(*COLUMNS)
    for row in rows.iterator(chunk_size=CHUNK):
        yield writer.writerow([cell(value) for value in row])


def cell(value: Any) -> str:
    """Return a value as text that no spreadsheet runs as a formula."""
    if value is None:
        return ""
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return FORMULA.sub(r"\1'", text)
