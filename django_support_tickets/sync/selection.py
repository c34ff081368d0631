"""Which tickets are to be fetched; read by keyset, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from django_support_tickets.models import ERASED, Ticket
from django_support_tickets.providers import Provider
from django_support_tickets.records import Capabilities

BATCH = 500


@dataclass(frozen=True, slots=True)
class Due:
    """A ticket to fetch, as it was read; fields in the order of COLUMNS."""

    pk: int
    remote_id: str
    customer_id: str
    key: object
    next_poll_at: datetime | None
    synced_at: datetime | None
    missing_since: datetime | None
    created_at: datetime
    digest: str

    @property
    def name(self) -> str:
        """Return what a run's failures call it: by our key, never by its text."""
        return f"ticket {self.key}"


COLUMNS = tuple(Due.__dataclass_fields__)


def living_tickets(alias: str, capabilities: Capabilities, *, using: str) -> QuerySet[Ticket]:
    """Return the tickets of an account that are at the vendor and in which news can still come in."""
    ends = [*capabilities.final_statuses, *capabilities.settled_statuses]
    rows = Ticket.objects.using(using).of(alias).filter(remote_id__isnull=False)
    return rows.exclude(status__in=ends).exclude(digest=ERASED)


def scopes_of(provider: Provider, *, using: str) -> tuple[str, ...]:
    """Return the lists of an account that are to be walked."""
    if not provider.capabilities.lists_by_customer:
        return provider.scopes(())
    rows = living_tickets(provider.alias, provider.capabilities, using=using).exclude(customer_id="")
    return provider.scopes(list(rows.order_by("customer_id").values_list("customer_id", flat=True).distinct()))


def oldest_first(rows: QuerySet[Ticket]) -> Iterator[Due]:
    """Yield tickets in the order in which they became due."""
    rows, after = rows.order_by("next_poll_at", "pk"), Q()
    while batch := [Due(*row) for row in rows.filter(after).values_list(*COLUMNS)[:BATCH]]:
        yield from batch
        last = batch[-1]
        after = Q(next_poll_at__gt=last.next_poll_at) | Q(next_poll_at=last.next_poll_at, pk__gt=last.pk)


def keys_of(rows: QuerySet[Ticket]) -> Iterator[list[int]]:
    """Yield primary keys in their order, some thousand at a time."""
    keys, after = rows.order_by("pk").values_list("pk", flat=True), 0
    while batch := list(keys.filter(pk__gt=after)[: 10 * BATCH]):
        yield batch
        after = batch[-1]


def by_key(rows: QuerySet[Ticket]) -> Iterator[Due]:
    """Yield tickets in the order of their keys."""
    rows, after = rows.order_by("pk"), 0
    while batch := [Due(*row) for row in rows.filter(pk__gt=after).values_list(*COLUMNS)[:BATCH]]:
        yield from batch
        after = batch[-1].pk
