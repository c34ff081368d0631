"""The long-running worker: send often, fetch what is due, until told to end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from django.db import Error, close_old_connections

from django_support_tickets.management.stopping import Stopping
from django_support_tickets.management.working import Order, Result, beat, fetch, needs_of, send
from django_support_tickets.sync import has_work

logger = logging.getLogger(__name__)

#: Seconds between two rounds, after one that failed, and in which all pulls of a round together may begin calls: what
#: is queued waits behind a slow vendor for that, and for the calls that are then under way.
ROUND = 2.0
AFTER_FAILURE = 5.0
PULLS = 15.0


def watch(aliases: Sequence[str], order: Order, *, stopping: Stopping, say: Callable[[Result], None]) -> None:
    """Work for these accounts in rounds; `say` is told each round in which something happened."""
    while not stopping():
        pause = ROUND
        for alias in aliases:
            if stopping():
                return
            try:
                result = _round(alias, order, share=PULLS / len(aliases), stopping=stopping)
            except Error as error:
                # Only the class: messages of databases quote values.
                facts = {"event": "watch.database_failed", "account": alias}
                logger.error("%s: the database failed: %s", alias, type(error).__name__, extra=facts)
                pause = AFTER_FAILURE
            else:
                if result.is_eventful:
                    say(result)
            close_old_connections()
        stopping.wait(pause)


def _round(alias: str, order: Order, *, share: float, stopping: Stopping) -> Result:
    beat(alias, using=order.using)
    result = Result(alias)
    if order.pushes:
        send(result, order, stop=stopping)
    if order.pulls and not stopping() and has_work(alias, using=order.using):
        fetch(result, order, stop=stopping, seconds=share)
    if result.is_eventful:
        result.needs = needs_of(result, using=order.using)
    return result
