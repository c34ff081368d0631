"""GET tickets concurrently, and write what comes back a page at a time from one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from django_support_tickets.exceptions import Ambiguous, RemoteNotFound
from django_support_tickets.merge import (
    NOT_FOUND,
    Fetched,
    backoff,
    import_tickets,
    in_transaction,
    merge,
    preview,
    rarest_poll,
    update_rows,
)
from django_support_tickets.models import OutboxEntry, Ticket, moment_of
from django_support_tickets.records import TicketRecord, TicketRef
from django_support_tickets.sync.missing import is_braked, mark_missing
from django_support_tickets.sync.run import Run
from django_support_tickets.sync.selection import BATCH, Due, by_key, living_tickets, oldest_first
from django_support_tickets.transport import total_deadline

#: How many records are written together, and how long the first of them waits at most, in seconds.
WRITE_TOGETHER = 200
WRITE_WITHIN = 1.0
#: What is due so soon is due: two readings of a clock may differ by a millisecond.
SOON = timedelta(milliseconds=5)
#: Between the first look that does not find a ticket and the one that decides.
SECOND_LOOK = timedelta(minutes=1)


class Fetching:
    """The GETs of one run, and what they bring."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.total = 0
        self.done = 0
        # Enough submissions that the threads stay busy while pages are written, and no more: memory stays bounded.
        self.window = run.crew.size * 2 + 2 * WRITE_TOGETHER
        self._fetched: list[Fetched] = []
        self._strangers: list[Fetched] = []
        self._postponed: list[tuple[Due, datetime | None, str | None]] = []
        self._lost: list[int] = []
        self._waiting_since: float | None = None

    def fetch_due(self) -> None:
        """GET every ticket that is due now; what becomes due meanwhile is left to the next time."""
        rows = Ticket.objects.using(self.run.using).due(self.run.alias, now=self._now() + SOON)
        self.total += rows.count()
        self.fetch(oldest_first(rows))

    def fetch_living(self) -> None:
        """GET every ticket in which news can still come in, due or not."""
        rows = living_tickets(self.run.alias, self.run.provider.capabilities, using=self.run.using)
        self.total += rows.count()
        self.fetch(by_key(rows))

    def fetch_some(self, pks: list[int]) -> None:
        """GET these tickets, except those that were due anyway."""
        for start in range(0, len(pks), BATCH):
            rows = Ticket.objects.using(self.run.using).filter(pk__in=pks[start : start + BATCH])
            self.fetch(by_key(rows.exclude(next_poll_at__lte=self._now())))

    def fetch(self, tickets: Iterator[Due]) -> None:
        """GET these tickets, with at most `window` of them under way at once."""
        for due in tickets:
            if self.run.is_over:
                break
            self.submit(due)
            self.run.drain(until=self._room())
            self.write_if_enough()
        self.finish()

    def finish(self) -> None:
        """Wait for what is under way and write the rest."""
        self.run.drain()
        self.write()

    def submit(self, due: Due) -> None:
        """Hand a ticket to the threads."""
        self.run.crew.submit(partial(self._get, due.remote_id, due.customer_id, partial(self._take, due)))

    def submit_stranger(self, remote_id: str, customer_id: str) -> None:
        """Hand a ticket that nobody here knows to the threads; it is imported if it is not ours after all."""
        self.run.crew.submit(partial(self._get, remote_id, customer_id, partial(self._take_stranger, customer_id)))

    def write_if_enough(self) -> None:
        """Write when a page is full or its first record has waited long enough."""
        waiting = len(self._fetched) + len(self._strangers) + len(self._postponed)
        if not waiting:
            return
        self._waiting_since = self._waiting_since or time.monotonic()
        if waiting >= WRITE_TOGETHER or time.monotonic() - self._waiting_since >= WRITE_WITHIN:
            self.write()

    def write(self) -> None:
        """Write all that has come back."""
        run, fetched, strangers, postponed = self.run, self._fetched, self._strangers, self._postponed
        self._fetched, self._strangers, self._postponed, self._waiting_since = [], [], [], None
        if run.report is not None:
            counts, differences = preview(run.alias, fetched, using=run.using)
            run.counts.add(counts)
            for difference in differences:
                run.report(difference)
            return
        run.counts.add(merge(run.alias, fetched, using=run.using))
        run.credit_answers()
        if strangers and not self._create_is_under_way(strangers):
            run.counts.add(import_tickets(run.alias, strangers, using=run.using))
        if postponed:
            in_transaction(lambda: self._write_postponed(postponed), using=run.using)

    def mark_missing(self) -> None:
        """Flag what was not found twice, unless it is so much that it looks like a fault."""
        run = self.run
        if run.dry or not self._lost:
            return
        living = living_tickets(run.alias, run.provider.capabilities, using=run.using).filter(missing_since=None)
        suspected = living.filter(digest=NOT_FOUND).count()
        if run.counts.braked or is_braked(suspected, of=living.count()):
            run.counts.braked = max(suspected, run.counts.braked)
        else:
            run.counts.missing += mark_missing(self._lost, now=self._now(), using=run.using)

    def _room(self) -> int:
        return 0 if self.run.unproven else self.window

    def _now(self) -> datetime:
        return moment_of(self.run.clock())

    def _get(
        self, remote_id: str, customer_id: str, take: Callable[[int, TicketRecord | Exception], None]
    ) -> Callable[[], None]:
        """Ask the vendor; runs in a thread of the crew, and what it returns in the writing one."""
        started_at = self.run.clock()
        answer: TicketRecord | Exception
        try:
            with total_deadline(self.run.provider.deadline_of("get")):
                answer = self.run.provider.get(TicketRef(remote_id=remote_id, customer_id=customer_id))
            if answer.remote_id != remote_id:
                answer = Ambiguous("another ticket came back", alias=self.run.alias, operation="get")
        except Exception as error:  # counted and named where it is taken
            answer = error
        return partial(take, started_at, answer)

    def _take(self, due: Due, started_at: int, answer: TicketRecord | Exception) -> None:
        self.done += 1
        if self.run.progress is not None:
            self.run.progress(self.done, max(self.total, self.done))
        if isinstance(answer, RemoteNotFound):
            self.run.note_answer()
            self._not_found(due)
        elif isinstance(answer, Exception):
            self.run.note_error(due.name, answer)
            self._postpone(due)
        else:
            self.run.note_answer()
            self.run.counts.fetched += 1
            self._fetched.append(Fetched(answer, started_at, due.next_poll_at))
        self.write_if_enough()

    def _take_stranger(self, customer_id: str, started_at: int, answer: TicketRecord | Exception) -> None:
        if isinstance(answer, TicketRecord):
            self.run.note_answer()
            self.run.counts.fetched += 1
            record = answer if answer.customer_id else replace(answer, customer_id=customer_id)
            self._strangers.append(Fetched(record, started_at))
        elif not isinstance(answer, RemoteNotFound):
            self.run.note_error("a ticket of nobody here", answer)
        self.write_if_enough()

    def _not_found(self, due: Due) -> None:
        now = self._now()
        if due.missing_since is not None:
            self._postponed.append((due, rarest_poll(now=now), None))
        elif due.digest == NOT_FOUND:
            self._lost.append(due.pk)
            self._postponed.append((due, rarest_poll(now=now), None))
        else:
            self._postponed.append((due, now + SECOND_LOOK, NOT_FOUND))

    def _postpone(self, due: Due) -> None:
        if self.run.counts.paused:
            return  # the account's matter, not the ticket's: it stays due
        self._postponed.append((due, backoff(due.synced_at or due.created_at, now=self._now()), None))

    def _write_postponed(self, postponed: list[tuple[Due, datetime | None, str | None]]) -> None:
        """Reschedule what brought nothing, except where a hint has come in between."""
        later = [(due.pk, (when,), due.next_poll_at) for due, when, digest in postponed if digest is None]
        lost = [(due.pk, (when, digest), due.next_poll_at) for due, when, digest in postponed if digest is not None]
        update_rows(Ticket, ("next_poll_at",), later, using=self.run.using, unchanged="next_poll_at")
        update_rows(Ticket, ("next_poll_at", "digest"), lost, using=self.run.using, unchanged="next_poll_at")

    def _create_is_under_way(self, strangers: list[Fetched]) -> bool:
        """Return whether one of these, which carry no key of ours, may be what a push is just creating."""
        if all(one.record.key for one in strangers):
            return False
        entries = OutboxEntry.objects.using(self.run.using).filter(provider=self.run.alias, sent_at__isnull=False)
        return entries.filter(item=OutboxEntry.Item.CREATE).exists()
