from __future__ import annotations

import datetime
import hashlib
import http.client
import io
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from django_support_tickets.testing.sandbox import Fault, Sandbox, serve
from django_support_tickets.testing.sandbox.__main__ import main
from tests.testing.sandbox_client import ankra, ankra_create, moov, moov_create, raw, send, verifik, verifik_create


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


class TestLife:
    def test_urls_share_one_origin(self, sandbox: Sandbox) -> None:
        assert sandbox.url.startswith("http://127.0.0.1:")
        assert list(sandbox.vendors) == ["ripio", "moov", "verifik", "ankra"]
        assert {vendor.base_url for vendor in sandbox.vendors.values()} == {
            f"{sandbox.url}/{name}" for name in sandbox.vendors
        }

    def test_options_have_the_agreed_keys(self, sandbox: Sandbox) -> None:
        options = sandbox.options()
        assert set(options["ripio"]) == {"base_url", "client_id", "client_secret", "webhook_secrets"}
        assert set(options["moov"]) == {"base_url", "public_key", "secret_key", "webhook_secrets", "accounts"}
        assert set(options["verifik"]) == {"base_url", "token", "write_dialect", "attachment_hosts"}
        assert set(options["ankra"]) == {"base_url", "token", "organisation_id"}
        assert options["verifik"]["attachment_hosts"] == ["127.0.0.1"]

    def test_not_started_has_no_url(self) -> None:
        sandbox = Sandbox()
        with pytest.raises(RuntimeError, match="not started"):
            _ = sandbox.url
        with pytest.raises(RuntimeError, match="not started"):
            sandbox.ankra.options()
        sandbox.stop()

    def test_tickets_stay_readable_after_stop_and_start(self) -> None:
        sandbox = Sandbox().start()
        ankra_create(sandbox.ankra)
        port = int(sandbox.url.rpartition(":")[2])
        sandbox.stop()
        assert len(sandbox.ankra.tickets) == 1
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), timeout=1)
        with sandbox:
            assert sandbox.start() is sandbox
            assert ankra(sandbox.ankra, "GET").json["pagination"]["total_count"] == 1

    def test_stop_ends_open_connections_and_threads(self) -> None:
        before = set(threading.enumerate())
        with Sandbox() as sandbox:
            sandbox.ankra.fail_next("list", Fault.ENDLESS_CHUNKED)
            host, port = sandbox.url.removeprefix("http://").split(":")
            idle = socket.create_connection((host, int(port)))
            busy = http.client.HTTPConnection(host, int(port))
            token = {"Authorization": f"Bearer {sandbox.ankra.token}"}
            busy.request("GET", f"/ankra{sandbox.ankra.prefix}", headers=token)
            assert busy.getresponse().read(100)
            serving = set(threading.enumerate()) - before
        idle.close()
        busy.close()
        assert len(serving) == 3
        for thread in serving:
            thread.join(timeout=60)
            assert not thread.is_alive()

    def test_reset_is_as_new(self, sandbox: Sandbox) -> None:
        sandbox.advance(3600)
        sandbox.ankra.initial_status = "triaging"
        sandbox.ankra.files.max_files = 1
        sandbox.moov.webhook_url = "http://127.0.0.1:1/"
        sandbox.moov.fail_next("*", Fault.SERVER_ERROR)
        sandbox.verifik.expire_tokens()
        moov_create(sandbox.moov)
        ankra_create(sandbox.ankra)
        sandbox.reset()
        assert all(not vendor.tickets and not vendor.ledger for vendor in sandbox.vendors.values())
        assert (sandbox.ankra.initial_status, sandbox.ankra.files.max_files) == ("open", 10)
        assert sandbox.moov.webhook_url is None
        assert sandbox.moov.outgoing == []
        assert moov_create(sandbox.moov).status == 200
        assert sandbox.moov.ledger[0].sequence == 1
        assert verifik_create(sandbox.verifik).status == 200
        assert abs(sandbox.clock.now() - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(seconds=5)

    def test_time_is_injected_and_advanced(self) -> None:
        noon = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)
        with Sandbox(now=lambda: noon) as sandbox:
            assert ankra_create(sandbox.ankra).json["created_at"] == "2026-01-02T12:00:00Z"
            sandbox.advance(61.5)
            answer = ankra_create(sandbox.ankra)
            assert answer.json["created_at"] == "2026-01-02T12:01:01Z"
            assert answer.headers["Date"] == "Fri, 02 Jan 2026 12:01:01 GMT"

    def test_same_seed_gives_the_same_ids(self) -> None:
        def ids() -> list[str]:
            sandbox = Sandbox(seed=11)
            return [sandbox.ripio.add_ticket(), sandbox.moov.add_ticket(), sandbox.ankra.add_ticket()]

        assert ids() == ids()

    def test_latency_is_slept_before_each_answer(self) -> None:
        with Sandbox(latency=0.03) as sandbox:
            started = time.perf_counter()
            ankra_create(sandbox.ankra)
            assert time.perf_counter() - started >= 0.03


