"""Make tickets due now. A hint never carries state: what is true is what the next GET says."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import cast

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q

from django_support_tickets.models import EpochNow, ProviderState, Ticket, epoch_now, moment_of
from django_support_tickets.providers import providers


def database_time(using: str) -> datetime:
    """Return the database's clock as this project's datetimes are."""
    return cast("datetime", moment_of(epoch_now(using)))


def hint(alias: str, remote_ids: Collection[str], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Make tickets of an account due now, whatever their schedule says; return how many there are."""
    rows = Ticket.objects.using(using).of(alias).filter(remote_id__in=remote_ids)
    return rows.update(next_poll_at=database_time(using))


def hint_all(alias: str, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Make every ticket of an account due in which news can still come in, and every list walk; return how many."""
    capabilities = providers[alias].capabilities
    ends = [*capabilities.final_statuses, *capabilities.settled_statuses]
    tickets = Ticket.objects.using(using).of(alias).filter(remote_id__isnull=False).exclude(status__in=ends)
    ProviderState.objects.using(using).filter(provider=alias).update(next_walk_at=None)
    return tickets.update(next_poll_at=database_time(using))


def has_work(alias: str, *, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Return whether a pull of this account would ask the vendor anything now."""
    if Ticket.objects.using(using).due(alias, now=database_time(using)).exists():
        return True
    if not providers[alias].capabilities.can_list:
        return False
    states = ProviderState.objects.using(using).filter(provider=alias)
    due = states.filter(Q(next_walk_at=None) | Q(next_walk_at__lte=EpochNow()))
    return due.exists() or not states.exists()
