from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connections, transaction
from django.db.models.constants import OnConflict
from django.utils import timezone

from django_support_tickets.models import database_time
from django_support_tickets.models.retries import repeated
from django_support_tickets.records import WebhookEvent

#: Between two fetches of a ticket, however many webhooks name it.
SHORTEST_INTERVAL = timedelta(seconds=1)

# Written out: to have these compiled for each webhook costs more than all the rest of it.
INSERT = """support_tickets_webhookdelivery (provider, identity, event_type, remote_id, received_at)
    VALUES (%s, %s, %s, %s, %s)"""
# An event that names another customer than the ticket's is not about this ticket.
UPDATE = """UPDATE support_tickets_ticket SET next_poll_at = {due}
    WHERE provider = %s AND remote_id = %s AND (%s = '' OR customer_id IN ('', %s))"""
# Due now, or as soon as the last fetch is SHORTEST_INTERVAL old. The answer to the ticket's own create was no fetch.
IS_FETCHED = "(delivered_at IS NULL OR synced_at >= delivered_at)"
DUE = f"CASE WHEN synced_at > %s AND {IS_FETCHED} THEN %s ELSE %s END"
NOW_POSTGRESQL = "date_trunc('milliseconds', clock_timestamp())"
# LEAST() ignores a NULL: what was never fetched must not look as if it had been just now.
FETCHED_POSTGRESQL = f"synced_at IS NOT NULL AND {IS_FETCHED}"
DUE_POSTGRESQL = (
    f"GREATEST({NOW_POSTGRESQL}, CASE WHEN {FETCHED_POSTGRESQL} THEN LEAST(synced_at, {NOW_POSTGRESQL}) + %s END)"
)
AT_ONCE = f"""WITH delivery AS (INSERT INTO {INSERT} ON CONFLICT DO NOTHING RETURNING 1),
    hint AS ({UPDATE.format(due=DUE_POSTGRESQL)} AND EXISTS (SELECT 1 FROM delivery) RETURNING 1)
    SELECT EXISTS (SELECT 1 FROM delivery), EXISTS (SELECT 1 FROM hint)"""  # noqa: S608


def remember(alias: str, event: WebhookEvent, *, using: str) -> bool:
    """Store an event and make its ticket due, all or nothing; return whether a ticket was made due."""
    store = _store_at_once if connections[using].vendor == "postgresql" else _store_in_transaction
    is_new, is_hinted = repeated(lambda: store(alias, event, using=using), using=using, times=2)
    if is_hinted or not is_new or not event.remote_id:
        return is_hinted
    # Nobody knew this id. A push that stores it just now looks for this delivery after its commit, as this looks for
    # the id after the delivery's: whichever is later sees the other.
    return repeated(lambda: _hint(alias, event, using=using), using=using, times=2)


def _store_at_once(alias: str, event: WebhookEvent, *, using: str) -> tuple[bool, bool]:
    """Do it in one statement, which spares four round trips; return whether it was new, and has made a ticket due."""
    parameters = [*_delivery_row(alias, event, using=using), SHORTEST_INTERVAL, *_ticket_filter(alias, event)]
    with connections[using].cursor() as cursor:
        cursor.execute(AT_ONCE, parameters)
        is_new, is_hinted = cursor.fetchone()
    return is_new, is_hinted


def _store_in_transaction(alias: str, event: WebhookEvent, *, using: str) -> tuple[bool, bool]:
    ops = connections[using].ops
    insert = f"{ops.insert_statement(on_conflict=OnConflict.IGNORE)} {INSERT}"
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(insert, _delivery_row(alias, event, using=using))
        is_new = bool(cursor.rowcount)
        return is_new, is_new and _hint(alias, event, using=using)


def _hint(alias: str, event: WebhookEvent, *, using: str) -> bool:
    """Make the ticket due now, or in a moment if it was fetched just now; return whether there is one."""
    now = database_time(using)
    adapt = connections[using].ops.adapt_datetimefield_value
    times = [adapt(moment) for moment in (now - SHORTEST_INTERVAL, now + SHORTEST_INTERVAL, now)]
    with connections[using].cursor() as cursor:
        cursor.execute(UPDATE.format(due=DUE), [*times, *_ticket_filter(alias, event)])
        return bool(cursor.rowcount)


def _delivery_row(alias: str, event: WebhookEvent, *, using: str) -> list[Any]:
    now = connections[using].ops.adapt_datetimefield_value(timezone.now())
    return [alias, event.identity, event.event_type, event.remote_id, now]


def _ticket_filter(alias: str, event: WebhookEvent) -> list[str]:
    return [alias, event.remote_id, event.customer_id, event.customer_id]
