"""Answers on their way to the client, whole or broken."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator

from django_support_tickets.testing.sandbox.faults import Details, Fault
from django_support_tickets.testing.sandbox.wire import Wire
from django_support_tickets.testing.sandbox.wsgi import PHRASES, Headers

PIECE = 64 * 1024


@dataclasses.dataclass(slots=True)
class Answer:
    """A complete answer; `padding` bytes of spaces follow the body without being built in memory."""

    status: int
    headers: Headers
    body: bytes = b""
    padding: int = 0

    @property
    def length(self) -> int:
        return len(self.body) + self.padding

    def head(self, *extra: tuple[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {PHRASES.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in (*self.headers, *extra)]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"

    @property
    def frames_itself(self) -> bool:
        """Whether the headers already say how long the body is, perhaps wrongly."""
        return any(name.lower() in ("content-length", "transfer-encoding") for name, _ in self.headers)

    def framed_head(self) -> bytes:
        if self.status in (204, 304) or self.frames_itself:
            return self.head()
        return self.head(("Content-Length", str(self.length)))


class Transmission:
    """Send one answer over one connection; `send` returns whether the connection may be used again."""

    def __init__(self, wire: Wire, stopping: threading.Event) -> None:
        self._wire = wire
        self._stopping = stopping

    def send(self, answer: Answer, *, with_body: bool = True) -> bool:
        if not with_body:
            self._wire.send(answer.framed_head())
            return True
        if len(answer.body) > PIECE:
            self._wire.send(answer.framed_head())
            self._wire.send(answer.body)
        else:
            self._wire.send(answer.framed_head() + answer.body)
        for size in _sizes(answer.padding, PIECE):
            self._wire.send(b" " * size)
        return not answer.frames_itself

    def send_broken(self, answer: Answer, fault: Fault, details: Details) -> bool:
        return _BROKEN[fault](self, answer, details)

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise ConnectionError("the sandbox stops")

    def _drip(self, data: bytes, details: Details, *, interval: float) -> None:
        size = details.size or 1
        pause = interval if details.interval is None else details.interval
        for start in range(0, len(data), size):
            self._wire.send(data[start : start + size])
            self._pause(pause)

    def _delay(self, answer: Answer, details: Details) -> bool:
        self._pause(1.0 if details.seconds is None else details.seconds)
        return self.send(answer)

    def _drip_body(self, answer: Answer, details: Details) -> bool:
        self._wire.send(answer.framed_head())
        self._drip(answer.body, details, interval=0.05)
        return True

    def _drip_headers(self, answer: Answer, details: Details) -> bool:
        self._drip(answer.framed_head(), details, interval=0.05)
        self._wire.send(answer.body)
        return True

    def _cut_body(self, answer: Answer, details: Details) -> bool:
        self._wire.send(answer.framed_head() + answer.body[: _kept(answer, details)])
        return False

    def _reset_in_answer(self, answer: Answer, details: Details) -> bool:
        self._cut_body(answer, details)
        self._wire.reset()
        return False

    def _cut_chunked(self, answer: Answer, details: Details) -> bool:
        kept = _kept(answer, details)
        announced = f"{answer.length:x}\r\n".encode()
        self._wire.send(answer.head(("Transfer-Encoding", "chunked")) + announced + answer.body[:kept])
        return False

    def _endless_chunked(self, answer: Answer, details: Details) -> bool:
        size = details.size or 1024
        filler = f"{size:x}\r\n".encode() + b" " * size + b"\r\n"
        first = f"{answer.length:x}\r\n".encode() + answer.body + b"\r\n" if answer.length else b""
        self._wire.send(answer.head(("Transfer-Encoding", "chunked")) + first)
        while True:
            self._wire.send(filler)
            self._pause(0.005 if details.interval is None else details.interval)


def _kept(answer: Answer, details: Details) -> int:
    return len(answer.body) // 2 if details.size is None else details.size


def _sizes(total: int, most: int) -> Iterator[int]:
    while total > 0:
        yield min(total, most)
        total -= most


_BROKEN: dict[Fault, Callable[[Transmission, Answer, Details], bool]] = {
    Fault.DELAY: Transmission._delay,
    Fault.DRIP_BODY: Transmission._drip_body,
    Fault.DRIP_HEADERS: Transmission._drip_headers,
    Fault.CUT_BODY: Transmission._cut_body,
    Fault.CUT_CHUNKED: Transmission._cut_chunked,
    Fault.RESET_IN_ANSWER: Transmission._reset_in_answer,
    Fault.ENDLESS_CHUNKED: Transmission._endless_chunked,
}
BROKEN_FAULTS = frozenset(_BROKEN)
