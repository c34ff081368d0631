"""What happens once when something is submitted, and how the outbox learns of it."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from django_support_tickets.attachments.intake import prepare_attachment
from django_support_tickets.conf import settings
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Submission, Ticket
from django_support_tickets.outbox.validation import provider_of, validate_comment, validate_ticket
from django_support_tickets.providers import providers
from django_support_tickets.records import clean_text

SENDABLE = (Delivery.QUEUED, Delivery.DELIVERED)
SWEEP_BATCH = 1000


def prepare(item: Submission) -> None:
    """Filter and validate what is being submitted; raise ValidationError. Its text is frozen from here on."""
    match item:
        case Ticket():
            _filter_text(item, "subject", "description")
            validate_ticket(item)
        case Comment():
            _filter_text(item, "body")
            validate_comment(item)
        case Attachment():
            prepare_attachment(item, provider_of(item.ticket).capabilities.attachments)
    item.submitted_at = timezone.now()


def enqueue(ticket: Ticket, *, using: str) -> None:
    """Write the ticket's outbox entry, in the caller's transaction if there is one; one that is there stays."""
    entry = OutboxEntry(ticket_id=ticket.pk, provider=ticket.provider)
    OutboxEntry.objects.using(using).bulk_create([entry], ignore_conflicts=True)


def sweep(alias: str, *, using: str) -> int:
    """Write the entries of queued rows that nothing announced (`bulk_create`, a lost callback); return how many."""
    found: set[int] = set()
    for ids in _unannounced(alias, using=using):
        found.update(ids[:SWEEP_BATCH])
    entries = [OutboxEntry(ticket_id=pk, provider=alias) for pk in sorted(found)]
    OutboxEntry.objects.using(using).bulk_create(entries, ignore_conflicts=True, batch_size=500)
    return len(entries)


def unconfigured(*, using: str) -> dict[str, int]:
    """Return alias -> number of outbox entries for aliases that are not configured (any more); they stay parked."""
    waiting = OutboxEntry.objects.using(using).exclude(provider__in=list(providers))
    counts: dict[str, int] = {}
    for alias in waiting.values_list("provider", flat=True):
        counts[alias] = counts.get(alias, 0) + 1
    return counts


def _unannounced(alias: str, *, using: str) -> list[QuerySet[Ticket, int]]:
    tickets = Ticket.objects.using(using).of(alias).filter(outbox=None)
    at_vendor = tickets.filter(delivery=Delivery.DELIVERED)
    return [
        tickets.filter(delivery=Delivery.QUEUED).values_list("pk", flat=True),
        at_vendor.filter(close_delivery=Delivery.QUEUED).values_list("pk", flat=True),
        at_vendor.filter(comments__delivery=Delivery.QUEUED).values_list("pk", flat=True),
        at_vendor.filter(attachments__delivery=Delivery.QUEUED).values_list("pk", flat=True),
    ]


def _filter_text(item: Submission, *names: str) -> None:
    for name in names:
        text = clean_text(getattr(item, name))
        for path in settings.OUTGOING_FILTERS:
            text = import_string(path)(text)
        setattr(item, name, text)
