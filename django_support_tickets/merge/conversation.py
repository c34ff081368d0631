"""Comments and files: which of those at the vendor are new, and which are only our own coming back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django_support_tickets.merge import cleaning
from django_support_tickets.merge.writing import new_row
from django_support_tickets.models import Attachment, Comment, Delivery, Ticket
from django_support_tickets.models.names import display_name, original_of
from django_support_tickets.records import AttachmentRecord, CommentRecord, TicketRecord, normalised_text
from django_support_tickets.vocabulary import NEVER_US

#: What may be at the vendor although its id is not known here yet.
MAY_BE_THERE = frozenset({Delivery.QUEUED, Delivery.UNCERTAIN, Delivery.DELIVERED})
#: Columns of a comment that its vendor may correct.
EDITABLE = ("author_type", "author_name", "body", "body_format", "sent_at", "updated_at")


@dataclass(slots=True)
class Conversation:
    """The stored comments and files of one ticket, and what a record adds to them."""

    comments: list[Comment] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    new_comments: list[Comment] = field(default_factory=list)
    linked_comments: list[Comment] = field(default_factory=list)
    edited_comments: list[Comment] = field(default_factory=list)
    new_attachments: list[Attachment] = field(default_factory=list)
    changed_attachments: list[Attachment] = field(default_factory=list)

    def merge(self, ticket: Ticket, record: TicketRecord, *, now: datetime) -> None:
        """Sort the record's comments and files into new, linked and edited ones. Nothing is ever removed."""
        if record.comments:
            self._merge_comments(ticket, record.comments, now=now)
        if record.attachments:
            self._merge_attachments(record.attachments, now=now)

    @property
    def latest(self) -> datetime | None:
        """Return when the newest of the new comments was sent."""
        return max((comment.sent_at for comment in self.new_comments if comment.sent_at), default=None)

    @property
    def has_file_of_new_comment(self) -> bool:
        """Return whether a new file hangs on a comment that has no primary key yet."""
        return any(file.comment is not None and file.comment.pk is None for file in self.new_attachments)

    def _merge_comments(self, ticket: Ticket, records: Sequence[CommentRecord], *, now: datetime) -> None:
        known = {comment.remote_id: comment for comment in self.comments if comment.remote_id}
        ours = [comment for comment in self.comments if not comment.remote_id and comment.delivery in MAY_BE_THERE]
        counted: Counter[str] = Counter()
        copy = _copy_of_description(ticket, records)
        for record in records:
            remote_id = _comment_id(record, counted)
            if record is copy or not remote_id:
                continue
            if (stored := known.get(remote_id)) is not None:
                self._edit(stored, record, now=now)
            elif (own := _take_echo(ours, record)) is not None:
                own.remote_id = remote_id
                known[remote_id] = own
                self.linked_comments.append(own)
            else:
                known[remote_id] = self._add_comment(remote_id, record, now=now)

    def _add_comment(self, remote_id: str, record: CommentRecord, *, now: datetime) -> Comment:
        values = _comment_values(record)
        created_at = min(values["sent_at"] or now, now)
        comment = new_row(Comment, remote_id=remote_id, delivery=Delivery.DELIVERED, created_at=created_at, **values)
        self.new_comments.append(comment)
        return comment

    def _edit(self, stored: Comment, record: CommentRecord, *, now: datetime) -> None:
        if not _is_from_vendor(stored):
            return
        values = _comment_values(record)
        if any(getattr(stored, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(stored, name, value)
            stored.updated_at = now
            if stored.pk is not None:
                self.edited_comments.append(stored)

    def _merge_attachments(self, records: Sequence[AttachmentRecord], *, now: datetime) -> None:
        known = {file.remote_id: file for file in self.attachments if file.remote_id}
        ours = [file for file in self.attachments if not file.remote_id and file.delivery in MAY_BE_THERE]
        by_comment = {comment.remote_id: comment for comment in (*self.comments, *self.new_comments)}
        counted: Counter[str] = Counter()
        for record in records:
            remote_id = _attachment_id(record, counted)
            stored = known.get(remote_id) or _take_upload(ours, record)
            if stored is not None:
                known[remote_id] = stored
                self._refresh(stored, remote_id, record)
                continue
            file = new_row(Attachment, remote_id=remote_id, created_at=now, **_attachment_values(record))
            if record.comment_id in by_comment:
                file.comment = by_comment[record.comment_id]
            known[remote_id] = file
            self.new_attachments.append(file)

    def _refresh(self, stored: Attachment, remote_id: str, record: AttachmentRecord) -> None:
        url = cleaning.text(record.remote_url)
        if stored.pk is not None and (stored.remote_id, stored.remote_url) != (remote_id, url):
            stored.remote_id, stored.remote_url = remote_id, url
            self.changed_attachments.append(stored)


def _comment_id(record: CommentRecord, counted: Counter[str]) -> str:
    """Return the vendor's id, or what stands in for it; equal comments of one record are told apart by counting."""
    if given := _given_id(record):
        return given
    sent_at = cleaning.moment(record.sent_at)
    return _counted(cleaning.pseudo_id(sent_at, record.author_name, record.body), counted)


def _attachment_id(record: AttachmentRecord, counted: Counter[str]) -> str:
    if given := _given_id(record):
        return given
    return _counted(cleaning.pseudo_id(record.name, record.size, record.comment_id), counted)


def _given_id(record: CommentRecord | AttachmentRecord) -> str:
    given = cleaning.text(record.remote_id)
    return given if len(given) <= 255 else cleaning.pseudo_id(given)


def _counted(pseudo_id: str, counted: Counter[str]) -> str:
    counted[pseudo_id] += 1
    return pseudo_id if counted[pseudo_id] == 1 else f"{pseudo_id}-{counted[pseudo_id]}"


def _take_echo(ours: list[Comment], record: CommentRecord) -> Comment | None:
    """Return, and take out of `ours`, the comment of ours that this one is."""
    if record.author_type in NEVER_US:
        return None
    wanted = normalised_text(cleaning.text(record.body), cleaning.body_format(record.body_format))
    for comment in ours:
        if normalised_text(comment.body, comment.body_format) == wanted:
            ours.remove(comment)
            return comment
    return None


def _take_upload(ours: list[Attachment], record: AttachmentRecord) -> Attachment | None:
    for file in ours:
        if file.name == record.name and (record.size is None or file.size in (None, record.size)):
            ours.remove(file)
            return file
    return None


def _copy_of_description(ticket: Ticket, records: Sequence[CommentRecord]) -> CommentRecord | None:
    """Return the comment that is only the vendor's copy of the description: its first, with the same text."""
    description = normalised_text(ticket.description)
    if not description:
        return None
    first = min(records, key=_age)
    is_copy = normalised_text(cleaning.text(first.body), cleaning.body_format(first.body_format)) == description
    return first if is_copy and first.author_type not in NEVER_US else None


def _age(record: CommentRecord) -> float:
    return record.sent_at.timestamp() if isinstance(record.sent_at, datetime) else 0.0


def _is_from_vendor(comment: Comment) -> bool:
    return comment.submitted_at is None and comment.created_by_id is None and comment.delivery == Delivery.DELIVERED


def _comment_values(record: CommentRecord) -> dict[str, Any]:
    return {
        "author_type": cleaning.author_type(record.author_type),
        "author_name": cleaning.text(record.author_name, 200),
        "body": cleaning.text(record.body),
        "body_format": cleaning.body_format(record.body_format),
        "sent_at": cleaning.moment(record.sent_at),
    }


def _attachment_values(record: AttachmentRecord) -> dict[str, Any]:
    given = cleaning.text(record.name)
    name = display_name(given)
    return {
        "remote_url": cleaning.text(record.remote_url),
        "name": name,
        "original_name": original_of(given, name),
        "content_type": cleaning.text(record.content_type, 100),
        "size": cleaning.size(record.size),
        "direction": Attachment.Direction.IN,
        "state": Attachment.State.REMOTE,
        "delivery": Delivery.DELIVERED,
    }
