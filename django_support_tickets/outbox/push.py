"""Send what is due: claim as many entries as there are free workers, deliver, until nothing is due."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS, connections

from django_support_tickets.models import Ticket
from django_support_tickets.models.pauses import admit, paused
from django_support_tickets.outbox.claims import Claim, claim_next
from django_support_tickets.outbox.counts import PushCounts
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
    everything runs in the calling thread.
    """
    refuse_inside_transaction()
    counts = PushCounts()
    with providers[alias] as provider:
        sweep(alias, using=using)
        crew = Crew(workers, lambda claim: _work(claim, provider, counts))
        try:
            _drain(alias, crew, stop=stop, progress=progress, using=using)
        finally:
            crew.close()
    state = paused(alias, using=using)
    counts.paused = "" if state is None else f"{state.get_pause_display()} {state.pause_detail}".strip()
    return counts


def push_ticket(ticket_id: int, *, using: str = DEFAULT_DB_ALIAS) -> PushCounts:
    """Send what is due of one ticket, in this thread."""
    refuse_inside_transaction()
    counts = PushCounts()
    alias = Ticket.objects.using(using).values_list("provider", flat=True).get(pk=ticket_id)
    with providers[alias] as provider:
        while admit(alias, using=using) != 0 and (claims := claim_next(alias, 1, using=using, ticket_id=ticket_id)):
            _work(claims[0], provider, counts)
    return counts


class Crew:
    """Threads that work claims off; with one worker the claims are worked where they are handed out."""

    def __init__(self, workers: int, work: Callable[[Claim], None]) -> None:
        self.size = max(1, workers)
        self.busy = 0
        self.finished = 0
        self._work = work
        self._claims: queue.SimpleQueue[Claim | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[None] = queue.SimpleQueue()
        names = range(self.size if self.size > 1 else 0)
        self._threads = [threading.Thread(target=self._run, name=f"push-{name}", daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    def start(self, claim: Claim) -> None:
        """Hand out a claim; the caller has seen that a worker is free."""
        self.busy += 1
        if self._threads:
            self._claims.put(claim)
        else:
            self._work(claim)
            self._done.put(None)

    def wait(self) -> None:
        """Wait until a worker is free, and note all that are."""
        self._done.get()
        self.busy, self.finished = self.busy - 1, self.finished + 1
        while not self._done.empty():
            self._done.get()
            self.busy, self.finished = self.busy - 1, self.finished + 1

    def close(self) -> None:
        """Let every worker finish its claim and end."""
        for _ in self._threads:
            self._claims.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        try:
            while (claim := self._claims.get()) is not None:
                try:
                    self._work(claim)
                finally:
                    self._done.put(None)
        finally:
            connections.close_all()


def _drain(
    alias: str, crew: Crew, *, stop: Callable[[], bool], progress: Callable[[int], None] | None, using: str
) -> None:
    while True:
        admitted = 0 if stop() else admit(alias, using=using)
        free = crew.size - crew.busy
        claims = claim_next(alias, free if admitted is None else min(free, admitted), using=using)
        for claim in claims:
            crew.start(claim)
        if not crew.busy:
            return
        if not claims or crew.busy == crew.size:
            crew.wait()
            if progress is not None:
                progress(crew.finished)


def _work(claim: Claim, provider: Provider, counts: PushCounts) -> None:
    try:
        outcome = deliver(claim, provider)
    except Exception as error:
        # Without its text and traceback: both may hold what customers wrote. The lease runs out by itself.
        logger.error("push failed: %s", type(error).__name__, extra={"event": "push.failed", "account": provider.alias})
        outcome = "waiting"
    if outcome:
        failed = outcome in ("refused", "uncertain")
        counts.add(outcome, f"{claim.entry.provider} {claim.entry.ticket.key}: {outcome}" if failed else "")
