"""Bodies that are too large, cut, never ending, or lie about their length."""

from __future__ import annotations

import io
import json
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse

from django_support_tickets.models import WebhookDelivery
from django_support_tickets.webhooks import BODY_MAX, receive
from tests.webhooks import cases
from tests.webhooks.cases import RIPIO_BODY, RIPIO_HEADERS, deliver, ripio_signed

pytestmark = pytest.mark.django_db


class Stream:
    """A socket's end: gives what it has, at most `step` bytes at a time, and counts."""

    def __init__(self, content: bytes = b"", *, endless: bool = False, step: int = sys.maxsize) -> None:
        self._content = io.BytesIO(content)
        self._endless = endless
        self._step = step
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        size = min(sys.maxsize if size < 0 else size, self._step)
        chunk = b"x" * size if self._endless else self._content.read(size)
        self.taken += len(chunk)
        return chunk

    readline = read


class BrokenStream(Stream):
    """A client that goes away, or a server that does not like its chunks."""

    def __init__(self, error: type[Exception] = ConnectionResetError) -> None:
        super().__init__()
        self._error = error

    def read(self, size: int = -1) -> bytes:
        raise self._error("gone")


def served(
    stream: Stream,
    *,
    length: str | None,
    headers: dict[str, str] | None = None,
    alias: str = "ripio",
    **environment: Any,
) -> int:
    """Return the status with which the whole site answers a request with this body and this Content-Length."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": cases.address(alias),
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_TYPE": "application/json",
        "wsgi.input": stream,
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
    }
    for name, value in (headers or RIPIO_HEADERS).items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    environ |= environment
    if length is not None:
        environ["CONTENT_LENGTH"] = length
    # Not by calling the handler, whose signals would close the test's connection.
    answer = WSGIHandler().get_response(WSGIRequest(environ))
    assert answer.content == b""
    cases.leave(answer)
    return answer.status_code


@pytest.mark.fault(61)
class TestSize:
    @pytest.mark.parametrize(("extra", "status"), [(0, 200), (1, 413)])
    def test_the_limit_is_exact(self, extra: int, status: int) -> None:
        frame = len(cases.ripio_event(padding=""))
        headers, body = ripio_signed(cases.ripio_event(padding="x" * (BODY_MAX - frame + extra)))
        assert len(body) == BODY_MAX + extra
        assert deliver("ripio", headers, body).status_code == status
        assert WebhookDelivery.objects.count() == (status == 200)

    def test_100_mb_are_not_read(self) -> None:
        stream = Stream(endless=True)
        assert served(stream, length=str(100_000_000)) == 413
        assert stream.taken == 0

    @pytest.mark.parametrize("length", ["9" * 12, "9" * 5000])
    def test_a_length_beyond_all_numbers(self, length: str) -> None:
        assert served(Stream(endless=True), length=length) == 413

    @pytest.mark.parametrize("length", ["abc", "-1", "+5", "1e3", "0x10", "٣", "5,5", "1.0", "12 34"])
    def test_a_length_that_is_no_number(self, length: str) -> None:
        assert served(Stream(RIPIO_BODY), length=length) == 400

    def test_more_than_announced_is_not_read(self) -> None:
        stream = Stream(endless=True)
        assert served(stream, length="10") == 401
        assert stream.taken == 10

    @pytest.mark.parametrize("alias", ["ripio", "moov"])
    def test_less_than_announced_is_cut_and_proves_nothing(self, alias: str) -> None:
        headers, body = cases.VECTORS[alias]
        assert served(Stream(body), length=str(len(body) + 1), headers=headers, alias=alias) == 400
        assert not WebhookDelivery.objects.exists()

    @pytest.mark.parametrize("length", [None, ""])
    def test_without_a_length_a_wsgi_server_may_wait_for_ever_so_nothing_is_read(self, length: str | None) -> None:
        stream = Stream(endless=True)
        assert served(stream, length=length) == 401
        assert stream.taken == 0

    @pytest.mark.parametrize("length", [None, ""])
    def test_chunks_that_a_wsgi_server_has_put_together(self, length: str | None) -> None:
        ended = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        assert served(Stream(RIPIO_BODY, step=50), length=length, **ended) == 200
        for step in (BODY_MAX, sys.maxsize):
            stream = Stream(endless=True, step=step)
            assert served(stream, length=length, **ended) == 413
            assert stream.taken == BODY_MAX + 1

    def test_a_body_that_drips_is_put_together(self) -> None:
        assert served(Stream(RIPIO_BODY, step=7), length=str(len(RIPIO_BODY))) == 200

    @pytest.mark.parametrize(
        ("content", "length", "reason"),
        [
            (b"", "abc", "the content length is not a number"),
            (b"", str(BODY_MAX + 1), "the body is too large"),
            (b"x" * (BODY_MAX + 1), None, "the body is too large"),
            (b"cut", "4", "the body is not as long as announced"),
            (None, "4", "the body cannot be read"),
        ],
    )
    def test_the_log_says_what_was_wrong(
        self, caplog: Any, content: bytes | None, length: str | None, reason: str
    ) -> None:
        stream = BrokenStream() if content is None else Stream(content)
        assert served(stream, length=length, **{"wsgi.input_terminated": True}) in (400, 413)
        assert f"webhook refused: {reason} (1 in all)" in caplog.messages

    @pytest.mark.parametrize("error", [ConnectionResetError, TimeoutError, ValueError, EOFError, AttributeError])
    def test_a_client_that_goes_away(self, error: type[Exception]) -> None:
        assert served(BrokenStream(error), length="100") == 400
        assert served(BrokenStream(error), length=None, **{"wsgi.input_terminated": True}) == 400

    def test_what_an_asgi_server_has_spooled_is_read_up_to_the_limit(self) -> None:
        """Under ASGI the whole body lies in a file before any view is called, whatever Content-Length said."""
        with tempfile.TemporaryFile() as file:
            file.truncate(100_000_000)
            request = asgi_request(file)
            tracemalloc.start()
            answer = receive(request, "ripio")
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert answer.status_code == 413
            assert file.tell() == BODY_MAX + 1
        assert peak < 4 * BODY_MAX

    def test_a_chunked_body_is_good_under_asgi(self) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(RIPIO_BODY)
            file.seek(0)
            assert receive(asgi_request(file), "ripio").status_code == 200


def asgi_request(file: Any) -> HttpRequest:
    """Return a request without Content-Length, as an ASGI server makes it of a chunked one."""
    headers = [(name.lower().encode(), value.encode()) for name, value in RIPIO_HEADERS.items()]
    scope = {"type": "http", "method": "POST", "path": cases.address("ripio"), "headers": headers, "query_string": b""}
    return ASGIRequest(scope, file)


def reads_the_body(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Be a site's middleware that logs bodies."""

    def middleware(request: HttpRequest) -> HttpResponse:
        assert request.body
        return get_response(request)

    return middleware


def parses_the_body(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Be a site's middleware that looks into forms."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.POST.get("action")
        return get_response(request)

    return middleware


@pytest.mark.fault(61, 62)
class TestMiddleware:
    def test_a_body_that_was_read_before_is_still_there(self, settings: Any) -> None:
        settings.MIDDLEWARE = [f"{__name__}.reads_the_body", *settings.MIDDLEWARE]
        assert served(Stream(RIPIO_BODY), length=str(len(RIPIO_BODY))) == 200

    def test_a_body_that_was_consumed_is_a_bad_request(self, settings: Any, client: Any) -> None:
        settings.MIDDLEWARE = [f"{__name__}.parses_the_body", *settings.MIDDLEWARE]
        answer = client.post(cases.address("ripio"), {"a": "b"}, headers=RIPIO_HEADERS)
        assert answer.status_code == 400
        assert served(Stream(RIPIO_BODY), length=str(len(RIPIO_BODY))) == 200


def test_a_form_is_no_webhook(client: Any) -> None:
    answer = client.post(cases.address("ripio"), {"a": json.dumps({})}, headers=RIPIO_HEADERS)
    assert answer.status_code == 401
