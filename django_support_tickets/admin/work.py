"""The doors to push and pull, opened at use: behind them is the HTTP client, which `django.setup()` must not load."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from importlib import import_module
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.module_loading import import_string

from django_support_tickets.conf import settings
from django_support_tickets.dispatch import wake
from django_support_tickets.models import Attachment, EpochNow, OutboxEntry, Submission, Ticket, TicketEvent

OUTBOX = "django_support_tickets.outbox.decisions"
FACTS = "django_support_tickets.outbox.facts"
SYNC = "django_support_tickets.sync"
MIRRORING = "django_support_tickets.attachments.mirroring"


def decision(name: str) -> Callable[..., Any]:
    """Return a function of `outbox.decisions`: cancel, close_here, raise_again, request_close or settle."""
    function: Callable[..., Any] = import_string(f"{OUTBOX}.{name}")
    return function


def known_remote_id(item: Submission) -> str:
    """Return the remote id that a late answer has named for an uncertain item, "" if none has."""
    return str(decision("known_remote_id")(item))


def note_submitted(item: Submission, operation: OutboxEntry.Item, *, actor: Any) -> None:
    """Write into the timeline who has submitted a ticket, comment or file in the admin."""
    _note(item, TicketEvent.Kind.SUBMITTED, operation, actor=actor)


def take_back(ticket: Ticket, *, actor: Any) -> bool:
    """Make a refused ticket a draft again, which its timeline tells; return False if it is not refused (any more)."""
    with transaction.atomic(using=ticket._state.db):
        is_taken = ticket.back_to_draft()
        if is_taken:
            _note(ticket, TicketEvent.Kind.CANCELLED, OutboxEntry.Item.CREATE, actor=actor)
    return is_taken


def make_due(alias: str, remote_ids: Collection[str], *, using: str) -> int:
    """Make tickets due to be fetched; return how many there are."""
    return int(import_string(f"{SYNC}.hint")(alias, remote_ids, using=using))


def fetch_file(attachment: Attachment) -> Attachment.State:
    """Fetch a file that lies at the vendor only, in this thread and outside any transaction; return its state."""
    return Attachment.State(import_string(f"{MIRRORING}.mirror")(attachment))


def hasten(pks: list[int], *, using: str) -> int:
    """Make outbox entries due now; return how many.

    Left alone is what a worker has, and what may be at the vendor: it is searched for after its time, never sent now.
    """
    free = Q(leased_until=None) | Q(leased_until__lte=EpochNow())
    entries = OutboxEntry.objects.using(using).filter(free, ticket__in=pks, sent_at=None)
    return entries.update(not_before=0)


def ask_for_news(alias: str, *, using: str) -> None:
    """After the commit, ask for somebody to fetch what is due; the inline dispatcher only sends, so this pulls."""
    if settings.DISPATCHER == "inline":
        transaction.on_commit(partial(_pull, alias, using=using), using=using, robust=True)
    else:
        wake(alias, using=using)


def _note(item: Submission, kind: TicketEvent.Kind, operation: OutboxEntry.Item, *, actor: Any) -> None:
    note: Callable[..., None] = import_string(f"{FACTS}.note_decision")
    note(item, kind, actor=actor, source=TicketEvent.Source.ADMIN, item=operation)


def _pull(alias: str, *, using: str) -> None:
    sync = import_module(SYNC)
    try:
        sync.pull(alias, workers=1, using=using)
    except sync.AlreadyRunning:
        return  # that run fetches it
