from __future__ import annotations

import gzip
import http.client
import io
import json
import random
import socket
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from django_support_tickets.exceptions import Ambiguous, Refused
from django_support_tickets.transport import Answer, Request, Transport, forget_accounts, parse_json, path_id, redact
from django_support_tickets.transport.connections import _Lines
from tests.transport_server import ScriptedServer, Seen, answer, here

GET = Request(operation="get", method="GET", path="tickets/1")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def send(data: bytes | Callable[[socket.socket, Seen], object], **options: Any) -> Answer:
    forget_accounts()
    with ScriptedServer(data) as server:
        return Transport(alias="desk", base_url=server.url, **options).send(GET)


def endless(piece: bytes, *, head: bytes = CHUNKED) -> Callable[[socket.socket, Seen], None]:
    def script(sock: socket.socket, seen: Seen) -> None:
        sock.sendall(head)
        while True:
            sock.sendall(piece)

    return script


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(1_000_000)) for _ in range(size // 1_000_000)) + packer.flush()


@pytest.mark.fault(28)
class TestCaps:
    @pytest.mark.parametrize("size", [99_999, 100_000])
    def test_a_body_up_to_the_limit_is_read(self, size: int) -> None:
        assert len(send(answer(bytes(size)), max_response_bytes=100_000).content) == size

    @pytest.mark.parametrize(
        "script",
        [
            answer(bytes(100_001)),
            answer(bytes(10_000_000)),
            answer(gzip.compress(bytes(100_001)), "Content-Encoding: gzip"),
            answer(bomb(50_000_000), "Content-Encoding: gzip"),
            endless(b"1000\r\n" + bytes(4096) + b"\r\n"),
            endless(bytes(4096), head=b"HTTP/1.1 200 OK\r\n\r\n"),
        ],
        ids=["one more", "big", "gzip", "bomb", "endless chunks", "endless body"],
    )
    def test_a_longer_body_is_not(self, script: Any) -> None:
        with pytest.raises(Ambiguous, match="larger than 100000 bytes"):
            send(script, max_response_bytes=100_000)

    @pytest.mark.parametrize(
        "script",
        [
            answer(b"{}", f"X-Long: {'x' * 70_000}"),
            answer(b"{}", *(f"X-{number}: y" for number in range(1000))),
            endless(b"x" * 4096, head=b"HTTP/1.1 200 OK\r\nX-Long: "),
            endless(b"X-Another: y\r\n", head=b"HTTP/1.1 200 OK\r\n"),
            endless(b"1" * 4096),
            endless(b"1;" + b"x" * 4096),
        ],
        ids=["70 kB header", "1000 headers", "endless header", "endless headers", "endless size", "endless extension"],
    )
    def test_headers_and_chunk_sizes_have_limits(self, script: Any) -> None:
        with pytest.raises(Ambiguous, match="lost or cut"):
            send(script)

    def test_a_line_read_without_a_limit_has_one(self) -> None:
        """As urllib3 2.6 reads the size of a chunk."""
        lines = _Lines(io.BytesIO(b"1" * 200_000))  # type: ignore[arg-type]
        with pytest.raises(http.client.LineTooLong):
            lines.readline()

    def test_interim_answers_without_end_are_bounded_by_the_deadline(self) -> None:
        with pytest.raises(Ambiguous, match="in time"):
            send(endless(b"HTTP/1.1 100 Continue\r\n\r\n", head=b""), deadline=1.0)

    def test_memory_stays_flat(self) -> None:
        """Meet the worst answers in a process of their own, which tells by how many kB it grew."""
        script = """
            import resource
            import tests.test_transport_limits as t

            attempts = [
                (t.answer(t.bomb(50_000_000), "Content-Encoding: gzip"), {}),
                (t.endless(b"10000\\r\\n" + bytes(65536) + b"\\r\\n"), {}),
                (t.endless(b"1" * 65536), {}),
                (t.endless(b"x" * 65536, head=b"HTTP/1.1 200 OK\\r\\nX: "), {}),
                (t.endless(bytes(65536), head=b"HTTP/1.1 302 Found\\r\\nLocation: /\\r\\n\\r\\n"), {}),
            ]
            t.send(t.answer())
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for data, options in attempts:
                try:
                    t.send(data, **options)
                except t.Ambiguous:
                    continue
                raise SystemExit("no error")
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        """
        root = Path(__file__).parent.parent
        done = subprocess.run(
            [sys.executable, "-c", f"import django.conf; django.conf.settings.configure()\n{textwrap.dedent(script)}"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) <= 16_384


@pytest.mark.fault(30, 43)
class TestParsing:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"<html></html>",
            b'{"a": 1} x',
            b"\xef\xbb\xbf{}",
            b'{"a": "\xff"}',
            "{}".encode("utf-16"),
            '{"a": "ä"}'.encode("latin-1"),
            b'{"a": 1, "a": 2}',
            b'[{"b": {"a": 1, "a": 1}}]',
            b"NaN",
            b'{"a": -Infinity}',
            b'{"a": 1e999}',
            b"[" * 200_000,
            b"[" * 300 + b"]" * 300,
            b'{"a":' * 65 + b"1" + b"}" * 65,
            b"9" * 5000,
            b'{"a": "\x00"}',
            b'{"a": "\n"}',
        ],
        ids=lambda content: repr(content[:20]),
    )
    def test_what_is_not_strict_json_is_refused(self, content: bytes) -> None:
        with pytest.raises(ValueError, match="."):
            parse_json(content)

    @pytest.mark.parametrize(
        "content",
        [
            rb'{"a\":": 1, "b" : 2, "b": 3}',
            rb'{"a": "\":", "b": 1, "b": 2}',
            b'{"b"\n\t:1, "b":2, "c": "x :"}',
            b'{"b" :1,"b" :2}',
        ],
    )
    def test_a_doubled_name_is_found_among_quotes_and_colons(self, content: bytes) -> None:
        with pytest.raises(ValueError, match="duplicate key"):
            parse_json(content)

    def test_objects_are_read_as_the_library_reads_them_unless_a_name_is_doubled(self) -> None:
        chance, refused = random.Random(30), 0
        pieces = ("a", "b", "", ":", '":', " :", "\\", "ä")
        for _ in range(2000):
            pairs = [(chance.choice(pieces), chance.choice(pieces)) for _ in range(chance.randrange(4))]
            blank, colon = chance.choice(("", " ", "\n")), chance.choice((":", " :", ": ", "\t: "))
            inner = ",".join(f"{json.dumps(name)}{colon}{json.dumps(text)}{blank}" for name, text in pairs)
            content = f'{{{blank}"x":{{{inner}}},"y":[{{{inner}}}]}}'.encode()
            if len(dict(pairs)) == len(pairs):
                assert parse_json(content) == json.loads(content)
                continue
            refused += 1
            with pytest.raises(ValueError, match="duplicate key"):
                parse_json(content)
        assert 200 < refused < 1800

    def test_long_numbers_are_refused_although_the_interpreter_would_read_them(self) -> None:
        limit = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(0)
        try:
            assert parse_json(b"9" * 4300) == int("9" * 4300)
            with pytest.raises(ValueError, match="out of range"):
                parse_json(b"9" * 4301)
        finally:
            sys.set_int_max_str_digits(limit)

    def test_what_cannot_be_stored_is_replaced_visibly(self) -> None:
        content = rb'{"a\u0000": ["\ud800", "\udfff\ud800", {"b": "\ud83d\ude00"}], "c": "\\u0000"}'
        assert parse_json(content) == {"a\ufffd": ["\ufffd", "\ufffd\ufffd", {"b": "\U0001f600"}], "c": "\\u0000"}

    @pytest.mark.parametrize("depth", [1, 63, 64])
    def test_nesting_up_to_the_limit_is_read(self, depth: int) -> None:
        assert json.dumps(parse_json(b"[" * depth + b"]" * depth)) == "[" * depth + "]" * depth

    def test_brackets_in_strings_are_no_nesting(self) -> None:
        text = json.dumps({"a": "[" * 500, "b": ["}{" * 100]})
        assert parse_json(text.encode()) == json.loads(text)

    def test_what_is_strict_json_reads_as_json_does(self) -> None:
        draw = random.Random(7)
        for _ in range(200):
            value = _some_value(draw, depth=5)
            for ascii_only in (True, False):
                assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value

    @pytest.mark.parametrize("content_type", ["text/html", "application/json; charset=latin-1", "x", ""])
    def test_the_content_type_does_not_matter(self, content_type: str) -> None:
        body = '{"a": "ä"}'.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        assert send(head.encode() + body).json() == {"a": "ä"}

    def test_an_answer_that_is_not_json_is_ambiguous(self) -> None:
        got = send(answer(b"<html>canary</html>"))
        assert got.json_or_none() is None
        with pytest.raises(Ambiguous, match="not JSON") as caught:
            got.json()
        assert "canary" not in str(caught.value)
        assert caught.value.status == 200


