"""A socket server that answers by a script, so that a test decides every byte and its moment."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

TLS = Path(__file__).parent / "data" / "tls"
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; header names are lower case, `is_complete` is False if its body was cut."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    is_complete: bool


# Writes to the socket; returns whether the connection stays open.
Script = Callable[[socket.socket, Seen], object]


def answer(body: bytes = b"{}", *headers: str, status: str = "200 OK", framed: bool = True) -> bytes:
    """Return the bytes of an answer, with its Content-Length unless not `framed`."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    if framed:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def reset(sock: socket.socket) -> bool:
    """Close so that the client sees a connection reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()
    return False


def here(seconds: float) -> float:
    """Return so many seconds of a free machine at the load that this one has."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@contextlib.contextmanager
def lasting(seconds: float) -> Iterator[None]:
    """Check that the block takes so many seconds, within the promised one; what the machine was late comes on top."""
    late, has_ended = [0.0], threading.Event()

    def watch() -> None:
        while not has_ended.is_set():
            before = time.monotonic()
            has_ended.wait(0.01)
            late[0] += max(0.0, time.monotonic() - before - 0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.monotonic()
    try:
        yield
    finally:
        taken = time.monotonic() - started
        has_ended.set()
        watcher.join()
    assert seconds - 0.1 <= taken <= seconds + 1.0 + late[0]


class ScriptedServer:
    """Serve on a free loopback port; without a script every request is answered with `{}`."""

    def __init__(self, script: Script | bytes | None = None, *, certificate: str = "") -> None:
        given = answer() if script is None else script
        self._script: Script = _sender(given) if isinstance(given, bytes) else given
        self._context = _context(certificate) if certificate else None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.seen: list[Seen] = []
        self.connections = 0
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=60)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._open.add(sock)
            self._start(self._serve, sock)

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            stack.callback(self._forget, plain)
            sock = self._context.wrap_socket(plain, server_side=True) if self._context else plain
            with self._lock:
                self._open.add(sock)
            stack.callback(self._forget, sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with sock.makefile("rb") as reader:
                for seen in iter(lambda: _read(reader), None):
                    self.seen.append(seen)
                    if self._script(sock, seen) is False:
                        return

    def _forget(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.discard(sock)
        sock.close()


def _sender(data: bytes) -> Script:
    return lambda sock, seen: sock.sendall(data)


def _context(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{certificate}.pem")
    return context


def _read(reader: BinaryIO) -> Seen | None:
    lines = [line.decode("latin-1").rstrip("\r\n") for line in _head(reader)]
    if not lines:
        return None
    method, target, _ = lines[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    size = int(headers.get("content-length", "0"))
    body = reader.read(size) if size else b""
    return Seen(method, target, headers, body, len(body) == size)


def _head(reader: BinaryIO) -> Iterator[bytes]:
    while (line := reader.readline()) not in (b"\r\n", b""):
        yield line
