from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

READ_BUFFER = 64 * 1024


class Call(threading.local):
    """The deadline of this thread's request and operation, and whether a byte of the request has left."""

    ends_at: float = 0.0
    operation_ends_at: float | None = None
    byte_sent: bool = False

    def allowed(self, seconds: float) -> float:
        """Return `seconds`, or less if the operation that this thread is in ends earlier."""
        if self.operation_ends_at is None:
            return seconds
        return min(seconds, self.operation_ends_at - time.monotonic())

    def begin(self, deadline: float) -> None:
        self.ends_at = time.monotonic() + deadline
        self.byte_sent = False

    def left(self) -> float:
        """Return the seconds left; raise TimeoutError when there are none."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline exceeded")
        return left


call = Call()


@contextlib.contextmanager
def total_deadline(seconds: float) -> Iterator[None]:
    """Bound all requests of this thread inside the block: one that cannot start in time raises NotSent."""
    before, call.operation_ends_at = call.operation_ends_at, time.monotonic() + seconds
    try:
        yield
    finally:
        call.operation_ends_at = before


class _DeadlineReader(io.RawIOBase):
    """Read from a socket, each time for no longer than the call's deadline allows.

    A `timeout=` bounds one read only: one byte per 0.9 s keeps a 1 s timeout alive for ever.
    """

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._patience = sock.gettimeout() or 60.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(min(self._patience, call.left()))
        return self._raw.readinto(buffer)  # type: ignore[attr-defined, no-any-return]

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(sock, self.fp.detach()), READ_BUFFER)  # type: ignore[attr-defined]


class _MarkingConnection:
    """Note the moment at which the first byte of a request may leave."""

    response_class = _Response
    sock: Any

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        self.sock.settimeout(min(self.sock.gettimeout() or 60.0, call.left()))
        call.byte_sent = True
        super().send(data)  # type: ignore[misc]


class _PlainConnection(_MarkingConnection, HTTPConnection):
    pass


class _SecureConnection(_MarkingConnection, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS = {"http": _PlainPool, "https": _SecurePool}


class Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS  # type: ignore[attr-defined]

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> urllib3.ProxyManager:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager
