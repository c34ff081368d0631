"""Fetch what is due of one account, merge it, and write down how the run went."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from django_support_tickets.attachments.mirroring import mirror_due
from django_support_tickets.merge import Difference
from django_support_tickets.models import ProviderState, SyncRun
from django_support_tickets.models.pauses import admit, paused
from django_support_tickets.providers import Provider, providers
from django_support_tickets.sync.counts import PullCounts
from django_support_tickets.sync.crew import Crew, turns
from django_support_tickets.sync.fetching import Fetching
from django_support_tickets.sync.hints import hint_all
from django_support_tickets.sync.lock import RunLock
from django_support_tickets.sync.run import Clock, Run, never
from django_support_tickets.sync.walk import Walking
from django_support_tickets.transport import refuse_inside_transaction

Outcome = SyncRun.Outcome

logger = logging.getLogger(__name__)


def pull(
    alias: str,
    *,
    workers: int = 8,
    full: bool = False,
    dry_run: bool = False,
    stop: Callable[[], bool] = never,
    seconds: float = math.inf,
    progress: Callable[[int, int], None] | None = None,
    report: Callable[[Difference], None] | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> PullCounts:
    """GET the tickets of an account that are due, with `workers` threads, walk its lists, and merge what comes back.

    `full` makes every ticket due in which news can still come in, and every list. `dry_run` writes nothing and tells
    each Difference to `report`. `stop` is asked before each call; what is not done stays due. After `seconds` no call
    is begun any more, but those under way are waited for. `progress` is told (done, total). Raise AlreadyRunning if
    another pull of the account is at work, RuntimeError in a transaction, and InvalidProvider for an alias that cannot
    be used.
    """
    refuse_inside_transaction()
    with ExitStack() as stack:
        provider = stack.enter_context(providers[alias])
        stack.enter_context(turns.short())
        crew = stack.enter_context(closing(Crew[Callable[[], None]](_useful(workers, provider))))
        ends_at = time.monotonic() + seconds
        run = Run(alias, using, provider, crew, stop=stop, ends_at=ends_at, progress=progress)
        if dry_run:
            run.report = report or (lambda difference: None)
            return _look(run, full=full)
        with RunLock(alias, using=using) as lock:
            run.lock = lock
            return _recorded(run, full=full)


def _useful(workers: int, provider: Provider) -> int:
    """Return how many threads the account's rate can use: each waits its turn within its deadline."""
    if not provider.rate:
        return workers
    return max(1, min(workers, math.ceil(provider.rate * provider.deadline_of("get") / 4)))


def _recorded(run: Run, *, full: bool) -> PullCounts:
    rows = SyncRun.objects.using(run.using)
    rows.filter(provider=run.alias, outcome=Outcome.RUNNING).update(
        outcome=Outcome.STOPPED, finished_at=timezone.now(), error="the process ended before the run did"
    )
    row, started_at = rows.create(provider=run.alias), time.monotonic()
    outcome, error = Outcome.FAILED, ""
    try:
        _work(run, full=full)
        outcome, error = _outcome(run.counts)
    except BaseException as failure:
        error = type(failure).__name__
        raise
    finally:
        rows.filter(pk=row.pk).update(
            outcome=outcome, error=error, counts=run.counts.as_dict(), finished_at=timezone.now()
        )
        facts = {"event": "pull.done", "account": run.alias, "outcome": str(outcome), "fetched": run.counts.fetched}
        seconds = round(time.monotonic() - started_at, 3)
        logger.info("pulled %s: %s", run.alias, outcome, extra={**facts, "duration": seconds})
    if run.counts.is_quiet:
        _forget_quiet(run, row)
    return run.counts


def _forget_quiet(run: Run, row: SyncRun) -> None:
    """Delete the run before this one if it was quiet too and in the same hour: a worker makes thousands in a day."""
    before = SyncRun.objects.using(run.using).filter(provider=run.alias, pk__lt=row.pk).order_by("-pk").first()
    hour = row.started_at.replace(minute=0, second=0, microsecond=0)
    if before is not None and before.counts.get("quiet") and before.started_at >= hour:
        before.delete()


def _outcome(counts: PullCounts) -> tuple[SyncRun.Outcome, str]:
    if counts.halted and not counts.busy:
        return Outcome.FAILED, counts.halted
    return (Outcome.STOPPED if counts.stopped or counts.halted else Outcome.DONE), counts.halted


def _work(run: Run, *, full: bool) -> None:
    admitted = admit(run.alias, using=run.using)
    if admitted == 0:
        _note_pause(run)
        return
    run.is_probe = admitted == 1
    if full:
        hint_all(run.alias, using=run.using)
        # Read again: a clock whose first answer was slow is behind, and what was just made due would not be due.
        run.clock = Clock(run.using)
    fetching = Fetching(run)
    fetching.fetch_due()
    if run.provider.capabilities.can_list and not run.is_over:
        Walking(run, fetching).walk_due()
        fetching.fetch_due()
    fetching.mark_missing()
    if run.provider.mirror_attachments and not run.is_over:
        run.counts.mirrored = mirror_due(run.alias, stop=run.must_stop, using=run.using).stored


def _look(run: Run, *, full: bool) -> PullCounts:
    """Do what a dry run does: ask, compare, write nothing."""
    _note_pause(run)
    fetching = Fetching(run)
    if full:
        fetching.fetch_living()
    else:
        fetching.fetch_due()
    if run.provider.capabilities.can_list and not run.is_over:
        walking = Walking(run, fetching, full=full)
        walking.walk_due()
        fetching.fetch_some([] if full else walking.changed)
    return run.counts


def _note_pause(run: Run) -> None:
    state = paused(run.alias, using=run.using)
    if state is not None:
        run.counts.denied = state.pause == ProviderState.Pause.DENIED
        run.counts.busy = state.pause == ProviderState.Pause.BUSY
        run.counts.paused = run.counts.halted = state.reason
