"""Whether a byte of something may be on its way, asked under the lock that keeps it from being sent meanwhile."""

from __future__ import annotations

from django_support_tickets.merge import begin_writing
from django_support_tickets.models import Attachment, Comment, EpochNow, OutboxEntry, Submission, Ticket

Kind = OutboxEntry.Item


def ticket_id_of(item: Submission) -> int:
    """Return the primary key of the ticket that an item belongs to."""
    return int(item.pk if isinstance(item, Ticket) else item.ticket_id)  # type: ignore[attr-defined]


def lock(item: Submission, *, using: str) -> Ticket:
    """Return the stored ticket of an item, locked until the caller's transaction ends."""
    begin_writing(Ticket, using=using)
    return Ticket.objects.using(using).select_for_update().defer("raw").get(pk=ticket_id_of(item))


def is_in_flight(item: Submission, *, using: str) -> bool:
    """Return whether the vendor may be getting this item, its ticket or what it travels with just now.

    Until the caller's transaction ends, nobody begins to send anything of the ticket. Raise Ticket.DoesNotExist.
    """
    ticket = lock(item, using=using)
    entries = OutboxEntry.objects.using(using).select_for_update().filter(ticket=ticket.pk)
    entry = entries.annotate(now=EpochNow()).first()
    if entry is None:
        return False
    if entry.sent_at is None:  # a worker may just have chosen any item
        return entry.leased_until is not None and entry.leased_until > entry.now
    return _travels(item, Kind(entry.item), entry.item_id)


def _travels(item: Submission, kind: OutboxEntry.Item, item_id: int | None) -> bool:
    match item:
        case Comment():
            return kind == Kind.COMMENT and item.pk == item_id
        case Attachment() if kind == Kind.UPLOAD:
            return item.pk == item_id
        case Attachment() if kind == Kind.COMMENT:
            return item.comment_id == item_id
        case Attachment():
            return kind == Kind.CREATE and item.comment_id is None
    return True
