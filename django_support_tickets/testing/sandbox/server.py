"""The threaded socket server before the fake vendors: one thread per connection, keep-alive, TCP_NODELAY."""

from __future__ import annotations

import contextlib
import email.utils
import socket
import threading
from collections.abc import Mapping

from django_support_tickets.testing.sandbox.clock import VendorClock
from django_support_tickets.testing.sandbox.exchange import Exchange, Surroundings
from django_support_tickets.testing.sandbox.wire import BadRequest, Wire
from django_support_tickets.testing.sandbox.wsgi import VendorSandbox

BACKLOG = 512


class DateHeader:
    """The `Date` header's value by the vendors' clock, formatted once a second."""

    def __init__(self, clock: VendorClock) -> None:
        self._clock = clock
        self._cached = (0, "")

    def __call__(self) -> str:
        second = int(self._clock.now().timestamp())
        if self._cached[0] != second:
            self._cached = (second, email.utils.formatdate(second, usegmt=True))
        return self._cached[1]


class Server:
    """Listen on start and give each connection a thread; `stop` closes everything that is still open."""

    def __init__(
        self,
        address: tuple[str, int],
        vendors: Mapping[str, VendorSandbox],
        *,
        clock: VendorClock,
        latency: float,
    ) -> None:
        self._vendors = vendors
        self._listener = socket.create_server(address, backlog=BACKLOG)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._stopping = threading.Event()
        self._around = Surroundings(self.address, latency, self._stopping, DateHeader(clock))
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._acceptor = threading.Thread(target=self._accept, name="vendor-sandbox", daemon=True)

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._connections)

    def start(self) -> None:
        self._acceptor.start()

    def stop(self) -> None:
        self._stopping.set()
        self._wake_acceptor()
        self._acceptor.join(timeout=5)
        self._listener.close()
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in connections.values():
            thread.join(timeout=5)

    def _wake_acceptor(self) -> None:
        host = "127.0.0.1" if self.address[0] in ("0.0.0.0", "") else self.address[0]  # noqa: S104  (a comparison)
        with contextlib.suppress(OSError):
            socket.create_connection((host, self.address[1]), timeout=1).close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        wire = Wire(connection)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._serve_requests(wire)
        except OSError:
            pass
        except BadRequest as error:
            _refuse(wire, 400, str(error))
        finally:
            wire.finish()
            with self._lock:
                self._connections.pop(connection, None)

    def _serve_requests(self, wire: Wire) -> None:
        while not self._stopping.is_set():
            head = wire.read_head()
            if head is None:
                return
            vendor = self._vendors.get(_first_part(head.target))
            if vendor is None:
                _refuse(wire, 404, f"No vendor here; there are {', '.join(self._vendors)}.")
                return
            if not Exchange(wire, head, vendor, self._around).run():
                return


def _first_part(target: str) -> str:
    return (target.partition("?")[0] + "/").split("/")[1]


def _refuse(wire: Wire, status: int, reason: str) -> None:
    body = f"{reason}\n".encode()
    head = f"HTTP/1.1 {status} Refused\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    with contextlib.suppress(OSError):
        wire.send(head.encode() + b"Connection: close\r\n\r\n" + body)
