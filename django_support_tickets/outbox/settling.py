"""Write down how a send ended, all of it in one transaction that the lease token guards.

Rows are locked in one order everywhere: the ticket, its comments and files, the outbox entry.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from django.db import Error, IntegrityError, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, When

from django_support_tickets import signals
from django_support_tickets.merge import Fetched, cleaning, merge, next_poll, ownership
from django_support_tickets.models import (
    Attachment,
    Delivery,
    EpochNow,
    Ticket,
    TicketEvent,
    WebhookDelivery,
    moment_of,
)
from django_support_tickets.outbox.claims import Claim, repeated
from django_support_tickets.outbox.facts import Event, keep_fact, log_facts, write_event
from django_support_tickets.outbox.items import Item, Kind, queued_comments, queued_files
from django_support_tickets.outbox.leases import mine
from django_support_tickets.outbox.statements import Statement, deleting, slot, updating
from django_support_tickets.outbox.twins import absorb_twin
from django_support_tickets.providers import providers
from django_support_tickets.records import ABSENT, AttachmentRecord, CommentRecord, TicketRecord

logger = logging.getLogger(__name__)
Result = TicketRecord | CommentRecord | AttachmentRecord

READY: dict[str, Any] = {
    "lease_token": None,
    "leased_until": None,
    "sent_at": None,
    "item": "",
    "item_id": None,
    "tried_since": None,
    "searches": 0,
    "attempts": 0,
    # Behind what other tickets have to say.
    "not_before": EpochNow(),
    "last_error": "",
    "request_id": "",
}


class LeaseLost(Exception):
    """Another worker has taken the entry over; what was learned is kept as a fact, nothing else is written."""


def settle_delivered(claim: Claim, item: Item, record: Result) -> None:
    """Store that the vendor has the item; where that fails, keep its remote id as a fact and raise (LeaseLost)."""
    try:
        _store_delivered(claim, item, record)
    except Exception:
        keep_fact(claim, item, record.remote_id)
        raise
    logger.info("delivered", extra=log_facts(claim, item, "delivered"))
    if item.kind == Kind.CREATE and providers[claim.entry.provider].capabilities.has_webhooks:
        _look_for_webhooks(claim, item, record.remote_id)
    if isinstance(record, TicketRecord) and (_has_conversation(record) or item.kind == Kind.CLOSE):
        _merge(claim, item, record)
    if item.kind == Kind.CREATE:
        signals.ticket_delivered.send_robust(Ticket, ticket=claim.entry.ticket)


def settle_refused(claim: Claim, item: Item, *, reason: str, cause: str) -> None:
    """Store that the vendor has not got the item and that nothing more is tried; raise LeaseLost."""
    _settle_failed(claim, item, Delivery.REFUSED, reason)
    logger.warning("refused: %s", cause, extra=log_facts(claim, item, "refused"))
    signals.delivery_refused.send_robust(type(item.row), ticket=claim.entry.ticket, item=item.row, reason=reason)


def settle_uncertain(claim: Claim, item: Item, *, reason: str, cause: str) -> None:
    """Store that nobody can tell whether the vendor has the item, so that a person must; raise LeaseLost."""
    _settle_failed(claim, item, Delivery.UNCERTAIN, reason)
    logger.error("uncertain: %s", cause, extra=log_facts(claim, item, "uncertain"))
    signals.delivery_uncertain.send_robust(type(item.row), ticket=claim.entry.ticket, item=item.row)


def drop(claim: Claim) -> None:
    """Delete an entry of whose ticket nothing can be sent now; one that a new item has reached meanwhile stays."""
    if not _delete(claim):
        claim.rows.update(lease_token=None, leased_until=None)


def _store_delivered(claim: Claim, item: Item, record: Result) -> None:
    def store() -> None:
        with transaction.atomic(using=claim.using):
            _store(claim, item, record)
            _finish(claim)
            write_event(claim, Event.DELIVERED, item, {"remote_id": record.remote_id})

    def store_with_twin() -> None:
        with transaction.atomic(using=claim.using):
            found_twin = absorb_twin(claim.entry.ticket, record.remote_id, using=claim.using)
            _store(claim, item, record)
            _finish(claim)
            write_event(claim, Event.DELIVERED, item, {"remote_id": record.remote_id, "found_twin": found_twin})

    try:
        repeated(store, using=claim.using)
    except IntegrityError:
        if item.kind != Kind.CREATE:
            raise
        repeated(store_with_twin, using=claim.using)


def _settle_failed(claim: Claim, item: Item, delivery: Delivery, reason: str) -> None:
    event = Event.REFUSED if delivery == Delivery.REFUSED else Event.UNCERTAIN
    rows = _rows(claim, item)

    def store() -> None:
        with transaction.atomic(using=claim.using):
            if item.kind == Kind.CLOSE:
                rows.filter(close_delivery=Delivery.QUEUED).update(close_delivery=delivery, updated_at=claim.moment)
            else:
                queued = rows.filter(delivery=Delivery.QUEUED)
                queued.update(delivery=delivery, delivery_error=reason, updated_at=claim.moment)
            _finish(claim)
            write_event(claim, event, item, {"reason": reason})

    repeated(store, using=claim.using)
    if item.kind == Kind.CLOSE:
        claim.entry.ticket.close_delivery = delivery
    else:
        item.row.delivery, item.row.delivery_error = delivery, reason


def _finish(claim: Claim) -> None:
    """Delete the entry if this item was the ticket's last, else make it ready for the next; raise LeaseLost.

    What is queued beside it at this very moment may not be seen; the sweep finds it.
    """
    if not _delete(claim) and not claim.rows.update(**READY):
        raise LeaseLost(str(claim.entry.pk))


def _delete(claim: Claim) -> bool:
    """Delete the entry under its token, unless something of its ticket waits to be sent; return whether it is gone."""
    return bool(repeated(lambda: _deleting().run(claim.using, **claim.identity), using=claim.using))


@cache
def _deleting() -> Statement:
    conversation = Exists(queued_comments(OuterRef("pk"))) | Exists(queued_files(OuterRef("pk")))
    waiting = Q(delivery=Delivery.QUEUED)
    waiting |= Q(delivery=Delivery.DELIVERED) & (Q(close_delivery=Delivery.QUEUED) | conversation)
    return Statement(deleting(mine().filter(~Exists(Ticket.objects.filter(waiting, pk=OuterRef("ticket"))))))


def _store(claim: Claim, item: Item, record: Result) -> None:
    now = claim.moment
    delivered: dict[str, Any] = {"delivery": Delivery.DELIVERED, "delivery_error": "", "updated_at": now}
    if item.kind == Kind.CREATE and isinstance(record, TicketRecord):
        _store_created(claim, record, delivered)
    elif item.kind == Kind.CLOSE:
        _rows(claim, item).update(close_delivery=Delivery.DELIVERED, next_poll_at=now, updated_at=now)
        claim.entry.ticket.close_delivery = Delivery.DELIVERED
    else:
        Ticket.objects.using(claim.using).filter(pk=claim.entry.ticket_id).update(next_poll_at=now)
        _free_remote_id(claim, item, record.remote_id)
        _rows(claim, item).update(remote_id=record.remote_id or F("remote_id"), **delivered)
        item.row.delivery = Delivery.DELIVERED
    if item.files:
        files = Attachment.objects.using(claim.using).filter(pk__in=[file.pk for file in item.files])
        files.filter(delivery=Delivery.QUEUED).update(**delivered)


def _store_created(claim: Claim, record: TicketRecord, delivered: dict[str, Any]) -> None:
    """Store the remote id and, by the same statement, what the vendor says of its new ticket."""
    ticket, now = claim.entry.ticket, claim.moment
    facts = ownership.read_fields(record, ticket.origin)
    values = {"remote_id": record.remote_id, "delivered_at": now, **delivered, **facts}
    if not _has_conversation(record):  # else all of it is merged afterwards
        digest, raw = cleaning.digest(record), cleaning.raw(record.raw) or None
        values |= {"digest": digest, "synced_at": moment_of(claim.now), "raw": raw}
    due = next_poll(values.get("status", ""), now, now=now, capabilities=providers[claim.entry.provider].capabilities)
    values["next_poll_at"] = now if record.status is ABSENT else due
    _storing(tuple(values)).run(claim.using, pk=ticket.pk, now=now, **values)
    for name, value in values.items():
        setattr(ticket, name, value)


@cache
def _storing(names: tuple[str, ...]) -> Statement:
    values: dict[str, Any] = {name: slot(Ticket, name) for name in names}
    # A webhook may have been faster than the answer to our own request.
    hinted = When(_webhook_came(), then=slot(Ticket, "next_poll_at", "now"))
    values["next_poll_at"] = Case(hinted, default=values["next_poll_at"])
    return Statement(updating(Ticket.objects.filter(pk=slot(Ticket, "id", "pk")), **values))


@cache
def _hinting() -> Statement:
    rows = Ticket.objects.filter(_webhook_came(), pk=slot(Ticket, "id", "pk"))
    return Statement(updating(rows, next_poll_at=slot(Ticket, "next_poll_at", "now")))


def _webhook_came() -> Exists:
    webhooks = WebhookDelivery.objects.filter(provider=OuterRef("provider"))
    return Exists(webhooks.filter(remote_id=slot(Ticket, "remote_id")))


def _look_for_webhooks(claim: Claim, item: Item, remote_id: str) -> None:
    """Make the ticket due if a webhook came while its id was stored, when neither transaction could see the other."""
    values = {"pk": claim.entry.ticket_id, "remote_id": remote_id, "now": claim.moment}
    try:
        repeated(lambda: _hinting().run(claim.using, **values), using=claim.using)
    except Error as error:  # the ticket is delivered, and its next poll brings the news
        logger.warning("no hint: %s", type(error).__name__, extra=log_facts(claim, item, "no_hint"))


def _has_conversation(record: TicketRecord) -> bool:
    return bool(record.comments or record.attachments)


def _merge(claim: Claim, item: Item, record: TicketRecord) -> None:
    """Merge the rest of what the vendor said; if that fails, the next pull brings it."""
    if record.status is ABSENT:
        return
    fetched = Fetched(record=record, started_at=claim.now)
    try:
        merge(claim.entry.provider, [fetched], using=claim.using, source=TicketEvent.Source.PUSH)
    except Exception as error:
        logger.warning("not merged: %s", type(error).__name__, extra=log_facts(claim, item, "not_merged"))


def _rows(claim: Claim, item: Item) -> QuerySet[Any]:
    return type(item.row)._base_manager.using(claim.using).filter(pk=item.row.pk)


def _free_remote_id(claim: Claim, item: Item, remote_id: str) -> None:
    """Take the remote id from what a pull has given it to, before the send could tell that it is this item's.

    That is the row it has made of the vendor's copy, or another one of ours with the same words, not sent yet.
    """
    if not remote_id:
        return
    others: QuerySet[Any] = type(item.row)._base_manager.using(claim.using).exclude(pk=item.row.pk)
    holders = others.filter(**{"ticket": claim.entry.ticket_id, "remote_id": remote_id})
    holders.filter(submitted_at=None, created_by=None, delivery=Delivery.DELIVERED).delete()
    holders.filter(delivery=Delivery.QUEUED).update(remote_id=None)
