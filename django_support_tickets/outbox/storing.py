"""What an answer changes in the rows: the item, its ticket and its files. Runs in the transaction of a settlement."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from django.db import Error
from django.db.models import Case, Exists, OuterRef, QuerySet, When

from django_support_tickets.merge import cleaning, next_poll, ownership
from django_support_tickets.models import Attachment, Delivery, Ticket, WebhookDelivery, moment_of
from django_support_tickets.models.retries import repeated
from django_support_tickets.models.statements import Statement, slot, updating
from django_support_tickets.outbox.claims import Claim
from django_support_tickets.outbox.facts import log_facts
from django_support_tickets.outbox.items import Item, Kind, Row
from django_support_tickets.providers import providers
from django_support_tickets.records import ABSENT, AttachmentRecord, CommentRecord, TicketRecord

logger = logging.getLogger(__name__)
#: What of ours the vendor cannot have, whatever a pull has guessed by equal words.
UNSENT = (Delivery.DRAFT, Delivery.QUEUED, Delivery.REFUSED)
Result = TicketRecord | CommentRecord | AttachmentRecord


def store(claim: Claim, item: Item, record: Result) -> None:
    """Store that the vendor has the item, with the remote id and what else it says of it."""
    now = claim.moment
    delivered: dict[str, Any] = {"delivery": Delivery.DELIVERED, "delivery_error": "", "updated_at": now}
    if item.kind == Kind.CREATE and isinstance(record, TicketRecord):
        _store_created(claim, record, delivered)
    elif item.kind == Kind.CLOSE:
        closed = {"close_delivery": Delivery.DELIVERED, "next_poll_at": now, "updated_at": now}
        _write(Ticket, item.row.pk, closed, using=claim.using)
    else:
        _write(Ticket, claim.entry.ticket_id, {"next_poll_at": now}, using=claim.using)
        _free_remote_id(claim, item, record.remote_id)
        remote_id = {"remote_id": record.remote_id} if record.remote_id else {}
        _write(type(item.row), item.row.pk, {**delivered, **remote_id}, using=claim.using)
    if item.files:
        files = Attachment.objects.using(claim.using).filter(pk__in=[file.pk for file in item.files])
        files.filter(delivery=Delivery.QUEUED).update(**delivered)


def _store_created(claim: Claim, record: TicketRecord, delivered: dict[str, Any]) -> None:
    """Store the remote id and, by the same statement, what the vendor says of its new ticket."""
    ticket, now = claim.entry.ticket, claim.moment
    facts = ownership.read_fields(record, ticket.origin)
    values = {"remote_id": record.remote_id, "delivered_at": now, **delivered, **facts}
    if not has_conversation(record):  # else all of it is merged afterwards
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


def _write(model: type[Row], pk: int, values: dict[str, Any], *, using: str) -> None:
    _writing(model, tuple(values)).run(using, pk=pk, **values)


@cache
def _writing(model: type[Row], names: tuple[str, ...]) -> Statement:
    rows = model._base_manager.filter(pk=slot(model, "id", "pk"))
    return Statement(updating(rows, **{name: slot(model, name) for name in names}))


@cache
def _hinting() -> Statement:
    rows = Ticket.objects.filter(_webhook_came(), pk=slot(Ticket, "id", "pk"))
    return Statement(updating(rows, next_poll_at=slot(Ticket, "next_poll_at", "now")))


def _webhook_came() -> Exists:
    webhooks = WebhookDelivery.objects.filter(provider=OuterRef("provider"))
    return Exists(webhooks.filter(remote_id=slot(Ticket, "remote_id")))


def look_for_webhooks(claim: Claim, item: Item, remote_id: str) -> None:
    """Make the ticket due if a webhook came while its id was stored, when neither transaction could see the other."""
    values = {"pk": claim.entry.ticket_id, "remote_id": remote_id, "now": claim.moment}
    try:
        repeated(lambda: _hinting().run(claim.using, **values), using=claim.using)
    except Error as error:  # the ticket is delivered, and its next poll brings the news
        logger.warning("no hint: %s", type(error).__name__, extra=log_facts(claim, item, "no_hint"))


def has_conversation(record: TicketRecord) -> bool:
    """Return whether there is more in a record than its ticket, which is merged as a pull would do it."""
    return bool(record.comments or record.attachments)


def _free_remote_id(claim: Claim, item: Item, remote_id: str) -> None:
    """Take the remote id from what a pull has given it to, before the send could tell that it is this item's.

    That is the row it has made of the vendor's copy, or another one of ours with the same words, not sent yet or taken
    back.
    """
    model: type[Any] = type(item.row)
    values = {"pk": item.row.pk, "ticket": claim.entry.ticket_id, "remote_id": remote_id}
    found = _holding(type(item.row)).rows(claim.using, **values) if remote_id else []
    if not found:
        return
    holders = model._base_manager.using(claim.using).filter(pk__in=[pk for (pk,) in found], remote_id=remote_id)
    holders.filter(submitted_at=None, created_by=None, delivery=Delivery.DELIVERED).delete()
    holders.filter(delivery__in=UNSENT).update(remote_id=None)


@cache
def _holding(model: type[Row]) -> Statement:
    """Return the statement that finds what else of a ticket has a remote id; slots: pk, ticket, remote_id."""
    others: QuerySet[Any] = model._base_manager.exclude(pk=slot(model, "id", "pk"))
    of_ticket = {"ticket_id": slot(Ticket, "id", "ticket"), "remote_id": slot(model, "remote_id")}
    return Statement(others.filter(**of_ticket).values_list("pk").query)
