"""The numbers of the dashboard: counted by the database in a fixed number of queries, kept for a minute.

What is kept names accounts, states and numbers, and nothing of a ticket or a person.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings as django_settings
from django.core.cache import cache
from django.db.models import (
    Case,
    CharField,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Min,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import TruncDate
from django.utils import timezone

from django_support_tickets.models import (
    Attachment,
    Comment,
    Delivery,
    EpochNow,
    OutboxEntry,
    ProviderState,
    SyncRun,
    Ticket,
    moment_of,
)
from django_support_tickets.providers import providers

logger = logging.getLogger(__name__)

DAYS = 30
KEPT_SECONDS = 60
#: Upper bounds of the time from submit to registered, and of the age of what waits.
LAGS = (
    ("10s", timedelta(seconds=10)),
    ("1min", timedelta(minutes=1)),
    ("5min", timedelta(minutes=5)),
    ("15min", timedelta(minutes=15)),
    ("1h", timedelta(hours=1)),
    ("6h", timedelta(hours=6)),
    ("1d", timedelta(days=1)),
)
AGES = (
    ("1min", timedelta(minutes=1)),
    ("15min", timedelta(minutes=15)),
    ("1h", timedelta(hours=1)),
    ("6h", timedelta(hours=6)),
    ("1d", timedelta(days=1)),
    ("3d", timedelta(days=3)),
)
LONGER = "longer"
LAG = ExpressionWrapper(F("delivered_at") - F("submitted_at"), output_field=DurationField())


@dataclass(slots=True)
class Health:
    """How an account does; times as the project's datetimes."""

    alias: str
    is_configured: bool = True
    backlog: int = 0
    oldest: datetime | None = None
    uncertain: int = 0
    refused: int = 0
    paused_until: datetime | None = None
    pause: str = ""
    pause_detail: str = ""
    webhooks_refused: int = 0
    run_started: datetime | None = None
    run_outcome: str = ""
    run_error: str = ""
    #: The bucket of LAGS in which the middle ticket of the window was registered, "" without any.
    typical_lag: str = ""


@dataclass(slots=True)
class Figures:
    """Everything that the dashboard shows."""

    at: datetime
    days: list[date]
    accounts: dict[str, Health]
    #: (day, state) -> tickets; the state is the vendor's status where it has the ticket, else our delivery.
    per_day: dict[tuple[date, str], int] = field(default_factory=dict)
    #: (account, bucket) -> tickets.
    lags: dict[tuple[str, str], int] = field(default_factory=dict)
    ages: dict[tuple[str, str], int] = field(default_factory=dict)


def kept_figures(scope: QuerySet[Ticket] | None, *, name: str, using: str) -> Figures:
    """Return the figures of what a user sees, at most KEPT_SECONDS old; `name` is the same for all who see the same.

    A cache that is down costs queries: the dashboard is wanted most when something is.
    """
    key = f"support_tickets.dashboard.1.{using}.{name}"
    figures = _asked(lambda: cache.get(key))
    if figures is None or figures.accounts.keys() < set(providers):
        figures = counted = count(scope, using=using)
        _asked(lambda: cache.set(key, counted, KEPT_SECONDS))
    return figures


def _asked(call: Callable[[], Figures | None]) -> Figures | None:
    """Return what the cache says, None if it fails."""
    try:
        return call()
    except Exception as error:  # each backend raises what its client does
        logger.warning("the cache fails: %s", type(error).__name__, extra={"event": "dashboard.cache_failed"})
        return None


def count(scope: QuerySet[Ticket] | None, *, using: str) -> Figures:
    """Return the figures as they are now."""
    now = timezone.now()
    today = (now.astimezone(UTC) if timezone.is_aware(now) else now).date()
    days = [today - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]
    figures = Figures(now, days, {alias: Health(alias) for alias in providers})
    tickets = Ticket.objects.using(using) if scope is None else scope.using(using)
    _count_tickets(figures, tickets)
    _count_backlog(figures, _within(OutboxEntry, scope, using))
    _count_uncertain(figures, tickets, scope, using)
    _look_at_accounts(figures, using)
    _find_typical_lags(figures)
    return figures


def _health(figures: Figures, alias: str) -> Health:
    return figures.accounts.setdefault(alias, Health(alias, is_configured=False))


