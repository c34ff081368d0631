"""A forger at a real gunicorn, with bytes that no HTTP client would send."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_support_tickets.webhooks import BODY_MAX
from tests.webhooks import cases, served
from tests.webhooks.cases import MOOV_BODY, MOOV_HEADERS, RIPIO_BODY, RIPIO_HEADERS, RIPIO_SIGNATURE

pytestmark = pytest.mark.services


class Site:
    """The site behind gunicorn; `rows()` are the webhooks that it has stored."""

    def __init__(self, port: int, pid: int, file: Path) -> None:
        self.port = port
        self.pid = pid
        self.file = file

    def rows(self) -> int:
        with contextlib.closing(sqlite3.connect(self.file)) as rows:
            count: int = rows.execute("SELECT COUNT(*) FROM support_tickets_webhookdelivery").fetchone()[0]
        return count

    def memory(self) -> int:
        """Return the resident bytes of the workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        pages = sum(int(Path(f"/proc/{child}/statm").read_text().split()[1]) for child in children)
        return pages * os.sysconf("SC_PAGE_SIZE")

    def send(self, head: dict[str, str], body: bytes | Iterator[bytes] = b"", *, request: str = "") -> int:
        """Return the status of a request of these bytes; 0 if the server closes without an answer."""
        request = request or f"POST {cases.address('ripio')} HTTP/1.1"
        lines = [request, *(f"{name}: {value}" for name, value in {"Host": "127.0.0.1", **head}.items())]
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
                for piece in [body] if isinstance(body, bytes) else body:
                    connection.sendall(piece)
            return status_of(connection)


def status_of(connection: socket.socket) -> int:
    try:
        answer = connection.recv(65536)
    except ConnectionResetError:
        return 0
    return int(answer[9:12] or 0)


@contextlib.contextmanager
def gunicorn(kind: str, file: Path, **variables: str) -> Iterator[Site]:
    """Serve the site by workers of a kind, on a new SQLite file."""
    served.needed("gunicorn")
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": served.SETTINGS, "TEST_WEBHOOK_DATABASE": str(file)}
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        # It takes over a port that listens already: none can be lost to somebody else, and who comes early waits.
        command = [sys.executable, "-m", "gunicorn", "-b", f"fd://{listener.fileno()}", "-k", kind, "--threads", "2"]
        command += ["--timeout", "120", "--log-level", "critical", "--preload", "tests.webhooks.served:application()"]
        with subprocess.Popen(command, env={**environment, **variables}, pass_fds=[listener.fileno()]) as process:
            try:
                site = Site(listener.getsockname()[1], process.pid, file)
                assert site.send({}, request=f"GET {cases.address('ripio')} HTTP/1.1") == 200
                yield site
            finally:
                process.terminate()


