"""What SUPPORT_TICKETS_RETENTION says is old enough goes, in short transactions that may be cut off anywhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import Error, transaction
from django.db.models import Exists, Model, OuterRef, ProtectedError, Q, QuerySet, RestrictedError
from django.utils import timezone

from django_support_tickets.attachments.cleanup import OrphanCounts, sweep_orphans
from django_support_tickets.conf import Settings, settings
from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.models import (
    Attachment,
    Comment,
    Delivery,
    EpochNow,
    OutboxEntry,
    ProviderState,
    SyncRun,
    Ticket,
    TicketEvent,
    WebhookDelivery,
    milliseconds,
)
from django_support_tickets.models.retries import repeated
from django_support_tickets.providers import providers
from django_support_tickets.records import Status

logger = logging.getLogger(__name__)

BATCH = 500
#: Vendors that list no tickets and never tell that one was closed have statuses of their own that mean so.
SETTLED = frozenset({Status.CLOSED, Status.FAILED})
Old = Callable[[datetime, str], QuerySet[Any]]


@dataclass(slots=True)
class Pruned:
    """What was removed, by kind (in a dry run: what would be); `kept` are the kinds that are kept for ever."""

    removed: dict[str, int] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    # None: the storage could not be looked through, and `files_error` says why.
    files: OrphanCounts | None = None
    files_error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as JSON takes them."""
        return asdict(self)


def prune(*, using: str, dry_run: bool = False) -> Pruned:
    """Remove what is older than its retention, and stored files that no row has; run it daily."""
    pruned = Pruned()
    for kind, days in retention().items():
        if days is None:
            pruned.kept.append(kind)
            continue
        rows = KINDS[kind](timezone.now() - timedelta(days=days), using)
        pruned.days[kind] = days
        pruned.removed[kind] = rows.count() if dry_run else _remove(rows)
        logger.info("%s pruned: %d", kind, pruned.removed[kind], extra={"event": "prune.done", "operation": kind})
    try:
        pruned.files = sweep_orphans(dry_run=dry_run)
    except NotImplementedError:
        pruned.files_error = "the storage cannot list its files"
    except Error as error:  # every database that has our tables may own files
        pruned.files_error = f"a database raised {type(error).__name__}"
    except Exception as error:  # a storage raises what it likes, and its words may hold keys and addresses
        pruned.files_error = f"the storage raised {type(error).__name__}"
    return pruned


def retention() -> dict[str, int | None]:
    """Return the days of every kind: the setting's, else the default's."""
    return {**Settings.RETENTION, **settings.RETENTION}


def _remove(rows: QuerySet[Any]) -> int:
    """Delete rows in batches; tickets one by one, since one that is being sent must not keep the others."""
    return sum(_delete_ticket(rows, pk) if rows.model is Ticket else _delete(rows, pk) for pk in _steps(rows))


def _steps(rows: QuerySet[Any]) -> Iterator[Any]:
    """Yield keys of tickets, or lists of keys of anything else, batch by batch."""
    pks, after = rows.order_by("pk").values_list("pk", flat=True), 0
    while batch := list(pks.filter(pk__gt=after)[:BATCH]):
        after = batch[-1]
        yield from batch if rows.model is Ticket else [batch]


def _delete(rows: QuerySet[Any], pks: list[int]) -> int:
    plain: QuerySet[Model] = rows.model._base_manager.using(rows.db).filter(pk__in=pks)
    return repeated(lambda: plain.delete()[0], using=rows.db)


def _delete_ticket(rows: QuerySet[Ticket], pk: int) -> int:
    """Delete a ticket, with its files after the commit, if it is still one of `rows`; return 1 or 0."""

    def delete() -> int:
        with transaction.atomic(using=rows.db):
            for ticket in rows.select_for_update().filter(pk=pk):
                ticket.delete()
                return 1
        return 0

    try:
        return repeated(delete, using=rows.db)
    except (ProtectedError, RestrictedError):  # something of it is just being sent, or a row of the project's needs it
        return 0


def _old_webhook_deliveries(before: datetime, using: str) -> QuerySet[Any]:
    return WebhookDelivery.objects.using(using).filter(received_at__lt=before)


def _old_sync_runs(before: datetime, using: str) -> QuerySet[Any]:
    """Return old runs, but for the last one of each account."""
    newer = SyncRun.objects.filter(provider=OuterRef("provider"), started_at__gt=OuterRef("started_at"))
    return SyncRun.objects.using(using).filter(Exists(newer), started_at__lt=before)


def _old_list_states(before: datetime, using: str) -> QuerySet[Any]:
    """Return lists whose next walk was due so long ago that nobody wants it: no ticket of that customer is open."""
    ms = milliseconds((timezone.now() - before).total_seconds())
    return ProviderState.objects.using(using).exclude(scope="").filter(next_walk_at__lt=EpochNow() - ms)


def _old_drafts(before: datetime, using: str) -> QuerySet[Any]:
    drafts = Ticket.objects.using(using).filter(delivery=Delivery.DRAFT, remote_id=None, updated_at__lt=before)
    younger = Attachment.objects.filter(ticket=OuterRef("pk"), updated_at__gte=before)
    return drafts.filter(~Exists(younger), ~Exists(OutboxEntry.objects.filter(ticket=OuterRef("pk"))))


def _old_tickets(before: datetime, using: str) -> QuerySet[Any]:
    """Return tickets in which nothing has changed, nothing is to be sent and no news is waited for."""
    is_over = Q(delivery=Delivery.REFUSED) | (Q(delivery=Delivery.DELIVERED) & _is_settled())
    tickets = Ticket.objects.using(using).filter(is_over, updated_at__lt=before)
    tickets = tickets.exclude(close_delivery__in=[Delivery.QUEUED, Delivery.UNCERTAIN])
    tickets = tickets.filter(Q(last_comment_at=None) | Q(last_comment_at__lt=before))
    held: list[QuerySet[Any]] = [OutboxEntry.objects.filter(ticket=OuterRef("pk"))]
    for model in (Comment, Attachment):
        unsettled = model.objects.filter(ticket=OuterRef("pk"))
        held.append(unsettled.filter(Q(updated_at__gte=before) | Q(delivery__in=[Delivery.QUEUED, Delivery.UNCERTAIN])))
    return tickets.filter(*(~Exists(rows) for rows in held))


def _is_settled() -> Q:
    condition = Q(status__in=SETTLED)
    for alias in providers:
        try:
            statuses = providers[alias].capabilities.settled_statuses
        except InvalidProvider:
            continue
        condition |= Q(provider=alias, status__in=statuses)
    return condition


def _old_events(before: datetime, using: str) -> QuerySet[Any]:
    """Return old lines of timelines, but for those that push still needs."""
    events = TicketEvent.objects.using(using).filter(at__lt=before)
    is_needed = Exists(OutboxEntry.objects.filter(ticket=OuterRef("ticket")))
    return events.filter(~is_needed).exclude(ticket__delivery__in=[Delivery.QUEUED, Delivery.UNCERTAIN])


KINDS: dict[str, Old] = {
    "webhook_deliveries": _old_webhook_deliveries,
    "sync_runs": _old_sync_runs,
    "list_states": _old_list_states,
    "drafts": _old_drafts,
    "tickets": _old_tickets,
    "events": _old_events,
}
