"""Uploads that are too large or cut: answered while they arrive, and nothing of them stays."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpRequest
from django.test import Client

from django_support_tickets.api.uploads import FIELDS, TOGETHER, CappedUpload
from django_support_tickets.attachments.storing import LARGEST
from django_support_tickets.models import Attachment, Ticket
from django_support_tickets.providers.local import LocalProvider
from django_support_tickets.records import AttachmentRules, Capabilities
from tests.api.conftest import BASE, LOCAL

# A request that comes through the handler ends with its connection closed, unlike one of the test client.
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.api.urls"),
    pytest.mark.fault(71),
]

URL = f"{BASE}/tickets/"
MAX = 100_000


class NarrowProvider(LocalProvider):
    """A desk that takes two files of 100 kB."""

    capabilities = Capabilities(
        attachments=AttachmentRules(moments=frozenset({"create"}), max_count=2, max_bytes=MAX),
        sent_fields=LocalProvider.capabilities.sent_fields,
    )


class Body(io.BytesIO):
    """A body that knows how much of it was read."""

    def __init__(self, content: bytes, *, padding: int = 0) -> None:
        super().__init__(content)
        self.padding = padding
        self.taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data and self.padding > 0:
            data = b"x" * min(size or 0, self.padding)
            self.padding -= len(data)
        self.taken += len(data)
        return data


@pytest.fixture(autouse=True)
def one_connection() -> Iterator[None]:
    """Keep a request from closing the test's connection, as Django's own test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def narrow(settings: Any, tmp_path: Path) -> None:
    settings.SUPPORT_TICKETS_PROVIDERS = {"local": {"BACKEND": f"{__name__}.NarrowProvider"}}
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    # Even the smallest file becomes a temporary one.
    settings.FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]


@pytest.fixture
def assert_nothing_is_left(tmp_path: Path) -> Callable[[], None]:
    def check() -> None:
        assert list(tmp_path.iterdir()) == []
        assert not Ticket.objects.exists()
        assert not Attachment.objects.exists()

    return check


@pytest.fixture(params=["password", "session"])
def sender(request: pytest.FixtureRequest) -> dict[str, str]:
    """The headers of a customer's program, or of a browser: there the CSRF token is looked for in the body first."""
    user = get_user_model().objects.create_user("sender", password="password")
    if request.param == "password":
        return {"HTTP_AUTHORIZATION": f"Basic {base64.b64encode(b'sender:password').decode()}"}
    client = Client()
    client.force_login(user)
    token = "a" * 32
    cookies = {**{name: morsel.value for name, morsel in client.cookies.items()}, "csrftoken": token}
    return {
        "HTTP_COOKIE": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        "HTTP_X_CSRFTOKEN": token,
    }


def form(content: bytes, *, head: bytes = b"", end: bool = True) -> bytes:
    """Return a ticket with a file; `head` are more headers of the file."""
    fields = b"".join(
        b'--boundary\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % field
        for field in ((b"provider", b"local"), (b"subject", b"Hello"))
    )
    file = b'--boundary\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n' + head + b"\r\n"
    return fields + file + content + (b"\r\n--boundary--\r\n" if end else b"")


def post(sender: dict[str, str], body: Body, *, length: int) -> tuple[int, str]:
    """Send a body to the site as a server does; return the status of the answer, and the answer."""
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": URL,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        "CONTENT_TYPE": "multipart/form-data; boundary=boundary",
        "CONTENT_LENGTH": str(length),
        **sender,
    }
    answers: list[str] = []
    response = WSGIHandler()(environ, lambda status, headers: answers.append(status))
    content = b"".join(response)
    response.close()
    return int(answers[0].split()[0]), content.decode()


Check = Callable[[], None]


@pytest.mark.parametrize(("size", "status"), [(1, 201), (MAX, 201), (MAX + 1, 413), (0, 400)])
def test_up_to_the_limit_a_file_is_taken(sender: dict[str, str], tmp_path: Path, size: int, status: int) -> None:
    body = form(b"x" * size)
    assert post(sender, Body(body), length=len(body))[0] == status
    assert Attachment.objects.count() == Ticket.objects.count() == int(status == 201)
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_is_too_large_is_not_read(sender: dict[str, str], assert_nothing_is_left: Check) -> None:
    body = Body(form(b"x"))
    status, answer = post(sender, body, length=2 * MAX + FIELDS + 1)
    assert (status, json.loads(answer)) == (413, {"detail": "The request is too large."})
    assert body.taken == 0
    assert_nothing_is_left()


def test_a_file_that_is_too_large_is_read_no_further(sender: dict[str, str], assert_nothing_is_left: Check) -> None:
    body = Body(form(b"x" * MAX, end=False), padding=FIELDS)
    status, answer = post(sender, body, length=2 * MAX + FIELDS)
    assert (status, json.loads(answer)) == (413, {"files": [f"At most {MAX} bytes."]})
    assert body.taken < 4 * MAX
    assert_nothing_is_left()


@pytest.mark.parametrize("missing", [1, 20, 1000])
def test_a_request_that_was_cut_is_refused(sender: dict[str, str], assert_nothing_is_left: Check, missing: int) -> None:
    """Such as a browser's that is closed: a server then only says that there is no more."""
    body = form(b"x" * 50_000)
    status, _ = post(sender, Body(body[:-missing]), length=len(body))
    assert status in (400, 403)
    assert_nothing_is_left()


def test_what_comes_after_its_length_is_not_read(sender: dict[str, str]) -> None:
    body = form(b"x")
    stream = Body(body, padding=1000)
    assert post(sender, stream, length=len(body))[0] == 201
    assert stream.taken == len(body)


def test_26_mb_of_blanks_are_no_file(sender: dict[str, str], settings: Any, assert_nothing_is_left: Check) -> None:
    settings.SUPPORT_TICKETS_PROVIDERS = {"local": {"BACKEND": LOCAL}}
    body = form(b" " * 26_000_000, head=b"Content-Transfer-Encoding: base64\r\n")
    assert post(sender, Body(body), length=len(body))[0] == 400
    assert_nothing_is_left()


def test_101_files_are_too_many(sender: dict[str, str], assert_nothing_is_left: Check) -> None:
    file = b'--boundary\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nx\r\n'
    body = file * 101 + form(b"x")
    assert post(sender, Body(body), length=len(body))[0] == 400
    assert_nothing_is_left()


@pytest.mark.parametrize(
    ("rules", "file_max", "together"),
    [
        ({}, LARGEST, TOGETHER),
        ({"max_bytes": 10}, 10, TOGETHER),
        ({"max_bytes": 10, "max_count": 3}, 10, 30),
        ({"max_bytes": 10, "max_count": 3, "max_total_bytes": 20}, 10, 20),
        ({"max_bytes": 2 * TOGETHER}, 2 * TOGETHER, 2 * TOGETHER),
        (None, 0, 0),
    ],
)
def test_the_most_generous_account_decides(
    settings: Any, monkeypatch: pytest.MonkeyPatch, rules: dict[str, int] | None, file_max: int, together: int
) -> None:
    given = None if rules is None else AttachmentRules(moments=frozenset({"create"}), **rules)
    monkeypatch.setattr(NarrowProvider, "capabilities", Capabilities(attachments=given))
    settings.SUPPORT_TICKETS_PROVIDERS["gone"] = {"BACKEND": "nowhere.Provider"}
    upload = CappedUpload(HttpRequest())
    assert (upload.file_max, upload.together_max) == (file_max, together + FIELDS)
