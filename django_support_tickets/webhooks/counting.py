from __future__ import annotations

import logging
import threading
import time

from django.db import Error, router, transaction
from django.db.models import F

from django_support_tickets.models import ProviderState
from django_support_tickets.models.pauses import state_of
from django_support_tickets.vocabulary import one_line

logger = logging.getLogger(__package__)

#: So many refusals of an account are written down one by one; while more come, it is done once in so many seconds.
COUNTED_SINGLY = 20
COUNT_EVERY = 1.0


class Refusals:
    """The webhooks that this process has refused and not yet written down.

    A flood of forged requests must not become a flood of writes and log lines: after `singly` of them, what comes
    within `every` seconds waits for the account's next webhook of any kind. A process that ends forgets what waits.
    """

    def __init__(self, *, singly: int = COUNTED_SINGLY, every: float = COUNT_EVERY) -> None:
        self.singly = singly
        self.every = every
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[int, str]] = {}
        # How many writes an account may have at once, and since when: one more with every `every` seconds.
        self._allowed: dict[str, tuple[float, float]] = {}

    def add(self, alias: str, reason: str, *, count: int = 1) -> None:
        """Count a refusal; only the last reason is kept."""
        with self._lock:
            self._waiting[alias] = (self._waiting.get(alias, (0, ""))[0] + count, reason)

    def take(self, alias: str) -> tuple[int, str]:
        """Return and forget the count and the last reason; (0, "") if there is nothing, or it is too early."""
        now = time.monotonic()
        with self._lock:
            allowed, since = self._allowed.get(alias, (float(self.singly), now))
            allowed = min(allowed + (now - since) / self.every, float(self.singly))
            if alias not in self._waiting or allowed < 1:
                return 0, ""
            self._allowed[alias] = (allowed - 1, now)
            return self._waiting.pop(alias)

    def clear(self) -> None:
        """Forget everything, as a new process would."""
        with self._lock:
            self._waiting.clear()
            self._allowed.clear()


refusals = Refusals()


def write_refusals(alias: str) -> None:
    """Log and count what was refused, if it is time; whatever happens here changes no answer."""
    count, reason = refusals.take(alias)
    if not count:
        return
    # A user's provider may have quoted the request.
    printable = one_line(reason[:200])
    facts = {"event": "webhook.refused", "account": alias, "count": count}
    logger.warning("webhook refused: %s (%d in all)", printable, count, extra=facts)
    using = router.db_for_write(ProviderState)
    try:
        with transaction.atomic(using=using):
            state = state_of(alias, using=using)
            rows = ProviderState.objects.using(using).filter(pk=state.pk)
            rows.update(webhooks_refused=F("webhooks_refused") + count)
    except Error as error:
        refusals.add(alias, reason, count=count)
        logger.error("refusals not counted: %s", type(error).__name__, extra=facts)
