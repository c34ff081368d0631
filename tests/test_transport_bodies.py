from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from django_support_tickets.exceptions import Ambiguous, NotSent
from django_support_tickets.transport import (
    BytesBody,
    MultipartBody,
    Part,
    Request,
    Transport,
    checked_chunks,
    forget_accounts,
    json_body,
)
from django_support_tickets.transport.bodies import CHUNK, BrokenFile
from tests.transport_server import ScriptedServer, answer

SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17)


@pytest.fixture(autouse=True)
def new_accounts() -> Iterator[None]:
    forget_accounts()
    yield
    forget_accounts()


def content_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def part(content: bytes, *, stored: bytes | None = None, name: str = "a.pdf", **changes: object) -> Part:
    """Return a part recorded as `content`, of which `stored` is there now."""
    opened = content if stored is None else stored
    facts = {
        "name": "files",
        "filename": name,
        "content_type": "application/pdf",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "open": lambda: io.BytesIO(opened),
    }
    return Part(**{**facts, **changes})  # type: ignore[arg-type]


class Failing(io.BytesIO):
    """A file that breaks where its content ends."""

    def __init__(self, content: bytes, error: type[Exception]) -> None:
        super().__init__(content)
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        if data := super().read(size):
            return data
        raise self.error


def post(server: ScriptedServer, body: MultipartBody | BytesBody) -> int:
    request = Request(operation="create", method="POST", path="", body=body, key="key-1")
    return Transport(alias="desk", base_url=server.url).send(request).status


@pytest.mark.fault(21, 40)
class TestMultipart:
    @pytest.mark.parametrize("size", SIZES)
    def test_fields_and_files_arrive_as_they_are(self, size: int) -> None:
        files = [part(content_of(size), name='ü "1".pdf'), part(b"second", name="b\r\nX: y.pdf")]
        body = MultipartBody({"subject": "ä\n--x", "empty": ""}, tuple(files))
        with ScriptedServer() as server:
            post(server, body)
            (seen,) = server.seen
        assert len(seen.body) == len(body) == int(seen.headers["content-length"])
        boundary = body.content_type.partition("boundary=")[2].encode()
        pieces = [piece.strip(b"\r\n").partition(b"\r\n\r\n") for piece in seen.body.split(b"--" + boundary)[1:-1]]
        names = [head.split(b"; ", 1)[1].split(b"\r\n")[0] for head, _, _ in pieces]
        assert names == [
            b'name="subject"',
            b'name="empty"',
            'name="files"; filename="ü %221%22.pdf"'.encode(),
            b'name="files"; filename="b%0D%0AX: y.pdf"',
        ]
        assert b"pdf\r\n\r\n" + content_of(size) + b"\r\n--" + boundary in seen.body
        assert pieces[0][2] == "ä\n--x".encode()
        assert seen.body.endswith(b"second\r\n--" + boundary + b"--\r\n")

    def test_it_is_rewound_for_every_sending(self) -> None:
        body = MultipartBody({"a": "b"}, (part(content_of(3 * CHUNK)),))
        with ScriptedServer() as server:
            assert [post(server, body) for _ in range(3)] == [200, 200, 200]
            first, second, third = (seen.body for seen in server.seen)
        assert first == second == third
        assert len(first) == len(body)

    @pytest.mark.parametrize("size", [size for size in SIZES if size])
    @pytest.mark.parametrize(
        "change",
        [
            lambda content: content[:-1],
            lambda content: content + b"x",
            lambda content: content + bytes(3 * CHUNK),
            lambda content: content[:-1] + bytes((content[-1] ^ 1,)),
            lambda content: bytes((content[0] ^ 1,)) + content[1:],
            lambda content: b"",
        ],
        ids=["shorter", "longer", "much longer", "last bit", "first bit", "empty"],
    )
    def test_a_changed_file_never_makes_a_complete_body(self, size: int, change: Callable[[bytes], bytes]) -> None:
        content = content_of(size)
        body = MultipartBody({"a": "b"}, (part(b"good"), part(content, stored=change(content))))
        with ScriptedServer() as server, pytest.raises(Ambiguous, match="a file is not as it was stored"):
            post(server, body)
        assert all(not seen.is_complete for seen in server.seen)

    @pytest.mark.parametrize("size", SIZES)
    def test_no_more_bytes_than_recorded_are_ever_yielded(self, size: int) -> None:
        grown = part(content_of(size), stored=content_of(size) + bytes(5 * CHUNK))
        sent = 0
        with pytest.raises(BrokenFile):
            for chunk in checked_chunks(grown):
                sent += len(chunk)
        assert sent < max(size, 1)

    @pytest.mark.parametrize("error", [FileNotFoundError, PermissionError, RuntimeError, ConnectionResetError])
    def test_a_file_that_cannot_be_opened_sends_nothing(self, error: type[Exception]) -> None:
        def fail() -> BinaryIO:
            raise error("canary")

        body = MultipartBody({"a": "b"}, (part(b"good"), part(b"bad", open=fail)))
        with ScriptedServer() as server:
            with pytest.raises(NotSent, match="a file is not as it was stored") as caught:
                post(server, body)
            assert server.connections == 0
        assert "canary" not in str(caught.value)

    @pytest.mark.parametrize("error", [TimeoutError, RuntimeError, BrokenPipeError, ConnectionResetError])
    def test_a_file_that_cannot_be_read_at_all_sends_nothing(self, error: type[Exception]) -> None:
        """Of S3 a whole file is fetched at its first byte, so most of what breaks there breaks here."""
        body = MultipartBody({}, (part(b"good"), part(b"x" * 10, open=lambda: Failing(b"", error))))
        with ScriptedServer() as server:
            with pytest.raises(NotSent, match="a file is not as it was stored"):
                post(server, body)
            assert server.connections == 0

    @pytest.mark.parametrize("error", [TimeoutError, RuntimeError, BrokenPipeError, ConnectionResetError])
    def test_a_file_that_cannot_be_read_on_is_no_end_of_the_answer(self, error: type[Exception]) -> None:
        """A storage's reset connection must not pass for the vendor's, after which an answer would be read."""
        content = content_of(3 * CHUNK)
        with ScriptedServer() as server:
            with pytest.raises(Ambiguous, match="a file is not as it was stored"):
                post(server, MultipartBody({}, (part(content, open=lambda: Failing(content[:CHUNK], error)),)))
            assert post(server, json_body({})) == 200
        assert [seen.is_complete for seen in server.seen if seen.body == b"{}"] == [True]

    def test_every_stream_is_closed(self) -> None:
        opened: list[io.BytesIO] = []

        def keep() -> BinaryIO:
            opened.append(io.BytesIO(b"abc"))
            return opened[-1]

        with ScriptedServer() as server:
            post(server, MultipartBody({}, (part(b"abc", open=keep),)))
            with pytest.raises(Ambiguous):
                post(server, MultipartBody({}, (part(b"xyz", open=keep),)))
            with pytest.raises(NotSent):
                post(
                    server,
                    MultipartBody({}, (part(b"abc", open=keep), part(b"xyz", open=lambda: Failing(b"", OSError)))),
                )
        with pytest.raises(NotSent):
            post(server, MultipartBody({}, (part(b"abc", open=keep),)))  # nobody listens any more
        assert len(opened) == 4
        assert all(stream.closed for stream in opened)

    def test_a_file_without_a_recorded_hash_is_checked_by_length(self) -> None:
        assert b"".join(checked_chunks(part(b"abc", sha256=""))) == b"abc"


