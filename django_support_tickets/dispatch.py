"""The one seam to queues: after a commit, ask somebody to work for an account."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from django.db import DEFAULT_DB_ALIAS, transaction
from django.utils.module_loading import import_string

from django_support_tickets.conf import settings

logger = logging.getLogger(__name__)

# Named, not imported: neither costs anything where it is not used.
BUILTIN = {"none": "", "inline": "django_support_tickets.outbox.push.push_ticket"}

Dispatcher = Callable[..., object]


def wake(alias: str, *, ticket_id: int | None = None, using: str = DEFAULT_DB_ALIAS) -> None:
    """After the transaction commits, ask SUPPORT_TICKETS_DISPATCHER to work for an account.

    A dispatcher of a project is a function `(alias, ticket_id, using)`. Losing the call loses nothing: the next push
    finds every queued row by itself.
    """
    if settings.DISPATCHER != "none":
        transaction.on_commit(partial(_wake, alias, ticket_id, using), using=using, robust=True)


def resolve_dispatcher() -> Dispatcher | None:
    """Return the function of SUPPORT_TICKETS_DISPATCHER, None for "none"; raise ImportError if there is none."""
    path = BUILTIN.get(settings.DISPATCHER, settings.DISPATCHER)
    return import_string(path) if path else None


def _wake(alias: str, ticket_id: int | None, using: str) -> None:
    try:
        dispatcher = resolve_dispatcher()
        if dispatcher is None:
            return
        if settings.DISPATCHER == "inline":
            if ticket_id is not None:
                dispatcher(ticket_id, using=using)
            return
        dispatcher(alias, ticket_id, using)
    except Exception as error:
        # The caller's own work is committed and must not fail because a queue is down.
        logger.error(
            "dispatcher failed: %s", type(error).__name__, extra={"event": "dispatch.failed", "account": alias}
        )
