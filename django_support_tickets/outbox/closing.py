from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from django_support_tickets.models import Delivery, Ticket, TicketEvent, database_time
from django_support_tickets.outbox.facts import note_decision
from django_support_tickets.outbox.flight import lock
from django_support_tickets.outbox.intake import enqueue
from django_support_tickets.outbox.items import NO_CLOSING, SENDABLE, Kind
from django_support_tickets.outbox.validation import provider_of
from django_support_tickets.records import Status

Event = TicketEvent.Kind


def request_close(
    ticket: Ticket, *, actor: AbstractBaseUser | None = None, source: str = TicketEvent.Source.CODE
) -> None:
    """Queue the closing of a ticket at its vendor, after all that is queued before it; raise ValidationError."""
    using = str(ticket._state.db)
    if not provider_of(ticket).capabilities.can_close:
        raise ValidationError(NO_CLOSING, code="unsupported")
    with transaction.atomic(using=using):
        stored = lock(ticket, using=using)
        if stored.delivery not in SENDABLE:
            raise ValidationError(_("The ticket is not at the vendor."), code="not_delivered")
        _refuse_closed(stored)
        if stored.close_delivery in (Delivery.QUEUED, Delivery.UNCERTAIN):
            raise ValidationError(_("Its closing is under way already."), code="closing")
        rows = Ticket.objects.using(using).filter(pk=ticket.pk)
        rows.update(close_delivery=Delivery.QUEUED, updated_at=database_time(using))
        note_decision(ticket, Event.SUBMITTED, actor=actor, source=source, item=Kind.CLOSE)
        enqueue(stored, using=using)
    ticket.refresh_from_db()


def close_here(ticket: Ticket, *, actor: AbstractBaseUser | None = None, source: str = TicketEvent.Source.CODE) -> None:
    """Close a ticket in our own books only, where its vendor has no way to; it is not looked at any more.

    Raise ValidationError where the vendor could close it, and for what has not been sent yet.
    """
    using = str(ticket._state.db)
    if provider_of(ticket).capabilities.can_close:
        raise ValidationError(_("This account's vendor can close tickets: close it there."), code="supported")
    with transaction.atomic(using=using):
        stored = lock(ticket, using=using)
        if stored.delivery in (Delivery.DRAFT, Delivery.QUEUED):
            raise ValidationError(_("The ticket is not at the vendor."), code="not_delivered")
        _refuse_closed(stored)
        now = database_time(using)
        rows = Ticket.objects.using(using).filter(pk=ticket.pk)
        rows.update(status=Status.CLOSED, closed_at=now, next_poll_at=None, updated_at=now)
        note_decision(ticket, Event.CLOSED_HERE, actor=actor, source=source, status=stored.status)
    ticket.refresh_from_db()


def _refuse_closed(ticket: Ticket) -> None:
    if ticket.status == Status.CLOSED:
        raise ValidationError(_("The ticket is closed already."), code="closed")
