"""Make tickets due now. A hint never carries state: what is true is what the next GET says."""

from __future__ import annotations

from collections.abc import Collection

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q

from django_support_tickets.attachments.mirroring import due_files
from django_support_tickets.models import ERASED, EpochNow, ProviderState, Ticket, database_time
from django_support_tickets.models.pauses import paused
from django_support_tickets.providers import providers
from django_support_tickets.sync.selection import living_tickets, scopes_of


def hint(alias: str, remote_ids: Collection[str], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Make tickets of an account due now, whatever their schedule says; return how many there are."""
    rows = Ticket.objects.using(using).of(alias).filter(remote_id__in=remote_ids).exclude(digest=ERASED)
    return rows.update(next_poll_at=database_time(using))


def hint_all(alias: str, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Make every ticket of an account due in which news can still come in, and every list walk; return how many."""
    tickets = living_tickets(alias, providers[alias].capabilities, using=using)
    lists = ProviderState.objects.using(using).filter(provider=alias)
    lists.filter(next_walk_at__gt=EpochNow()).update(next_walk_at=EpochNow())
    return tickets.update(next_poll_at=database_time(using))


def has_work(alias: str, *, using: str = DEFAULT_DB_ALIAS) -> bool:
    """Return whether a pull of this account would ask the vendor anything now; not while the account is paused."""
    if paused(alias, using=using):
        return False
    if Ticket.objects.using(using).due(alias, now=database_time(using)).exists():
        return True
    provider = providers[alias]
    if provider.mirror_attachments and due_files(alias, using=using).exists():
        return True
    capabilities = provider.capabilities
    if not capabilities.can_list:
        return False
    states = ProviderState.objects.using(using).filter(provider=alias)
    if capabilities.lists_by_customer:
        states = states.exclude(scope="")  # the account's own row, which is no list
    due = states.filter(Q(next_walk_at=None) | Q(next_walk_at__lte=EpochNow()))
    return due.exists() or (not states.exists() and bool(scopes_of(provider, using=using)))
