"""The whole site behind an ASGI server: Django has read the body into a file before any view is called."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIHandler

from django_support_tickets.models import WebhookDelivery
from django_support_tickets.webhooks import BODY_MAX
from tests.webhooks import cases
from tests.webhooks.cases import RIPIO_BODY, RIPIO_HEADERS, RIPIO_ID, RIPIO_SIGNATURE, is_due

pytestmark = pytest.mark.django_db

Headers = list[tuple[bytes, bytes]]
SIGNED: Headers = [(name.lower().encode(), value.encode()) for name, value in RIPIO_HEADERS.items()]


woken: list[Any] = []


def take_note(alias: str, ticket_id: int | None, using: str) -> None:
    """Be a project's dispatcher."""
    woken.append(alias)


def served(
    chunks: Iterator[bytes] | list[bytes],
    headers: Headers = SIGNED,
    *,
    method: str = "POST",
    seen: list[Any] | None = None,
) -> list[Any]:
    """Return what the site sends to a server that hands it a request in these chunks: [status, body], or nothing."""
    scope = {
        "type": "http",
        "method": method,
        "path": cases.address("ripio"),
        "headers": [(b"host", b"testserver"), *headers],
        "query_string": b"",
    }
    pieces, sent = iter(chunks), [] if seen is None else seen

    async def receive() -> dict[str, Any]:
        chunk = next(pieces, None)
        if chunk == b"":
            return {"type": "http.disconnect"}
        if chunk is not None:
            return {"type": "http.request", "body": chunk, "more_body": True}
        if not receive.is_over:  # type: ignore[attr-defined]
            receive.is_over = True  # type: ignore[attr-defined]
            return {"type": "http.request", "body": b"", "more_body": False}
        return await asyncio.Future()  # the client waits for its answer

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("status", message.get("body")))

    receive.is_over = False  # type: ignore[attr-defined]
    with cases.kept_connections():
        async_to_sync(ASGIHandler())(scope, receive, send)
    return sent


def length(number: int) -> tuple[bytes, bytes]:
    return b"content-length", str(number).encode()


class TestGenuine:
    @pytest.mark.fault(61)
    @pytest.mark.parametrize("size", [7, 100_000])
    @pytest.mark.parametrize("is_announced", [True, False])
    def test_a_webhook_in_chunks(self, size: int, is_announced: bool) -> None:
        ticket = cases.ticket("ripio", RIPIO_ID)
        chunks = [RIPIO_BODY[at : at + size] for at in range(0, len(RIPIO_BODY), size)]
        headers = [*SIGNED, length(len(RIPIO_BODY))] if is_announced else SIGNED
        assert served(chunks, headers) == [200, b""]
        assert is_due(ticket)

    def test_the_pull_is_asked_for_when_the_answer_has_left(self, settings: Any, transactional_db: None) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = f"{__name__}.take_note"
        cases.ticket("ripio", RIPIO_ID)
        woken.clear()
        sent = served([RIPIO_BODY], seen=woken)
        assert sent is woken
        assert woken == [200, b"", "ripio"]

    @pytest.mark.fault(63)
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_probe(self, method: str) -> None:
        assert served([RIPIO_BODY], method=method) == [200, b""]
        assert not WebhookDelivery.objects.exists()


class TestForged:
    @pytest.mark.fault(61)
    @pytest.mark.parametrize(("announced", "status"), [(10, 400), (len(RIPIO_BODY) + 1, 400), (10**9, 413)])
    def test_a_length_that_is_a_lie(self, announced: int, status: int) -> None:
        assert served([RIPIO_BODY], [*SIGNED, length(announced)]) == [status, b""]
        assert not WebhookDelivery.objects.exists()

    @pytest.mark.fault(61)
    @pytest.mark.parametrize("announced", [None, 10])
    def test_100_mb_in_chunks_take_no_memory(self, announced: int | None) -> None:
        chunk = b"x" * 1_000_000
        headers = SIGNED if announced is None else [*SIGNED, length(announced)]
        tracemalloc.start()
        try:
            assert served((chunk for _ in range(100)), headers) == [413, b""]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (
            peak < 8_000_000 + 4 * BODY_MAX
        )  # Django keeps 2.5 MB of a body, and copies it once, before it uses a file

    @pytest.mark.fault(61)
    def test_a_client_that_goes_away_in_the_middle(self) -> None:
        assert served([RIPIO_BODY[:50], b""]) == []
        assert not WebhookDelivery.objects.exists()

    @pytest.mark.fault(51, 52)
    @pytest.mark.parametrize(
        "values",
        [
            [b"\xff\xfe"],
            ["é".encode()],
            [RIPIO_SIGNATURE.encode(), RIPIO_SIGNATURE.encode()],
            [RIPIO_SIGNATURE.encode(), b""],
            [b"sha256=", RIPIO_SIGNATURE[7:].encode()],
            [RIPIO_SIGNATURE.encode() + b"\x00"],
        ],
    )
    def test_a_signature_that_is_doubled_or_no_text(self, values: list[bytes]) -> None:
        headers = [(SIGNED[0][0], value) for value in values]
        assert served([RIPIO_BODY], headers) == [401, b""]
        assert not WebhookDelivery.objects.exists()
