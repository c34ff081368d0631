"""What push writes into a ticket's timeline and its log, and what it reads there again."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction

from django_support_tickets.exceptions import ProviderError
from django_support_tickets.models import Submission, TicketEvent, database_time, moment_of
from django_support_tickets.models.statements import Statement, inserting
from django_support_tickets.outbox.claims import Claim
from django_support_tickets.outbox.flight import ticket_id_of
from django_support_tickets.outbox.items import Item
from django_support_tickets.records import clean_text
from django_support_tickets.vocabulary import one_line

logger = logging.getLogger(__name__)
Event = TicketEvent.Kind
#: Characters of an error that are kept.
LONGEST = 2000


def describe(error: ProviderError) -> str:
    """Return an error for the row that staff read: what happened, the vendor's code and words, its request id."""
    return _with_facts(error.sentence(), error)


def describe_cause(error: ProviderError) -> str:
    """Return an error for what tells of the whole account, without the vendor's words: they may quote a ticket."""
    return _with_facts(error.cause, error)


def write_event(claim: Claim, kind: TicketEvent.Kind, item: Item, changes: dict[str, Any]) -> None:
    """Add a line to the ticket's timeline, at the database's time, whatever the clock of this machine says."""
    _adding().run(
        claim.using,
        ticket_id=claim.entry.ticket_id,
        at=claim.moment,
        kind=kind,
        source=TicketEvent.Source.PUSH,
        changes={"item": item.operation, "key": str(item.row.key), **changes},
    )


def note_decision(
    item: Submission, kind: TicketEvent.Kind, /, *, actor: AbstractBaseUser | None, source: str, **changes: Any
) -> None:
    """Add what a person has decided to the timeline of the item's ticket, at the database's time."""
    using = str(item._state.db)
    TicketEvent.objects.using(using).create(
        ticket_id=ticket_id_of(item),
        at=database_time(using),
        kind=kind,
        source=source,
        actor_id=None if actor is None else actor.pk,
        changes={"key": str(item.key), **changes},
    )


def keep_fact(claim: Claim, item: Item, remote_id: str) -> None:
    """Keep a remote id that a worker without a lease has seen; a search or a person will use it."""
    if not remote_id or _is_known(claim, item, remote_id):
        return
    logger.warning("late answer: remote id %s", one_line(remote_id), extra=log_facts(claim, item, "late_answer"))
    try:
        with transaction.atomic(using=claim.using):
            write_event(claim, Event.LATE_ANSWER, item, {"remote_id": remote_id})
    except IntegrityError:
        return  # the ticket has been deleted; the log has the id


def known_fact(item: Item, *, using: str) -> str:
    """Return the remote id that a late answer has named for this item, "" if none has."""
    return late_answer(ticket_id_of(item.row), item.operation, str(item.row.key), using=using)


def late_answer(ticket_id: int, operation: str, key: str, *, using: str) -> str:
    """Return the remote id that a late answer has named for the item of this key, "" if none has."""
    events = TicketEvent.objects.using(using).filter(ticket=ticket_id, kind=Event.LATE_ANSWER)
    for changes in events.order_by("pk").values_list("changes", flat=True):
        if (changes.get("item"), changes.get("key")) == (operation, key):
            return str(changes.get("remote_id", ""))
    return ""


def error_facts(claim: Claim, item: Item) -> dict[str, Any]:
    """Return what an error about the send of an item names: account, operation and the item's key."""
    return {"alias": claim.entry.provider, "operation": item.operation, "key": str(item.row.key)}


def log_facts(claim: Claim, item: Item, name: str, *, request_id: str = "") -> dict[str, Any]:
    """Return the `extra` of a log record: a stable event name, account, operation, key, request id and duration.

    The duration is in seconds since the item was claimed.
    """
    return {
        "event": f"push.{name}",
        "account": claim.entry.provider,
        "operation": item.operation,
        "key": str(claim.entry.ticket.key),
        "request_id": request_id or claim.entry.request_id,
        "duration": (claim.moment - moment_of(claim.now)).total_seconds(),
    }


@cache
def _adding() -> Statement:
    return Statement(inserting(TicketEvent, "ticket_id", "at", "kind", "source", "changes"))


def _with_facts(text: str, error: ProviderError) -> str:
    code = f" [{error.code}]" if error.code else ""
    request = f" (request {error.request_id})" if error.request_id else ""
    return clean_text(f"{text}{code}{request}")[:LONGEST]


def _is_known(claim: Claim, item: Item, remote_id: str) -> bool:
    """Return whether the row has the id: then the lease was not lost but ended by this very answer."""
    rows = type(item.row)._base_manager.using(claim.using).filter(pk=item.row.pk, remote_id=remote_id)
    return rows.exists() or known_fact(item, using=claim.using) == remote_id
