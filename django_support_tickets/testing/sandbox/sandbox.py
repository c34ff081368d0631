"""The four fake vendors behind one server on loopback."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from django_support_tickets.testing.sandbox.ankra import AnkraSandbox
from django_support_tickets.testing.sandbox.clock import Now, VendorClock
from django_support_tickets.testing.sandbox.moov import MoovSandbox
from django_support_tickets.testing.sandbox.ripio import RipioSandbox
from django_support_tickets.testing.sandbox.server import Server
from django_support_tickets.testing.sandbox.verifik import VerifikSandbox
from django_support_tickets.testing.sandbox.wsgi import Site, VendorSandbox

V = TypeVar("V", bound=VendorSandbox)


class Sandbox:
    """Serve fake Ripio, Moov, Verifik and Ankra over real HTTP, as a context manager or by `start()`.

    `port=0` takes a free one; `seed` makes random faults and ids replayable and is drawn (see `.seed`) when
    left out; `latency` is slept before each answer, in seconds; `now` returns the vendors' time as an aware
    datetime.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int | None = None,
        latency: float = 0.0,
        now: Now | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.latency = latency
        self.seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        self.clock = VendorClock(now)
        self._site = Site(self.clock, self.seed)
        self.ripio = RipioSandbox(self._site)
        self.moov = MoovSandbox(self._site)
        self.verifik = VerifikSandbox(self._site)
        self.ankra = AnkraSandbox(self._site)
        self.vendors: dict[str, VendorSandbox] = {
            vendor.name: vendor for vendor in (self.ripio, self.moov, self.verifik, self.ankra)
        }
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Return the origin all vendors share, such as `http://127.0.0.1:43121`."""
        if not self._site.url:
            raise RuntimeError("The sandbox is not started.")
        return self._site.url

    def start(self) -> Self:
        """Listen and serve in threads; do nothing where that is already so."""
        if self._server is None:
            self._server = Server(
                (self.host, self.port),
                self.vendors,
                clock=self.clock,
                latency=self.latency,
            )
            host, port = self._server.address
            self._site.url = f"http://{host}:{port}"
            self._server.start()
        return self

    def stop(self) -> None:
        """Release held requests, close all connections, stop listening; tickets and ledgers stay readable."""
        if self._server is None:
            return
        for vendor in self.vendors.values():
            vendor.clear_failures()
        self._server.stop()
        self._server = None
        self._site.url = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def reset(self) -> None:
        """Be as new: forget tickets, ledgers, failures and settings of all vendors, and the shift of time."""
        self.clock.reset()
        for vendor in self.vendors.values():
            vendor.reset()

    @property
    def connections(self) -> int:
        """Return how many connections are open; a request of a client that died may still be worked on."""
        return self._server.connections if self._server else 0

    def advance(self, seconds: float) -> None:
        """Move the vendors' time on: tokens and files expire, what is due happens."""
        self.clock.advance(seconds)
        for vendor in self.vendors.values():
            vendor.settle()

    def options(self) -> dict[str, dict[str, Any]]:
        """Return the provider OPTIONS of every vendor by name."""
        return {name: vendor.options() for name, vendor in self.vendors.items()}


@contextlib.contextmanager
def serving(kind: type[V], *, seed: int = 0, latency: float = 0.0, now: Now | None = None) -> Iterator[V]:
    """Serve a fake vendor of yours over real HTTP on a free loopback port, as the four here are."""
    clock = VendorClock(now)
    site = Site(clock, seed)
    vendor = kind(site)
    server = Server(("127.0.0.1", 0), {vendor.name: vendor}, clock=clock, latency=latency)
    host, port = server.address
    site.url = f"http://{host}:{port}"
    server.start()
    try:
        yield vendor
    finally:
        vendor.clear_failures()
        server.stop()


def serve(
    host: str = "127.0.0.1",
    port: int = 8800,
    *,
    latency: float = 0.0,
    fault_rate: float = 0.0,
    seed: int | None = None,
    write: Callable[[str], object] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve in the foreground until Ctrl-C (or `stop` is set); say by `write` (standard output) where.

    Random faults hit `fault_rate` of all requests. Ripio registers a ticket five seconds after its creation.
    """
    write = write or _say
    with Sandbox(host, port, seed=seed, latency=latency) as sandbox:
        sandbox.ripio.auto_register_after = 5.0
        if fault_rate:
            for vendor in sandbox.vendors.values():
                vendor.fail_randomly(fault_rate)
        write(_greeting(sandbox))
        with contextlib.suppress(KeyboardInterrupt):
            (stop or threading.Event()).wait()
    write("\nstopped\n")


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _greeting(sandbox: Sandbox) -> str:
    lines = [f"Fake vendors at {sandbox.url} (seed {sandbox.seed}); OPTIONS of each:"]
    lines += [f"  {name}: {json.dumps(options)}" for name, options in sandbox.options().items()]
    return "\n".join([*lines, "Ctrl-C stops.", ""])
