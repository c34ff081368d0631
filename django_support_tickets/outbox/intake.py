"""What happens once when something is submitted, and how the outbox learns of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from django.db import IntegrityError, connections
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from django_support_tickets.attachments.intake import prepare_attachment
from django_support_tickets.conf import settings
from django_support_tickets.models import Attachment, Comment, Delivery, EpochNow, OutboxEntry, Submission, Ticket
from django_support_tickets.models.retries import repeated
from django_support_tickets.models.statements import Slot, Statement, slot
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
    """Prepare, as `prepare()` does, a file that its worker has found just before sending: it is known to be in time."""
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
    for statement in _unannounced(one_ticket=ticket_id is not None):
        found.update(pk for (pk,) in statement.rows(using, alias=alias, ticket=ticket_id))
    rows = OutboxEntry.objects.using(using)
    entries = [_entry(pk, alias) for pk in sorted(found)]
    rows.bulk_create(entries, ignore_conflicts=True, batch_size=500)
    return len(entries) + _follow(alias, using=using)


def _follow(alias: str, *, using: str) -> int:
    """Move the entries of tickets that are this account's by now; return how many."""
    # Asked before it is written: a worker that finds nothing to do locks nothing.
    if not (strayed := [pk for (pk,) in _strayed().rows(using, alias=alias)]):
        return 0
    return _elsewhere(alias).using(using).filter(pk__in=strayed).update(provider=alias)


def _entry(ticket_id: int, alias: str) -> OutboxEntry:
    # Due from now on: first come, first served, also among those that are tried again.
    return OutboxEntry(ticket_id=ticket_id, provider=alias, not_before=EpochNow())


@cache
def _unannounced(*, one_ticket: bool) -> tuple[Statement, ...]:
    """Return the statements that find the tickets without an entry; slots: alias, ticket."""
    tickets = Ticket.objects.filter(provider=slot(Ticket, "provider", "alias"), outbox=None)
    if one_ticket:
        tickets = tickets.filter(pk=slot(Ticket, "id", "ticket"))
    at_vendor = tickets.filter(delivery=Delivery.DELIVERED)
    unannounced = (
        tickets.filter(delivery=Delivery.QUEUED),
        at_vendor.filter(close_delivery=Delivery.QUEUED),
        at_vendor.filter(comments__delivery=Delivery.QUEUED),
        at_vendor.filter(outgoing("attachments__"), attachments__delivery=Delivery.QUEUED),
    )
    return tuple(Statement(rows.values_list("pk")[:SWEEP_BATCH].query) for rows in unannounced)


@cache
def _strayed() -> Statement:
    """Return the statement that finds the entries whose ticket is another account's; slot: alias."""
    return Statement(_elsewhere(slot(OutboxEntry, "provider", "alias")).values_list("pk")[:SWEEP_BATCH].query)


def _elsewhere(alias: str | Slot) -> QuerySet[OutboxEntry]:
    # A lease that is over stays with its entry, so that the next claim knows that a worker has died with it.
    free = Q(leased_until=None) | Q(leased_until__lt=EpochNow())
    return OutboxEntry.objects.filter(free, ticket__provider=alias, sent_at=None).exclude(provider=alias)


def _filter_text(item: Submission, *names: str) -> None:
    for name in names:
        text = clean_text(str(getattr(item, name) or ""))
        for path in settings.OUTGOING_FILTERS:
            text = import_string(path)(text)
        setattr(item, name, text)
