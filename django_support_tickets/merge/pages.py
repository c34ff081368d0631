"""Merge records a page at a time: one transaction of few statements, and record by record where that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from django.db import DEFAULT_DB_ALIAS, DatabaseError, DataError, OperationalError, connections, transaction

from django_support_tickets.merge import cleaning
from django_support_tickets.merge.announcements import announce
from django_support_tickets.merge.arrivals import Difference, Fetched, MergeCounts
from django_support_tickets.merge.batch import Batch
from django_support_tickets.merge.guard import COLUMNS, Stored
from django_support_tickets.merge.writing import begin_writing
from django_support_tickets.models import Ticket, TicketEvent
from django_support_tickets.models.retries import repeated
from django_support_tickets.providers import providers

logger = logging.getLogger(__name__)
T = TypeVar("T")
Write = Callable[[Batch, Sequence[Fetched]], MergeCounts]

PAGE = 500
TRIES = 4
#: So many database failures in a row are no longer about single records.
FAILURES_IN_A_ROW = 5


def merge(
    alias: str, fetched: Sequence[Fetched], *, using: str = DEFAULT_DB_ALIAS, source: str = TicketEvent.Source.PULL
) -> MergeCounts:
    """Write what was fetched into the tickets of account `alias`, and return what became of it.

    Tickets are found by their remote id; a record without one is counted as unknown. What is the vendor's is taken
    over if it is newer, ABSENT fields are left alone, and nothing is deleted. One bad record never stops the rest: it
    is counted and named. Our signals are sent after commit. Raise OperationalError if the database itself fails.
    """
    counts = MergeCounts()
    for page in unique_pages(fetched):
        counts.add(write_page(_new_batch(alias, using, source), page, _write))
    return counts


def preview(
    alias: str, fetched: Sequence[Fetched], *, using: str = DEFAULT_DB_ALIAS
) -> tuple[MergeCounts, list[Difference]]:
    """Return what `merge` would do, and write nothing."""
    counts, differences = MergeCounts(), []
    for page in unique_pages(fetched):
        batch = _new_batch(alias, using, TicketEvent.Source.PULL)
        _plan(batch, page, lock=False)
        counts.add(batch.counts)
        differences += batch.differences()
    return counts, differences


def unique_pages(fetched: Sequence[Fetched]) -> Iterator[list[Fetched]]:
    """Cut into pages in which no ticket comes twice."""
    page: dict[str, Fetched] = {}
    for one in fetched:
        if len(page) == PAGE or one.record.remote_id in page:
            yield list(page.values())
            page = {}
        page[one.record.remote_id] = one
    if page:
        yield list(page.values())


def in_transaction(work: Callable[[], T], *, using: str) -> T:
    """Return what `work` returns from one transaction, which is run again as `repeated` does."""

    def begin() -> T:
        with transaction.atomic(using=using):
            return work()

    return repeated(begin, using=using, times=TRIES)


def write_page(batch: Batch, page: Sequence[Fetched], write: Write) -> MergeCounts:
    """Return what `write` makes of a page in one transaction; where that fails, of its records one by one.

    `write` gets an empty batch each time, since it may be called again. Records that fail by themselves are counted and
    named. Raise OperationalError when the database fails again and again without a success.
    """
    try:
        return in_transaction(lambda: write(batch.fresh(), page), using=batch.using)
    except Exception as error:  # a user's provider may return anything
        if isinstance(error, DatabaseError) and connections[batch.using].needs_rollback:
            raise
        facts = {"event": "merge.one_by_one", "account": batch.alias}
        logger.info("a page of %d records is stored one by one: %s", len(page), type(error).__name__, extra=facts)
    return _one_by_one(batch, page, write)


def _one_by_one(batch: Batch, page: Sequence[Fetched], write: Write) -> MergeCounts:
    counts, in_a_row = MergeCounts(), 0
    for one in page:
        try:
            counts.add(_write_one(batch, one, write))
            in_a_row = 0
        except Exception as error:  # the others must not suffer
            in_a_row = in_a_row + 1 if isinstance(error, OperationalError) else 0
            if in_a_row == FAILURES_IN_A_ROW:
                raise
            # Only the class: messages of databases quote the values.
            cause = f"it could not be stored ({type(error).__name__})"
            counts.fail(f"ticket {one.record.remote_id}", cause, account=batch.alias)
    return counts


def _write_one(batch: Batch, one: Fetched, write: Write) -> MergeCounts:
    """Write one record in a transaction, without four-byte characters if the database does not take them."""
    using = batch.using
    try:
        return in_transaction(lambda: write(batch.fresh(), [one]), using=using)
    except (DataError, OperationalError):
        plain = replace(one, record=cleaning.in_three_bytes(one.record))
        if connections[using].vendor != "mysql" or cleaning.digest(plain.record) == cleaning.digest(one.record):
            raise
    return in_transaction(lambda: write(batch.fresh(), [plain]), using=using)


def _new_batch(alias: str, using: str, source: str) -> Batch:
    return Batch(alias=alias, using=using, source=source, capabilities=providers[alias].capabilities)


def _write(batch: Batch, page: Sequence[Fetched]) -> MergeCounts:
    begin_writing(Ticket, using=batch.using)
    _plan(batch, page, lock=True)
    batch.write()
    transaction.on_commit(lambda: announce(batch), using=batch.using, robust=True)
    return batch.counts


def _plan(batch: Batch, page: Sequence[Fetched], *, lock: bool) -> None:
    stored = _stored_rows(batch, [one.record.remote_id for one in page], lock=lock)
    for one in page:
        batch.add(stored.get(one.record.remote_id), one)
    batch.load()
    batch.plan()


def _stored_rows(batch: Batch, remote_ids: list[str], *, lock: bool) -> dict[str, Stored]:
    rows = Ticket.objects.using(batch.using).filter(provider=batch.alias, remote_id__in=remote_ids).order_by("pk")
    if lock:
        rows = rows.select_for_update()
    return {row[1]: Stored(*row) for row in rows.values_list(*COLUMNS)}
