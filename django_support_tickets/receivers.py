from __future__ import annotations

from typing import Any

from django.db.models import ProtectedError, Q
from django.db.models.signals import post_save, pre_delete, pre_save
from django.utils.translation import gettext as _

from django_support_tickets.dispatch import wake
from django_support_tickets.models import Attachment, Comment, Delivery, EpochNow, OutboxEntry, Submission, Ticket
from django_support_tickets.outbox.intake import enqueue, prepare

SUBMISSIONS = (Ticket, Comment, Attachment)


def connect() -> None:
    """Connect all receivers; called once by the app's `ready()`."""
    for model in SUBMISSIONS:
        name = f"support_tickets.{model.__name__}"
        pre_save.connect(prepare_submission, sender=model, dispatch_uid=f"{name}.prepare")
        post_save.connect(queue_submission, sender=model, dispatch_uid=f"{name}.queue")
        pre_delete.connect(refuse_delete_in_flight, sender=model, dispatch_uid=f"{name}.delete")


def prepare_submission(instance: Submission, raw: bool, update_fields: frozenset[str] | None, **kwargs: Any) -> None:
    """Validate and filter what is being submitted; a fixture never sends anything."""
    if raw and instance.delivery == Delivery.QUEUED:
        instance.delivery = Delivery.DRAFT
    elif not raw and instance.is_being_submitted(update_fields):
        prepare(instance)


def queue_submission(
    instance: Submission, created: bool, raw: bool, using: str, update_fields: frozenset[str] | None, **kwargs: Any
) -> None:
    """Write the outbox entry beside what was submitted, and ask for a worker after the commit."""
    is_new = created or (update_fields is not None and "delivery" in update_fields)
    if raw or not is_new or instance.delivery != Delivery.QUEUED:
        return
    ticket = ticket_of(instance)
    enqueue(ticket, using=using)
    wake(ticket.provider, ticket_id=ticket.pk, using=using)


def refuse_delete_in_flight(instance: Submission, using: str, **kwargs: Any) -> None:
    """Raise ProtectedError while a byte of the ticket, or of this item, may be on its way."""
    entries = OutboxEntry.objects.using(using).filter(ticket=ticket_of(instance).pk)
    in_flight = entries.filter(Q(sent_at__isnull=False) | Q(leased_until__gt=EpochNow()))
    if not isinstance(instance, Ticket):
        in_flight = in_flight.filter(item_id=instance.pk)
    if in_flight.select_for_update().exists():
        raise ProtectedError(_("It is being sent to the vendor; delete it when that is settled."), {instance})


def ticket_of(item: Submission) -> Ticket:
    """Return the ticket that an item belongs to."""
    return item if isinstance(item, Ticket) else item.ticket  # type: ignore[attr-defined]
