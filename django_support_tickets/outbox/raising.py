from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.files.base import File
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from django_support_tickets.attachments.storing import StorageFailed
from django_support_tickets.models import Attachment, Delivery, Ticket, TicketEvent
from django_support_tickets.outbox.facts import note_decision

logger = logging.getLogger(__name__)

STORAGE_DOWN = _("The storage of files does not work just now; nothing was stored.")
COPIED = (
    *("provider", "customer_id", "contact_name", "contact_email", "subject", "description", "options"),
    *("priority", "category", "tags", "requester_id", "about_type_id", "about_id"),
)


def raise_again(
    ticket: Ticket, *, actor: AbstractBaseUser | None = None, source: str = TicketEvent.Source.CODE
) -> Ticket:
    """Return a new draft with the text, the files and the subject matter of a ticket, both linked by an event.

    Raise ValidationError for one that has not been sent, or if a file is gone, the vendor takes it no longer, or the
    storage does not work.
    """
    using = str(ticket._state.db)
    with transaction.atomic(using=using):
        ticket = Ticket.objects.using(using).select_for_update().get(pk=ticket.pk)
        if ticket.delivery in (Delivery.DRAFT, Delivery.QUEUED):
            raise ValidationError(_("It has not been sent yet, so it cannot be raised again."), code="not_sent")
        draft = Ticket(**{name: getattr(ticket, name) for name in COPIED}, delivery=Delivery.DRAFT)
        draft.save(using=using)
        own = ticket.attachments.filter(direction=Attachment.Direction.OUT, comment=None)
        for attachment in own.exclude(file="").exclude(state=Attachment.State.QUARANTINED).order_by("created_at", "id"):
            _copy(attachment, draft, using=using)
        note_decision(ticket, TicketEvent.Kind.RAISED_AGAIN, actor=actor, source=source, raised_as=str(draft.key))
        note_decision(draft, TicketEvent.Kind.RAISED_AGAIN, actor=actor, source=source, raised_from=str(ticket.key))
    return draft


def _copy(attachment: Attachment, draft: Ticket, *, using: str) -> None:
    with _opened(attachment, draft) as content:
        copy = Attachment(ticket=draft, created_by_id=attachment.created_by_id)
        copy.name, copy.original_name = attachment.name, attachment.original_name
        copy.file = File(content.file, name=attachment.name)
        try:
            copy.save(using=using)
        except StorageFailed:
            raise ValidationError({"file": ValidationError(STORAGE_DOWN, code="storage")}) from None


def _opened(attachment: Attachment, draft: Ticket) -> File[Any]:
    try:
        content: File[Any] = attachment.file.open("rb")
    except FileNotFoundError:
        message = _("The file %(name)s is no longer there.") % {"name": attachment.name}
        raise ValidationError({"file": ValidationError(message, code="gone")}) from None
    except Exception as error:  # a storage raises what it likes, and its words may hold addresses and names
        facts = {"event": "attachments.unreadable", "account": draft.provider, "key": str(attachment.key)}
        logger.warning("a file cannot be read: %s", type(error).__name__, extra=facts)
        raise ValidationError({"file": ValidationError(STORAGE_DOWN, code="storage")}) from None
    return content