def _some_value(draw: random.Random, *, depth: int) -> Any:
    kind = draw.randrange(7 if depth else 5)
    if kind == 5:
        return [_some_value(draw, depth=depth - 1) for _ in range(draw.randrange(4))]
    if kind == 6:
        return {f"k{n}[{{": _some_value(draw, depth=depth - 1) for n in range(draw.randrange(4))}
    text = "".join(draw.choice('a"\\[]{}ä\U0001f600\n') for _ in range(6))
    return (None, True, draw.randrange(-(10**20), 10**20), draw.uniform(-1e9, 1e9), text)[kind]


@pytest.mark.fault(31)
class TestRetryAfter:
    NOW = 1_700_000_000.0

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("7", 7.0),
            ("1.5", 1.5),
            ("0", 0.0),
            ("-5", 0.0),
            (str(10**11), 3600.0),
            (formatdate(NOW + 90, usegmt=True), 90.0),
            (formatdate(NOW - 90, usegmt=True), 0.0),
            (formatdate(NOW + 90_000, usegmt=True), 3600.0),
            ("", None),
            ("soon", None),
            ("nan", None),
            ("1e99", None),
            ("9" * 400, None),
            ("Fri, 31 Dec 99999 23:59:59 GMT", None),
            ("Mon, 99 Foo 2024 00:00:00 GMT", None),
        ],
    )
    def test_every_form_is_clamped_and_garbage_is_none(self, value: str, seconds: float | None) -> None:
        got = Answer(request=GET, alias="desk", status=429, headers={"retry-after": value}, content=b"")
        assert got.retry_after(now=self.NOW) == seconds

    def test_a_date_is_read_against_the_present_time(self) -> None:
        headers = {"retry-after": formatdate(time.time() + 60, usegmt=True)}
        seconds = Answer(request=GET, alias="", status=429, headers=headers, content=b"").retry_after()
        assert seconds is not None
        assert 50 < seconds <= 60

    def test_without_the_header_there_is_none(self) -> None:
        assert Answer(request=GET, alias="", status=429, headers={}, content=b"").retry_after() is None


