"""A fake Moov that costs next to nothing: it makes tickets, each after the same wait, and counts its connections.

    python -m benchmarks.push_site.vendor LATENCY [CERTIFICATE]

The sandbox would do, but its threads compete with what is measured for the few cores of a small machine. It prints its
port; `GET /connections` answers how many were accepted so far.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import uuid

END = b"\r\n\r\n"


class Desk(asyncio.Protocol):
    """One connection."""

    accepted = 0
    latency = 0.05

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Desk.accepted += 1
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, body = self.buffer.partition(END)
        if not end or len(body) < length_of(head):
            return
        self.buffer = b""
        if head.startswith(b"GET /connections"):
            Desk.accepted -= 1  # the one that asks
            self.answer({"accepted": Desk.accepted})
        else:
            asyncio.get_running_loop().call_later(self.latency, self.answer, ticket_of(json.loads(body)))

    def answer(self, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


def length_of(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def ticket_of(draft: dict[str, object]) -> dict[str, object]:
    return {
        "ticketID": str(uuid.uuid4()),
        "number": 1,
        "title": draft["title"],
        "contact": draft["contact"],
        "status": "new",
        "createdOn": "2026-11-21T10:00:00Z",
        "updatedOn": "2026-11-21T10:00:00Z",
        "foreignID": draft.get("foreignID"),
    }


async def serve(latency: float, certificate: str | None) -> None:
    Desk.latency, context = latency, None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(Desk, "127.0.0.1", 0, ssl=context, backlog=512)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
