from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db.models import Case, F, Value, When

from django_support_tickets.exceptions import AccessDenied, Ambiguous, Busy, NotSent, ProviderError
from django_support_tickets.merge import Difference
from django_support_tickets.models import ProviderState, epoch_now
from django_support_tickets.models.pauses import note_failure, note_success, pause_busy, pause_denied
from django_support_tickets.providers import Provider
from django_support_tickets.sync.counts import PullCounts
from django_support_tickets.sync.crew import Crew
from django_support_tickets.sync.lock import RunLock

logger = logging.getLogger(__name__)

#: So many calls in a row without an answer end a run.
FAILURES_IN_A_ROW = 5
#: How long a run that was told to stop waits for the calls that are under way, in seconds.
GRACE_SECONDS = 1.5


def never() -> bool:
    """Return False: nothing asks to stop."""
    return False


class Clock:
    """The database's clock in milliseconds, asked once and then counted on: threads need no connection for it."""

    def __init__(self, using: str) -> None:
        self._ahead = epoch_now(using) - time.monotonic() * 1000

    def __call__(self) -> int:
        return int(time.monotonic() * 1000 + self._ahead)


@dataclass(slots=True)
class Run:
    """One pull of one account: what its parts share."""

    alias: str
    using: str
    provider: Provider
    crew: Crew[Callable[[], None]]
    stop: Callable[[], bool] = never
    # When the last call is begun, by the monotonic clock.
    ends_at: float = math.inf
    progress: Callable[[int, int], None] | None = None
    # Told each difference of a dry run; None: this run writes.
    report: Callable[[Difference], None] | None = None
    lock: RunLock | None = None
    counts: PullCounts = field(default_factory=PullCounts)
    failures_in_a_row: int = 0
    # Answers that the breaker has not been told of yet.
    answers: int = 0
    # Nothing is known of the account's state yet, or it was paused: one success ends that.
    unproven: bool = True
    # One call for all workers, after a pause: its failure ends the run.
    is_probe: bool = False
    clock: Clock = field(init=False)
    _stop_seen_at: float | None = None

    def __post_init__(self) -> None:
        self.clock = Clock(self.using)

    @property
    def dry(self) -> bool:
        """Return whether this run writes nothing."""
        return self.report is not None

    @property
    def is_over(self) -> bool:
        """Return whether nothing new is to be begun: told to stop, out of time, paused, or the vendor is silent."""
        if self._stop_seen_at is None and self.stop():
            self.counts.stopped, self._stop_seen_at = True, time.monotonic()
        self.counts.stopped = self.counts.stopped or time.monotonic() > self.ends_at
        return self.counts.stopped or bool(self.counts.halted)

    def must_stop(self) -> bool:
        """Renew the run lease, and return whether the run is over."""
        self.keep_lock()
        return self.is_over

    @property
    def gives_up(self) -> bool:
        """Return whether the calls under way are no longer waited for."""
        return self._stop_seen_at is not None and time.monotonic() - self._stop_seen_at > GRACE_SECONDS

    def keep_lock(self) -> None:
        """Renew the run lease; end the run if another has taken it over."""
        if self.lock is not None and not self.lock.keep():
            self.counts.halted = "another run has taken over"

    def note_answer(self) -> None:
        """Note that the vendor answers."""
        if self.unproven and not self.dry:
            note_success(self.alias, using=self.using)
        self.answers += 1
        self.failures_in_a_row, self.unproven, self.is_probe = 0, False, False

    def credit_answers(self) -> None:
        """Let the answers outweigh earlier failures at the breaker: one statement for many answers."""
        answers, self.answers = self.answers, 0
        if answers and not self.dry:
            rows = ProviderState.objects.using(self.using).filter(provider=self.alias, scope="", failures__gt=0)
            rows.update(failures=Case(When(failures__gt=answers, then=F("failures") - answers), default=Value(0)))

    def note_error(self, name: str, error: Exception) -> None:
        """Count an error of a call, tell the account's other workers, and end the run where going on is useless."""
        match error:
            case Busy():
                self._pause_busy(error)
            case AccessDenied():
                self._pause_denied(error)
            case NotSent() | Ambiguous():
                self._note_trouble(error)
                self.counts.fail(name, error.cause, account=self.alias)
            case ProviderError():
                self.note_answer()
                said = error.status or error.code
                self.counts.fail(name, f"{error.cause} ({said})" if said else error.cause, account=self.alias)
            case _:
                # Only the class: the text of a foreign exception may quote what customers wrote.
                facts = {"event": "pull.provider_failed", "account": self.alias}
                logger.error("the provider raised %s", type(error).__name__, extra=facts)
                self._count_in_a_row("the provider fails again and again")
                self.counts.fail(name, f"the provider raised {type(error).__name__}", account=self.alias)

    def _note_trouble(self, error: ProviderError) -> None:
        self.unproven = True
        if not self.dry and not error.is_ours and (error.status is None or error.status >= 500):
            note_failure(self.alias, detail=str(error), using=self.using)
        self._count_in_a_row(f"the vendor does not answer: {error.cause}")

    def _count_in_a_row(self, reason: str) -> None:
        self.failures_in_a_row += 1
        if self.failures_in_a_row >= FAILURES_IN_A_ROW or self.is_probe:
            self.counts.halted = self.counts.halted or reason

    def _pause_busy(self, error: Busy) -> None:
        if not self.dry:
            pause_busy(self.alias, retry_after=error.retry_after, detail=str(error), using=self.using)
        self.counts.busy = True
        self.counts.paused = self.counts.halted = str(error)

    def _pause_denied(self, error: AccessDenied) -> None:
        # Many threads meet the same refusal; the pause doubles once per run.
        if not self.dry and not self.counts.denied:
            pause_denied(self.alias, detail=str(error), using=self.using)
        self.counts.denied = True
        self.counts.paused = self.counts.halted = str(error)

    def drain(self, *, until: int = 0) -> None:
        """Handle results until at most `until` tasks are outstanding, or they are no longer waited for."""
        while self.crew.outstanding > until:
            if self.is_over:
                self.crew.drop_tasks()
            if self.crew.outstanding <= until or self.gives_up:
                return
            handle = self.crew.next_result(timeout=0.25)
            if handle is not None:
                handle()
            self.keep_lock()
