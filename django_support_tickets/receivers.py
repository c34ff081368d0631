"""What happens at saves and deletions in anybody's code; connected by the app's `ready()`."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, ProtectedError, QuerySet
from django.utils.translation import gettext as _

from django_support_tickets.dispatch import wake
from django_support_tickets.models import Delivery, Submission, Ticket, TicketEvent
from django_support_tickets.outbox.flight import is_in_flight, ticket_id_of
from django_support_tickets.outbox.intake import enqueue, prepare


def prepare_submission(instance: Submission, raw: bool, update_fields: frozenset[str] | None, **kwargs: Any) -> None:
    """Validate and filter what is being submitted; a fixture never sends anything."""
    if not raw:
        if instance.is_being_submitted(update_fields):
            prepare(instance)
        return
    if instance.delivery == Delivery.QUEUED:
        instance.delivery = Delivery.DRAFT
    if isinstance(instance, Ticket) and instance.close_delivery == Delivery.QUEUED:
        instance.close_delivery = ""


def queue_submission(
    instance: Submission, created: bool, raw: bool, using: str, update_fields: frozenset[str] | None, **kwargs: Any
) -> None:
    """Write the outbox entry beside what was submitted, and ask for a worker after the commit."""
    is_new = created or (update_fields is not None and "delivery" in update_fields)
    if raw or not is_new or instance.delivery != Delivery.QUEUED:
        return
    ticket = ticket_as_stored(instance, using=using)
    if enqueue(ticket, using=using):
        wake(ticket.provider, ticket_id=ticket.pk, using=using)


def refuse_delete_in_flight(
    instance: Submission, using: str, origin: Model | QuerySet[Model] | None = None, **kwargs: Any
) -> None:
    """Raise ProtectedError while a byte of the ticket, or of this item, may be on its way."""
    model = origin.model if isinstance(origin, QuerySet) else type(origin)
    if not isinstance(instance, Ticket) and model is Ticket:
        return  # asked for the ticket itself
    if is_in_flight(instance, using=using):
        raise ProtectedError(_("It is being sent to the vendor; delete it when that is settled."), {instance})


def wake_after_decision(instance: TicketEvent, raw: bool, using: str, **kwargs: Any) -> None:
    """Ask for a worker after a person has decided that something is to be sent (again)."""
    is_to_be_sent = instance.kind in (TicketEvent.Kind.SETTLED, TicketEvent.Kind.SUBMITTED)
    if not raw and is_to_be_sent and instance.ticket is not None:
        wake(instance.ticket.provider, ticket_id=instance.ticket_id, using=using)


def ticket_as_stored(item: Submission, *, using: str) -> Ticket:
    """Return the ticket that an item belongs to, with its account and delivery as they are stored."""
    if isinstance(item, Ticket):
        return item
    return Ticket.objects.using(using).only("provider", "delivery").get(pk=ticket_id_of(item))
