from __future__ import annotations

import contextlib
import http.client
import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

READ_BUFFER = 64 * 1024
LINE_MAX = 64 * 1024
# Shorter than the idle timeouts that servers have (5 s and up): a POST on a connection that the vendor is just closing
# would be lost without anybody knowing whether it took effect.
IDLE_MAX = 4.0

#: (host, port) -> the host's IP addresses.
Resolve = Callable[[str, int], list[str]]


class Deadline:
    """The end of one request; `patience` is how many seconds one read or write of it may take."""

    def __init__(self, seconds: float, *, patience: float) -> None:
        self.ends_at = time.monotonic() + seconds
        self.patience = patience

    def left(self) -> float:
        """Return the seconds left; raise TimeoutError when there are none."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline exceeded")
        return left

    def wait(self) -> float:
        """Return for how long the next read or write may block; raise TimeoutError when time is up."""
        return min(self.patience, self.left())


class Call(threading.local):
    """What this thread is sending: until when, and whether a byte of the request has left."""

    deadline: Deadline = Deadline(0.0, patience=0.0)
    operation_ends_at: float | None = None
    byte_sent: bool = False
    is_starting: bool = False

    def allowed(self, seconds: float) -> float:
        """Return `seconds`, or less if the operation that this thread is in ends earlier."""
        if self.operation_ends_at is None:
            return seconds
        return min(seconds, self.operation_ends_at - time.monotonic())

    @contextlib.contextmanager
    def starting(self, deadline: Deadline) -> Iterator[None]:
        """Send one request inside the block."""
        self.deadline, self.byte_sent, self.is_starting = deadline, False, True
        try:
            yield
        finally:
            self.is_starting = False


call = Call()


@contextlib.contextmanager
def total_deadline(seconds: float) -> Iterator[None]:
    """Bound all requests of this thread inside the block: one that cannot start in time raises NotSent.

    Blocks may be nested; the one that ends first counts.
    """
    before, call.operation_ends_at = call.operation_ends_at, time.monotonic() + call.allowed(seconds)
    try:
        yield
    finally:
        call.operation_ends_at = before


class _WithoutQueries(logging.Filter):
    """Take the query out of the addresses that urllib3 logs about our own requests: it may hold a ticket's text."""

    def filter(self, record: logging.LogRecord) -> bool:
        if call.is_starting and isinstance(record.args, tuple):
            record.args = tuple(arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutQueries())


class _DeadlineReader(io.RawIOBase):
    """Read from a socket, each time for no longer than the deadline allows.

    A `timeout=` bounds one read only: one byte per 0.9 s keeps a 1 s timeout alive for ever.
    """

    def __init__(self, sock: socket.socket, raw: Any, deadline: Deadline) -> None:
        self._sock = sock
        self._raw = raw
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.wait())
        size: int | None = self._raw.readinto(buffer)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Lines(io.BufferedReader):
    """Refuse a head that ends in the middle, which the original takes for whole, and endless lines.

    urllib3 2.6 reads the size of a chunk without a limit.
    """

    is_head = True

    def readline(self, size: int | None = -1, /) -> bytes:
        is_unlimited = size is None or size < 0
        limit = LINE_MAX if size is None or size < 0 else size
        line = super().readline(limit)
        if is_unlimited and len(line) >= LINE_MAX:
            raise http.client.LineTooLong("chunk size")
        if self.is_head and len(line) < limit and not line.endswith(b"\n"):
            raise http.client.IncompleteRead(line)
        return line


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._lines = _Lines(_DeadlineReader(sock, self.fp.detach(), call.deadline), READ_BUFFER)
        self.fp = self._lines

    def begin(self) -> None:
        super().begin()
        self._lines.is_head = False


def addresses_of(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host name, as the system resolves it; raise OSError or UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class PlainConnection(HTTPConnection):
    """Keep the deadline, and note the moment at which the first byte of a request may leave."""

    response_class: type[http.client.HTTPResponse] = _Response
    resolve: Resolve = staticmethod(addresses_of)
    _used_at = 0.0

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self._used_at < IDLE_MAX

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.sock.settimeout(call.deadline.wait())
        self._used_at = time.monotonic()
        call.byte_sent = True
        super().send(data)

    def _tunnel(self) -> None:
        try:
            super()._tunnel()
        finally:
            call.byte_sent = False  # what went to the proxy was no part of the request

    def _new_conn(self) -> socket.socket:
        """Connect within the connect timeout, all addresses of the host together.

        The original allows the timeout to each of them. Resolving the name cannot be bounded; if it takes too long,
        nothing is sent afterwards.
        """
        longest = float(self.timeout or call.deadline.patience)
        addresses = self._addresses()
        ends_at = time.monotonic() + min(longest, call.deadline.left())
        for waiting, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share = max(ends_at - time.monotonic(), 0.001) / waiting
            with contextlib.suppress(OSError):
                sock = create_connection((address, self.port), share, socket_options=self.socket_options)
                sock.settimeout(min(longest, call.deadline.left()))
                return sock
        raise NewConnectionError(self, "no address of the host accepts a connection")

    def _addresses(self) -> list[str]:
        try:
            return self.resolve(self._dns_host.strip("[]"), self.port)
        except (OSError, UnicodeError) as error:
            raise NameResolutionError(self.host, self, socket.gaierror(str(error))) from error


class SecureConnection(PlainConnection, HTTPSConnection):
    """The same with TLS."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = PlainConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = SecureConnection


POOLS = {"http": _PlainPool, "https": _SecurePool}


class Adapter(HTTPAdapter):
    """Use connections that keep the deadline."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> urllib3.ProxyManager:
        manager: urllib3.ProxyManager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager
