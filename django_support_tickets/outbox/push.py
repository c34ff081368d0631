"""Send what is due: claim as many entries as there are free workers, deliver, until nothing is due."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS, connections

from django_support_tickets.models import Ticket
from django_support_tickets.models.pauses import admit, paused
from django_support_tickets.outbox.claims import Claim, claim_next, is_due
from django_support_tickets.outbox.counts import PushCounts
from django_support_tickets.outbox.crew import Crew
from django_support_tickets.outbox.delivery import deliver
from django_support_tickets.outbox.intake import sweep
from django_support_tickets.providers import Provider, providers
from django_support_tickets.transport import refuse_inside_transaction

__all__ = ["PushCounts", "push", "push_ticket"]

logger = logging.getLogger(__name__)


def never() -> bool:
    """Return False: nothing asks to stop."""
    return False


def push(
    alias: str,
    *,
    workers: int = 1,
    stop: Callable[[], bool] = never,
    progress: Callable[[int], None] | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> PushCounts:
    """Send everything of an account that is due now, with `workers` threads; raise RuntimeError in a transaction.

    `stop` is asked before each claim; `progress` is told how many items have been tried so far. With one worker
    everything runs in the calling thread. Raise InvalidProvider for an alias that cannot be used.
    """
    refuse_inside_transaction()
    if not connections[using].in_atomic_block:  # of a test case
        connections[using].close_if_unusable_or_obsolete()
    counts = PushCounts()
    with providers[alias] as provider:
        crew = Crew(workers, lambda claim, answered: _work(claim, provider, counts, answered))
        try:
            while sweep(alias, using=using) + _drain(alias, crew, stop=stop, progress=progress, using=using):
                if stop():
                    break
        finally:
            crew.close()
    state = paused(alias, using=using)
    counts.paused = "" if state is None else state.reason
    return counts


def push_ticket(ticket_id: int, *, using: str = DEFAULT_DB_ALIAS) -> PushCounts:
    """Send what is due of one ticket, in this thread.

    Raise RuntimeError in a transaction, Ticket.DoesNotExist, and InvalidProvider if its account cannot be used.
    """
    refuse_inside_transaction()
    counts = PushCounts()
    alias = Ticket.objects.using(using).values_list("provider", flat=True).get(pk=ticket_id)
    with providers[alias] as provider:
        sweep(alias, ticket_id=ticket_id, using=using)
        while claims := _claim(alias, 1, ticket_id=ticket_id, using=using):
            _work(claims[0], provider, counts)
    return counts


def _drain(
    alias: str, crew: Crew, *, stop: Callable[[], bool], progress: Callable[[int], None] | None, using: str
) -> int:
    """Work until nothing is due; return how many claims were worked."""
    before = crew.finished
    while True:
        claims = [] if stop() else _claim(alias, crew.free, using=using)
        for claim in claims:
            crew.start(claim)
        if not crew.busy:
            return crew.finished - before
        if not claims or not crew.free:
            crew.wait()
            if progress is not None:
                progress(crew.finished)


def _claim(alias: str, limit: int, *, using: str, ticket_id: int | None = None) -> list[Claim]:
    """Return claims; while the account waits for its probe, at most the one that may try for all."""
    claims = claim_next(alias, limit, ticket_id=ticket_id, using=using)
    if claims or limit < 1 or not is_due(alias, ticket_id=ticket_id, using=using):
        return claims
    if admit(alias, using=using) != 1:
        return []
    return claim_next(alias, 1, ticket_id=ticket_id, using=using, is_probe=True)


def _work(claim: Claim, provider: Provider, counts: PushCounts, answered: Callable[[], None] = lambda: None) -> None:
    try:
        outcome = deliver(claim, provider, answered)
    except Exception as error:
        # Without its text and traceback: both may hold what customers wrote. The lease runs out by itself.
        logger.error("push failed: %s", type(error).__name__, extra={"event": "push.failed", "account": provider.alias})
        outcome = "waiting"
    if outcome:
        failed = outcome in ("refused", "uncertain")
        counts.add(outcome, f"{claim.entry.provider} {claim.entry.ticket.key}: {outcome}" if failed else "")
