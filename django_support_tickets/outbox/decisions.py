"""What a person decides: settle what is uncertain, cancel, close, raise again. Each leaves an event with its actor.

All functions raise ValidationError with a sentence where a decision is not possible (any more).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import ProtectedError, QuerySet
from django.utils.translation import gettext_lazy as _

from django_support_tickets import signals
from django_support_tickets.models import (
    ERASED,
    Attachment,
    Comment,
    Delivery,
    OutboxEntry,
    Submission,
    Ticket,
    TicketEvent,
    database_time,
)
from django_support_tickets.outbox.closing import close_here, request_close
from django_support_tickets.outbox.facts import late_answer, note_decision
from django_support_tickets.outbox.flight import is_in_flight, lock, ticket_id_of
from django_support_tickets.outbox.intake import sweep
from django_support_tickets.outbox.items import Kind, travels
from django_support_tickets.outbox.raising import raise_again
from django_support_tickets.outbox.storing import UNSENT
from django_support_tickets.outbox.twins import absorb_twin
from django_support_tickets.outbox.validation import provider_of
from django_support_tickets.transport import ID_PATTERN

__all__ = ["cancel", "close_here", "known_remote_id", "raise_again", "request_close", "settle"]

Event = TicketEvent.Kind
NOT_UNCERTAIN = _("Its delivery is not uncertain (any more).")
NOT_QUEUED = _("It is not queued (any more), so it cannot be cancelled.")


def settle(
    item: Submission,
    *,
    exists: str | None = None,
    send_again: bool = False,
    actor: AbstractBaseUser | None = None,
    source: str = TicketEvent.Source.CODE,
) -> None:
    """Settle an uncertain ticket, comment, file or closing: it exists at the vendor as `exists`, or is sent again.

    For a closing, `exists` is the ticket's own remote id; for a comment or file of a vendor that gives them no ids, "".
    """
    if (exists is not None) == send_again:
        raise ValidationError(_("Say either which remote id it has, or that it is to be sent again."), code="choose")
    using = str(item._state.db)
    with transaction.atomic(using=using):
        ticket = lock(item, using=using)
        kind = _kind_of(item, ticket, Delivery.UNCERTAIN)
        if exists is None:
            decision: dict[str, Any] = {"send_again": True}
            _refuse_against_facts(item, ticket, kind)
            _change(item, kind, Delivery.UNCERTAIN, Delivery.QUEUED, complaint=NOT_UNCERTAIN)
        else:
            decision = {"remote_id": exists.strip()}
            _adopt(item, ticket, kind, exists.strip())
        note_decision(item, Event.SETTLED, actor=actor, source=source, item=kind, **decision)
        sweep(ticket.provider, ticket_id=ticket.pk, using=using)
    item.refresh_from_db()


def known_remote_id(item: Submission) -> str:
    """Return the remote id that a late answer has named for an uncertain item, "" if none has."""
    using = str(item._state.db)
    return late_answer(ticket_id_of(item), _own_kind(item), str(item.key), using=using)


def cancel(item: Submission, *, actor: AbstractBaseUser | None = None, source: str = TicketEvent.Source.CODE) -> None:
    """Make a queued ticket, comment or file a draft again, or take a queued closing back, unless it is being sent."""
    using = str(item._state.db)
    with transaction.atomic(using=using):
        if is_in_flight(item, using=using):
            raise ValidationError(_("It is being sent and can no longer be cancelled."), code="in_flight")
        ticket = lock(item, using=using)
        kind = _kind_of(item, ticket, Delivery.QUEUED)
        if isinstance(item, Attachment):
            _refuse_travelled(item, ticket)
        _change(item, kind, Delivery.QUEUED, Delivery.DRAFT, complaint=NOT_QUEUED)
        if kind == Kind.CREATE:
            OutboxEntry.objects.using(using).filter(ticket=item.pk).delete()
        note_decision(item, Event.CANCELLED, actor=actor, source=source, item=kind)
    item.refresh_from_db()


def _own_kind(item: Submission) -> OutboxEntry.Item:
    match item:
        case Comment():
            return Kind.COMMENT
        case Attachment():
            return Kind.UPLOAD
    return Kind.CREATE


def _kind_of(item: Submission, ticket: Ticket, delivery: Delivery) -> OutboxEntry.Item:
    """Return what is meant by `item`: of a ticket that is at its vendor, the closing with this delivery."""
    is_closing = ticket.delivery == Delivery.DELIVERED and ticket.close_delivery == delivery
    return Kind.CLOSE if isinstance(item, Ticket) and is_closing else _own_kind(item)


def _change(
    item: Submission, kind: OutboxEntry.Item, old: Delivery, new: Delivery, *, complaint: Any, **values: Any
) -> None:
    """Change the delivery by compare-and-set; raise ValidationError if it is another one by now."""
    using = str(item._state.db)
    rows: QuerySet[Any] = type(item)._base_manager.using(using).filter(pk=item.pk)
    column = "close_delivery" if kind == Kind.CLOSE else "delivery"
    if kind == Kind.CLOSE:
        values = {column: "" if new == Delivery.DRAFT else new}
    else:
        values |= {column: new, "delivery_error": ""}
    if kind != Kind.CLOSE and new == Delivery.DRAFT:
        # A pull may have taken the vendor's copy of another one with the same words for this one.
        values |= {"submitted_at": None, "remote_id": None}
    if not rows.filter(**{column: old}).update(**values, updated_at=database_time(using)):
        raise ValidationError(complaint, code="overtaken")


def _adopt(item: Submission, ticket: Ticket, kind: OutboxEntry.Item, remote_id: str) -> None:
    using = str(item._state.db)
    _check_remote_id(ticket, kind, remote_id)
    now = database_time(using)
    Ticket.objects.using(using).filter(pk=ticket.pk).update(next_poll_at=now)
    values: dict[str, Any] = {"remote_id": remote_id or None}
    if kind == Kind.CREATE:
        values["delivered_at"] = now
        _make_room(ticket, remote_id, using=using)
    elif kind != Kind.CLOSE and remote_id:
        _refuse_taken(item, remote_id, using=using)
    _change(item, kind, Delivery.UNCERTAIN, Delivery.DELIVERED, complaint=NOT_UNCERTAIN, **values)
    _settle_travellers(item, ticket, kind)
    if kind == Kind.CREATE:
        ticket.refresh_from_db()
        announce = partial(signals.ticket_delivered.send_robust, Ticket, ticket=ticket)
        transaction.on_commit(announce, using=using, robust=True)


def _check_remote_id(ticket: Ticket, kind: OutboxEntry.Item, remote_id: str) -> None:
    may_be_unknown = kind in (Kind.COMMENT, Kind.UPLOAD)
    if not (ID_PATTERN.fullmatch(remote_id) or (may_be_unknown and not remote_id)):
        raise ValidationError({"remote_id": ValidationError(_("This cannot be a remote id."), code="invalid")})
    if kind == Kind.CLOSE and remote_id != ticket.remote_id:
        raise ValidationError(
            {"remote_id": ValidationError(_("This is not the remote id of the ticket."), code="invalid")}
        )


def _refuse_against_facts(item: Submission, ticket: Ticket, kind: OutboxEntry.Item) -> None:
    if ticket.digest == ERASED:
        message = _("It was erased here: there is nothing left to send. If the vendor does not have it, delete it.")
        raise ValidationError(message, code="erased")
    if remote_id := known_remote_id(item):
        message = _("A late answer of the vendor has named its remote id, %(remote_id)s: it exists.")
        raise ValidationError(message % {"remote_id": remote_id}, code="exists")


def _make_room(ticket: Ticket, remote_id: str, *, using: str) -> None:
    """Absorb the copy of the ticket that a pull has imported.

    Raise ValidationError if another ticket has the id, or while something of the copy is being sent.
    """
    try:
        if absorb_twin(ticket, remote_id, using=using):
            return
    except ProtectedError:
        waits = _("Something of its imported copy is being sent; try again when that is settled.")
        raise ValidationError({"remote_id": ValidationError(waits, code="in_flight")}) from None
    others = Ticket.objects.using(using).of(ticket.provider).filter(remote_id=remote_id).exclude(pk=ticket.pk)
    if other := others.first():
        message = _("Ticket %(key)s has this remote id.") % {"key": other.key}
        raise ValidationError({"remote_id": ValidationError(message, code="taken")})


def _refuse_taken(item: Submission, remote_id: str, *, using: str) -> None:
    """Delete the copy that a pull has stored as the vendor's own, and take the id from what it cannot be of.

    Raise ValidationError if another of ours has it.
    """
    rows: QuerySet[Any] = type(item)._base_manager.using(using).exclude(pk=item.pk)
    others = rows.filter(ticket=ticket_id_of(item), remote_id=remote_id)
    others.filter(submitted_at=None, created_by=None, delivery=Delivery.DELIVERED).delete()
    others.filter(delivery__in=UNSENT).update(remote_id=None)
    if other := others.first():
        message = _("%(key)s has this remote id.") % {"key": other.key}
        raise ValidationError({"remote_id": ValidationError(message, code="taken")})


def _refuse_travelled(file: Attachment, ticket: Ticket) -> None:
    """Raise ValidationError while nobody knows whether the vendor has the ticket or comment that the file went with."""
    comments = Comment.objects.using(str(file._state.db)).filter(pk=file.comment_id or 0)
    carrier = ticket if file.comment_id is None else comments.get()
    if carrier.delivery != Delivery.UNCERTAIN:
        return
    if (Kind.CREATE if file.comment_id is None else Kind.COMMENT) in travels(provider_of(ticket).capabilities):
        message = _("It may have gone with its ticket or comment, whose delivery is uncertain: settle that first.")
        raise ValidationError(message, code="uncertain")


def _settle_travellers(item: Submission, ticket: Ticket, kind: OutboxEntry.Item) -> None:
    """Count the files that travelled with a ticket or comment as delivered with it; one of no save came later."""
    if kind not in travels(provider_of(ticket).capabilities):
        return
    files = Attachment.objects.using(str(item._state.db)).filter(ticket=ticket, delivery=Delivery.QUEUED)
    files = files.filter(comment=item if isinstance(item, Comment) else None, direction=Attachment.Direction.OUT)
    files.filter(submitted_at__isnull=False).update(delivery=Delivery.DELIVERED)
