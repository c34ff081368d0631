from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from django.db import connections

from django_support_tickets.outbox.claims import Claim

logger = logging.getLogger(__name__)


class Crew:
    """Threads that work claims off; with one worker the claims are worked where they are handed out."""

    def __init__(self, workers: int, work: Callable[[Claim], None]) -> None:
        self.size = max(1, workers)
        self.busy = 0
        self.finished = 0
        self._work = work
        self._claims: queue.SimpleQueue[Claim | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    @property
    def free(self) -> int:
        """Return how many claims can be worked at once now."""
        return self.size - self.busy

    def start(self, claim: Claim) -> None:
        """Hand out a claim; the caller has seen that a worker is free."""
        self.busy += 1
        if self.size == 1:
            self._work(claim)
            self._done.put(None)
            return
        if len(self._threads) < self.busy:
            self._threads.append(threading.Thread(target=self._run, name=f"push-{self.busy}", daemon=True))
            self._threads[-1].start()
        self._claims.put(claim)

    def wait(self) -> None:
        """Wait until a worker is free, and note all that are."""
        self._done.get()
        self._note_one()
        while not self._done.empty():
            self._done.get()
            self._note_one()

    def close(self) -> None:
        """Let every worker finish its claim and end."""
        for _ in self._threads:
            self._claims.put(None)
        for thread in self._threads:
            thread.join()

    def _note_one(self) -> None:
        self.busy, self.finished = self.busy - 1, self.finished + 1

    def _run(self) -> None:
        try:
            while (claim := self._claims.get()) is not None:
                try:
                    self._work(claim)
                except BaseException as error:  # a provider may call sys.exit(), which must not end this worker
                    facts = {"event": "push.stopped", "account": claim.entry.provider}
                    logger.error("worker stopped by %s", type(error).__name__, extra=facts)
                finally:
                    self._done.put(None)
        finally:
            connections.close_all()
