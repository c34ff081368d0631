from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase

from django_support_tickets.exceptions import Ambiguous, NotSent
from django_support_tickets.transport import (
    BytesBody,
    HeaderAuth,
    Request,
    Transport,
    forget_accounts,
    json_body,
    total_deadline,
)
from django_support_tickets.transport.connections import IDLE_MAX, Adapter
from tests.transport_server import ScriptedServer, Seen, answer, here, lasting, reset

GET = Request(operation="get", method="GET", path="tickets/1")
POST = Request(operation="create", method="POST", path="tickets", body=json_body({"subject": "x"}), key="key-1")
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def new_accounts() -> Iterator[None]:
    forget_accounts()
    yield
    forget_accounts()


def to(server: ScriptedServer | str, **options: Any) -> Transport:
    return Transport(alias="desk", base_url=server if isinstance(server, str) else server.url, **options)


def slowly(data: bytes, *, every: float) -> Callable[[socket.socket, Seen], None]:
    def script(sock: socket.socket, seen: Seen) -> None:
        for byte in data:
            sock.sendall(bytes((byte,)))
            time.sleep(every)

    return script


def silence(sock: socket.socket, seen: Seen) -> None:
    sock.recv(1)


def test_an_answer_of_any_status_is_returned_with_its_body_and_lower_case_headers() -> None:
    with ScriptedServer(answer(b'{"a": 1}', "X-Request-Id: r-1", status="418 Teapot")) as server:
        got = to(server).send(GET)
    assert (got.status, got.json(), got.headers["x-request-id"], got.request_id) == (418, {"a": 1}, "r-1", "r-1")
    assert not got.ok


def test_a_request_carries_path_query_headers_body_and_user_agent() -> None:
    request = Request(
        operation="create",
        method="POST",
        path="/tickets/a%2Fb",
        params=(("q", "ä b"), ("q", "2")),
        headers={"X-Version": "1"},
        body=BytesBody(b"text", "text/plain"),
    )
    with ScriptedServer() as server:
        to(f"{server.url}/api/").send(request, auth=HeaderAuth("Bearer t"))
        (seen,) = server.seen
    assert seen.target == "/api/tickets/a%2Fb?q=%C3%A4+b&q=2"
    assert (seen.body, seen.headers["content-type"], seen.headers["x-version"]) == (b"text", "text/plain", "1")
    assert seen.headers["authorization"] == "Bearer t"
    assert seen.headers["user-agent"].startswith("django-support-tickets/")


def test_without_authorization_no_such_header_is_sent() -> None:
    with ScriptedServer() as server:
        to(server).send(GET)
        assert "authorization" not in server.seen[0].headers


@pytest.mark.fault(25)
class TestDeadline:
    @pytest.mark.parametrize("data", [answer(b" " * 5000), answer(b"{}", *(f"X-{n}: y" for n in range(90)))])
    def test_a_drip_ends_at_the_deadline_in_body_and_in_headers(self, data: bytes) -> None:
        with (
            ScriptedServer(slowly(data, every=0.02)) as server,
            lasting(1.0),
            pytest.raises(Ambiguous, match="did not come in time"),
        ):
            to(server, deadline=1.0).send(POST)

    def test_silence_ends_at_the_deadline_although_the_read_timeout_is_longer(self) -> None:
        with (
            ScriptedServer(silence) as server,
            lasting(1.0),
            pytest.raises(Ambiguous, match="did not come in time"),
        ):
            to(server, deadline=1.0).send(POST)

    def test_silence_ends_at_the_read_timeout_although_the_deadline_is_longer(self) -> None:
        with (
            ScriptedServer(silence) as server,
            lasting(0.2),
            pytest.raises(Ambiguous, match="did not come in time"),
        ):
            to(server, timeout=(60.0, 0.2), deadline=60.0).send(POST)

    def test_a_vendor_that_does_not_read_ends_at_the_deadline(self) -> None:
        body = BytesBody(bytes(30_000_000), "text/plain")
        with socket.create_server(("127.0.0.1", 0)) as listener, lasting(1.0), pytest.raises(Ambiguous):
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            to(address, deadline=1.0).send(Request(operation="create", method="POST", path="", body=body))

    def test_a_request_on_a_used_connection_has_its_own_deadline(self) -> None:
        def script(sock: socket.socket, seen: Seen) -> None:
            time.sleep(0.9)
            sock.sendall(answer())

        with ScriptedServer(script) as server:
            transport = to(server, deadline=2.5)
            for _ in range(3):
                transport.send(GET)
            assert server.connections == 1

    def test_the_request_names_its_own_deadline(self) -> None:
        request = Request(operation="get", method="GET", path="", deadline=1.0)
        with ScriptedServer(silence) as server, lasting(1.0), pytest.raises(Ambiguous):
            to(server).send(request)

    def test_an_operation_bounds_all_its_requests_and_starts_none_that_cannot_end(self) -> None:
        with ScriptedServer(silence) as server, lasting(1.0):
            with total_deadline(1.0), total_deadline(60):
                with pytest.raises(Ambiguous):
                    to(server).send(GET)
                with pytest.raises(NotSent, match="no time is left"):
                    to(server).send(GET)
            assert len(server.seen) == 1

    def test_an_operation_that_has_ended_bounds_nothing(self) -> None:
        with ScriptedServer() as server:
            with total_deadline(0.01):
                time.sleep(0.02)
            assert to(server).send(GET).ok

    def test_the_answer_read_in_another_thread_keeps_the_deadline(self) -> None:
        errors: list[Exception] = []

        def read(chunks: Iterator[bytes]) -> None:
            try:
                list(chunks)
            except Ambiguous as error:
                errors.append(error)

        def script(sock: socket.socket, seen: Seen) -> None:
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
            slowly(b" " * 500, every=0.05)(sock, seen)

        with ScriptedServer(script) as server, lasting(1.0):
            transport = to(server, deadline=1.0)
            with transport.open(GET) as response:
                thread = threading.Thread(target=read, args=(transport.chunks(GET, response, limit=1000),))
                thread.start()
                thread.join()
        assert len(errors) == 1


