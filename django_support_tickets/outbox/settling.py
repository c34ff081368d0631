"""Write down how a send ended: first that it ended, under the lease token, then everything else."""

from __future__ import annotations

import logging
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, Q, QuerySet
from django.utils import timezone

from django_support_tickets import signals
from django_support_tickets.exceptions import ProviderError
from django_support_tickets.merge import Fetched, merge
from django_support_tickets.models import (
    Attachment,
    Comment,
    Delivery,
    OutboxEntry,
    Ticket,
    TicketEvent,
    WebhookDelivery,
)
from django_support_tickets.outbox.claims import Claim, repeated
from django_support_tickets.outbox.items import Item, Kind
from django_support_tickets.records import AttachmentRecord, CommentRecord, TicketRecord

logger = logging.getLogger(__name__)
Event = TicketEvent.Kind
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
    "not_before": 0,
    "last_error": "",
    "request_id": "",
}


class LeaseLost(Exception):
    """Another worker has taken the entry over; what was learned is kept as a fact, nothing else is written."""


def settle_delivered(claim: Claim, item: Item, record: Result) -> None:
    """Store that the vendor has the item; raise LeaseLost after keeping the remote id as a fact."""
    try:
        _store_delivered(claim, item, record)
    except LeaseLost:
        keep_fact(claim, item, record.remote_id)
        raise
    logger.info("delivered", extra=event_facts(claim, item, "delivered"))
    ticket = claim.entry.ticket
    if isinstance(record, TicketRecord):
        fetched = Fetched(record=record, started_at=claim.now)
        merge(ticket.provider, [fetched], using=claim.using, source=TicketEvent.Source.PUSH)
    if item.kind == Kind.CREATE:
        _hint_if_webhook_came(claim, record.remote_id)
        signals.ticket_delivered.send_robust(Ticket, ticket=ticket)


def _store_delivered(claim: Claim, item: Item, record: Result) -> None:
    def store() -> None:
        with transaction.atomic(using=claim.using):
            _finish_item(claim, item)
            _store(claim, item, record)
            _write_event(claim, Event.DELIVERED, item, {"remote_id": record.remote_id})

    try:
        repeated(store, using=claim.using)
    except IntegrityError:
        if item.kind != Kind.CREATE or not _absorb_twin(claim, record.remote_id):
            raise
        repeated(store, using=claim.using)


def settle_refused(claim: Claim, item: Item, *, reason: str, cause: str) -> None:
    """Store that the vendor has not got the item and that nothing more is tried."""
    _settle_failed(claim, item, Delivery.REFUSED, reason)
    logger.warning("refused %s", cause, extra=event_facts(claim, item, "refused"))
    signals.delivery_refused.send_robust(type(item.row), ticket=claim.entry.ticket, item=item.row, reason=reason)


def settle_uncertain(claim: Claim, item: Item, *, reason: str, cause: str) -> None:
    """Store that nobody can tell whether the vendor has the item; a person must."""
    _settle_failed(claim, item, Delivery.UNCERTAIN, reason)
    logger.error("uncertain %s", cause, extra=event_facts(claim, item, "uncertain"))
    signals.delivery_uncertain.send_robust(type(item.row), ticket=claim.entry.ticket, item=item.row)


def describe(error: ProviderError) -> str:
    """Return an error for the row that staff read: what happened, the vendor's code and words, its request id."""
    code = f" [{error.code}]" if error.code else ""
    request = f" (request {error.request_id})" if error.request_id else ""
    return f"{error.sentence()}{code}{request}"


def keep_fact(claim: Claim, item: Item, remote_id: str) -> None:
    """Keep a remote id that a worker without a lease has seen; a search or a person will use it."""
    _write_event(claim, Event.LATE_ANSWER, item, {"remote_id": remote_id})
    logger.warning("late answer kept", extra=event_facts(claim, item, "late_answer"))


def known_fact(claim: Claim) -> str:
    """Return the remote id that a late answer has named for this ticket, "" if none has."""
    events = TicketEvent.objects.using(claim.using).filter(ticket=claim.entry.ticket_id, kind=Event.LATE_ANSWER)
    changes = events.filter(changes__item=Kind.CREATE).order_by("pk").values_list("changes", flat=True).first()
    return str(changes.get("remote_id", "")) if isinstance(changes, dict) else ""


def event_facts(claim: Claim, item: Item, name: str) -> dict[str, Any]:
    """Return the `extra` of a log record: a stable event name, account, operation, key and request id."""
    return {
        "event": f"push.{name}",
        "account": claim.entry.provider,
        "operation": item.operation,
        "key": str(claim.entry.ticket.key),
        "request_id": claim.entry.request_id,
    }


