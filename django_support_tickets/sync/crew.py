from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

R = TypeVar("R")

#: For how long a thread that computes may keep others from running, in seconds, while a crew is at work. The default
#: is ten times that, and each call waits for its turn several times: a third of the speed while a page is written.
SWITCH_SECONDS = 0.0005


class Turns:
    """The interpreter's switch interval, short while at least one crew is at work in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._crews = 0
        self._before = 0.0

    @contextmanager
    def short(self) -> Iterator[None]:
        """Let threads take short turns inside the block."""
        with self._lock:
            self._crews += 1
            if self._crews == 1:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(min(self._before, SWITCH_SECONDS))
        try:
            yield
        finally:
            with self._lock:
                self._crews -= 1
                if not self._crews:
                    sys.setswitchinterval(self._before)


turns = Turns()


class Crew(Generic[R]):
    """Threads that ask the vendor; none of them touches the database.

    They are daemons: a call that hangs cannot keep a process that was told to end.
    """

    def __init__(self, size: int) -> None:
        self.size = max(1, size)
        self.outstanding = 0
        self._tasks: queue.SimpleQueue[Callable[[], R] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[R | BaseException] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, task: Callable[[], R]) -> None:
        """Hand out a task; what it returns comes back from `next_result()`."""
        self.outstanding += 1
        self._tasks.put(task)
        if len(self._threads) < min(self.size, self.outstanding):
            thread = threading.Thread(target=self._run, name=f"pull-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def next_result(self, timeout: float) -> R | None:
        """Return one result, None if there is none within `timeout` seconds."""
        try:
            result = self._results.get(timeout=timeout)
        except queue.Empty:
            return None
        self.outstanding -= 1
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        """Let idle threads end; those in a call end after it, and nobody waits for them."""
        for _ in self._threads:
            self._tasks.put(None)

    def drop_tasks(self) -> None:
        """Forget the tasks that nobody has begun."""
        while True:
            try:
                self._tasks.get_nowait()
            except queue.Empty:
                return
            self.outstanding -= 1

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                self._results.put(task())
            except BaseException as error:  # re-raised in the thread that waits for the result
                self._results.put(error)
