"""What a task of any queue does: the push and pull of `sync_tickets`, in pieces that end within a minute.

A task keeps no state and repeats nothing: what has to go, when next, and how often it was tried stands in our rows. So
a message that is lost, doubled, late or cut off by a kill changes nothing; the next sweep finds what is due.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.models import Ticket
from django_support_tickets.outbox.push import push, push_ticket
from django_support_tickets.providers import providers
from django_support_tickets.sync import AlreadyRunning, has_work, pull

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: A task begins nothing new after so many seconds: no worker is held by one account, and a deployment waits for it.
SLICE = 45.0
#: Calls at the same time per account. A push has a database connection for each, and for every four one more.
WORKERS = 8
#: Between two messages of one process about the same thing, in seconds.
APART = 1.0
#: Of so many subjects it is remembered when a message about them was sent.
REMEMBERED = 10_000


class WorkFailed(Exception):
    """A task could not do its work; it names the class of the cause only, whose text may quote what customers wrote."""


def send_ticket(ticket_id: int, *, using: str) -> None:
    """Send what is due of one ticket; nothing if it is gone, was sent already, or is held by another worker."""

    def send() -> None:
        try:
            push_ticket(ticket_id, using=using)
        except Ticket.DoesNotExist:
            return

    _contained("push", "", send)


def send_due(alias: str, *, using: str, seconds: float = SLICE, workers: int = WORKERS) -> bool:
    """Send what is due of an account for one slice; return whether time ran out before everything was sent."""
    is_over = _slice(seconds)
    counts = _contained("push", alias, lambda: push(alias, workers=workers, stop=is_over, using=using))
    return is_over() and not counts.paused


def fetch_due(alias: str, *, using: str, seconds: float = SLICE) -> bool:
    """Fetch what is due of an account for one slice; return whether there is more.

    A hint that comes while this runs finds the account locked and gives up, so whoever holds the lock looks again.
    """

    def fetch() -> bool:
        try:
            counts = pull(alias, workers=WORKERS, stop=_slice(seconds), using=using)
        except AlreadyRunning:
            return False
        is_moving = bool(counts.fetched or counts.listed)
        return is_moving and not counts.halted and has_work(alias, using=using)

    return _contained("pull", alias, fetch)


def accounts_to_fetch(*, using: str) -> Iterator[str]:
    """Yield the accounts with something to fetch; one that cannot be used stops none of the others."""
    for alias in providers:
        try:
            if has_work(alias, using=using):
                yield alias
        except InvalidProvider as error:
            logger.error("account left out: %s", error, extra={"event": "account.invalid", "account": alias})


class Coalescing:
    """Keep many wakes of one process about one thing down to about one message per `apart` seconds.

    The first goes out at once. The next goes out to start `apart` seconds later, and covers all that come until then:
    whatever they announce is committed before that message starts. After `remembered` subjects all are forgotten.
    """

    def __init__(self, *, apart: float = APART, remembered: int = REMEMBERED) -> None:
        self._apart = apart
        self._remembered = remembered
        self._lock = threading.Lock()
        self._covered_until: dict[object, float] = {}

    def delay_of(self, subject: object) -> float | None:
        """Return in how many seconds a message about `subject` is to start; None: one that covers it is under way."""
        now = time.monotonic()
        with self._lock:
            if len(self._covered_until) > self._remembered:
                self._covered_until.clear()
            until = self._covered_until.get(subject, 0.0)
            if until - self._apart > now:
                return None
            delay = self._apart if until > now else 0.0
            self._covered_until[subject] = now + delay + self._apart
            return delay


def _slice(seconds: float) -> Callable[[], bool]:
    ends_at = time.monotonic() + seconds
    return lambda: time.monotonic() >= ends_at


def _contained(operation: str, alias: str, work: Callable[[], T]) -> T:
    """Return what `work` returns; raise WorkFailed, with nothing of the cause in it but its class."""
    try:
        return work()
    except InvalidProvider as error:
        failure = str(error)
    except Exception as error:
        failure = type(error).__name__
    subject = f"{operation} {alias}".rstrip()
    logger.error("%s failed: %s", subject, failure, extra={"event": f"{operation}.failed", "account": alias})
    # Outside of the handler: what is raised has no context, whose frames a queue would store or report.
    raise WorkFailed(f"{subject} failed: {failure}")
