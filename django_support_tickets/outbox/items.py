"""Which item of a ticket goes next, and the draft that a provider gets of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, BinaryIO, TypeVar, cast

from django.db.models import OuterRef, Q, QuerySet
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.models.statements import Slot, Statement, slot
from django_support_tickets.records import Capabilities, CommentDraft, FileDraft, TicketDraft

Kind = OutboxEntry.Item
Row = Ticket | Comment | Attachment
S = TypeVar("S", Comment, Attachment)

#: Tickets whose items may be sent.
SENDABLE = (Delivery.QUEUED, Delivery.DELIVERED)
NO_COMMENTS = _("This account's vendor takes no comments.")
NO_CLOSING = _("This account's vendor has no way to close a ticket.")
TOO_LATE = _("This account's vendor takes files only together with the ticket or comment, which was sent already.")


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


def next_item(ticket: Ticket, capabilities: Capabilities, *, using: str, has_files: bool = True) -> Item | None:
    """Return what goes next of a ticket, in the order in which it was submitted; None if nothing can go now.

    A ticket that is refused or uncertain holds back what comes after it, and so does a comment its files.
    `has_files` False: no file of it is queued.
    """
    travelling = travels(capabilities) if has_files else frozenset()
    if ticket.delivery == Delivery.QUEUED:
        return Item(Kind.CREATE, ticket, _files_of(ticket, None, using=using) if Kind.CREATE in travelling else ())
    if ticket.delivery != Delivery.DELIVERED:
        return None
    comment = _first(Comment, ticket, using=using)
    with_comments = Kind.COMMENT in travelling
    file = _first(Attachment, ticket, using=using, travelling=with_comments) if has_files else None
    if file is not None and (comment is None or _goes_before(file, comment)):
        return Item(Kind.UPLOAD, file)
    if comment is not None:
        return Item(Kind.COMMENT, comment, _files_of(ticket, comment, using=using) if with_comments else ())
    return Item(Kind.CLOSE, ticket) if ticket.close_delivery == Delivery.QUEUED else None


def item_in_flight(entry: OutboxEntry, capabilities: Capabilities, *, using: str) -> Item | None:
    """Return the item that the mark names, with the files that can have travelled with it; None if it is gone."""
    kind, ticket = Kind(entry.item), entry.ticket
    row: Row | None = ticket
    if kind == Kind.COMMENT:
        row = queued_comments(ticket.pk, using=using).filter(pk=entry.item_id or 0).first()
    elif kind == Kind.UPLOAD:
        files_of_ticket = Attachment.objects.using(using).filter(ticket=ticket, delivery=Delivery.QUEUED)
        row = files_of_ticket.filter(pk=entry.item_id or 0).first()
    if row is None or (ticket.close_delivery if kind == Kind.CLOSE else row.delivery) != Delivery.QUEUED:
        return None
    files: tuple[Attachment, ...] = ()
    if kind in travels(capabilities):
        files = _files_of(ticket, row if isinstance(row, Comment) else None, using=using)
    # One that nobody has prepared yet came later, without an announcement.
    return Item(kind, row, tuple(file for file in files if file.submitted_at is not None))


def complaint_of(item: Item, capabilities: Capabilities) -> str:
    """Return why the vendor has no way to take this item at all, "" if it has one; in English, as it is stored."""
    moments = moments_of(capabilities)
    complaint: Any = ""
    if item.kind == Kind.COMMENT and not capabilities.can_comment:
        complaint = capabilities.no_comment_reason or NO_COMMENTS
    if item.kind == Kind.UPLOAD and "after" not in moments:
        complaint = TOO_LATE
    if item.kind == Kind.CLOSE and not capabilities.can_close:
        complaint = NO_CLOSING
    if not complaint:
        return ""
    with translation.override(None):
        return str(complaint)


def queued_comments(ticket_id: int | OuterRef | Slot, *, using: str | None = None) -> QuerySet[Comment]:
    """Return the comments of a ticket that wait to be sent, in order."""
    rows = Comment.objects.using(using).filter(ticket=ticket_id, delivery=Delivery.QUEUED)
    return rows.order_by("created_at", "id")


def queued_files(ticket_id: int | OuterRef | Slot, *, using: str | None = None) -> QuerySet[Attachment]:
    """Return the files of a ticket that wait to be sent, in order, without those that their comment holds back."""
    rows = Attachment.objects.using(using).filter(ticket=ticket_id, delivery=Delivery.QUEUED)
    return rows.filter(outgoing()).order_by("created_at", "id")


def outgoing(prefix: str = "") -> Q:
    """Return the condition for files that go to the vendor and are not held back by their comment."""
    free = Q(**{f"{prefix}comment": None}) | Q(**{f"{prefix}comment__delivery__in": SENDABLE})
    return Q(**{f"{prefix}direction": Attachment.Direction.OUT}) & free


def queued_items(kind: OutboxEntry.Item) -> QuerySet[Any]:
    """Return the rows of a kind that wait to be sent; for use in a subquery."""
    models: dict[OutboxEntry.Item, type[Row]] = {Kind.COMMENT: Comment, Kind.UPLOAD: Attachment}
    column = "close_delivery" if kind == Kind.CLOSE else "delivery"
    return models.get(kind, Ticket)._base_manager.filter(**{column: Delivery.QUEUED})


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
        sent_at=utc_moment(sent_at),
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


def utc_moment(epoch_ms: int | None) -> datetime | None:
    """Return epoch milliseconds as records have times: aware, in UTC."""
    return None if epoch_ms is None else datetime.fromtimestamp(0, tz=UTC) + timedelta(milliseconds=epoch_ms)


def moments_of(capabilities: Capabilities) -> frozenset[str]:
    """Return the moments at which the vendor takes files, none where it takes no files."""
    return capabilities.attachments.moments if capabilities.attachments else frozenset()


def travels(capabilities: Capabilities) -> frozenset[OutboxEntry.Item]:
    """Return with which kinds of items files travel.

    Where a vendor takes files by themselves, each goes by itself: of one that is added while its ticket is on its way
    nobody could tell whether it was in time.
    """
    moments = moments_of(capabilities)
    return frozenset() if "after" in moments else frozenset({Kind.CREATE, Kind.COMMENT} & moments)


def _first(model: type[S], ticket: Ticket, *, using: str, travelling: bool = False) -> S | None:
    """Return the comment or file of a ticket that waits longest to be sent by itself."""
    for values in _queued_first(model, travelling).rows(using, ticket=ticket.pk):
        row = model.from_db(using, _columns(model), values)
        row.ticket = ticket
        return row
    return None


@cache
def _queued_first(model: type[Comment | Attachment], travelling: bool) -> Statement:
    ticket = slot(Ticket, "id", "ticket")
    rows: QuerySet[Any] = queued_comments(ticket) if model is Comment else queued_files(ticket)
    if travelling:
        # They go with it; what hangs on a comment of another ticket is refused by itself.
        rows = rows.exclude(comment__delivery=Delivery.QUEUED, comment__ticket=ticket)
    return Statement(rows.values_list(*_columns(model))[:1].query)


@cache
def _columns(model: type[Comment | Attachment]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


def _goes_before(file: Attachment, comment: Comment) -> bool:
    return file.comment_id == comment.pk or file.created_at <= comment.created_at


def _opener(attachment: Attachment) -> Callable[[], BinaryIO]:
    storage, name = attachment.file.storage, str(attachment.file.name)
    return lambda: cast(BinaryIO, storage.open(name, "rb"))


def _files_of(ticket: Ticket, comment: Comment | None, *, using: str) -> tuple[Attachment, ...]:
    return tuple(queued_files(ticket.pk, using=using).filter(comment=comment))
