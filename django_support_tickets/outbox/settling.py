"""Write down how a send ended, all of it in one transaction that the lease token guards.

Rows are locked in one order everywhere: the ticket, its comments and files, the outbox entry.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from django.db import IntegrityError, connections, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from django_support_tickets import signals
from django_support_tickets.merge import Fetched, merge
from django_support_tickets.models import (
    Delivery,
    EpochNow,
    Ticket,
    TicketEvent,
)
from django_support_tickets.models.retries import repeated
from django_support_tickets.models.statements import Statement, deleting
from django_support_tickets.outbox.claims import Claim
from django_support_tickets.outbox.facts import Event, keep_fact, log_facts, write_event
from django_support_tickets.outbox.items import Item, Kind, queued_comments, queued_files
from django_support_tickets.outbox.leases import mine
from django_support_tickets.outbox.storing import Result, has_conversation, look_for_webhooks, store
from django_support_tickets.outbox.twins import absorb_twin
from django_support_tickets.providers import providers
from django_support_tickets.records import ABSENT, TicketRecord

logger = logging.getLogger(__name__)

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
        look_for_webhooks(claim, item, record.remote_id)
    if isinstance(record, TicketRecord) and (has_conversation(record) or item.kind == Kind.CLOSE):
        _merge(claim, item, record)
    if item.kind == Kind.CREATE:
        signals.ticket_delivered.send_robust(Ticket, ticket=claim.entry.ticket)


def settle_refused(claim: Claim, item: Item, *, reason: str, cause: str, request_id: str = "") -> None:
    """Store that the vendor has not got the item and that nothing more is tried; raise LeaseLost."""
    _settle_failed(claim, item, Delivery.REFUSED, reason)
    logger.warning("refused: %s", cause, extra=log_facts(claim, item, "refused", request_id=request_id))
    signals.delivery_refused.send_robust(type(item.row), ticket=claim.entry.ticket, item=item.row, reason=reason)


def settle_uncertain(claim: Claim, item: Item, *, reason: str, cause: str, request_id: str = "") -> None:
    """Store that nobody can tell whether the vendor has the item, so that a person must; raise LeaseLost."""
    _settle_failed(claim, item, Delivery.UNCERTAIN, reason)
    logger.error("uncertain: %s", cause, extra=log_facts(claim, item, "uncertain", request_id=request_id))
    signals.delivery_uncertain.send_robust(type(item.row), ticket=claim.entry.ticket, item=item.row)


def drop(claim: Claim) -> None:
    """Delete an entry of whose ticket nothing can be sent now; one that a new item has reached meanwhile stays."""
    if not _delete(claim):
        claim.rows.update(lease_token=None, leased_until=None)


def _store_delivered(claim: Claim, item: Item, record: Result) -> None:
    def store_alone() -> None:
        with transaction.atomic(using=claim.using):
            store(claim, item, record)
            _finish(claim)
            write_event(claim, Event.DELIVERED, item, {"remote_id": record.remote_id})

    def store_with_twin() -> None:
        with transaction.atomic(using=claim.using):
            found_twin = absorb_twin(claim.entry.ticket, record.remote_id, using=claim.using)
            store(claim, item, record)
            _finish(claim)
            write_event(claim, Event.DELIVERED, item, {"remote_id": record.remote_id, "found_twin": found_twin})

    try:
        repeated(store_alone, using=claim.using)
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
        raise LeaseLost


def _delete(claim: Claim) -> bool:
    """Delete the entry under its token, unless something of its ticket waits to be sent; return whether it is gone."""
    return bool(repeated(lambda: _delete_unless_waiting(claim), using=claim.using))


def _delete_unless_waiting(claim: Claim) -> int:
    if connections[claim.using].vendor != "mysql":
        return _deleting(unless_waiting=True).run(claim.using, **claim.identity)
    # MySQL locks what a subquery of a DELETE reads, and may look through what is queued of all tickets: workers that
    # settle at the same time would end each other by deadlocks.
    if _waiting().rows(claim.using, **claim.identity):
        return 0
    return _deleting(unless_waiting=False).run(claim.using, **claim.identity)


@cache
def _deleting(*, unless_waiting: bool) -> Statement:
    return Statement(deleting(mine().filter(~Exists(_with_more())) if unless_waiting else mine()))


@cache
def _waiting() -> Statement:
    return Statement(mine().filter(Exists(_with_more())).values_list("pk").query)


def _with_more() -> QuerySet[Ticket]:
    """Return the ticket of an entry if something of it waits to be sent; for use in a subquery."""
    conversation = Exists(queued_comments(OuterRef("pk"))) | Exists(queued_files(OuterRef("pk")))
    waiting = Q(delivery=Delivery.QUEUED)
    waiting |= Q(delivery=Delivery.DELIVERED) & (Q(close_delivery=Delivery.QUEUED) | conversation)
    return Ticket.objects.filter(waiting, pk=OuterRef("ticket"))


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
