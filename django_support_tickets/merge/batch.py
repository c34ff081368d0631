from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from django.db.models import Model

from django_support_tickets.merge import cleaning
from django_support_tickets.merge.arrivals import Difference, Fetched, MergeCounts
from django_support_tickets.merge.conversation import EDITABLE, Conversation
from django_support_tickets.merge.guard import Stored, Verdict, hint_since, judge
from django_support_tickets.merge.ownership import TEXTS, apply_fields, for_timeline, owned_columns, visible
from django_support_tickets.merge.schedule import Intervals, intervals, next_poll
from django_support_tickets.merge.writing import Row, find_keys, insert_rows, new_row, update_rows
from django_support_tickets.models import Attachment, Comment, Delivery, Ticket, TicketEvent, database_time
from django_support_tickets.records import ABSENT, Capabilities
from django_support_tickets.signals import attachment_added, comment_added

Event = TicketEvent.Kind

#: Columns of merge itself, written with what is the vendor's.
BOOKKEEPING = ("digest", "synced_at", "next_poll_at", "missing_since", "updated_at")


@dataclass(slots=True)
class News:
    """One ticket about which a record says something new."""

    fetched: Fetched
    digest: str
    stored: Stored | None = None
    # Set by `Batch.load()`, or by whoever imports it.
    ticket: Ticket = field(default=cast("Ticket", None))
    conversation: Conversation = field(default_factory=Conversation)
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    found_again: bool = False
    imported: bool = False

    @property
    def is_visible(self) -> bool:
        """Return whether people would call it news: a field that they see, a comment, a file, or that it is back."""
        talk = self.conversation
        return bool(visible(self.changes) or talk.new_comments or talk.new_attachments or self.found_again)

    @property
    def touches_row(self) -> bool:
        """Return whether anything of the ticket or its conversation changes, visible or not."""
        talk = self.conversation
        return bool(self.changes or talk.edited_comments or talk.linked_comments) or self.is_visible

    def note_latest_comment(self) -> None:
        """Move the ticket's `last_comment_at` on to the newest comment that has arrived."""
        before, latest = self.ticket.last_comment_at, self.conversation.latest
        if latest is not None and (before is None or latest > before):
            self.changes["last_comment_at"] = (before, latest)
            self.ticket.last_comment_at = latest