@pytest.mark.fault(26)
class TestNotSent:
    @pytest.mark.parametrize(
        ("address", "cause"),
        [
            (NOWHERE, "no connection could be made"),
            (f"http://{'x' * 64}.example", "the host name cannot be resolved"),
            ("http://a..b", "cannot be"),
            ("http://[::1", "the request cannot be written"),
        ],
    )
    def test_nobody_there(self, address: str, cause: str) -> None:
        with pytest.raises(NotSent, match=cause) as caught:
            to(address).send(POST)
        assert (caught.value.alias, caught.value.operation, caught.value.key) == ("desk", "create", "key-1")

    def test_a_host_that_accepts_no_connection_ends_at_the_connect_timeout(self) -> None:
        with full_backlog() as port, lasting(0.2), pytest.raises(NotSent, match="no connection could be made"):
            to(f"http://127.0.0.1:{port}", timeout=(0.2, 60.0), deadline=60.0).send(POST)

    def test_a_host_that_accepts_no_connection_ends_at_the_deadline(self) -> None:
        with full_backlog() as port, lasting(0.2), pytest.raises(NotSent):
            to(f"http://localhost:{port}", deadline=0.2).send(POST)

    @pytest.mark.parametrize("value", ["Bearer t\nX: y", "Bearer \N{SNOWMAN}"])
    def test_a_token_that_cannot_be_a_header(self, value: str) -> None:
        with ScriptedServer() as server:
            with pytest.raises(NotSent, match="the request cannot be written|header value is malformed"):
                to(server).send(POST, auth=HeaderAuth(value))
            assert not server.seen

    def test_a_proxy_that_makes_no_tunnel(self) -> None:
        with ScriptedServer(answer(status="403 Forbidden")) as proxy:
            with pytest.raises(NotSent, match="the proxy makes no connection|no connection"):
                to("https://vendor.example", proxies={"https": proxy.url}).send(POST)
            assert [seen.method for seen in proxy.seen] == ["CONNECT"]


@contextmanager
def full_backlog() -> Iterator[int]:
    """Listen, but let nobody in: the kernel drops what exceeds the backlog."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        time.sleep(0.05)
        yield port
        for sock in waiting:
            sock.close()


@pytest.mark.fault(5, 29)
class TestAmbiguous:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"HTTP/1.1 200",
            b"HTTP/1.1 204 No Content\r\n",
            b"HTTP/1.1 204 No Content\r\nX-Request-Id: 1",
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        ],
    )
    def test_an_answer_that_is_lost_cut_or_garbled(self, data: bytes) -> None:
        def script(sock: socket.socket, seen: Seen) -> bool:
            sock.sendall(data)
            return False

        with ScriptedServer(script) as server, pytest.raises(Ambiguous, match="lost or cut"):
            to(server).send(POST)

    @pytest.mark.parametrize("data", [b"", answer(b"{" * 50)[:-10]])
    def test_a_reset_after_the_request_was_sent(self, data: bytes) -> None:
        def script(sock: socket.socket, seen: Seen) -> bool:
            sock.sendall(data)
            return reset(sock)

        with ScriptedServer(script) as server, pytest.raises(Ambiguous, match="lost or cut"):
            to(server).send(POST)

    @pytest.mark.parametrize("end", [b"0\r\n\r\n", b"0\r\nX-Trailer: y\r\n\r\n", b"0\r\n"])
    def test_a_chunked_answer_is_whole_with_its_last_chunk(self, end: bytes) -> None:
        def script(sock: socket.socket, seen: Seen) -> bool:
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n" + end)
            return False

        with ScriptedServer(script) as server:
            assert to(server).send(POST).json() == {}

    def test_a_body_without_length_that_is_cut_is_no_json(self) -> None:
        def script(sock: socket.socket, seen: Seen) -> bool:
            sock.sendall(answer(b'{"id": "1", "sta', framed=False))
            return False

        with ScriptedServer(script) as server:
            got = to(server).send(POST)
        with pytest.raises(Ambiguous, match="not JSON"):
            got.json()

    def test_nothing_is_ever_sent_twice(self) -> None:
        with ScriptedServer(lambda sock, seen: reset(sock)) as server:
            for request in (GET, POST):
                with pytest.raises(Ambiguous):
                    to(server).send(request)
            assert [seen.method for seen in server.seen] == ["GET", "POST"]

    def test_an_early_refusal_of_a_large_body_is_still_read(self) -> None:
        with early_refusal() as address:
            body = BytesBody(bytes(5_000_000), "application/octet-stream")
            got = to(address).send(Request(operation="upload", method="POST", path="", body=body))
        assert got.status == 413


@contextmanager
def early_refusal() -> Iterator[str]:
    """Answer 413 as soon as the headers are there, and read nothing more."""

    def serve(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            while b"\r\n\r\n" not in sock.recv(65536):
                pass
            sock.sendall(answer(status="413 Too Large"))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 20):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        forget_accounts()
        thread.join(timeout=60)


@pytest.mark.fault(7)
class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("request_", [GET, POST], ids=["get", "post"])
    def test_no_redirect_is_followed_and_the_token_goes_nowhere(self, status: int, request_: Request) -> None:
        with ScriptedServer() as other:
            location = f"Location: {other.url}/elsewhere"
            with ScriptedServer(answer(b"", location, status=f"{status} Moved")) as server:
                got = to(server).send(request_, auth=HeaderAuth("Bearer t"))
                assert (got.status, len(server.seen), len(other.seen)) == (status, 1, 0)

    def test_the_body_of_a_redirect_is_capped_like_any_other(self) -> None:
        moved = answer(bytes(50_000), "Location: /elsewhere", status="302 Found")
        with ScriptedServer(moved) as server, pytest.raises(Ambiguous, match="larger than 10000 bytes"):
            to(server, max_response_bytes=10_000).send(GET)

    def test_a_location_that_is_no_address_does_no_harm(self) -> None:
        with ScriptedServer(answer(b"", "Location: http://[::1", status="302 Found")) as server:
            assert to(server).send(GET).status == 302


@pytest.mark.fault(35)
class TestEnvironment:
    def test_netrc_proxies_and_ca_bundles_of_the_environment_are_ignored(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login thief password canary\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, NOWHERE)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, str(tmp_path / "missing.pem"))
        with ScriptedServer() as server:
            assert to(server).send(GET, auth=HeaderAuth("Bearer ours")).ok
            assert to(server).send(GET).ok
            first, second = server.seen
        assert first.headers["authorization"] == "Bearer ours"
        assert "authorization" not in second.headers

    def test_a_proxy_is_used_where_the_option_names_one(self) -> None:
        with ScriptedServer() as proxy:
            to("http://vendor.example", proxies={"http": proxy.url}).send(GET)
            assert proxy.seen[0].target == "http://vendor.example/tickets/1"

    def test_cookies_are_not_kept(self) -> None:
        with ScriptedServer(answer(b"{}", "Set-Cookie: session=1; Path=/")) as server:
            transport = to(server)
            transport.send(GET)
            transport.send(GET)
            assert "cookie" not in server.seen[1].headers


class TestConnections:
    def test_a_connection_is_kept_whatever_the_answer_was(self) -> None:
        statuses = iter(["200 OK", "404 Not Found", "204 No Content", "500 Oops", "302 Found"])

        def script(sock: socket.socket, seen: Seen) -> None:
            status = next(statuses)
            sock.sendall(answer(b"" if "204" in status else b"{}", "Location: /x", status=status))

        with ScriptedServer(script) as server:
            assert [to(server).send(GET).status for _ in range(5)] == [200, 404, 204, 500, 302]
            assert server.connections == 1

    def test_a_connection_that_the_vendor_has_closed_is_not_used(self) -> None:
        def script(sock: socket.socket, seen: Seen) -> bool:
            sock.sendall(answer())
            return False

        with ScriptedServer(script) as server:
            for _ in range(3):
                assert to(server).send(POST).ok
                time.sleep(0.05)
            assert server.connections == 3

    def test_a_connection_that_lay_idle_is_not_used(self) -> None:
        with ScriptedServer() as server:
            transport = to(server)
            transport.send(POST)
            adapter = transport.account.session.get_adapter(server.url)
            assert isinstance(adapter, Adapter)
            (key,) = adapter.poolmanager.pools.keys()
            adapter.poolmanager.pools[key].pool.queue[-1]._used_at -= IDLE_MAX
            transport.send(POST)
            assert server.connections == 2

    def test_threads_have_at_most_one_connection_each(self) -> None:
        with ScriptedServer() as server:
            transport = to(server)
            in_threads(32, lambda number: [transport.send(GET) for _ in range(10)])
            assert len(server.seen) == 320
            assert server.connections <= 32

    def test_changed_settings_drop_the_pool(self) -> None:
        with ScriptedServer() as server:
            to(server).send(GET)
            old = to(server).account
            assert to(server, proxies={"ftp": NOWHERE}).account is not old


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class TestPace:
    def test_the_rate_is_shared_by_threads(self) -> None:
        with ScriptedServer() as server:
            transport = to(server, rate=40.0)
            started = time.monotonic()
            in_threads(5, lambda number: [transport.send(GET) for _ in range(2)])
            assert 0.22 <= time.monotonic() - started <= here(1.5)
            assert len(server.seen) == 10

    def test_a_request_whose_turn_comes_too_late_is_not_sent(self) -> None:
        with ScriptedServer() as server:
            transport = to(server, rate=0.01, deadline=30.0)
            transport.send(GET)
            with lasting(0.0), pytest.raises(NotSent, match="no time is left"):
                transport.send(GET)

    def test_waiting_for_its_turn_counts_against_the_deadline(self) -> None:
        def script(sock: socket.socket, seen: Seen) -> None:
            if seen.method == "POST":
                silence(sock, seen)
            sock.sendall(answer())

        with ScriptedServer(script) as server:
            transport = to(server, rate=0.5, deadline=3.0)
            transport.send(GET)
            with lasting(3.0), pytest.raises(Ambiguous):
                transport.send(POST)


@pytest.mark.django_db(transaction=True)
class TestTransactions:
    def test_http_inside_a_transaction_is_refused_before_anything_is_sent(self) -> None:
        with ScriptedServer() as server:
            with transaction.atomic(), pytest.raises(RuntimeError, match="database 'default'"):
                to(server).send(POST)
            assert not server.seen
            assert to(server).send(POST).ok

    def test_switched_off_autocommit_is_a_transaction(self) -> None:
        transaction.set_autocommit(False)
        try:
            with pytest.raises(RuntimeError, match="open transaction"):
                to(NOWHERE).send(POST)
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)


class TestTransactionOfATestCase(TestCase):
    def test_it_does_not_count_but_one_inside_it_does(self) -> None:
        with ScriptedServer() as server:
            assert to(server).send(GET).ok
            with transaction.atomic(), pytest.raises(RuntimeError, match="open transaction"):
                to(server).send(GET)


def test_the_debug_log_shows_no_query(caplog: pytest.LogCaptureFixture) -> None:
    request = Request(operation="find", method="GET", path="tickets", params=(("q", "canary"),))
    with caplog.at_level(logging.DEBUG), ScriptedServer() as server:
        to(server).send(request, auth=HeaderAuth("Bearer canary"))
    assert "/tickets" in caplog.text
    assert "canary" not in caplog.text


def test_the_debug_log_of_others_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("urllib3.connectionpool").debug("%s", "/path?query")
    assert "/path?query" in caplog.text
