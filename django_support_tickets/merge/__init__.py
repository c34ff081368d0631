"""Write what was fetched into our rows: who owns which field, what is newer, and what is only our own echo."""

from __future__ import annotations

from django_support_tickets.merge.arrivals import Difference, Fetched, MergeCounts
from django_support_tickets.merge.guard import NOT_FOUND, is_older
from django_support_tickets.merge.imports import import_tickets
from django_support_tickets.merge.pages import in_transaction, merge, preview
from django_support_tickets.merge.reading import read_rows
from django_support_tickets.merge.schedule import backoff, intervals, next_poll, rarest_poll
from django_support_tickets.merge.writing import begin_writing, update_rows

__all__ = [
    "NOT_FOUND",
    "Difference",
    "Fetched",
    "MergeCounts",
    "backoff",
    "begin_writing",
    "import_tickets",
    "in_transaction",
    "intervals",
    "is_older",
    "merge",
    "next_poll",
    "preview",
    "rarest_poll",
    "read_rows",
    "update_rows",
]