@pytest.fixture(scope="module", params=["sync", "gthread"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with gunicorn(request.param, tmp_path_factory.mktemp("gunicorn") / "tickets.sqlite3") as site:
        yield site


def signed(body: bytes = RIPIO_BODY, **more: str) -> dict[str, str]:
    return {**cases.ripio_signed(body)[0], "Connection": "close", **more}


def chunked(body: bytes, *, size: int = 50) -> Iterator[bytes]:
    for at in range(0, len(body), size):
        piece = body[at : at + size]
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    yield b"0\r\n\r\n"


def endless(piece: bytes = b"x" * 65536) -> Iterator[bytes]:
    for _ in range(100_000_000 // len(piece)):
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


class TestGenuine:
    @pytest.mark.parametrize("name", ["Http-X-Wh-Signature-256", "X-Wh-Signature-256", "http-x-wh-signature-256"])
    @pytest.mark.parametrize("path", ["/support-tickets/webhooks/ripio/", "/support-tickets/webhooks/ripio"])
    def test_both_names_of_the_header_and_both_spellings_of_the_slash(self, site: Site, name: str, path: str) -> None:
        body, before = cases.ripio_event(), site.rows()
        head = {name: cases.ripio_signed(body)[0]["Http-X-Wh-Signature-256"], "Content-Length": str(len(body))}
        assert site.send(head, body, request=f"POST {path} HTTP/1.1") == 200
        assert site.rows() == before + 1

    def test_chunks(self, site: Site) -> None:
        body, before = cases.ripio_event(), site.rows()
        assert site.send(signed(body, **{"Transfer-Encoding": "chunked"}), chunked(body)) == 200
        assert site.rows() == before + 1

    def test_a_probe(self, site: Site) -> None:
        for method in ("GET", "HEAD"):
            for path in (cases.address("ripio"), cases.address("ripio").rstrip("/")):
                assert site.send({}, request=f"{method} {path} HTTP/1.1") == 200

    @pytest.mark.fault(61)
    def test_a_body_that_comes_slowly_is_waited_for(self, site: Site) -> None:
        body = cases.ripio_event()

        def slowly() -> Iterator[bytes]:
            for at in range(0, len(body), 40):
                time.sleep(0.05)
                yield body[at : at + 40]

        assert site.send(signed(body, **{"Content-Length": str(len(body))}), slowly()) == 200

    @pytest.mark.fault(60)
    @pytest.mark.parametrize("kind", ["sync", "gthread"])
    def test_a_dispatcher_that_takes_its_time_delays_no_answer(self, kind: str, tmp_path: Path) -> None:
        end = tmp_path / "end"
        dispatcher = {"TEST_WEBHOOK_DISPATCHER": "tests.webhooks.served.take_time", "TEST_WEBHOOK_END": str(end)}
        with gunicorn(kind, tmp_path / "tickets.sqlite3", **dispatcher) as site:
            started = time.monotonic()
            assert site.send(signed(**{"Content-Length": str(len(RIPIO_BODY))}), RIPIO_BODY) == 200
            assert time.monotonic() - started < served.DISPATCHER_SECONDS
            end.touch()
            assert site.rows() == 1


class TestForged:
    @pytest.fixture(autouse=True)
    def nothing_stored(self, site: Site) -> Iterator[None]:
        before = site.rows()
        yield
        assert site.rows() == before

    @pytest.mark.fault(61)
    def test_100_mb_are_refused_unread(self, site: Site) -> None:
        before = site.memory()
        head = signed(**{"Content-Length": "100000000"})
        assert site.send(head, (b"x" * 65536 for _ in range(1500))) in (413, 0)  # 0: reset while still sending
        assert site.send(head) == 413
        assert site.memory() - before < 16_000_000

    @pytest.mark.fault(61)
    def test_100_mb_in_chunks_are_refused_at_the_limit(self, site: Site) -> None:
        before = site.memory()
        head = signed(**{"Transfer-Encoding": "chunked"})
        assert site.send(head, endless()) in (413, 0)
        assert site.send(head, chunked(b"x" * (BODY_MAX + 1), size=BODY_MAX + 1)) == 413
        assert site.memory() - before < 16_000_000

    @pytest.mark.fault(61)
    @pytest.mark.parametrize("announced", ["-1", "+10", "abc", "9" * 400, "1e3", "0x10", "10, 10"])
    def test_a_length_that_is_no_number(self, site: Site, announced: str) -> None:
        assert 400 <= site.send(signed(**{"Content-Length": announced}), RIPIO_BODY) < 500

    @pytest.mark.fault(61)
    def test_fewer_bytes_than_announced(self, site: Site) -> None:
        head = signed(**{"Content-Length": str(len(RIPIO_BODY) + 1)})
        lines = [f"POST {cases.address('ripio')} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        with socket.create_connection(("127.0.0.1", site.port), timeout=120) as connection:
            connection.sendall("\r\n".join([*lines, "Host: 127.0.0.1", "", ""]).encode() + RIPIO_BODY)
            connection.shutdown(socket.SHUT_WR)
            assert status_of(connection) in (400, 0)

    @pytest.mark.fault(61)
    @pytest.mark.parametrize(
        "pieces",
        [
            [b"zz\r\nabc\r\n"],
            [b"-5\r\nabc\r\n"],
            [b"ffffffffffffffff\r\nabc"],
            [b"3\r\nabcdef\r\n0\r\n\r\n"],
            [b"3;" + b"x" * 10_000],
        ],
    )
    def test_chunks_that_are_none(self, site: Site, pieces: list[bytes]) -> None:
        head = signed(**{"Transfer-Encoding": "chunked"})
        lines = [f"POST {cases.address('ripio')} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        with socket.create_connection(("127.0.0.1", site.port), timeout=120) as connection:
            connection.sendall("\r\n".join([*lines, "Host: 127.0.0.1", "", ""]).encode() + b"".join(pieces))
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            assert status_of(connection) in (400, 401, 0)

    @pytest.mark.fault(61)
    def test_two_lengths_and_a_length_with_chunks(self, site: Site) -> None:
        """What lies behind the first end would be another request to somebody else."""
        both = signed(**{"Content-Length": "5", "Transfer-Encoding": "chunked"})
        assert 400 <= site.send(both, chunked(RIPIO_BODY)) < 500
        two = signed(**{"Content-Length": str(len(RIPIO_BODY)), "content-length": "5"})
        assert 400 <= site.send(two, RIPIO_BODY) < 500

    @pytest.mark.fault(52)
    @pytest.mark.parametrize("value", ["\xe9" * 64, "sha256=\xff", "", " ", "sha256=" + "0" * 64, "x" * 5000])
    def test_a_signature_that_is_none(self, site: Site, value: str) -> None:
        head = {"Http-X-Wh-Signature-256": value, "Content-Length": str(len(RIPIO_BODY)), "Connection": "close"}
        assert site.send(head, RIPIO_BODY) == 401

    @pytest.mark.fault(51)
    def test_a_signature_in_a_header_whose_name_only_looks_alike(self, site: Site) -> None:
        """A WSGI server that takes `_` for `-` would let one header stand for another."""
        for name in ("Http_X_Wh_Signature_256", "X_Wh_Signature_256", "HTTP-HTTP-X-WH-SIGNATURE-256", "X-Signature"):
            head = {name: RIPIO_SIGNATURE, "Content-Length": str(len(RIPIO_BODY)), "Connection": "close"}
            assert site.send(head, RIPIO_BODY) in (400, 401)

    def test_moovs_webhook_at_ripios_address(self, site: Site) -> None:
        head = {**MOOV_HEADERS, "Content-Length": str(len(MOOV_BODY)), "Connection": "close"}
        assert site.send(head, MOOV_BODY) == 401
        assert site.send(head, MOOV_BODY, request=f"POST {cases.address('nobody')} HTTP/1.1") == 404

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
    def test_only_post_does_anything(self, site: Site, method: str) -> None:
        head = {**RIPIO_HEADERS, "Content-Length": str(len(RIPIO_BODY)), "Connection": "close"}
        assert site.send(head, RIPIO_BODY, request=f"{method} {cases.address('ripio')} HTTP/1.1") == 405
