"""What happens once when something is submitted, and how the outbox learns of it."""

from __future__ import annotations

from dataclasses import replace

from django.db import IntegrityError, connections
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from django_support_tickets.attachments.intake import prepare_attachment
from django_support_tickets.conf import settings
from django_support_tickets.models import Attachment, Comment, Delivery, EpochNow, OutboxEntry, Submission, Ticket
from django_support_tickets.outbox.claims import repeated
from django_support_tickets.outbox.items import SENDABLE, outgoing
from django_support_tickets.outbox.validation import provider_of, validate_comment, validate_ticket
from django_support_tickets.records import clean_text

SWEEP_BATCH = 1000
SWEEP_TRIES = 3
FILE_FIELDS = ("name", "original_name", "content_type", "size", "sha256")


def prepare(item: Submission) -> tuple[str, ...]:
    """Filter and validate what is being submitted, whose text is frozen from here on; raise ValidationError.

    Return the names of the fields that this has set.
    """
    names: tuple[str, ...] = ()
    match item:
        case Ticket():
            names = ("subject", "description")
            _filter_text(item, *names)
            validate_ticket(item)
        case Comment():
            names = ("body",)
            _filter_text(item, *names)
            validate_comment(item)
        case Attachment():
            names = FILE_FIELDS
            prepare_attachment(item, provider_of(item.ticket).capabilities.attachments)
    item.submitted_at = timezone.now()
    return (*names, "submitted_at")


def prepare_file(attachment: Attachment) -> tuple[str, ...]:
    """Do the same for a file that its worker has found just before sending, so that it is known to be in time."""
    rules = provider_of(attachment.ticket).capabilities.attachments
    prepare_attachment(attachment, rules and replace(rules, moments=rules.moments | {"after"}))
    attachment.submitted_at = timezone.now()
    return (*FILE_FIELDS, "submitted_at")


def enqueue(ticket: Ticket, *, using: str) -> bool:
    """Write the ticket's outbox entry, in the caller's transaction if there is one; one that is there stays.

    A draft, or a ticket that waits for a decision, gets none: return False. An entry that was made for another
    account, and of which nothing is in flight, moves with the ticket.
    """
    if ticket.delivery not in SENDABLE:
        return False
    entries = OutboxEntry.objects.using(using)
    entries.bulk_create([_entry(ticket.pk, ticket.provider)], ignore_conflicts=True)
    if ticket.delivery == Delivery.QUEUED:
        unsent = entries.filter(ticket_id=ticket.pk, sent_at=None)
        unsent.exclude(provider=ticket.provider).update(provider=ticket.provider)
    return True


def sweep(alias: str, *, using: str, ticket_id: int | None = None) -> int:
    """Write the entries of queued rows that nothing announced (`bulk_create`, a lost callback); return how many.

    At most some thousands at a time; called again, it finds the rest. An entry whose ticket somebody has moved to this
    account, as when an alias is renamed, follows it if nothing of it is in flight.
    """
    for _ in range(SWEEP_TRIES - 1):
        try:
            return repeated(lambda: _sweep(alias, using=using, ticket_id=ticket_id), using=using)
        except IntegrityError:  # one of the tickets has just been deleted
            if connections[using].in_atomic_block:
                raise
    return _sweep(alias, using=using, ticket_id=ticket_id)


def _sweep(alias: str, *, using: str, ticket_id: int | None) -> int:
    found: set[int] = set()
    for ids in _unannounced(alias, using=using):
        found.update((ids if ticket_id is None else ids.filter(pk=ticket_id))[:SWEEP_BATCH])
    rows = OutboxEntry.objects.using(using)
    entries = [_entry(pk, alias) for pk in sorted(found)]
    rows.bulk_create(entries, ignore_conflicts=True, batch_size=500)
    moved = rows.filter(ticket__provider=alias, sent_at=None, lease_token=None).exclude(provider=alias)
    return len(entries) + moved.update(provider=alias)


def _entry(ticket_id: int, alias: str) -> OutboxEntry:
    # Due from now on: first come, first served, also among those that are tried again.
    return OutboxEntry(ticket_id=ticket_id, provider=alias, not_before=EpochNow())


def _unannounced(alias: str, *, using: str) -> list[QuerySet[Ticket, int]]:
    tickets = Ticket.objects.using(using).of(alias).filter(outbox=None)
    at_vendor = tickets.filter(delivery=Delivery.DELIVERED)
    return [
        tickets.filter(delivery=Delivery.QUEUED).values_list("pk", flat=True),
        at_vendor.filter(close_delivery=Delivery.QUEUED).values_list("pk", flat=True),
        at_vendor.filter(comments__delivery=Delivery.QUEUED).values_list("pk", flat=True),
        at_vendor.filter(outgoing("attachments__"), attachments__delivery=Delivery.QUEUED).values_list("pk", flat=True),
    ]


def _filter_text(item: Submission, *names: str) -> None:
    for name in names:
        text = clean_text(str(getattr(item, name) or ""))
        for path in settings.OUTGOING_FILTERS:
            text = import_string(path)(text)
        setattr(item, name, text)
