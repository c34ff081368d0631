"""One request and its answer: choose the fault, run the app, write the ledger, transmit."""

from __future__ import annotations

import dataclasses
import io
import logging
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from django_support_tickets.testing.sandbox.distortions import distort
from django_support_tickets.testing.sandbox.faults import Fault, Hold, Plan
from django_support_tickets.testing.sandbox.ledger import LedgerEntry
from django_support_tickets.testing.sandbox.transmission import BROKEN_FAULTS, Answer, Transmission
from django_support_tickets.testing.sandbox.wire import Body, Head, Wire
from django_support_tickets.testing.sandbox.wsgi import Headers, Receipt, VendorSandbox

logger = logging.getLogger(__name__)

_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What every connection of one server shares."""

    address: tuple[str, int]
    latency: float
    stopping: threading.Event
    date: Callable[[], str]


class Exchange:
    """One request on one connection, from its head to the last byte of its answer."""

    def __init__(self, wire: Wire, head: Head, vendor: VendorSandbox, around: Surroundings) -> None:
        self.wire = wire
        self.head = head
        self.vendor = vendor
        self.around = around
        self.arrived = time.monotonic()
        self.path = head.target[len(vendor.name) + 1 :] or "/"
        self.operation = vendor.operation_for(head.method, self.path.partition("?")[0])
        self.generation = vendor.generation
        self.receipt = Receipt()
        self.transmission = Transmission(wire, around.stopping)

    def run(self) -> bool:
        """Answer the request; return whether the connection may be used again."""
        plan = self.vendor.failures.take(self.operation)
        if plan is not None and plan.fault is Fault.RESET_BEFORE:
            self.record(None, None, plan)
            return self.reset()
        body = self.wire.read_body(self.head)
        with body.stream:
            return self.answer(body, plan) and self.head.keep_alive

    def answer(self, body: Body, plan: Plan | None) -> bool:
        if not body.complete:
            self.record(body, None, plan)
            return False
        if self.around.latency:
            time.sleep(self.around.latency)
        if plan is not None:
            return self.answer_with_fault(body, plan)
        answer = self.run_app(body)
        self.record(body, answer.status, None)
        return self.transmission.send(answer, with_body=self.head.method != "HEAD")

    def answer_with_fault(self, body: Body, plan: Plan) -> bool:
        if plan.hold is not None:
            return self.answer_when_released(body, plan, plan.hold)
        if plan.fault is Fault.LATE_COMMIT:
            return self.commit_late(body, plan)
        answer = self.run_app(body) if plan.commits else None
        if plan.fault is Fault.RESET_AFTER_COMMIT:
            self.record(body, None, plan)
            return self.reset()
        answer = distort(self.vendor, answer, plan.fault, plan.details)
        self.record(body, answer.status, plan)
        if plan.fault in BROKEN_FAULTS:
            return self.transmission.send_broken(answer, plan.fault, plan.details)
        return self.transmission.send(answer)

    def answer_when_released(self, body: Body, plan: Plan, hold: Hold) -> bool:
        if hold.after_commit:
            answer = self.run_and_record(body, plan)
            hold.wait()
        else:
            hold.wait()
            if self.vendor.generation != self.generation:
                return self.reset()
            answer = self.run_and_record(body, plan)
        return self.transmission.send(answer)

    def run_and_record(self, body: Body, plan: Plan) -> Answer:
        answer = self.run_app(body)
        self.record(body, answer.status, plan)
        return answer

    def commit_late(self, body: Body, plan: Plan) -> bool:
        """Lose the answer now and apply the change when the vendor's clock has moved on."""
        entry = self.record(body, None, plan)
        kept = dataclasses.replace(body, stream=io.BytesIO(body.stream.read()))

        def apply() -> None:
            self.run_app(kept)
            self.vendor.amend(entry, self.receipt)

        seconds = plan.details.seconds
        self.vendor.later(5.0 if seconds is None else seconds, apply)
        return self.reset()

    def reset(self) -> bool:
        self.wire.reset()
        return False

    def run_app(self, body: Body) -> Answer:
        started: list[tuple[str, Headers]] = []

        def start_response(status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
            started.append((status, headers))
            return lambda data: None

        try:
            content = b"".join(self.vendor(self.environ(body), start_response))
            status, headers = started[0]
            return Answer(int(status[:3]), [("Date", self.around.date()), *headers], content)
        except Exception as error:
            logger.exception("The sandbox of %s failed", self.vendor.name)
            text = f"The sandbox itself failed: {error!r}\n"
            return Answer(500, [("Content-Type", "text/plain")], text.encode())

    def environ(self, body: Body) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        host, port = self.around.address
        environ = {
            "REQUEST_METHOD": self.head.method,
            "SCRIPT_NAME": f"/{self.vendor.name}",
            "PATH_INFO": urllib.parse.unquote(path, "latin-1"),
            "sandbox.path": self.path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.head.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(body.size),
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": self.head.version,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": body.stream,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "sandbox.receipt": self.receipt,
        }
        for name, value in self.head.headers.items():
            if name not in ("content-type", "content-length"):
                environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        return environ

    def record(self, body: Body | None, status: int | None, plan: Plan | None) -> LedgerEntry:
        entry = LedgerEntry(
            sequence=0,
            at=self.arrived,
            operation=self.operation,
            method=self.head.method,
            path=self.path,
            headers=self.head.headers,
            body=body.start if body else b"",
            body_size=body.size if body else 0,
            body_sha256=body.sha256 if body else _EMPTY_SHA256,
            status=status,
            fault=plan.fault.value if plan else None,
            committed=self.receipt.committed,
            remote_id=self.receipt.remote_id,
        )
        return self.vendor.record(entry)
