from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.files.base import File
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from django_support_tickets.models import Attachment, Delivery, Ticket, TicketEvent
from django_support_tickets.outbox.facts import note_decision

COPIED = (
    *("provider", "customer_id", "contact_name", "contact_email", "subject", "description", "options"),
    *("priority", "category", "tags", "requester_id", "about_type_id", "about_id"),
)


def raise_again(
    ticket: Ticket, *, actor: AbstractBaseUser | None = None, source: str = TicketEvent.Source.CODE
) -> Ticket:
    """Return a new draft with the text, the files and the subject matter of a ticket, both linked by an event.

    Raise ValidationError for one that has not been sent, or if a file is gone or the vendor takes it no longer.
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
    try:
        content = attachment.file.open("rb")
    except OSError:
        message = _("The file %(name)s is no longer there.") % {"name": attachment.name}
        raise ValidationError({"file": message}, code="gone") from None
    with content:
        copy = Attachment(ticket=draft, created_by_id=attachment.created_by_id)
        copy.name, copy.original_name = attachment.name, attachment.original_name
        copy.file = File(content.file, name=attachment.name)
        copy.save(using=using)
