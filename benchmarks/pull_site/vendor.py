"""A fake Ankra that costs next to nothing: it shows tickets and lists of them, each after the same wait.

    python -m benchmarks.pull_site.vendor LATENCY TOTAL [short]

A list shows whole tickets, or short rows as Ankra's own does. The sandbox would do, but its threads compete with what
is measured for the few cores of a small machine. It prints its port.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import cache
from urllib.parse import parse_qs, urlsplit

from benchmarks.pull_site.tickets import number_of, page, ticket

END = b"\r\n\r\n"


class Desk(asyncio.Protocol):
    """One connection."""

    latency = 0.0
    total = 0
    is_short = False

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, rest = self.buffer.partition(END)
        if not end:
            return
        self.buffer = rest
        content = answer(head.split(b" ", 2)[1].decode(), Desk.total, Desk.is_short)
        if Desk.latency:
            asyncio.get_running_loop().call_later(Desk.latency, self.transport.write, content)
        else:
            self.transport.write(content)


@cache
def answer(path: str, total: int, is_short: bool) -> bytes:
    """Return the whole answer; made once, so that what is measured a second time waits for nothing."""
    parts, query = urlsplit(path), parse_qs(urlsplit(path).query)
    if query:
        content = page(int(query["page"][0]), int(query["page_size"][0]), total, is_short=is_short)
    else:
        content = ticket(number_of(parts.path.rpartition("/")[2]))
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(latency: float, total: int, is_short: bool) -> None:
    Desk.latency, Desk.total, Desk.is_short = latency, total, is_short
    server = await asyncio.get_running_loop().create_server(Desk, "127.0.0.1", 0, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), int(sys.argv[2]), "short" in sys.argv))
