"""The small base of the four fake vendors: routing, JSON, tickets, ledger, failures. Each is a WSGI app."""

from __future__ import annotations

import dataclasses
import datetime
import json
import random
import re
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from operator import itemgetter
from typing import IO, Any, ClassVar

from django_support_tickets.testing.sandbox.clock import VendorClock, stamp
from django_support_tickets.testing.sandbox.faults import QUICK_FAULTS, Details, Fault, FaultQueue, Hold, Plan
from django_support_tickets.testing.sandbox.ledger import Ledger, LedgerEntry

Headers = list[tuple[str, str]]
Ticket = dict[str, Any]
LISTINGS_KEPT = 32
PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclasses.dataclass(slots=True)
class Site:
    """What the vendors of one sandbox share; `url` is empty until the server listens."""

    clock: VendorClock
    seed: int
    url: str = ""


@dataclasses.dataclass(slots=True)
class Receipt:
    """What one request did; the server reads it after the app has run."""

    committed: bool = False
    remote_id: str = ""


@dataclasses.dataclass(slots=True)
class Reply:
    """What a handler answers."""

    status: int
    body: bytes = b""
    headers: Headers = dataclasses.field(default_factory=list)


class Refusal(Exception):
    """End a request with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Call:
    """One request as a handler reads it."""

    def __init__(self, environ: dict[str, Any], parameters: dict[str, str]) -> None:
        self.environ = environ
        self.path: str = environ["PATH_INFO"]
        self.parameters = {name: urllib.parse.unquote(value) for name, value in parameters.items()}
        self.receipt: Receipt = environ.get("sandbox.receipt") or Receipt()

    def __getitem__(self, parameter: str) -> str:
        return self.parameters[parameter]

    def header(self, name: str) -> str:
        """Return a request header, "" if it was not sent."""
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        value: str = self.environ.get(key, "")
        return value

    @property
    def query(self) -> dict[str, list[str]]:
        """Return the query: name -> values, in the order in which they were sent."""
        return urllib.parse.parse_qs(self.environ.get("QUERY_STRING", ""), keep_blank_values=True)

    @property
    def stream(self) -> IO[bytes]:
        """Return the body to be read once."""
        stream: IO[bytes] = self.environ["wsgi.input"]
        return stream

    def body(self) -> bytes:
        """Return the whole body."""
        length = self.environ.get("CONTENT_LENGTH") or "0"
        return self.stream.read(int(length))

    def form(self) -> dict[str, str]:
        """Return the fields of an urlencoded form; of a repeated one, the last."""
        return dict(urllib.parse.parse_qsl(self.body().decode("latin-1"), keep_blank_values=True))

    def changed(self, remote_id: str) -> None:
        """Tell the ledger that the vendor's state changed."""
        self.receipt.committed = True
        self.receipt.remote_id = remote_id

    def concerns(self, remote_id: str) -> None:
        """Tell the ledger which ticket was read."""
        self.receipt.remote_id = remote_id


Handler = Callable[[Call], Reply]


class Route:
    """A method and a path pattern such as `/tickets/{ticket}`, with its operation and handler."""

    def __init__(self, method: str, pattern: str, operation: str, handler: Handler) -> None:
        self.method = method
        self.operation = operation
        self.handler = handler
        self.pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern))


def json_reply(payload: Any, status: int = 200) -> Reply:
    """Return a reply whose body is this value as JSON."""
    return Reply(status, json.dumps(payload).encode(), [("Content-Type", "application/json")])


def restore_defaults(settings: object) -> None:
    """Drop what was set on an instance over a default of its class."""
    for name in [name for name in vars(settings) if hasattr(type(settings), name)]:
        delattr(settings, name)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


