"""Pauses and the circuit breaker of an account, shared by all workers through its ProviderState row."""

from __future__ import annotations

from django.db.models import F, Q

from django_support_tickets.models.clock import EpochNow, epoch_now, milliseconds
from django_support_tickets.models.queue import ProviderState

BREAKER_FAILURES = 5
BREAKER_SECONDS = 30.0
DENIED_SECONDS = 15 * 60.0
DENIED_SECONDS_MAX = 3600.0
BUSY_SECONDS = 60.0


def state_of(alias: str, *, using: str) -> ProviderState:
    """Return the shared state of an account, made on first use."""
    state, _ = ProviderState.objects.using(using).get_or_create(provider=alias, scope="")
    return state


def paused(alias: str, *, using: str) -> ProviderState | None:
    """Return the account's state while it is paused, else None."""
    rows = ProviderState.objects.using(using).filter(provider=alias, scope="")
    return rows.filter(paused_until__gt=EpochNow()).first()


def admit(alias: str, *, using: str) -> int | None:
    """Return how many calls may start now: None for any number, 0 while paused, 1 for the probe after a pause.

    After the vendor refused the account or was down, one worker may try for all; the next probe is an interval later.
    """
    state = ProviderState.objects.using(using).filter(provider=alias, scope="").first()
    if state is None or state.paused_until is None:
        return None
    if state.paused_until > epoch_now(using):
        return 0
    if state.pause == ProviderState.Pause.BUSY:
        return None
    rows = ProviderState.objects.using(using).filter(pk=state.pk, paused_until=state.paused_until)
    return rows.update(paused_until=EpochNow() + milliseconds(BREAKER_SECONDS))


def pause(alias: str, *, kind: ProviderState.Pause, seconds: float, detail: str, using: str) -> None:
    """Stop all workers of an account for `seconds`; a longer pause that is in force stays."""
    state_of(alias, using=using)
    until = EpochNow() + milliseconds(seconds)
    rows = ProviderState.objects.using(using).filter(provider=alias, scope="")
    rows.filter(Q(paused_until=None) | Q(paused_until__lt=until)).update(
        paused_until=until, pause=kind, pause_detail=detail[:500]
    )


def pause_busy(alias: str, *, retry_after: float | None, detail: str, using: str) -> None:
    """Pause for as long as the vendor asked, a minute where it named no time."""
    seconds = BUSY_SECONDS if retry_after is None else retry_after
    pause(alias, kind=ProviderState.Pause.BUSY, seconds=seconds, detail=detail, using=using)


def pause_denied(alias: str, *, detail: str, using: str) -> None:
    """Pause because the vendor refuses the account: 15 minutes, doubling to an hour."""
    denials = state_of(alias, using=using).denials
    rows = ProviderState.objects.using(using).filter(provider=alias, scope="")
    rows.update(denials=F("denials") + 1)
    seconds = min(DENIED_SECONDS * 2**denials, DENIED_SECONDS_MAX)
    pause(alias, kind=ProviderState.Pause.DENIED, seconds=seconds, detail=detail, using=using)


def note_failure(alias: str, *, detail: str, using: str) -> None:
    """Count a call that the vendor did not answer; the fifth in a row opens the breaker for 30 seconds."""
    state = state_of(alias, using=using)
    rows = ProviderState.objects.using(using).filter(pk=state.pk)
    rows.update(failures=F("failures") + 1)
    if state.failures + 1 >= BREAKER_FAILURES:
        pause(alias, kind=ProviderState.Pause.DOWN, seconds=BREAKER_SECONDS, detail=detail, using=using)


def note_success(alias: str, *, using: str) -> None:
    """Close the breaker and end a refusal; a wait that the vendor asked for stays in force."""
    rows = ProviderState.objects.using(using).filter(provider=alias, scope="")
    rows.filter(Q(failures__gt=0) | Q(denials__gt=0)).update(failures=0, denials=0)
    over = Q(pause=ProviderState.Pause.BUSY, paused_until__lte=EpochNow())
    rows.filter(~Q(pause="") & (~Q(pause=ProviderState.Pause.BUSY) | over)).update(
        paused_until=None, pause="", pause_detail=""
    )
