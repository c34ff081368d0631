"""The faults a fake vendor can be told to commit, and the queue that hands them out."""

from __future__ import annotations

import dataclasses
import enum
import random
import threading
from collections.abc import Iterable, Sequence
from typing import Any


class Fault(enum.StrEnum):
    """Name what goes wrong with one exchange.

    Details are keywords of `fail_next`. For every fault that ends in an answer, `commit` says whether the
    vendor applies the change first; by default those that replace its answer do not, the others do.
    """

    # The connection: `seconds` for LATE_COMMIT (vendor time) and DELAY (real time).
    RESET_BEFORE = "reset-before"
    RESET_AFTER_COMMIT = "reset-after-commit"
    RESET_IN_ANSWER = "reset-in-answer"
    LATE_COMMIT = "late-commit"
    HOLD = "hold"
    DELAY = "delay"

    # The bytes of the vendor's answer: `interval` seconds between pieces, `size` bytes in a piece.
    DRIP_BODY = "drip-body"
    DRIP_HEADERS = "drip-headers"
    CUT_BODY = "cut-body"
    CUT_CHUNKED = "cut-chunked"
    ENDLESS_CHUNKED = "endless-chunked"

    # Around the vendor's answer: `content_type`; `size` bytes; `count` headers.
    WRONG_CONTENT_TYPE = "wrong-content-type"
    GZIP_BOMB = "gzip-bomb"
    BIG_BODY = "big-body"
    BIG_HEADER = "big-header"
    MANY_HEADERS = "many-headers"
    NO_CONTENT = "no-content"
    EMPTY_BODY = "empty-body"

    # In place of the vendor's answer, and without its change: `status`, `retry_after`, `location`, `headers`,
    # `body`.
    REDIRECT = "redirect"
    HTML_PAGE = "html-page"
    RATE_LIMITED = "rate-limited"
    UNAUTHORIZED = "unauthorized"
    SERVER_ERROR = "server-error"
    SERVER_ERROR_AFTER_COMMIT = "server-error-after-commit"
    ANSWER = "answer"

    # Inside the vendor's JSON: `value` for UNKNOWN_ENUM, `fields` for MISSING_FIELDS and NULL_FIELDS.
    WITHOUT_ID = "without-id"
    NULL_ID = "null-id"
    EMPTY_ID = "empty-id"
    NUMBER_ID = "number-id"
    LONG_ID = "long-id"
    LIST_INSTEAD_OF_OBJECT = "list-instead-of-object"
    UNKNOWN_ENUM = "unknown-enum"
    MISSING_FIELDS = "missing-fields"
    NULL_FIELDS = "null-fields"
    JSON_NUL = "json-nul"
    JSON_SURROGATE = "json-surrogate"
    JSON_NAN = "json-nan"
    JSON_DEEP = "json-deep"
    JSON_LONG_NUMBER = "json-long-number"
    JSON_DUPLICATE_KEYS = "json-duplicate-keys"
    JSON_BOM = "json-bom"
    JSON_INVALID_UTF8 = "json-invalid-utf8"


NOT_COMMITTING = frozenset(
    {
        Fault.RESET_BEFORE,
        Fault.REDIRECT,
        Fault.HTML_PAGE,
        Fault.RATE_LIMITED,
        Fault.UNAUTHORIZED,
        Fault.SERVER_ERROR,
        Fault.ANSWER,
    }
)

# Answered at once and at little cost, so that random schedules stay quick.
QUICK_FAULTS: tuple[Fault, ...] = (
    Fault.RESET_BEFORE,
    Fault.RESET_AFTER_COMMIT,
    Fault.RESET_IN_ANSWER,
    Fault.CUT_BODY,
    Fault.CUT_CHUNKED,
    Fault.RATE_LIMITED,
    Fault.SERVER_ERROR,
    Fault.SERVER_ERROR_AFTER_COMMIT,
    Fault.HTML_PAGE,
    Fault.WITHOUT_ID,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What may be said about a fault; each reads the ones it knows and has its own defaults for the rest."""

    seconds: float | None = None
    interval: float | None = None
    size: int | None = None
    count: int | None = None
    status: int | None = None
    retry_after: str | None = None
    location: str | None = None
    content_type: str | None = None
    headers: Sequence[tuple[str, str]] | dict[str, str] = ()
    body: bytes | str = b""
    value: str | None = None
    fields: Sequence[str] = ()
    commit: bool | None = None


class Hold:
    """A request kept waiting: `reached` is set when it arrived, `release()` lets it go on."""

    def __init__(self, *, after_commit: bool = False) -> None:
        self.after_commit = after_commit
        self.reached = threading.Event()
        self._released = threading.Event()

    def release(self) -> None:
        """Let the request go on."""
        self._released.set()

    def wait(self) -> None:
        """Block the request until somebody releases it."""
        self.reached.set()
        self._released.wait()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One fault chosen for one exchange."""

    fault: Fault
    details: Details = Details()
    hold: Hold | None = None

    @property
    def commits(self) -> bool:
        if self.details.commit is not None:
            return self.details.commit
        return self.fault not in NOT_COMMITTING

    def __post_init__(self) -> None:
        if (self.fault is Fault.HOLD) != (self.hold is not None):
            raise ValueError("A request is held by hold_next(), which returns what releases it.")


@dataclasses.dataclass(slots=True)
class _Scripted:
    operation: str
    plan: Plan
    left: int | None


@dataclasses.dataclass(slots=True)
class _Random:
    rate: float
    faults: Sequence[Fault]
    operations: frozenset[str]
    details: Details


class FaultQueue:
    """Hand out scripted faults in the order they were told, then random ones by a seeded draw."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._scripted: list[_Scripted] = []
        self._random: list[_Random] = []
        self._holds: list[Hold] = []
        self._draws = self._dice()

    def _dice(self) -> random.Random:
        return random.Random(self._seed)

    def script(self, operation: str, plan: Plan, times: int | None) -> None:
        with self._lock:
            self._scripted.append(_Scripted(operation, plan, times))
            if plan.hold is not None:
                self._holds.append(plan.hold)

    def randomise(
        self, rate: float, faults: Iterable[Fault], operations: Iterable[str], details: dict[str, Any]
    ) -> None:
        chosen = _Random(rate, tuple(faults), frozenset(operations), Details(**details))
        with self._lock:
            self._random.append(chosen)

    def clear(self) -> None:
        """Forget every fault, let held requests go and start the random sequence again."""
        with self._lock:
            holds, self._holds = self._holds, []
            self._scripted = []
            self._random = []
            self._draws = self._dice()
        for hold in holds:
            hold.release()

    def take(self, operation: str) -> Plan | None:
        """Return the fault for the next exchange of this operation, or None."""
        if not self._scripted and not self._random:
            return None
        with self._lock:
            return self._take_scripted(operation) or self._draw(operation)

    def _take_scripted(self, operation: str) -> Plan | None:
        for scripted in self._scripted:
            if scripted.operation in (operation, "*"):
                if scripted.left is not None:
                    scripted.left -= 1
                    if scripted.left < 1:
                        self._scripted.remove(scripted)
                return scripted.plan
        return None

    def _draw(self, operation: str) -> Plan | None:
        for chosen in self._random:
            if chosen.operations and "*" not in chosen.operations and operation not in chosen.operations:
                continue
            if self._draws.random() < chosen.rate:
                return Plan(fault=self._draws.choice(chosen.faults), details=chosen.details)
        return None