class TestLedger:
    def test_says_what_was_asked(self, sandbox: Sandbox) -> None:
        before = time.monotonic()
        created = ankra_create(sandbox.ankra).json
        ankra(sandbox.ankra, "GET", "?page=2&q=a%20b", X_Trace="7")
        create, page = sandbox.ankra.ledger
        assert (create.sequence, create.operation, create.method, create.path) == (
            1,
            "create",
            "POST",
            sandbox.ankra.prefix,
        )
        assert (create.status, create.fault, create.committed, create.remote_id) == (
            201,
            None,
            True,
            created["id"],
        )
        assert create.body_size == len(create.body)
        assert create.body_sha256 == hashlib.sha256(create.body).hexdigest()
        assert before <= create.at <= page.at <= time.monotonic()
        assert page.path == f"{sandbox.ankra.prefix}?page=2&q=a%20b"
        assert (page.headers["x-trace"], page.committed, page.body) == ("7", False, b"")

    def test_keeps_the_start_of_a_long_body(self, sandbox: Sandbox) -> None:
        body = b"x" * 2_500_000
        assert send(f"{sandbox.ankra.base_url}{sandbox.ankra.prefix}", "POST", body).status == 401
        entry = sandbox.ankra.ledger[-1]
        assert (len(entry.body), entry.body_size) == (1_000_000, 2_500_000)
        assert entry.body_sha256 == hashlib.sha256(body).hexdigest()

    @pytest.mark.parametrize(
        "framed",
        ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
    )
    def test_notes_a_body_that_ends_early(self, sandbox: Sandbox, framed: str) -> None:
        request = f"POST /ankra{sandbox.ankra.prefix} HTTP/1.1\r\n{framed}".encode()
        host, port = sandbox.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b""
        entry = sandbox.ankra.ledger[-1]
        assert (entry.body_size, entry.status, entry.committed) == (3, None, False)

    def test_can_be_switched_off(self, sandbox: Sandbox) -> None:
        sandbox.ankra.recording = False
        assert ankra_create(sandbox.ankra).status == 201
        assert sandbox.ankra.ledger == []

    def test_numbers_parallel_requests_without_gaps(self, sandbox: Sandbox) -> None:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: ankra_create(sandbox.ankra).status, range(64)))
        assert answers == [201] * 64
        assert [entry.sequence for entry in sandbox.ankra.ledger] == list(range(1, 65))
        assert {entry.remote_id for entry in sandbox.ankra.ledger} == set(sandbox.ankra.tickets)