class VendorSandbox:
    """A fake vendor: a WSGI app with its tickets, its ledger of requests and its scripted failures.

    What a vendor leaves undocumented is an attribute that may be set at any time; `reset()` puts it back.
    """

    name: ClassVar[str]
    # The keys of a ticket in this vendor's JSON that faults falsify.
    id_key: ClassVar[str]
    text_key: ClassVar[str]
    number_key: ClassVar[str] = "number"

    # Response header with a fresh UUID per answer; None leaves it out.
    request_id_header: str | None = "X-Request-Id"
    # False stops the ledger, for long benchmarks.
    recording: bool = True
    # Precision of the vendor's timestamps, as `datetime.isoformat` names it.
    timespec: str = "seconds"
    # Seconds of the vendor's time until a new ticket shows in lists and searches: eventual consistency.
    list_lag: float = 0.0

    def __init__(self, site: Site) -> None:
        self.site = site
        self.lock = threading.RLock()
        # Counts resets, so that a request held across one does not touch the new state.
        self.generation = 0
        self.failures = FaultQueue(f"{site.seed}/{self.name}")
        self._ledger = Ledger()
        self._random = random.Random(f"{site.seed}/{self.name}/ids")
        self._tickets: dict[str, Ticket] = {}
        self._stored_at: dict[str, datetime.datetime] = {}
        self._listings: dict[Any, list[Ticket]] = {}
        self._due: list[tuple[datetime.datetime, Callable[[], None]]] = []
        # The moment at which a change falls due, while it is applied; somebody may look much later.
        self._moment: datetime.datetime | None = None
        self._routes = list(self.routes())

    def routes(self) -> Iterable[Route]:
        """Return what the vendor answers; the first route that fits is taken."""
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """Return the OPTIONS of a provider that talks to this vendor."""
        raise NotImplementedError

    # What a test looks at.

    @property
    def base_url(self) -> str:
        """Return the vendor's address; raise RuntimeError before the server listens."""
        if not self.site.url:
            raise RuntimeError("The sandbox is not started.")
        return f"{self.site.url}/{self.name}"

    @property
    def tickets(self) -> dict[str, Ticket]:
        """Return the vendor's tickets by remote id, in order of creation; a new dict of the live tickets."""
        self.settle()
        with self.lock:
            return dict(self._tickets)

    @property
    def ledger(self) -> list[LedgerEntry]:
        """Return the requests so far; entries are in place before their answer leaves."""
        self.settle()
        return self._ledger.entries

    def record(self, entry: LedgerEntry) -> LedgerEntry:
        """Write an entry into the ledger, unless `recording` is off; return it as stored."""
        return self._ledger.append(entry) if self.recording else entry

    def amend(self, entry: LedgerEntry, receipt: Receipt) -> None:
        """Note in the ledger what a late change has done after all."""
        self._ledger.settle(entry, committed=receipt.committed, remote_id=receipt.remote_id)

    def reset(self) -> None:
        """Forget tickets, ledger and failures, and put every setting back; issued tokens stay valid."""
        self.generation += 1
        self.failures.clear()
        with self.lock:
            restore_defaults(self)
            self._tickets.clear()
            self._stored_at.clear()
            self._listings.clear()
            self._due.clear()
            self._ledger.clear()

    # Failures.

    def fail_next(self, operation: str, fault: Fault, *, times: int | None = 1, **details: Any) -> None:
        """Commit this fault at the next `times` requests of the operation.

        Operations are token, create, get, list, messages, comment, close, upload, download, review, delete,
        and `"*"` for any; `times=None` lasts until cleared. The details are those of `faults.Details`.
        """
        self.failures.script(operation, Plan(fault=Fault(fault), details=Details(**details)), times)

    def hold_next(self, operation: str, *, times: int | None = 1, after_commit: bool = False) -> Hold:
        """Keep the next request waiting before the vendor works on it, or after it; see `Hold`."""
        hold = Hold(after_commit=after_commit)
        self.failures.script(operation, Plan(fault=Fault.HOLD, hold=hold), times)
        return hold

    def fail_randomly(
        self,
        rate: float,
        faults: Iterable[Fault] = QUICK_FAULTS,
        operations: Iterable[str] = ("*",),
        **details: Any,
    ) -> None:
        """Commit one of the faults at this share of the requests.

        The draw is seeded by `Sandbox(seed=...)`: the same seed and the same order of calls commit the same
        faults. Scripted faults go first.
        """
        self.failures.randomise(rate, [Fault(fault) for fault in faults], operations, details)

    def clear_failures(self) -> None:
        """Forget every fault, and let the requests go that are held."""
        self.failures.clear()

    # Time: what falls due is applied when somebody looks, so nothing depends on a timer thread.

    def now(self) -> datetime.datetime:
        """Return the vendor's time, aware and in UTC; while a late change is applied, the time at which it fell due."""
        return self._moment or self.site.clock.now()

    def stamp(self) -> str:
        """Return the vendor's time as its API writes it."""
        return stamp(self.now(), self.timespec)

    def later(self, seconds: float, change: Callable[[], None]) -> None:
        """Apply a change when the vendor's clock has moved on by this many seconds."""
        with self.lock:
            self._due.append((self.now() + datetime.timedelta(seconds=seconds), change))

    def settle(self) -> None:
        """Apply every change that is due by the vendor's clock, as it was at that moment."""
        if not self._due:
            return
        with self.lock:
            now, before = self.now(), self._moment
            try:
                while due := [item for item in self._due if item[0] <= now]:
                    first = min(due, key=itemgetter(0))
                    self._due.remove(first)
                    self._moment, change = first
                    change()
            finally:
                self._moment = before

    # The WSGI side.

    def operation_for(self, method: str, path: str) -> str:
        """Return the operation of a request's route, "unknown" where there is none."""
        route, _ = self._match(method, path)
        return route.operation if route else "unknown"

    def _match(self, method: str, path: str) -> tuple[Route | None, dict[str, str]]:
        for route in self._routes:
            if route.method == method and (match := route.pattern.fullmatch(path)):
                return route, match.groupdict()
        return None, {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        self.settle()
        path = environ.get("sandbox.path", "").partition("?")[0] or urllib.parse.quote(environ["PATH_INFO"])
        route, parameters = self._match(environ["REQUEST_METHOD"], path)
        call = Call(environ, parameters)
        try:
            with self.lock:
                reply = route.handler(call) if route else self.not_found(call)
        except Refusal as refusal:
            reply = refusal.reply
        headers = [*reply.headers, *self.common_headers()]
        start_response(f"{reply.status} {PHRASES.get(reply.status, 'Unknown')}", headers)
        return iter((reply.body,))

    def common_headers(self) -> Headers:
        """Return the headers of every answer."""
        return [(self.request_id_header, str(uuid.uuid4()))] if self.request_id_header else []

    def new_uuid(self) -> str:
        """Return a random UUID, the same sequence for the same seed."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    # What each vendor words in its own way.

    def failure(self, status: int) -> Reply:
        """Return the answer with which this vendor, or the proxy before it, fails: used by faults."""
        raise NotImplementedError

    def not_found(self, call: Call) -> Reply:
        """Return the answer to a path that leads nowhere."""
        return self.failure(404)

    def malformed(self, reason: str) -> Reply:
        """Return the answer to a body that cannot be read."""
        raise NotImplementedError

    def records(self, payload: Any) -> list[Any]:
        """Return the objects inside an answer that faults may falsify."""
        return payload if isinstance(payload, list) else [payload]

    def read_json(self, call: Call) -> dict[str, Any]:
        """Return the JSON object sent, or refuse the request."""
        try:
            payload = json.loads(call.body().decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise Refusal(self.malformed("The body is not valid JSON.")) from error
        if not isinstance(payload, dict):
            raise Refusal(self.malformed("The body is not a JSON object."))
        return payload

    # Tickets.

    def store(self, remote_id: str, ticket: Ticket) -> Ticket:
        """Store a new ticket under its id and return it; `list_lag` counts from here."""
        self._tickets[remote_id] = ticket
        self._stored_at[remote_id] = self.now()
        self._listings.clear()
        return ticket

    def touched(self) -> None:
        """Forget sorted listings after a change."""
        self._listings.clear()

    def newest_first(self) -> list[Ticket]:
        """Return the tickets that lists show by now."""
        if not self.list_lag:
            return list(reversed(self._tickets.values()))
        shown = self.now() - datetime.timedelta(seconds=self.list_lag)
        return [ticket for name, ticket in reversed(self._tickets.items()) if self._stored_at[name] <= shown]

    def listing(self, key: Any, build: Callable[[], list[Ticket]]) -> list[Ticket]:
        """Return a filtered and sorted list of tickets, built once per state of the vendor."""
        if self.list_lag:
            return build()
        if key not in self._listings:
            if len(self._listings) >= LISTINGS_KEPT:
                self._listings.clear()
            self._listings[key] = build()
        return self._listings[key]

    def change(self, remote_id: str, **fields: Any) -> Ticket:
        """Change any field of a stored ticket as the vendor's staff might; no webhook, no new time stamp.

        Raise KeyError for a ticket that is not there.
        """
        with self.lock:
            ticket = self._tickets[remote_id]
            ticket.update(fields)
            self.touched()
            return ticket

    def delete(self, remote_id: str) -> None:
        """Delete the ticket at the vendor, which answers 404 from now on; raise KeyError if it is not there."""
        with self.lock:
            del self._tickets[remote_id]
            self._stored_at.pop(remote_id, None)
            self.touched()