@dataclass(slots=True)
class Batch:
    """What one page of records does to the database: planned first, then written by few statements."""

    alias: str
    using: str
    source: str
    capabilities: Capabilities
    counts: MergeCounts = field(default_factory=MergeCounts)
    news: list[News] = field(default_factory=list)
    # (pk, (synced_at, next_poll_at)) of tickets of which nothing else changes.
    looked_at: list[Row] = field(default_factory=list)
    _now: datetime | None = None
    _steps: Intervals | None = None

    def fresh(self) -> Batch:
        """Return an empty batch for the same account: a transaction that starts over plans anew."""
        return replace(self, counts=MergeCounts(), news=[], looked_at=[], _now=None, _steps=None)

    @property
    def now(self) -> datetime:
        """The database's clock, asked once."""
        self._now = self._now or database_time(self.using)
        return self._now

    def add(self, stored: Stored | None, fetched: Fetched) -> None:
        """Sort one record into news and the rest."""
        if stored is None:
            self.counts.unknown += 1
            return
        digest = cleaning.digest(fetched.record)
        match judge(stored, fetched, digest, self.capabilities):
            case Verdict.NEWS:
                self.news.append(News(fetched, digest, stored))
            case Verdict.SAME:
                self.counts.unchanged += 1
                due = self._due(stored, fetched, stored.status, stored.last_change)
                self.looked_at.append((stored.pk, (fetched.started, due)))
            case Verdict.STALE:
                self.counts.stale += 1
                due = self._due(stored, fetched, stored.status, stored.last_change)
                self.looked_at.append((stored.pk, (stored.synced_at, due)))
            case Verdict.ERASED:
                self.counts.unchanged += 1
            case Verdict.DOUBTFUL:
                self.counts.stale += 1
                self.looked_at.append((stored.pk, (stored.synced_at, self.now)))

    def load(self) -> None:
        """Read what the news need of the stored rows: three queries, however many they are."""
        ids = [one.stored.pk for one in self.news if one.stored is not None]
        if not ids:
            return
        tickets = Ticket.objects.using(self.using).defer("raw").in_bulk(ids)
        talks = {pk: Conversation() for pk in ids}
        if any(one.fetched.record.comments or one.fetched.record.attachments for one in self.news):
            for comment in Comment.objects.using(self.using).filter(ticket__in=ids).order_by("created_at", "pk"):
                talks[comment.ticket_id].comments.append(comment)
        if any(one.fetched.record.attachments for one in self.news):
            for file in Attachment.objects.using(self.using).filter(ticket__in=ids).order_by("created_at", "pk"):
                talks[file.ticket_id].attachments.append(file)
        for one in self.news:
            if one.stored is not None:
                one.ticket, one.conversation = tickets[one.stored.pk], talks[one.stored.pk]

    def plan(self) -> None:
        """Decide what is written, on the loaded instances."""
        for one in self.news:
            self._plan_one(one)
            self.counts.comments += len(one.conversation.new_comments)
            self.counts.attachments += len(one.conversation.new_attachments)
            self.counts.found_again += one.found_again
            if one.imported:
                self.counts.imported += 1
            elif one.is_visible:
                self.counts.changed += 1
            else:
                self.counts.unchanged += 1

    def differences(self) -> list[Difference]:
        """Return what the news change, for people."""
        return [
            Difference(
                ticket=str(one.ticket),
                changes={
                    name: ("…", "changed") if name in TEXTS else pair for name, pair in visible(one.changes).items()
                },
                comments=len(one.conversation.new_comments),
                attachments=len(one.conversation.new_attachments),
            )
            for one in self.news
            if one.is_visible
        ]

    def write(self) -> None:
        """Write it all. Tickets come first and in the order of their keys, so that two merges cannot lock crosswise."""
        update_rows(Ticket, ("synced_at", "next_poll_at"), self.looked_at, using=self.using)
        self._write_tickets()
        self._write_comments()
        self._write_attachments()
        events = [event for one in self.news if not one.imported for event in self._events(one)]
        insert_rows(TicketEvent, events, using=self.using)

    def _plan_one(self, one: News) -> None:
        record, ticket = one.fetched.record, one.ticket
        if not one.imported:
            one.changes = apply_fields(ticket, record)
        one.conversation.merge(ticket, record, now=self.now)
        if record.last_comment_at is ABSENT:
            one.note_latest_comment()
        one.found_again, ticket.missing_since = ticket.missing_since is not None, None
        ticket.digest, ticket.synced_at = one.digest, one.fetched.started
        if record.raw:
            ticket.raw = cleaning.raw(record.raw)
        if one.touches_row:
            ticket.updated_at = self.now
        ticket.next_poll_at = self._due_after_news(one)

    def _due_after_news(self, one: News) -> datetime | None:
        ticket, stored = one.ticket, one.stored
        is_new_change = one.is_visible and stored is not None and stored.synced_at is not None
        signs = (ticket.remote_updated_at, ticket.last_comment_at, ticket.delivered_at)
        last_change = self.now if is_new_change else max((s for s in signs if s), default=ticket.created_at)
        return self._due(stored, one.fetched, ticket.status, last_change)

    def _due(self, stored: Stored | None, fetched: Fetched, status: str, last_change: datetime) -> datetime | None:
        self._steps = self._steps if self._steps is not None else intervals()
        planned = next_poll(status, last_change, now=self.now, capabilities=self.capabilities, steps=self._steps)
        hint = hint_since(stored, fetched) if stored is not None else None
        return min((when for when in (planned, hint) if when is not None), default=None)

    def _write_tickets(self) -> None:
        shapes: dict[tuple[str, ...], list[Row]] = {}
        for one in self.news:
            if not one.imported:
                raw = ("raw",) if one.fetched.record.raw else ()
                columns = (*owned_columns(one.ticket.origin), *BOOKKEEPING, *raw)
                values = tuple(getattr(one.ticket, name) for name in columns)
                shapes.setdefault(columns, []).append((one.ticket.pk, values))
        for columns, rows in shapes.items():
            update_rows(Ticket, columns, rows, using=self.using)

    def _write_comments(self) -> None:
        talks = [one.conversation for one in self.news]
        for one in self.news:
            for row in one.conversation.new_comments:
                row.ticket_id = one.ticket.pk
        new = [row for talk in talks for row in talk.new_comments]
        insert_rows(Comment, new, using=self.using)
        if comment_added.has_listeners() or any(talk.has_file_of_new_comment for talk in talks):
            find_keys(Comment, new, using=self.using)
        linked = [(row.pk, (row.remote_id,)) for talk in talks for row in talk.linked_comments]
        update_rows(Comment, ("remote_id",), linked, using=self.using)
        shown = [row.pk for talk in talks for row in talk.linked_comments if row.delivery == Delivery.UNCERTAIN]
        mark_delivered(Comment, shown, using=self.using)
        edited = [
            (row.pk, tuple(getattr(row, name) for name in EDITABLE)) for talk in talks for row in talk.edited_comments
        ]
        update_rows(Comment, EDITABLE, edited, using=self.using)

    def _write_attachments(self) -> None:
        talks = [one.conversation for one in self.news]
        for one in self.news:
            for file in one.conversation.new_attachments:
                file.ticket_id = one.ticket.pk
                file.comment_id = file.comment.pk if file.comment is not None else None
        new = [row for talk in talks for row in talk.new_attachments]
        insert_rows(Attachment, new, using=self.using)
        if attachment_added.has_listeners():
            find_keys(Attachment, new, using=self.using)
        changed = [row for talk in talks for row in talk.changed_attachments]
        rows = [(row.pk, (row.remote_id, row.remote_url)) for row in changed]
        update_rows(Attachment, ("remote_id", "remote_url"), rows, using=self.using)
        mark_delivered(Attachment, [row.pk for row in changed if row.delivery == Delivery.UNCERTAIN], using=self.using)

    def _events(self, one: News) -> list[TicketEvent]:
        talk = one.conversation
        found: list[tuple[str, dict[str, Any]]] = []
        if one.found_again:
            found.append((Event.FOUND_AGAIN, {}))
        if changes := visible(one.changes):
            found.append((Event.CHANGED, for_timeline(changes)))
        if talk.new_comments:
            found.append((Event.COMMENTED, {"comments": len(talk.new_comments)}))
        if talk.new_attachments:
            found.append((Event.ATTACHED, {"attachments": len(talk.new_attachments)}))
        return [
            new_row(TicketEvent, ticket_id=one.ticket.pk, kind=kind, source=self.source, changes=changes, at=self.now)
            for kind, changes in found
        ]


def mark_delivered(model: type[Model], pks: Sequence[int], *, using: str) -> None:
    """Count what was uncertain as delivered: the vendor has just shown it."""
    if pks:
        rows: Any = model._base_manager.using(using).filter(pk__in=pks, delivery=Delivery.UNCERTAIN)
        rows.update(delivery=Delivery.DELIVERED, delivery_error="")
