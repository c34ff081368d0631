"""Walk a vendor's lists: they make changed tickets due, discover unknown ones and find missing ones."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Q

from django_support_tickets.exceptions import Refused
from django_support_tickets.merge import NOT_FOUND, cleaning, read_rows
from django_support_tickets.models import ERASED, ProviderState, Ticket, milliseconds, moment_of
from django_support_tickets.records import Page, TicketRecord
from django_support_tickets.sync.fetching import Fetching
from django_support_tickets.sync.listing import Listed, Walk, is_news
from django_support_tickets.sync.missing import BRAKE_COUNT, is_braked
from django_support_tickets.sync.run import Run
from django_support_tickets.sync.selection import BATCH, keys_of, living_tickets, scopes_of
from django_support_tickets.transport import total_deadline

WALK_SECONDS = 3600.0
RETRY_SECONDS = 300.0
#: A cursor that is older than this is not tried any more.
CURSOR_MS = milliseconds(WALK_SECONDS)
#: A cursor is saved with its page. Where a page has brought nothing, at most so many seconds of walking are repeated.
SAVE_WITHIN = 1.0
#: More pages than this are no list but a loop.
MOST_PAGES = 10_000


class Walking:
    """The list walks of one run."""

    def __init__(self, run: Run, fetching: Fetching, *, full: bool = False) -> None:
        self.run = run
        self.fetching = fetching
        self.full = full
        # Of a dry run, which cannot make them due.
        self.changed: list[int] = []

    def walk_due(self) -> None:
        """Walk every list that is due, several at once; a walk that is stopped goes on at its cursor next time."""
        began = self.run.clock()
        for state in self._due_states():
            if self.run.is_over:
                break
            self._submit(self._begin(state))
            self.run.drain(until=self.run.crew.size if not self.run.unproven else 0)
        self.fetching.finish()
        if not self.run.dry and not self.run.is_over:
            self._forget_unwanted(before=began)

    def _due_states(self) -> Iterator[ProviderState]:
        run = self.run
        scopes = scopes_of(run.provider, using=run.using)
        for start in range(0, len(scopes), BATCH):
            for state in self._states(scopes[start : start + BATCH]):
                if self.full or state.next_walk_at is None or state.next_walk_at <= run.clock():
                    yield state

    def _states(self, scopes: Sequence[str]) -> list[ProviderState]:
        """Return the states of lists, made on first use."""
        rows = ProviderState.objects.using(self.run.using)
        known = {state.scope: state for state in rows.filter(provider=self.run.alias, scope__in=scopes)}
        new = [ProviderState(provider=self.run.alias, scope=scope) for scope in scopes if scope not in known]
        if not self.run.dry:
            rows.bulk_create(new, ignore_conflicts=True)
        return [*known.values(), *new]

    def _forget_unwanted(self, *, before: int) -> None:
        """Forget the lists that were due and are not walked any more, as of a customer whose tickets are settled."""
        rows = ProviderState.objects.using(self.run.using).filter(provider=self.run.alias).exclude(scope="")
        rows.filter(next_walk_at__lte=before).delete()

    def _begin(self, state: ProviderState) -> Walk:
        now = self.run.clock()
        started_at = state.walk_started_at
        if state.cursor and started_at and now - started_at < CURSOR_MS and not self.run.dry:
            return Walk(state, state.cursor, started_at, is_whole=False)
        return Walk(state, None, now, is_whole=True)

    def _submit(self, walk: Walk) -> None:
        self.run.crew.submit(partial(self._list, walk))

    def _list(self, walk: Walk) -> Callable[[], None]:
        """Ask for one page; runs in a thread of the crew, and what it returns in the writing one."""
        try:
            with total_deadline(self.run.provider.deadline_of("list")):
                page = self.run.provider.list_changed(walk.state.scope, walk.cursor)
            if not isinstance(page, Page):
                raise TypeError("not a Page")
        except Exception as error:  # counted and named where it is taken
            return partial(self._fail, walk, error)
        return partial(self._take, walk, page)

    def _fail(self, walk: Walk, error: Exception) -> None:
        if isinstance(error, Refused) and walk.cursor is not None and not walk.pages:
            # The cursor of an earlier process is not good any more: from the start.
            self._submit(Walk(walk.state, None, self.run.clock(), is_whole=True))
            return
        self._use(walk, is_last=False, saves=True)
        name = f"list {walk.state.scope}".rstrip()
        self.run.note_error(name, error)
        if not self.run.counts.paused:
            wait = WALK_SECONDS if isinstance(error, Refused) else RETRY_SECONDS
            self._update_state(walk, next_walk_at=self.run.clock() + milliseconds(wait))

    def _take(self, walk: Walk, page: Page) -> None:
        self.run.note_answer()
        walk.pages += 1
        is_last = page.next_cursor is None or self._is_loop(walk, page.next_cursor)
        walk.cursor = page.next_cursor
        if not is_last and not self.run.is_over:
            self._submit(walk)
        self._collect(walk, page, is_last=is_last)
        self.fetching.write_if_enough()

    def _is_loop(self, walk: Walk, cursor: str) -> bool:
        """Return whether the list would never end; such a walk proves nothing about what it has not shown."""
        looped = cursor in walk.cursors or walk.pages >= MOST_PAGES
        walk.cursors.add(cursor)
        if looped:
            walk.is_whole = False
            self.run.counts.fail(f"list {walk.state.scope}".rstrip(), "the list does not end", account=self.run.alias)
        return looped

    def _collect(self, walk: Walk, page: Page, *, is_last: bool) -> None:
        """Take the rows of a page, and use them when there are enough for a query."""
        for record in page.records:
            if cleaning.is_remote_id(record.remote_id):
                walk.rows[record.remote_id] = record
            else:
                name = f"list {walk.state.scope}".rstrip()
                self.run.counts.fail(name, "a ticket in it has no usable id", account=self.run.alias)
        is_time = time.monotonic() - walk.saved_at > SAVE_WITHIN
        if is_last or is_time or self.run.is_over or len(walk.rows) >= BATCH:
            self._use(walk, is_last=is_last, saves=is_last or is_time or self.run.is_over)

    def _use(self, walk: Walk, *, is_last: bool, saves: bool) -> None:
        records, walk.rows = walk.rows, {}
        self.run.counts.listed += len(records)
        stored = self._stored(list(records))
        changed = [row.pk for row in stored.values() if is_news(row, records[row.remote_id])]
        walk.seen.extend(row.pk for row in stored.values())
        self.run.counts.hinted += len(changed)
        if self.run.dry:
            self.changed += changed
        elif changed or saves:
            with transaction.atomic(using=self.run.using):
                self._hint(changed)
                self._save_cursor(walk, is_last=is_last)
        self._look_at_strangers(walk, [record for name, record in records.items() if name not in stored])
        if is_last and walk.is_whole and not self.run.dry:
            self._suspect_unlisted(walk)

    def _stored(self, remote_ids: list[str]) -> dict[str, Listed]:
        rows = read_rows(Ticket, Listed._fields, using=self.run.using, alias=self.run.alias, remote_ids=remote_ids)
        return {row.remote_id: row for row in map(Listed._make, rows)}

    def _hint(self, pks: list[int]) -> None:
        if pks:
            now = moment_of(self.run.clock())
            Ticket.objects.using(self.run.using).filter(pk__in=pks).update(next_poll_at=now)

    def _save_cursor(self, walk: Walk, *, is_last: bool) -> None:
        walk.saved_at = time.monotonic()
        if is_last:
            next_walk_at = self.run.clock() + milliseconds(WALK_SECONDS)
            self._update_state(walk, cursor="", walk_started_at=None, next_walk_at=next_walk_at)
        else:
            self._update_state(walk, cursor=walk.cursor or "", walk_started_at=walk.started_at)

    def _update_state(self, walk: Walk, **values: Any) -> None:
        if not self.run.dry:
            rows = ProviderState.objects.using(self.run.using)
            rows.filter(provider=self.run.alias, scope=walk.state.scope).update(**values)

    def _look_at_strangers(self, walk: Walk, records: list[TicketRecord]) -> None:
        """Count what nobody here knows; where it is to be imported, fetch it first: only a GET shows all of it."""
        keys = [key for record in records if (key := cleaning.own_key(record.key))]
        ours = self._ours(keys) if keys else set()
        strangers = [record for record in records if cleaning.own_key(record.key) not in ours]
        self.run.counts.unknown += len(strangers)
        if not self.run.provider.import_unknown or self.run.dry:
            return
        scope = walk.state.scope if self.run.provider.capabilities.lists_by_customer else ""
        for record in strangers:
            self.fetching.submit_stranger(record.remote_id, record.customer_id or scope)

    def _ours(self, keys: list[str]) -> set[str]:
        rows = Ticket.objects.using(self.run.using).of(self.run.alias)
        return {str(key) for key in rows.filter(key__in=keys).values_list("key", flat=True)}

    def _suspect_unlisted(self, walk: Walk) -> None:
        """Have those looked at that a whole walk has not shown; only the GET can find them missing."""
        walk.seen = array("q", sorted(walk.seen))
        unlisted, total = set[int](), 0
        for pks in self._expected(walk):
            total += len(pks)
            unlisted |= walk.unseen(pks)
            if len(unlisted) > BRAKE_COUNT:
                break
        if is_braked(len(unlisted), of=total):
            # Where there are more than that, not all are counted.
            self.run.counts.braked = max(self.run.counts.braked, min(len(unlisted), BRAKE_COUNT + 1))
        elif unlisted:
            now = moment_of(self.run.clock())
            rows = Ticket.objects.using(self.run.using).filter(pk__in=unlisted).exclude(digest=ERASED)
            rows.update(next_poll_at=now, digest=NOT_FOUND)

    def _expected(self, walk: Walk) -> Iterator[list[int]]:
        """Return the tickets that the list should have shown: at the vendor since before the walk began."""
        began = moment_of(walk.started_at)
        rows = living_tickets(self.run.alias, self.run.provider.capabilities, using=self.run.using).filter(
            Q(delivered_at__lt=began) | Q(delivered_at=None, created_at__lt=began)
        )
        # What a GET has shown meanwhile is there, such as a ticket that this very walk has imported.
        rows = rows.filter(missing_since=None).exclude(digest=NOT_FOUND).exclude(synced_at__gte=began)
        if self.run.provider.capabilities.lists_by_customer:
            rows = rows.filter(customer_id=walk.state.scope)
        return keys_of(rows)
