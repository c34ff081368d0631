"""What waits, what is stuck and what has gone wrong of one account, in numbers and without any ticket text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min
from django.utils import timezone

from django_support_tickets.management.working import count_queued, count_uncertain
from django_support_tickets.models import (
    Delivery,
    OutboxEntry,
    ProviderState,
    SyncRun,
    Ticket,
    TicketEvent,
    WebhookDelivery,
    epoch_now,
)

DAY = timedelta(days=1)
#: What should have been fetched so long ago shows that nobody fetches.
OVERDUE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The numbers of an account; ages and waits in seconds, None where there is nothing to measure."""

    queued: int
    oldest_unsent: float | None
    uncertain: int
    refused_last_day: int
    overdue: int
    # "busy", "denied" or "down" while the account is paused, and the vendor's answer that paused it.
    pause: str
    pause_detail: str
    paused_for: float | None
    # Of the last pull: "running", "done", "stopped" or "failed", how long ago it began, and its error.
    last_run: str
    last_run_ago: float | None
    last_run_error: str
    heartbeat_ago: float | None
    webhooks_last_day: int
    webhooks_refused: int

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON takes them."""
        return asdict(self)


def backlog_of(alias: str, *, using: str) -> Backlog:
    """Return the numbers of an account."""
    now, tickets = timezone.now(), Ticket.objects.using(using).of(alias)
    events = TicketEvent.objects.using(using).filter(ticket__provider=alias, at__gte=now - DAY)
    webhooks = WebhookDelivery.objects.using(using).filter(provider=alias, received_at__gte=now - DAY)
    return Backlog(
        queued=count_queued(alias, using=using),
        oldest_unsent=_seconds(_oldest_unsent(alias, using=using), now),
        uncertain=count_uncertain(alias, using=using),
        refused_last_day=events.filter(kind=TicketEvent.Kind.REFUSED).count(),
        overdue=tickets.due(alias, now=now - OVERDUE).count(),
        webhooks_last_day=webhooks.count(),
        **_state(alias, using=using),
        **_last_run(alias, now, using=using),
    )


def parked(aliases: Collection[str], *, using: str) -> dict[str, int]:
    """Return how many tickets wait for other accounts than `aliases`, by alias: those are not configured (any more)."""
    tickets = Ticket.objects.using(using).exclude(provider__in=aliases)
    waiting = tickets.queued().values_list("pk", "provider")
    announced = OutboxEntry.objects.using(using).exclude(provider__in=aliases)
    found = dict(waiting) | dict(announced.values_list("ticket_id", "provider"))
    return {alias: list(found.values()).count(alias) for alias in sorted(set(found.values()))}


def _oldest_unsent(alias: str, *, using: str) -> datetime | None:
    entries = OutboxEntry.objects.using(using).filter(provider=alias)
    unannounced = Ticket.objects.using(using).of(alias).filter(delivery=Delivery.QUEUED, outbox=None)
    moments = [rows.aggregate(oldest=Min("created_at"))["oldest"] for rows in (entries, unannounced)]
    return min((moment for moment in moments if moment is not None), default=None)


def _state(alias: str, *, using: str) -> dict[str, Any]:
    state = ProviderState.objects.using(using).filter(provider=alias, scope="").first() or ProviderState()
    now = epoch_now(using)
    is_paused = state.paused_until is not None and state.paused_until > now
    return {
        "pause": state.pause if is_paused else "",
        "pause_detail": state.pause_detail if is_paused else "",
        "paused_for": (state.paused_until - now) / 1000 if is_paused and state.paused_until else None,
        "heartbeat_ago": None if state.heartbeat is None else max(0.0, (now - state.heartbeat) / 1000),
        "webhooks_refused": state.webhooks_refused,
    }


def _last_run(alias: str, now: datetime, *, using: str) -> dict[str, Any]:
    run = SyncRun.objects.using(using).filter(provider=alias).order_by("-started_at").first()
    return {
        "last_run": run.outcome if run else "",
        "last_run_ago": _seconds(run.started_at if run else None, now),
        "last_run_error": run.error if run else "",
    }


def _seconds(since: datetime | None, now: datetime) -> float | None:
    return None if since is None else max(0.0, (now - since).total_seconds())