@pytest.mark.fault(36)
class TestPathIds:
    @pytest.mark.parametrize(
        "value",
        [
            "",
            ".",
            "..",
            "../../B",
            "x?y=1",
            "x#y",
            "a/b",
            "a\\b",
            "a%2fb",
            "a b",
            "a\n",
            "\na",
            "a\x00",
            ";a",
            "a;b",
            "@host",
            "-a",
            "ä",
            "１２",
            "x" * 256,
            "x" * 10_000,
        ],
    )
    def test_what_could_mean_another_path_is_refused(self, value: str) -> None:
        with pytest.raises(Refused, match="cannot be used in a path") as caught:
            path_id(value, operation="get", alias="desk")
        assert not value or value not in str(caught.value) or len(value) < 3

    @pytest.mark.parametrize(
        "value", ["1", "SUP-1234", "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "a.b_c~d", "x" * 255, "usr:7@b"]
    )
    def test_the_rest_arrives_as_one_segment(self, value: str) -> None:
        with ScriptedServer() as server:
            path = f"tickets/{path_id(value, operation='get')}/"
            Transport(alias="p", base_url=server.url).send(Request(operation="get", method="GET", path=path))
            target = server.seen[0].target
        assert target.count("/") == 3
        assert target.replace("%3A", ":").replace("%40", "@") == f"/tickets/{value}/"


@pytest.mark.fault(37)
class TestRedaction:
    def test_addresses_and_tokens_are_taken_out(self) -> None:
        text = "user a.b+c@example.com: Bearer abc.def used, basic eDp5 and " + "k" * 40 + ' "x@y"'
        assert redact(text) == 'user [e-mail]: Bearer [secret] used, basic [secret] and […] "[e-mail]"'

    def test_the_result_is_one_short_printable_line(self) -> None:
        assert redact("a\n b\x1b[0m\u202e\ud800c") == "a b\ufffd[0m\ufffd\ufffdc"
        assert len(redact("word " * 1000)) == 500

    def test_a_long_message_takes_no_time(self) -> None:
        started = time.monotonic()
        redact("x" * 2_000_000)
        redact("x@" * 1_000_000)
        assert time.monotonic() - started < here(0.5)
