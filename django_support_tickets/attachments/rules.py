"""What a vendor takes, and until when a file can still travel; every complaint is a ValidationError."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_support_tickets.attachments.names import extension_of
from django_support_tickets.attachments.signatures import CONTENT_TYPES, content_type_of, is_what_it_says
from django_support_tickets.attachments.storing import LARGEST
from django_support_tickets.models import Attachment, Comment, Delivery, EpochNow, OutboxEntry, Submission, Ticket
from django_support_tickets.records import AttachmentRules

#: How many files may travel together where the vendor names no limit.
MOST = 100


def require(rules: AttachmentRules | None) -> AttachmentRules:
    """Return the rules; raise ValidationError if the vendor takes no files."""
    if rules is None:
        raise _complaint(_("This account's vendor takes no files."), "unsupported")
    return rules


def largest(rules: AttachmentRules) -> int:
    """Return how many bytes a file may have."""
    return LARGEST if rules.max_bytes is None else rules.max_bytes


def check_name(name: str, rules: AttachmentRules) -> None:
    """Raise ValidationError if a file with this name is not taken; a kind that nobody lists is not."""
    extension, taken = extension_of(name), rules.extensions or CONTENT_TYPES.keys()
    if extension not in taken:
        known = ", ".join(sorted(taken))
        message = _("Files with %(known)s are taken, not with %(extension)r.")
        raise _complaint(message % {"known": known, "extension": extension}, "extension")
    if rules.content_types and content_type_of(name) not in rules.content_types:
        known = ", ".join(sorted(rules.content_types))
        raise _complaint(_("The vendor takes %(known)s.") % {"known": known}, "content_type")


def check_size(size: int, rules: AttachmentRules) -> None:
    """Raise ValidationError if a file of `size` bytes is not taken."""
    if not size:
        raise _complaint(_("The file is empty."), "empty")
    if size > largest(rules):
        raise too_large(rules)


def check_content(name: str, head: bytes) -> None:
    """Raise ValidationError if the first bytes of a file are not of the kind that its name says."""
    if not is_what_it_says(name, head):
        message = _("The content of the file is not what %(extension)r says.") % {"extension": extension_of(name)}
        raise _complaint(message, "signature")


def check_together(sizes: Iterable[int], rules: AttachmentRules) -> None:
    """Raise ValidationError if files of these sizes are not taken together."""
    sizes = list(sizes)
    most = MOST if rules.max_count is None else rules.max_count
    if len(sizes) > most:
        message = ngettext("At most %(limit)d file.", "At most %(limit)d files.", most) % {"limit": most}
        raise _complaint(message, "too_many")
    if rules.max_total_bytes is not None and sum(sizes) > rules.max_total_bytes:
        message = _("At most %(limit)d bytes for all files together.") % {"limit": rules.max_total_bytes}
        raise _complaint(message, "too_large_together")


def check_company(attachment: Attachment, sizes: Iterable[int], rules: AttachmentRules) -> None:
    """Raise ValidationError if the vendor would not take files of these sizes, as this one, beside those of their send.

    Where each file is a send of its own, a vendor's limits are those of the ticket.
    """
    others = Attachment.objects.using(attachment.ticket._state.db).filter(
        ticket=attachment.ticket, direction=Attachment.Direction.OUT
    )
    if "after" not in rules.moments or rules.max_count is None:
        others = others.filter(comment=attachment.comment)
    others = others.exclude(delivery=Delivery.REFUSED).exclude(pk=attachment.pk)
    check_together([*sizes, *(size or 0 for size in others.values_list("size", flat=True))], rules)


def check_moment(attachment: Attachment, rules: AttachmentRules) -> None:
    """Raise ValidationError if what the file would travel with has left, or may have, and the vendor takes none later.

    The outbox entry stays locked until the caller's transaction ends, so that nothing leaves in between.
    """
    if attachment.comment is not None and attachment.comment.ticket_id != attachment.ticket_id:
        raise _complaint(_("It belongs to a comment of another ticket."), "foreign")
    if "after" in rules.moments:
        return
    if attachment.comment is not None:
        if "comment" in rules.moments and _comment_waits(attachment.comment):
            return
        message = _("This account's vendor takes files only together with the comment, which was sent already.")
    else:
        if "create" in rules.moments and _ticket_waits(attachment.ticket):
            return
        message = _("This account's vendor takes files only together with the ticket, which was sent already.")
    raise _complaint(message, "too_late")


def too_large(rules: AttachmentRules) -> ValidationError:
    """Return the complaint about a file with too many bytes."""
    return _complaint(_("At most %(limit)d bytes.") % {"limit": largest(rules)}, "too_large")


def _ticket_waits(ticket: Ticket) -> bool:
    delivery = _stored_delivery(ticket)
    if delivery == Delivery.DRAFT:
        return True
    return delivery == Delivery.QUEUED and _is_free(_entries(ticket).filter(sent_at=None))


def _comment_waits(comment: Comment) -> bool:
    _stored_delivery(comment.ticket)  # locked first, as everywhere
    delivery = _stored_delivery(comment)
    if delivery == Delivery.DRAFT:
        return True
    entry = _entries(comment.ticket).first()
    if delivery != Delivery.QUEUED or entry is None:
        return False
    if entry.sent_at is not None:
        return (entry.item, entry.item_id) != (OutboxEntry.Item.COMMENT, comment.pk)
    # A worker that has taken the entry and not marked an item yet may have read this comment, without this file.
    return _is_free(_entries(comment.ticket))


def _is_free(entries: QuerySet[OutboxEntry]) -> bool:
    """Return whether a worker must claim the entry before it can send: with a lease that ran out it cannot."""
    return entries.filter(Q(lease_token=None) | Q(leased_until__lt=EpochNow())).exists()


def _stored_delivery(item: Submission) -> str | None:
    """Return the delivery as it is stored, and stays until the caller's transaction ends: the instance may be stale."""
    rows = type(item)._base_manager.using(item._state.db).select_for_update().filter(pk=item.pk)
    return rows.values_list("delivery", flat=True).first()


def _entries(ticket: Ticket) -> QuerySet[OutboxEntry]:
    return OutboxEntry.objects.using(ticket._state.db).select_for_update().filter(ticket_id=ticket.pk)


def _complaint(message: Any, code: str) -> ValidationError:
    return ValidationError({"file": [ValidationError(message, code=code)]})
