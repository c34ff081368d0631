"""Pauses and the circuit breaker of an account, shared by all workers through its ProviderState row."""

from __future__ import annotations

from functools import cache

from django.db.models import Case, Expression, F, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Least

from django_support_tickets.models.clock import EpochNow, epoch_now, milliseconds
from django_support_tickets.models.queue import ProviderState
from django_support_tickets.models.statements import Statement, slot, updating

#: A failure weighs ten successes: a vendor that fails more than every tenth call is left alone after a few calls.
FAILURE_WEIGHT = 10
#: Five failures in a row open the breaker.
BREAKER_LIMIT = 5 * FAILURE_WEIGHT
BREAKER_SECONDS = 30.0
DENIED_SECONDS = 15 * 60.0
DENIED_SECONDS_MAX = 3600.0
BUSY_SECONDS = 60.0
#: Whatever a vendor says, an account that was told to wait waits at least and at most this long.
BUSY_SECONDS_MIN = 1.0
BUSY_SECONDS_MAX = 3600.0

COLUMNS = [field.attname for field in ProviderState._meta.concrete_fields]
Pause = ProviderState.Pause
#: Pauses after which a single call tries for all.
PROBED = (Pause.DENIED, Pause.DOWN)


def state_of(alias: str, *, using: str) -> ProviderState:
    """Return the shared state of an account, made on first use."""
    state, _ = ProviderState.objects.using(using).get_or_create(provider=alias, scope="")
    return state


def paused(alias: str, *, using: str) -> ProviderState | None:
    """Return the account's state while it is paused, else None."""
    return _read(_pausing(), alias, using=using)


def hindered(alias: str | Expression) -> QuerySet[ProviderState]:
    """Return the account's row if it is paused, or was and waits for its probe; for use in a subquery."""
    rows = ProviderState.objects.filter(provider=alias, scope="")
    return rows.filter(Q(paused_until__gt=EpochNow()) | Q(pause__in=PROBED, paused_until__isnull=False))


def troubled(alias: str | Expression) -> QuerySet[ProviderState]:
    """Return the account's row if a success is news for it; for use in a subquery."""
    rows = ProviderState.objects.filter(provider=alias, scope="")
    return rows.filter(Q(failures__gt=0) | Q(denials__gt=0) | ~Q(pause=""))


def admit(alias: str, *, using: str) -> int | None:
    """Return how many calls may start now: None for any number, 0 while paused, 1 for the probe after a pause.

    After the vendor refused the account or was down, one worker may try for all; the next probe is an interval later.
    """
    state = _read(_reading(), alias, using=using)
    if state is None or state.paused_until is None:
        return None
    if state.paused_until > epoch_now(using):
        return 0
    if state.pause not in PROBED:
        return None
    rows = _rows(alias, using).filter(paused_until=state.paused_until)
    return rows.update(paused_until=EpochNow() + milliseconds(BREAKER_SECONDS))


def pause(alias: str, *, kind: ProviderState.Pause, seconds: float, detail: str, using: str) -> None:
    """Stop all workers of an account for `seconds`; a longer pause that is in force stays."""
    state_of(alias, using=using)
    until = EpochNow() + milliseconds(seconds)
    _rows(alias, using).filter(Q(paused_until=None) | Q(paused_until__lt=until)).update(
        pause=kind, pause_detail=detail[:500], paused_until=until
    )


def pause_busy(alias: str, *, retry_after: float | None, detail: str, using: str) -> None:
    """Pause for as long as the vendor asked, a second to an hour; a minute where it named no time."""
    seconds = BUSY_SECONDS if retry_after is None else max(clamped(retry_after), BUSY_SECONDS_MIN)
    pause(alias, kind=Pause.BUSY, seconds=seconds, detail=detail, using=using)


def clamped(retry_after: float | None) -> float:
    """Return the wait that a vendor has asked for, in seconds from 0 to an hour; what is no number counts as 0."""
    if retry_after is None or not retry_after > 0:
        return 0.0
    return min(retry_after, BUSY_SECONDS_MAX)


def pause_denied(alias: str, *, detail: str, using: str) -> None:
    """Pause because the vendor refuses the account: 15 minutes, doubling to an hour with each probe that fails.

    Calls that were under way when the account was paused meet the same refusal; they lengthen nothing.
    """
    denials = state_of(alias, using=using).denials
    seconds = min(DENIED_SECONDS * 2.0 ** min(denials, 10), DENIED_SECONDS_MAX)
    in_force = Q(pause=Pause.DENIED, paused_until__gt=EpochNow() + milliseconds(BREAKER_SECONDS))
    _rows(alias, using).filter(~in_force | Q(paused_until=None), denials=denials).update(
        denials=F("denials") + 1,
        pause=Pause.DENIED,
        pause_detail=detail[:500],
        paused_until=EpochNow() + milliseconds(seconds),
    )


def note_failure(alias: str, *, detail: str, using: str) -> None:
    """Count a call that the vendor did not answer; the fifth in a row opens the breaker for 30 seconds."""
    state_of(alias, using=using)
    _rows(alias, using).update(
        failures=Least(F("failures") + FAILURE_WEIGHT, Value(BREAKER_LIMIT), output_field=IntegerField())
    )
    if _rows(alias, using).filter(failures__gte=BREAKER_LIMIT).exists():
        pause(alias, kind=Pause.DOWN, seconds=BREAKER_SECONDS, detail=detail, using=using)


def note_success(alias: str, *, using: str) -> None:
    """Close the breaker and end a refusal; a wait that the vendor asked for stays in force.

    The breaker remembers: the next failure after it has closed opens it again, until successes outweigh that.
    """
    for statement in _closing():
        statement.run(using, alias=alias)


@cache
def _closing() -> tuple[Statement, ...]:
    rows = _of_slot()
    was_open = Q(pause=Pause.DOWN) | Q(failures__gte=BREAKER_LIMIT)
    fewer = updating(
        rows.filter(Q(failures__gt=0) | Q(denials__gt=0)),
        failures=Case(
            When(was_open, then=Value(BREAKER_LIMIT - FAILURE_WEIGHT)),
            When(failures__gt=0, then=F("failures") - 1),
            default=Value(0),
            output_field=IntegerField(),
        ),
        denials=0,
    )
    over = Q(pause=Pause.BUSY, paused_until__lte=EpochNow())
    ended = updating(rows.filter(Q(pause__in=PROBED) | over), pause="", pause_detail="", paused_until=None)
    return Statement(fewer), Statement(ended)


@cache
def _reading() -> Statement:
    return Statement(_of_slot().values_list(*COLUMNS)[:1].query)


@cache
def _pausing() -> Statement:
    return Statement(_of_slot().filter(paused_until__gt=EpochNow()).values_list(*COLUMNS)[:1].query)


def _read(statement: Statement, alias: str, *, using: str) -> ProviderState | None:
    rows = statement.rows(using, alias=alias)
    return ProviderState.from_db(using, COLUMNS, rows[0]) if rows else None


def _of_slot() -> QuerySet[ProviderState]:
    """Return the account's row, for use in a statement; slot: alias."""
    return ProviderState.objects.filter(provider=slot(ProviderState, "provider", "alias"), scope="")


def _rows(alias: str, using: str) -> QuerySet[ProviderState]:
    return ProviderState.objects.using(using).filter(provider=alias, scope="")