def test_a_lone_surrogate_is_no_crash() -> None:
    assert b"a?" in b"".join(MultipartBody({"a": "a\ud800"}, (part(b"", name="a\ud800"),)))


def test_a_json_body_is_compact_and_silent() -> None:
    body = json_body({"a": ["ü", 1]})
    assert json.loads(b"".join(body)) == {"a": ["ü", 1]}
    assert "ü" not in repr(body)
    assert len(body) == len(b"".join(body))


@pytest.mark.fault(40)
def test_50_megabytes_are_streamed(tmp_path: Path) -> None:
    """Send a large file from a process of its own, which tells by how many kB it grew."""
    path = tmp_path / "large.pdf"
    with path.open("wb") as file:
        for _ in range(50):
            file.write(bytes(1_000_000))
    script = f"""
        import hashlib, pathlib, resource
        import django.conf; django.conf.settings.configure()
        from django_support_tickets.transport import *

        path = pathlib.Path({str(path)!r})
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        part = Part("files", "a.pdf", "application/pdf", 50_000_000, sha256, lambda: path.open("rb"))
        transport = Transport(alias="desk", base_url="URL")
        small, large = json_body({{}}), MultipartBody({{}}, (part,))
        for body in (small, large):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            answer = transport.send(Request(operation="create", method="POST", path="", body=body))
        print(answer.content.decode(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    with ScriptedServer(lambda sock, seen: sock.sendall(answer(str(len(seen.body)).encode()))) as server:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script).replace("URL", server.url)],
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    received, grown = map(int, done.stdout.split())
    assert received > 50_000_000
    assert grown <= 8_192
