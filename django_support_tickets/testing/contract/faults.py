from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from django_support_tickets.exceptions import AccessDenied, Ambiguous, Busy, NotSent, ProviderError
from django_support_tickets.providers.base import Provider
from django_support_tickets.records import Found, TicketRecord
from django_support_tickets.testing.contract.subject import ContractSubject, LedgerEntry
from django_support_tickets.testing.sandbox import Fault

# The whole deadline of the calls that meet a slow vendor, and how exactly it must be kept, in seconds.
SHORT = 0.5
PRECISION = 1.0
# More than any answer here, and quickly reached by one without end.
LARGEST = 300_000

TICKETS = frozenset({"get", "create"})
READERS = TICKETS | {"list"}
WRITERS = frozenset({"comment", "close", "upload"})
PARSERS = READERS | WRITERS | {"find"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One call of an operation and how it ended."""

    operation: str
    result: Any = None
    error: BaseException | None = None
    seconds: float = 0.0
    requests: Sequence[LedgerEntry] = ()
    can_find: bool = False

    @property
    def writes(self) -> list[LedgerEntry]:
        return [entry for entry in self.requests if entry.method not in ("GET", "HEAD") and entry.operation != "token"]

    @property
    def ending(self) -> str:
        return repr(self.error) if self.error is not None else f"{type(self.result).__name__} (no error)"


Judge = Callable[[Run], bool]


def is_ambiguous(run: Run) -> bool:
    return type(run.error) is Ambiguous


def is_unclear(run: Run) -> bool:
    """Ambiguous; or true all the same: a search that says it is incomplete, a write that the vendor has applied."""
    if run.error is None and isinstance(run.result, Found):
        return not run.result.complete
    applied = run.operation in WRITERS and run.error is None and any(entry.committed for entry in run.requests)
    return applied or is_ambiguous(run)


def is_denied(run: Run) -> bool:
    return type(run.error) is AccessDenied


def is_busy(seconds: float | None) -> Judge:
    return lambda run: type(run.error) is Busy and run.error.retry_after == seconds


def is_busy_where_repeatable(run: Run) -> bool:
    return is_busy(7.0)(run) if run.can_find or not run.writes else is_ambiguous(run)


def is_record(run: Run) -> bool:
    return run.error is None and all(_is_storable(record) for record in _records_of(run.result))


def _records_of(result: Any) -> Iterable[TicketRecord]:
    return [result] if isinstance(result, TicketRecord) else getattr(result, "records", ())


def _is_storable(record: TicketRecord) -> bool:
    texts = [value for value in (record.subject, record.description, record.reference) if isinstance(value, str)]
    texts += [comment.body for comment in record.comments or ()]
    return bool(record.remote_id) and not any(char in "\x00" or "\ud800" <= char <= "\udfff" for char in "".join(texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault of the vendor, and how each operation that meets it must end."""

    name: str
    fault: Fault
    judge: Judge = is_ambiguous
    expected: str = "Ambiguous"
    details: Mapping[str, Any] = field(default_factory=dict)
    operations: frozenset[str] | None = None
    times: int | None = 1


def _ambiguous(name: str, fault: Fault, **details: Any) -> Case:
    return Case(name=name, fault=fault, details=details)


def _busy(name: str, seconds: float | None, **details: Any) -> Case:
    return Case(
        name=name, fault=Fault.RATE_LIMITED, judge=is_busy(seconds), expected=f"Busy({seconds})", details=details
    )


def _unclear(fault: Fault, **details: Any) -> Case:
    return Case(
        name=fault.value,
        fault=fault,
        judge=is_unclear,
        expected="Ambiguous, an incomplete search or a write that was applied",
        details=details,
        operations=PARSERS,
    )


def _unreadable(fault: Fault, operations: frozenset[str]) -> Case:
    return Case(name=fault.value, fault=fault, operations=operations)


def _lenient(fault: Fault, **details: Any) -> Case:
    return Case(
        name=fault.value,
        fault=fault,
        judge=is_record,
        expected="records that can be stored",
        details=details,
        operations=READERS,
    )


CONNECTION_CASES = [
    _ambiguous("reset before", Fault.RESET_BEFORE),
    _ambiguous("reset after commit", Fault.RESET_AFTER_COMMIT),
    _ambiguous("reset in answer", Fault.RESET_IN_ANSWER),
    _ambiguous("cut body", Fault.CUT_BODY),
    _ambiguous("cut chunked", Fault.CUT_CHUNKED),
    _ambiguous("endless chunked", Fault.ENDLESS_CHUNKED, size=200_000, interval=0.0),
    _ambiguous("big body", Fault.BIG_BODY),
    _ambiguous("gzip bomb", Fault.GZIP_BOMB, size=20_000_000),
    _ambiguous("big header", Fault.BIG_HEADER),
    _ambiguous("many headers", Fault.MANY_HEADERS),
    *(_ambiguous(f"redirect {status}", Fault.REDIRECT, status=status) for status in (302, 303, 307)),
    *(_ambiguous(f"{status}", Fault.SERVER_ERROR, status=status) for status in (500, 503)),
    *(_ambiguous(f"{status} after commit", Fault.SERVER_ERROR_AFTER_COMMIT, status=status) for status in (502, 504)),
    _busy("429", None),
    _busy("429 for 7 s", 7.0, retry_after="7"),
    _busy("429 for 10^11 s", 3600.0, retry_after=str(10**11)),
    _busy("429 for the past", 0.0, retry_after="Fri, 02 Jan 2015 00:00:00 GMT"),
    _busy("429 until soon", None, retry_after="soon"),
    Case(
        name="503 for 7 s",
        fault=Fault.SERVER_ERROR,
        judge=is_busy_where_repeatable,
        expected="Busy(7.0), but Ambiguous for a write that cannot be searched for",
        details={"status": 503, "retry_after": "7"},
    ),
    Case(name="401", fault=Fault.UNAUTHORIZED, judge=is_denied, expected="AccessDenied", times=None),
]
SLOW_CASES = [
    _ambiguous("silence", Fault.DELAY, seconds=5.0),
    _ambiguous("drip of the body", Fault.DRIP_BODY, interval=0.05),
    _ambiguous("drip of the headers", Fault.DRIP_HEADERS, interval=0.05),
]
CONTENT_CASES = [
    _unclear(Fault.HTML_PAGE),
    _unclear(Fault.NO_CONTENT),
    _unclear(Fault.EMPTY_BODY),
    _unclear(Fault.LIST_INSTEAD_OF_OBJECT),
    _unclear(Fault.JSON_DEEP),
    _unclear(Fault.JSON_BOM),
    *(_unreadable(fault, READERS) for fault in (Fault.JSON_NAN, Fault.JSON_LONG_NUMBER, Fault.JSON_INVALID_UTF8)),
    _unreadable(Fault.JSON_DUPLICATE_KEYS, READERS),
    *(_unreadable(fault, TICKETS) for fault in (Fault.WITHOUT_ID, Fault.NULL_ID, Fault.EMPTY_ID, Fault.NUMBER_ID)),
    _unreadable(Fault.LONG_ID, TICKETS),
    _lenient(Fault.WRONG_CONTENT_TYPE),
    _lenient(Fault.JSON_NUL),
    _lenient(Fault.JSON_SURROGATE),
    _lenient(Fault.UNKNOWN_ENUM),
    _lenient(Fault.MISSING_FIELDS),
    _lenient(Fault.NULL_FIELDS),
]


def names_of(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Return the decorator that runs a test once for each of `cases`."""
    return pytest.mark.parametrize("case", cases, ids=[case.name.replace(" ", "-") for case in cases])


def run(subject: ContractSubject, operation: str, call: Callable[[Provider], Any], provider: Provider) -> Run:
    """Call an operation and say how it ended."""
    vendor, started, result, failure = subject.need_vendor(), time.monotonic(), None, None
    before = len(vendor.ledger)
    try:
        result = call(provider)
    except Exception as error:
        failure = error
    return Run(
        operation=operation,
        result=result,
        error=failure,
        seconds=time.monotonic() - started,
        requests=vendor.ledger[before:],
        can_find=provider.capabilities.can_find,
    )


def check_case(subject: ContractSubject, case: Case) -> list[str]:
    """Return the complaints about the operations that meet a fault, one after the other."""
    vendor, provider, complaints = subject.need_vendor(), subject.build(max_response_bytes=LARGEST), []
    for operation, call in subject.operations(case.operations).items():
        vendor.fail_next(subject.vendor_operation(operation), case.fault, times=case.times, **case.details)
        ended = run(subject, operation, call, provider)
        vendor.clear_failures()
        complaints += complaints_about(case, ended)
    return complaints


def complaints_about(case: Case, ended: Run) -> list[str]:
    complaints = []
    if not case.judge(ended):
        complaints.append(f"{ended.operation}: {ended.ending} instead of {case.expected}")
    repeated = max(Counter((entry.operation, entry.method) for entry in ended.writes).values(), default=0)
    if repeated > (2 if case.fault is Fault.UNAUTHORIZED else 1):
        complaints.append(f"{ended.operation}: the same request was sent {repeated} times")
    return complaints


def check_slow_cases(subject: ContractSubject) -> list[str]:
    """Return the complaints about all operations while the vendor is slow, in every way and all at the same time."""
    vendor, complaints = subject.need_vendor(), list[str]()
    operations = {name: call for name, call in subject.operations().items() if name != "probe"}
    for operation, case in itertools.product(operations, SLOW_CASES):
        vendor.fail_next(subject.vendor_operation(operation), case.fault, **case.details)

    def work(operation: str) -> None:
        provider = subject.build(deadline=SHORT, upload_deadline=SHORT, timeout=(SHORT, 60.0))
        complaints.extend(_complaints_about_slowness(run(subject, operation, operations[operation], provider)))

    threads = [threading.Thread(target=work, args=(operation,)) for operation in [*operations] * len(SLOW_CASES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return complaints


def _complaints_about_slowness(ended: Run) -> list[str]:
    complaints = [] if is_ambiguous(ended) else [f"{ended.operation}: {ended.ending} instead of Ambiguous"]
    if not SHORT - 0.1 <= ended.seconds <= SHORT + PRECISION:
        complaints.append(f"{ended.operation}: took {ended.seconds:.1f} s with a deadline of {SHORT} s")
    return complaints


def check_unreachable(subject: ContractSubject, base_url: str, *, only: frozenset[str] | None) -> list[str]:
    """Return the complaints about operations whose vendor cannot be reached at all."""
    operations, provider = subject.operations(only), subject.build(base_url=base_url, timeout=(0.2, 0.2))
    endings = [run(subject, operation, call, provider) for operation, call in operations.items()]
    return [
        f"{ended.operation}: {ended.ending} instead of NotSent"
        for ended in endings
        if type(ended.error) is not NotSent or ended.requests
    ]


def error_of(call: Callable[[], Any]) -> ProviderError:
    """Return the error in which a call ends; fail the test if it ends in none."""
    try:
        result = call()
    except ProviderError as error:
        return error
    raise AssertionError(f"an error was expected, not {type(result).__name__}")
