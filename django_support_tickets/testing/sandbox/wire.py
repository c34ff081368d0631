"""HTTP/1.1 on one accepted socket: read a request, write bytes, reset."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import socket
import struct
import tempfile
from collections.abc import Iterator
from typing import IO

from django_support_tickets.testing.sandbox.ledger import BODY_KEPT

HEAD_LIMIT = 128 * 1024
BLOCK = 256 * 1024
_RESET = struct.pack("ii", 1, 0)


class BadRequest(Exception):
    """The bytes received are no HTTP request this server understands."""


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """Request line and headers; header names are lower case, repeated ones joined by a comma."""

    method: str
    target: str
    version: str
    headers: dict[str, str]

    @property
    def keep_alive(self) -> bool:
        connection = self.headers.get("connection", "").lower()
        return connection == "keep-alive" if self.version == "HTTP/1.0" else connection != "close"


@dataclasses.dataclass(frozen=True, slots=True)
class Body:
    """A request body as received; `complete` is False when the client went away in the middle."""

    stream: IO[bytes]
    size: int
    sha256: str
    start: bytes
    complete: bool = True


class Wire:
    """One accepted connection with the bytes read ahead of it."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""

    def read_head(self) -> Head | None:
        """Return the next request's head, or None when the client has closed."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEAD_LIMIT:
                raise BadRequest("head too long")
            received = self._socket.recv(65536)
            if not received:
                return None
            self._buffer += received
        if end > HEAD_LIMIT:
            raise BadRequest("head too long")
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return parse_head(head)

    def read_body(self, head: Head) -> Body:
        if "expect" in head.headers:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in head.headers.get("transfer-encoding", "").lower():
            return _collect(self._chunks())
        announced = head.headers.get("content-length", "0")
        if not (announced.isascii() and announced.isdigit()):
            raise BadRequest("Content-Length is no number")
        return self._read_announced(int(announced))

    def _read_announced(self, size: int) -> Body:
        if size <= len(self._buffer):
            body, self._buffer = self._buffer[:size], self._buffer[size:]
            return Body(io.BytesIO(body), size, hashlib.sha256(body).hexdigest(), body[:BODY_KEPT])
        return _collect(self._blocks(size), expected=size)

    def _blocks(self, size: int) -> Iterator[bytes]:
        left = size
        while left > 0:
            block = self._take(min(left, BLOCK))
            if not block:
                return
            left -= len(block)
            yield block

    def _take(self, most: int) -> bytes:
        if self._buffer:
            block, self._buffer = self._buffer[:most], self._buffer[most:]
            return block
        return self._socket.recv(most)

    def _chunks(self) -> Iterator[bytes]:
        while (size := self._chunk_size()) > 0:
            yield from self._blocks(size)
            self._line()
        while self._line():
            pass

    def _chunk_size(self) -> int:
        try:
            return int(self._line().split(b";")[0], 16)
        except ValueError as error:
            raise BadRequest("bad chunk size") from error

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            received = self._socket.recv(65536)
            if not received:
                raise ConnectionError("the client closed inside a chunked body")
            self._buffer += received
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def reset(self) -> None:
        """Close so that the client sees a connection reset."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()

    def finish(self) -> None:
        """Close in good order: send FIN first, so that what was sent still arrives."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.close()


def parse_head(head: bytes) -> Head:
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest("bad request line")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest("header without a colon")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Head(parts[0], parts[1], parts[2], headers)


def _collect(blocks: Iterator[bytes], expected: int | None = None) -> Body:
    """Gather a body of any size: the first megabyte in memory, a longer one in a temporary file."""
    digest, size, start = hashlib.sha256(), 0, bytearray()
    stream: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=BODY_KEPT)  # noqa: SIM115  (the exchange closes it)
    complete = True
    try:
        for block in blocks:
            digest.update(block)
            size += len(block)
            start += block[: BODY_KEPT - len(start)]
            stream.write(block)
    except BadRequest:
        stream.close()
        raise
    except OSError:
        complete = False
    stream.seek(0)
    complete = complete and expected in (None, size)
    return Body(stream, size, digest.hexdigest(), bytes(start), complete)
