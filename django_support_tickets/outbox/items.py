"""Which item of a ticket goes next, and the draft that a provider gets of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, cast

from django.db.models import QuerySet

from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.records import Capabilities, CommentDraft, FileDraft, TicketDraft

Kind = OutboxEntry.Item
Row = Ticket | Comment | Attachment


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to send: the row, and the files that travel with it."""

    kind: OutboxEntry.Item
    row: Row
    files: tuple[Attachment, ...] = ()

    @property
    def operation(self) -> str:
        """Return the provider's name of the operation."""
        return str(self.kind.value)


def next_item(ticket: Ticket, capabilities: Capabilities, *, using: str) -> Item | None:
    """Return what goes next of a ticket, in the order in which it was submitted; None if nothing is queued.

    A ticket that is refused or uncertain holds back what comes after it.
    """
    moments = capabilities.attachments.moments if capabilities.attachments else frozenset()
    if ticket.delivery == Delivery.QUEUED:
        files = _queued_files(ticket, using=using).filter(comment=None) if "create" in moments else ()
        return Item(Kind.CREATE, ticket, tuple(files))
    if ticket.delivery != Delivery.DELIVERED:
        return None
    comments = Comment.objects.using(using).filter(ticket=ticket, delivery=Delivery.QUEUED).order_by("created_at", "id")
    comment = comments.first() if capabilities.can_comment else None
    file = _queued_files(ticket, using=using).first() if "after" in moments else None
    if file is not None and (comment is None or _goes_before(file, comment)):
        return Item(Kind.UPLOAD, file)
    if comment is not None:
        files = _queued_files(ticket, using=using).filter(comment=comment) if "comment" in moments else ()
        return Item(Kind.COMMENT, comment, tuple(files))
    return Item(Kind.CLOSE, ticket) if ticket.close_delivery == Delivery.QUEUED else None


def ticket_draft(ticket: Ticket, files: Iterable[Attachment], *, sent_at: int | None) -> TicketDraft:
    """Return the draft of a ticket; `sent_at` in epoch milliseconds is when its first byte may have left."""
    return TicketDraft(
        key=str(ticket.key),
        customer_id=ticket.customer_id,
        contact_name=ticket.contact_name,
        contact_email=ticket.contact_email,
        subject=ticket.subject,
        description=ticket.description,
        priority=ticket.priority,
        category=ticket.category,
        tags=tuple(ticket.tags),
        options=ticket.options,
        files=tuple(file_draft(file) for file in files),
        sent_at=None if sent_at is None else datetime.fromtimestamp(0, tz=UTC) + timedelta(milliseconds=sent_at),
    )


def comment_draft(comment: Comment, files: Iterable[Attachment]) -> CommentDraft:
    """Return the draft of a comment."""
    return CommentDraft(key=str(comment.key), body=comment.body, files=tuple(file_draft(file) for file in files))


def file_draft(attachment: Attachment) -> FileDraft:
    """Return the draft of a file; it is opened anew in storage for each send."""
    return FileDraft(
        key=str(attachment.key),
        name=attachment.name,
        content_type=attachment.content_type,
        size=attachment.size or 0,
        sha256=attachment.sha256,
        open=_opener(attachment),
    )


def _goes_before(file: Attachment, comment: Comment) -> bool:
    return file.comment_id == comment.pk or file.created_at <= comment.created_at


def _opener(attachment: Attachment) -> Callable[[], BinaryIO]:
    storage, name = attachment.file.storage, str(attachment.file.name)
    return lambda: cast(BinaryIO, storage.open(name, "rb"))


def _queued_files(ticket: Ticket, *, using: str) -> QuerySet[Attachment]:
    files = Attachment.objects.using(using).filter(ticket=ticket, delivery=Delivery.QUEUED)
    return files.filter(direction=Attachment.Direction.OUT).order_by("created_at", "id")
