"""Opaque cursors of Moov's list: they name a ticket, so that pages do not shift when tickets are added."""

from __future__ import annotations

import base64
import bisect

from django_support_tickets.testing.sandbox.wsgi import Ticket


def cursor_after(ticket: Ticket) -> str:
    return base64.urlsafe_b64encode(str(ticket["number"]).encode()).decode()


def start_of_page(newest_first: list[Ticket], cursor: str) -> int:
    """Return the position after the ticket a cursor names, even a deleted one; raise ValueError."""
    if not cursor:
        return 0
    number = int(base64.b64decode(cursor.encode(), altchars=b"-_", validate=True))
    return bisect.bisect_right(newest_first, -number, key=lambda ticket: -int(ticket["number"]))