def _count_tickets(figures: Figures, tickets: QuerySet[Ticket]) -> None:
    """Read the window once: by account, day, state and lag."""
    first = datetime.combine(figures.days[0], datetime.min.time(), tzinfo=UTC if django_settings.USE_TZ else None)
    window = tickets.filter(created_at__gte=first).exclude(delivery=Delivery.DRAFT).order_by()
    groups = window.annotate(lag=LAG).values(
        "provider",
        day=TruncDate("created_at", tzinfo=UTC),
        state=Case(When(delivery=Delivery.DELIVERED, then=F("status")), default=F("delivery")),
        bucket=_lag_bucket(),
    )
    counted = groups.annotate(number=Count("pk")).values_list("provider", "day", "state", "bucket", "number")
    for alias, day, state, bucket, number in counted:
        _add(figures.per_day, (day, state), number)
        if bucket:
            _add(figures.lags, (alias, bucket), number)
        if state == Delivery.REFUSED:
            _health(figures, alias).refused += number


def _lag_bucket() -> Case:
    """Return the bucket of LAGS, "" for a ticket that was not both submitted and registered."""
    untimed = Q(delivered_at=None) | Q(submitted_at=None)
    bounds = [When(lag__lte=Value(bound), then=Value(name)) for name, bound in LAGS]
    return Case(When(untimed, then=Value("")), *bounds, default=Value(LONGER), output_field=CharField(max_length=8))


def _count_backlog(figures: Figures, entries: QuerySet[Any]) -> None:
    bounds = [When(created_at__gte=figures.at - bound, then=Value(name)) for name, bound in AGES]
    bucket = Case(*bounds, default=Value(LONGER), output_field=CharField(max_length=8))
    rows = entries.order_by().values("provider", bucket=bucket).annotate(number=Count("pk"), oldest=Min("created_at"))
    for row in rows:
        health = _health(figures, row["provider"])
        health.backlog += row["number"]
        health.oldest = min(filter(None, (health.oldest, row["oldest"])))
        _add(figures.ages, (row["provider"], row["bucket"]), row["number"])


def _count_uncertain(figures: Figures, tickets: QuerySet[Ticket], scope: QuerySet[Ticket] | None, using: str) -> None:
    counted = [
        _by(tickets.filter(delivery=Delivery.UNCERTAIN), "provider"),
        _by(tickets.filter(close_delivery=Delivery.UNCERTAIN), "provider"),
        _by(_within(Comment, scope, using).filter(delivery=Delivery.UNCERTAIN), "ticket__provider"),
        _by(_within(Attachment, scope, using).filter(delivery=Delivery.UNCERTAIN), "ticket__provider"),
    ]
    for alias, number in (row for rows in counted for row in rows):
        _health(figures, alias).uncertain += number


def _look_at_accounts(figures: Figures, using: str) -> None:
    newest = SyncRun.objects.filter(provider=OuterRef("provider")).order_by("-started_at").values("pk")[:1]
    states = ProviderState.objects.using(using).filter(scope="").annotate(now=EpochNow(), run=Subquery(newest))
    found = list(states)
    runs = SyncRun.objects.using(using).in_bulk([state.run for state in found if state.run])
    for state in found:
        health = figures.accounts.get(state.provider)
        if health is None:
            continue  # neither configured nor with anything to show
        health.webhooks_refused = state.webhooks_refused
        if state.paused_until and state.paused_until > state.now:
            health.paused_until = moment_of(state.paused_until)
            health.pause, health.pause_detail = state.pause, state.pause_detail
        if run := runs.get(state.run):
            health.run_started, health.run_outcome, health.run_error = run.started_at, run.outcome, run.error


def _find_typical_lags(figures: Figures) -> None:
    names = [*(name for name, _ in LAGS), LONGER]
    for alias, health in figures.accounts.items():
        numbers = [figures.lags.get((alias, name), 0) for name in names]
        health.typical_lag = _middle(names, numbers)


def _middle(names: Iterable[str], numbers: list[int]) -> str:
    """Return the name of the bucket in which the median lies, "" if all are empty."""
    reached, half = 0, sum(numbers) / 2
    for name, number in zip(names, numbers, strict=True):
        reached += number
        if number and reached >= half:
            return name
    return ""


def _within(model: type[Model], scope: QuerySet[Ticket] | None, using: str) -> QuerySet[Any]:
    rows = model._default_manager.using(using)
    return rows.all() if scope is None else rows.filter(ticket__in=scope.using(using).order_by().values("pk"))


def _by(rows: QuerySet[Any], column: str) -> Iterable[tuple[str, int]]:
    counted: Iterable[tuple[str, int]] = rows.order_by().values_list(column).annotate(number=Count("pk"))
    return counted


def _add(counts: dict[Any, int], key: Any, number: int) -> None:
    counts[key] = counts.get(key, 0) + number