class TestHttp:
    def test_connections_are_kept(self, sandbox: Sandbox) -> None:
        host, port = sandbox.url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("GET", "/ankra/x")
        assert connection.getresponse().read()
        first = connection.sock
        connection.request("GET", "/ankra/x")
        assert connection.getresponse().read()
        assert connection.sock is first
        connection.close()

    def test_connection_close_is_honoured(self, sandbox: Sandbox) -> None:
        answer = raw(sandbox.url, b"GET /ankra/x HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404 Not Found\r\nDate: ")

    def test_http_1_0_closes_by_default(self, sandbox: Sandbox) -> None:
        assert raw(sandbox.url, b"GET /ankra/x HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 404")

    def test_chunked_bodies_are_read(self, sandbox: Sandbox) -> None:
        chunks = b'5\r\n{"sub\r\n29;x=y\r\nject": "Chunked", "description": "D"}     \r\n0\r\nX-L: 1\r\n\r\n'
        vendor = sandbox.ankra
        lines = (
            f"POST /ankra{vendor.prefix} HTTP/1.1",
            f"Authorization: Bearer {vendor.token}",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "\r\n",
        )
        answer = raw(sandbox.url, "\r\n".join(lines).encode() + chunks)
        assert answer.startswith(b"HTTP/1.1 201")
        assert [ticket["subject"] for ticket in sandbox.ankra.tickets.values()] == ["Chunked"]

    def test_expect_100_continue_is_answered(self, sandbox: Sandbox) -> None:
        head = b"POST /ankra/x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
        assert raw(sandbox.url, head + b"Connection: close\r\n\r\n{}").startswith(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404"
        )

    def test_head_has_no_body(self, sandbox: Sandbox) -> None:
        answer = raw(sandbox.url, b"HEAD /ankra/x HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert answer.endswith(b"\r\n\r\n")

    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"nonsense\r\n\r\n",
            b"GET /ankra/x HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST /ankra/x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST /ankra/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"X" * 131_073,
            b"GET /ankra/x HTTP/1.1\r\nX: " + b"x" * 131_060 + b"\r\n\r\n",
        ],
    )
    def test_what_is_no_http_is_refused(self, sandbox: Sandbox, request_bytes: bytes) -> None:
        assert raw(sandbox.url, request_bytes).startswith(b"HTTP/1.1 400")

    def test_unknown_vendor_names_the_known_ones(self, sandbox: Sandbox) -> None:
        answer = send(f"{sandbox.url}/stripe/x")
        assert answer.status == 404
        assert b"ripio, moov, verifik, ankra" in answer.body
        assert raw(sandbox.url, b"OPTIONS * HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404")

    def test_a_quoted_slash_stays_in_its_path_part(self, sandbox: Sandbox) -> None:
        sandbox.moov.accounts = ("a/b",)
        assert moov_create(sandbox.moov, "a%2Fb").status == 200
        assert moov(sandbox.moov, "GET", "/accounts/a/b/tickets").status == 404

    def test_an_own_error_is_loud(self, sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
        sandbox.ankra.search_fields = ("no such field",)
        sandbox.ankra.add_ticket()
        answer = ankra(sandbox.ankra, "GET", "?q=x")
        assert answer.status == 500
        assert b"The sandbox itself failed: KeyError" in answer.body
        assert "The sandbox of ankra failed" in caplog.text

    def test_each_vendor_is_a_wsgi_app(self, sandbox: Sandbox) -> None:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/v2/support-tickets", "wsgi.input": io.BytesIO()}
        started: list[str] = []
        body = b"".join(sandbox.verifik(environ, lambda status, headers: started.append(status)))
        assert started == ["401 Unauthorized"]
        assert b"Unauthorized" in body


class TestForeground:
    def test_serve_says_where_and_stops(self) -> None:
        said: list[str] = []
        stop = threading.Event()
        stop.set()
        serve("127.0.0.1", 0, fault_rate=0.5, seed=3, write=said.append, stop=stop)
        text = "".join(said)
        assert "(seed 3)" in text
        assert all(f"/{name}" in text for name in ("ripio", "moov", "verifik", "ankra"))
        assert text.endswith("stopped\n")

    def test_ctrl_c_stops_cleanly(self, capsys: pytest.CaptureFixture[str]) -> None:
        class Interrupted(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                raise KeyboardInterrupt

        serve(port=0, stop=Interrupted())
        assert capsys.readouterr().out.endswith("Ctrl-C stops.\n\nstopped\n")

    def test_command_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[tuple[object, ...]] = []
        monkeypatch.setattr(f"{main.__module__}.serve", lambda *given, **named: calls.append((*given, named)))
        main(["--port", "0", "--latency", "0.05", "--faults", "0.1", "--seed", "4"])
        assert calls == [("127.0.0.1", 0, {"latency": 0.05, "fault_rate": 0.1, "seed": 4})]

    def test_the_command_says_where_at_once_into_a_pipe_too(self) -> None:
        command = [sys.executable, "-m", "tests.manage", "support_tickets_sandbox", "--port", "0"]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as served:
            assert served.stdout is not None
            giving_up = threading.Timer(60, served.kill)
            giving_up.start()
            said = served.stdout.readline()
            giving_up.cancel()
            served.kill()
        assert said.startswith("Fake vendors at http://127.0.0.1:")


class TestEventualConsistency:
    def test_lists_show_a_new_ticket_when_the_lag_is_over(self, sandbox: Sandbox) -> None:
        for vendor in sandbox.vendors.values():
            vendor.list_lag = 30.0
        ankra_create(sandbox.ankra)
        moov_create(sandbox.moov)
        verifik_create(sandbox.verifik)
        assert listed(sandbox) == (0, 0, 0)
        sandbox.advance(29)
        assert listed(sandbox) == (0, 0, 0)
        sandbox.advance(1)
        assert listed(sandbox) == (1, 1, 1)
        assert [len(vendor.tickets) for vendor in (sandbox.ankra, sandbox.moov, sandbox.verifik)] == [1, 1, 1]

    def test_a_ticket_can_be_read_at_once(self, sandbox: Sandbox) -> None:
        sandbox.ankra.list_lag = 30.0
        remote_id = ankra_create(sandbox.ankra).json["id"]
        assert ankra(sandbox.ankra, "GET", f"/{remote_id}").status == 200

    def test_a_reset_ends_it(self, sandbox: Sandbox) -> None:
        sandbox.ankra.list_lag = 30.0
        sandbox.reset()
        ankra_create(sandbox.ankra)
        assert listed(sandbox)[0] == 1


def listed(sandbox: Sandbox) -> tuple[int, int, int]:
    """Return how many tickets the lists of Ankra, Moov and Verifik show."""
    return (
        ankra(sandbox.ankra, "GET").json["pagination"]["total_count"],
        len(moov(sandbox.moov, "GET", "/accounts/acct-1/tickets").json["items"]),
        len(verifik(sandbox.verifik, "GET").json["data"]),
    )
