from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Callable

from django.db import connections

from django_support_tickets.outbox.claims import Claim

logger = logging.getLogger(__name__)


class Crew:
    """Threads that work claims off; with one worker the claims are worked where they are handed out.

    A worker whose vendor has answered counts as free while it writes the answer down: for every four that call, or part
    of four, there is one thread more. So the vendor is not kept waiting for our database, and no more is claimed than
    is sent now.
    """

    def __init__(self, workers: int, work: Callable[[Claim, Callable[[], None]], None]) -> None:
        self.size = max(1, workers)
        self.busy = 0
        self.calling = 0
        self.finished = 0
        self._work = work
        self._most = 1 if self.size == 1 else self.size + math.ceil(self.size / 4)
        self._claims: queue.SimpleQueue[Claim | None] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def free(self) -> int:
        """Return how many claims can be sent at once now."""
        return min(self.size - self.calling, self._most - self.busy)

    def start(self, claim: Claim) -> None:
        """Hand out a claim; the caller has seen that a worker is free."""
        self.busy, self.calling = self.busy + 1, self.calling + 1
        if self.size == 1:
            self._work(claim, lambda: None)  # who works alone cannot call while it writes
            self._news.put(self._end_call)
            self._news.put(self._end)
            return
        if len(self._threads) < self.busy:
            self._threads.append(threading.Thread(target=self._run, name=f"push-{self.busy}", daemon=True))
            self._threads[-1].start()
        self._claims.put(claim)

    def wait(self) -> None:
        """Wait until a worker is free or has finished, and note all that are."""
        self._news.get()()
        while not self._news.empty():
            self._news.get()()

    def close(self) -> None:
        """Let every worker finish its claim and end."""
        for _ in self._threads:
            self._claims.put(None)
        for thread in self._threads:
            thread.join()

    def _end_call(self) -> None:
        self.calling -= 1

    def _end(self) -> None:
        self.busy, self.finished = self.busy - 1, self.finished + 1

    def _run(self) -> None:
        try:
            while (claim := self._claims.get()) is not None:
                self._work_off(claim)
        finally:
            connections.close_all()

    def _work_off(self, claim: Claim) -> None:
        is_calling = True

        def answered() -> None:
            nonlocal is_calling
            if is_calling:
                is_calling = False
                self._news.put(self._end_call)

        try:
            self._work(claim, answered)
        except BaseException as error:  # a provider may call sys.exit(), which must not end this worker
            facts = {"event": "push.stopped", "account": claim.entry.provider}
            logger.error("worker stopped by %s", type(error).__name__, extra=facts)
        finally:
            answered()
            self._news.put(self._end)