def _settle_failed(claim: Claim, item: Item, delivery: Delivery, reason: str) -> None:
    kind = Event.REFUSED if delivery == Delivery.REFUSED else Event.UNCERTAIN
    with transaction.atomic(using=claim.using):
        _finish_item(claim, item)
        rows = _rows(claim, item).filter(pk=item.row.pk)
        if item.kind == Kind.CLOSE:
            rows.update(close_delivery=delivery)
        else:
            rows.filter(delivery=Delivery.QUEUED).update(
                delivery=delivery, delivery_error=reason, updated_at=timezone.now()
            )
            item.row.delivery, item.row.delivery_error = delivery, reason
        _write_event(claim, kind, item, {"reason": reason})


def _finish_item(claim: Claim, item: Item) -> None:
    """Delete the entry if this item was the ticket's last, else make it ready for the next; raise LeaseLost."""
    ticket = claim.entry.ticket_id
    waiting: list[QuerySet[Any]] = [
        Comment.objects.filter(ticket=ticket, delivery=Delivery.QUEUED).exclude(pk=_pk(item, Kind.COMMENT)),
        Attachment.objects.filter(ticket=ticket, delivery=Delivery.QUEUED).exclude(pk=_pk(item, Kind.UPLOAD)),
    ]
    if item.kind != Kind.CLOSE:
        waiting.append(Ticket.objects.filter(pk=ticket, close_delivery=Delivery.QUEUED))
    nothing_more = Q(*(~Exists(rows) for rows in waiting))
    if claim.rows.filter(nothing_more).delete()[0]:
        return
    if not claim.rows.update(**READY):
        raise LeaseLost(str(claim.entry.pk))


def _rows(claim: Claim, item: Item) -> QuerySet[Any]:
    return type(item.row)._base_manager.using(claim.using).all()


def _pk(item: Item, kind: OutboxEntry.Item) -> int:
    return item.row.pk if item.kind == kind else 0


def _store(claim: Claim, item: Item, record: Result) -> None:
    now = timezone.now()
    rows = _rows(claim, item).filter(pk=item.row.pk)
    delivered: dict[str, Any] = {"delivery": Delivery.DELIVERED, "delivery_error": "", "updated_at": now}
    if item.kind == Kind.CREATE:
        rows.update(remote_id=record.remote_id, delivered_at=now, next_poll_at=now, **delivered)
        claim.entry.ticket.remote_id = record.remote_id
    elif item.kind == Kind.CLOSE:
        rows.update(close_delivery=Delivery.DELIVERED, next_poll_at=now)
    else:
        _forget_echo(claim, item, record.remote_id)
        rows.update(remote_id=record.remote_id or F("remote_id"), **delivered)
        Ticket.objects.using(claim.using).filter(pk=claim.entry.ticket_id).update(next_poll_at=now)
    item.row.delivery = Delivery.DELIVERED
    if item.files:
        files = Attachment.objects.using(claim.using).filter(pk__in=[file.pk for file in item.files])
        files.filter(delivery=Delivery.QUEUED).update(**delivered)


def _forget_echo(claim: Claim, item: Item, remote_id: str) -> None:
    """Delete the row that a pull has made of the vendor's copy before the send could tell that it is ours."""
    if remote_id:
        copies = _rows(claim, item).filter(ticket=claim.entry.ticket_id, remote_id=remote_id)
        copies.exclude(pk=item.row.pk).delete()


def _absorb_twin(claim: Claim, remote_id: str) -> bool:
    """Delete the copy of our own ticket that a list walk imported before its id was stored; a pull refills it."""
    twins = Ticket.objects.using(claim.using).of(claim.entry.provider).filter(remote_id=remote_id)
    return bool(twins.filter(origin=Ticket.Origin.VENDOR).delete()[0])


def _hint_if_webhook_came(claim: Claim, remote_id: str) -> None:
    """Make the ticket due if its webhook was faster than the answer to our own request."""
    webhooks = WebhookDelivery.objects.filter(provider=claim.entry.provider, remote_id=remote_id)
    Ticket.objects.using(claim.using).filter(Exists(webhooks), pk=claim.entry.ticket_id).update(
        next_poll_at=timezone.now()
    )


def _write_event(claim: Claim, kind: TicketEvent.Kind, item: Item, changes: dict[str, Any]) -> None:
    TicketEvent.objects.using(claim.using).create(
        ticket_id=claim.entry.ticket_id,
        kind=kind,
        source=TicketEvent.Source.PUSH,
        changes={"item": item.operation, "key": str(item.row.key), **changes},
    )
