from __future__ import annotations

from collections.abc import Sequence

from django.db import DEFAULT_DB_ALIAS, transaction

from django_support_tickets.merge import cleaning
from django_support_tickets.merge.announcements import announce
from django_support_tickets.merge.arrivals import Fetched, MergeCounts
from django_support_tickets.merge.batch import Batch, News
from django_support_tickets.merge.ownership import read_fields
from django_support_tickets.merge.pages import unique_pages, write_page
from django_support_tickets.merge.reading import read_rows
from django_support_tickets.merge.writing import begin_writing, find_keys, insert_rows, new_row
from django_support_tickets.models import Delivery, Ticket, TicketEvent
from django_support_tickets.providers import providers


def import_tickets(alias: str, fetched: Sequence[Fetched], *, using: str = DEFAULT_DB_ALIAS) -> MergeCounts:
    """Make tickets of records that belong to nobody here; they have no requester.

    Left out are records whose remote id is known by now, and those that carry the key of a ticket of this account:
    they are ours, and the push that made them will store their remote id.
    """
    counts = MergeCounts()
    for page in unique_pages(fetched):
        batch = Batch(
            alias=alias, using=using, source=TicketEvent.Source.PULL, capabilities=providers[alias].capabilities
        )
        counts.add(write_page(batch, page, _write))
    return counts


def _write(batch: Batch, page: Sequence[Fetched]) -> MergeCounts:
    begin_writing(Ticket, using=batch.using)
    ours = _known(batch, page)
    for one in page:
        if one.record.remote_id in ours or cleaning.own_key(one.record.key) in ours:
            batch.counts.unknown += 1
        else:
            batch.news.append(News(one, cleaning.digest(one.record), ticket=_new_ticket(batch, one), imported=True))
    batch.plan()
    tickets = [news.ticket for news in batch.news]
    insert_rows(Ticket, tickets, using=batch.using)
    find_keys(Ticket, tickets, using=batch.using)
    batch.write()
    transaction.on_commit(lambda: announce(batch), using=batch.using, robust=True)
    return batch.counts


def _known(batch: Batch, page: Sequence[Fetched]) -> set[str]:
    remote_ids = [one.record.remote_id for one in page]
    stored = read_rows(Ticket, ("remote_id",), using=batch.using, alias=batch.alias, remote_ids=remote_ids)
    keys = [key for one in page if (key := cleaning.own_key(one.record.key))]
    ours = Ticket.objects.using(batch.using).filter(provider=batch.alias, key__in=keys).values_list("key", flat=True)
    return {remote_id for (remote_id,) in stored} | (set(map(str, ours)) if keys else set())


def _new_ticket(batch: Batch, one: Fetched) -> Ticket:
    values = read_fields(one.record, Ticket.Origin.VENDOR)
    created = values.get("remote_created_at")
    return new_row(
        Ticket,
        provider=batch.alias,
        remote_id=one.record.remote_id,
        origin=Ticket.Origin.VENDOR,
        delivery=Delivery.DELIVERED,
        created_at=min(created, batch.now) if created else batch.now,
        **values,
    )
