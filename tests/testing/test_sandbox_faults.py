from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from django_support_tickets.testing.sandbox import QUICK_FAULTS, AnkraSandbox, Fault, Sandbox
from tests.testing.sandbox_client import (
    Answer,
    ankra,
    ankra_create,
    moov,
    moov_create,
    raw,
    ripio_bearer,
    ripio_create,
    ripio_get,
    ripio_token,
    verifik,
    verifik_create,
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def vendor(sandbox: Sandbox) -> AnkraSandbox:
    return sandbox.ankra


def raw_list(vendor: AnkraSandbox) -> bytes:
    head = f"GET /ankra{vendor.prefix} HTTP/1.1\r\nAuthorization: Bearer {vendor.token}\r\n"
    return raw(vendor.base_url, head.encode() + b"Connection: close\r\n\r\n")


class TestScript:
    def test_one_fault_for_one_operation(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.SERVER_ERROR)
        assert ankra(vendor, "GET").status == 200
        assert ankra_create(vendor).status == 503
        assert ankra_create(vendor).status == 201

    def test_several_times_and_in_the_order_told(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.SERVER_ERROR, times=2, status=500)
        vendor.fail_next("*", Fault.SERVER_ERROR, status=504)
        assert [ankra_create(vendor).status for _ in range(4)] == [500, 500, 504, 201]

    def test_until_cleared(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("*", Fault.SERVER_ERROR, times=None)
        assert {ankra(vendor, "GET").status for _ in range(5)} == {503}
        vendor.clear_failures()
        assert ankra(vendor, "GET").status == 200

    def test_names_may_be_text(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", "server-error")  # type: ignore[arg-type]
        assert ankra_create(vendor).status == 503

    def test_unknown_details_are_errors(self, vendor: AnkraSandbox) -> None:
        with pytest.raises(TypeError, match="retry_afterr"):
            vendor.fail_next("create", Fault.RATE_LIMITED, retry_afterr="1")
        with pytest.raises(ValueError, match="hold_next"):
            vendor.fail_next("create", Fault.HOLD)

    def test_the_ledger_names_the_fault(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.RATE_LIMITED)
        ankra_create(vendor)
        assert (vendor.ledger[0].fault, vendor.ledger[0].status) == ("rate-limited", 429)


class TestRandom:
    def schedule(self, seed: int, calls: int = 60) -> list[str | None]:
        with Sandbox(seed=seed) as sandbox:
            sandbox.ankra.fail_randomly(0.3, [Fault.SERVER_ERROR, Fault.RATE_LIMITED], ["list"])
            for _ in range(calls):
                ankra(sandbox.ankra, "GET")
            return [entry.fault for entry in sandbox.ankra.ledger]

    def test_a_seed_replays(self) -> None:
        first = self.schedule(5)
        assert first == self.schedule(5)
        assert first != self.schedule(6)
        assert {"server-error", "rate-limited", None} == set(first)
        assert 8 <= sum(fault is not None for fault in first) <= 30

    def test_only_the_operations_named(self, vendor: AnkraSandbox) -> None:
        vendor.fail_randomly(1.0, [Fault.SERVER_ERROR], ["get"], status=500)
        assert ankra(vendor, "GET").status == 200
        assert ankra(vendor, "GET", f"/{vendor.add_ticket()}").status == 500

    def test_every_quick_fault_ends_the_exchange_at_once(self, vendor: AnkraSandbox) -> None:
        started = time.perf_counter()
        for fault in QUICK_FAULTS:
            vendor.fail_next("create", fault)
            with contextlib.suppress(OSError, http.client.HTTPException):
                ankra_create(vendor)
        assert [entry.fault for entry in vendor.ledger] == [fault.value for fault in QUICK_FAULTS]
        assert time.perf_counter() - started < 5


class TestConnection:
    def test_reset_before_the_vendor_works(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.RESET_BEFORE)
        with pytest.raises(ConnectionError):
            ankra_create(vendor)
        entry = vendor.ledger[0]
        assert (entry.status, entry.committed, entry.remote_id, entry.body) == (None, False, "", b"")
        assert vendor.tickets == {}

    def test_reset_after_commit_loses_only_the_answer(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.RESET_AFTER_COMMIT)
        with pytest.raises(ConnectionError):
            ankra_create(vendor)
        entry = vendor.ledger[0]
        assert (entry.status, entry.committed, [entry.remote_id]) == (None, True, list(vendor.tickets))

    def test_reset_in_the_answer(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.RESET_IN_ANSWER)
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            ankra_create(vendor)
        assert vendor.ledger[0].committed

    def test_late_commit_follows_the_vendors_clock(self, sandbox: Sandbox) -> None:
        vendor = sandbox.ankra
        vendor.fail_next("create", Fault.LATE_COMMIT, seconds=30)
        with pytest.raises(ConnectionError):
            ankra_create(vendor)
        sandbox.advance(29)
        assert vendor.tickets == {}
        assert not vendor.ledger[0].committed
        sandbox.advance(2)
        assert len(vendor.tickets) == 1
        entry = vendor.ledger[0]
        assert (entry.committed, [entry.remote_id], entry.status) == (True, list(vendor.tickets), None)

    def test_late_commit_counts_from_its_own_moment_whenever_somebody_looks(self, sandbox: Sandbox) -> None:
        vendor = sandbox.ankra
        vendor.list_lag = 30.0
        vendor.fail_next("create", Fault.LATE_COMMIT, seconds=30)
        with pytest.raises(ConnectionError):
            ankra_create(vendor)
        sandbox.advance(100)  # 70 s after its commit
        assert ankra(vendor, "GET").json["pagination"]["total_count"] == 1

    def test_late_commit_shows_to_the_next_request(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.LATE_COMMIT, seconds=0)
        with pytest.raises(ConnectionError):
            ankra_create(vendor)
        assert ankra(vendor, "GET").json["pagination"]["total_count"] == 1

    @pytest.mark.parametrize("after_commit", [False, True])
    def test_hold(self, vendor: AnkraSandbox, after_commit: bool) -> None:
        hold = vendor.hold_next("create", after_commit=after_commit)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ankra_create, vendor)
            assert hold.reached.wait(60)
            assert len(vendor.tickets) == int(after_commit)
            assert ankra(vendor, "GET").status == 200
            hold.release()
            assert answer.result(60).status == 201

    def test_clearing_releases_what_is_held(self, vendor: AnkraSandbox) -> None:
        hold = vendor.hold_next("create")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ankra_create, vendor)
            assert hold.reached.wait(60)
            vendor.clear_failures()
            assert answer.result(60).status == 201

    def test_what_was_held_across_a_reset_leaves_no_trace(self, vendor: AnkraSandbox) -> None:
        hold = vendor.hold_next("create")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ankra_create, vendor)
            assert hold.reached.wait(60)
            vendor.reset()
            assert isinstance(answer.exception(60), OSError)
        assert (vendor.tickets, vendor.ledger) == ({}, [])

    def test_stopping_releases_what_is_held(self) -> None:
        sandbox = Sandbox().start()
        hold = sandbox.ankra.hold_next("create")
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(ankra_create, sandbox.ankra)
            assert hold.reached.wait(60)
            sandbox.stop()
            assert isinstance(answer.exception(60), OSError | http.client.HTTPException | None)

    def test_delay(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.DELAY, seconds=0.03)
        started = time.perf_counter()
        assert ankra_create(vendor).status == 201
        assert time.perf_counter() - started >= 0.03


class TestBytes:
    def test_drip_body(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("list", Fault.DRIP_BODY, interval=0.001, size=8)
        started = time.perf_counter()
        answer = ankra(vendor, "GET")
        assert answer.json["result"] == []
        assert time.perf_counter() - started >= 0.001 * len(answer.body) / 8

    def test_drip_headers(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("list", Fault.DRIP_HEADERS, interval=0.001, size=16)
        started = time.perf_counter()
        assert ankra(vendor, "GET").json["result"] == []
        assert time.perf_counter() - started >= 0.008

    def test_cut_body_announces_more_than_it_sends(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.CUT_BODY)
        with pytest.raises(http.client.IncompleteRead):
            ankra_create(vendor)
        assert (vendor.ledger[0].status, vendor.ledger[0].committed) == (201, True)

    def test_cut_body_at_a_given_byte(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("list", Fault.CUT_BODY, size=3)
        assert raw_list(vendor).partition(b"\r\n\r\n")[2] == b'{"r'

    def test_cut_chunked(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.CUT_CHUNKED)
        with pytest.raises(http.client.IncompleteRead):
            ankra_create(vendor)

    def test_endless_chunked_ends_with_the_client(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("list", Fault.ENDLESS_CHUNKED, interval=0, size=4096)
        host, port = vendor.base_url.removeprefix("http://").removesuffix("/ankra").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        token = {"Authorization": f"Bearer {vendor.token}"}
        connection.request("GET", f"/ankra{vendor.prefix}", headers=token)
        received = connection.getresponse().read(300_000)
        connection.close()
        assert received.startswith(b'{"result"')
        assert len(received) == 300_000


class TestAround:
    def test_wrong_content_type(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("list", Fault.WRONG_CONTENT_TYPE)
        vendor.fail_next("list", Fault.WRONG_CONTENT_TYPE, content_type="application/json; charset=utf-7")
        answers = [ankra(vendor, "GET"), ankra(vendor, "GET")]
        assert answers[0].headers.get_all("Content-Type") == ["text/html; charset=utf-8"]
        assert answers[1].headers["Content-Type"] == "application/json; charset=utf-7"
        assert answers[0].json == answers[1].json

    def test_gzip_bomb(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("list", Fault.GZIP_BOMB, size=2_000_000)
        answer = ankra(vendor, "GET")
        assert answer.headers["Content-Encoding"] == "gzip"
        assert len(answer.body) < 5_000
        assert len(json.loads(gzip.decompress(answer.body))["padding"]) > 1_900_000

    def test_big_body(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("list", Fault.BIG_BODY, size=3_000_000)
        answer = ankra(vendor, "GET")
        assert len(answer.body) > 3_000_000
        assert answer.json["result"] == []

    def test_big_header(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("list", Fault.BIG_HEADER)
        assert b"\r\nX-Padding: " + b"x" * 70_000 + b"\r\n" in raw_list(vendor)

    def test_many_headers(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("list", Fault.MANY_HEADERS)
        assert raw_list(vendor).count(b"\r\nX-Padding-") == 1000

    def test_no_content_and_empty_body_commit(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.NO_CONTENT)
        vendor.fail_next("create", Fault.EMPTY_BODY)
        answers = [ankra_create(vendor), ankra_create(vendor)]
        assert [(answer.status, answer.body) for answer in answers] == [(204, b""), (201, b"")]
        assert answers[0].headers["Content-Length"] is None
        assert len(vendor.tickets) == 2


class TestInstead:
    def test_redirect(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.REDIRECT)
        vendor.fail_next("create", Fault.REDIRECT, status=303, location="https://example.com/x", commit=True)
        answers = [ankra_create(vendor), ankra_create(vendor)]
        assert [answer.status for answer in answers] == [302, 303]
        assert answers[0].headers["Location"] == f"{vendor.base_url}/elsewhere"
        assert answers[1].headers["Location"] == "https://example.com/x"
        assert [entry.committed for entry in vendor.ledger] == [False, True]

    def test_html_page(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.HTML_PAGE)
        answer = ankra_create(vendor)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert b"Sign in" in answer.body
        assert not vendor.tickets

    @pytest.mark.parametrize("value", [None, "120", "soon", "-5", "9" * 11, "Wed, 21 Oct 2015 07:28:00 GMT"])
    def test_rate_limited(self, vendor: AnkraSandbox, value: str | None) -> None:
        vendor.fail_next("create", Fault.RATE_LIMITED, retry_after=value)
        answer = ankra_create(vendor)
        assert (answer.status, answer.headers["Retry-After"]) == (429, value)
        assert not vendor.tickets

    def test_server_error_with_and_without_the_change(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.SERVER_ERROR, retry_after="5", body="down")
        vendor.fail_next("create", Fault.SERVER_ERROR_AFTER_COMMIT, status=504)
        answers = [ankra_create(vendor), ankra_create(vendor)]
        assert answers[0].body == b"down"
        assert [(answer.status, answer.headers["Retry-After"]) for answer in answers] == [
            (503, "5"),
            (504, None),
        ]
        assert [entry.committed for entry in vendor.ledger] == [False, True]

    def test_unauthorized_once(self, sandbox: Sandbox) -> None:
        bearer = ripio_bearer(sandbox.ripio)
        sandbox.ripio.fail_next("create", Fault.UNAUTHORIZED)
        refused = ripio_create(sandbox.ripio, bearer)
        assert (refused.status, refused.json["code"]) == (401, 40001)
        assert ripio_create(sandbox.ripio, bearer).status == 202

    def test_scripted_answer(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.ANSWER, status=418, headers={"X-Tea": "pot"}, body="no coffee")
        vendor.fail_next("create", Fault.ANSWER, body=b"{}", commit=True)
        odd, plain = ankra_create(vendor), ankra_create(vendor)
        assert (odd.status, odd.headers["X-Tea"], odd.body) == (418, "pot", b"no coffee")
        assert (plain.status, plain.headers["Content-Type"], plain.body) == (200, "application/json", b"{}")
        assert [entry.committed for entry in vendor.ledger] == [False, True]

    def test_scripted_framing_is_left_alone(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.ANSWER, headers=[("Content-Length", "5")], body=b"{}")
        with pytest.raises(http.client.IncompleteRead):
            ankra_create(vendor)


class TestInsideJson:
    def create(self, vendor: AnkraSandbox, fault: Fault, **details: Any) -> Answer:
        vendor.fail_next("create", fault, **details)
        answer = ankra_create(vendor)
        assert answer.status == 201
        assert vendor.ledger[-1].committed
        return answer

    def test_ids(self, vendor: AnkraSandbox) -> None:
        assert "id" not in self.create(vendor, Fault.WITHOUT_ID).json
        assert self.create(vendor, Fault.NULL_ID).json["id"] is None
        assert self.create(vendor, Fault.EMPTY_ID).json["id"] == ""
        assert self.create(vendor, Fault.NUMBER_ID).json["id"] == 12345
        assert len(self.create(vendor, Fault.LONG_ID).json["id"]) == 9000

    def test_list_instead_of_object(self, vendor: AnkraSandbox) -> None:
        assert isinstance(self.create(vendor, Fault.LIST_INSTEAD_OF_OBJECT).json, list)

    def test_enums_and_fields(self, vendor: AnkraSandbox) -> None:
        assert self.create(vendor, Fault.UNKNOWN_ENUM).json["status"] == "escalated_to_moon"
        odd = self.create(vendor, Fault.UNKNOWN_ENUM, fields=["severity"], value="OPEN").json
        assert (odd["severity"], odd["status"]) == ("OPEN", "open")
        assert set(self.create(vendor, Fault.MISSING_FIELDS).json) == {"id"}
        assert "subject" not in self.create(vendor, Fault.MISSING_FIELDS, fields=["subject"]).json
        assert self.create(vendor, Fault.NULL_FIELDS, fields=["comments"]).json["comments"] is None
        assert set(self.create(vendor, Fault.NULL_FIELDS).json.values()) >= {None}

    def test_odd_json(self, vendor: AnkraSandbox) -> None:
        assert rb"\u0000" in self.create(vendor, Fault.JSON_NUL).body
        assert rb"\ud800" in self.create(vendor, Fault.JSON_SURROGATE).body
        assert b"NaN" in self.create(vendor, Fault.JSON_NAN).body
        assert self.create(vendor, Fault.JSON_DEEP).body == b"[" * 200_000
        assert b": " + b"9" * 5000 in self.create(vendor, Fault.JSON_LONG_NUMBER).body
        assert self.create(vendor, Fault.JSON_BOM).body.startswith(b"\xef\xbb\xbf{")
        with pytest.raises(UnicodeDecodeError):
            self.create(vendor, Fault.JSON_INVALID_UTF8).body.decode()

    def test_duplicate_keys(self, vendor: AnkraSandbox) -> None:
        pairs = json.loads(self.create(vendor, Fault.JSON_DUPLICATE_KEYS).body, object_pairs_hook=list)
        assert [value for key, value in pairs if key == "id"][1] == "second"
        assert sum(key == "id" for key, _ in pairs) == 2

    def test_a_refusal_keeps_its_own_body(self, vendor: AnkraSandbox) -> None:
        vendor.fail_next("create", Fault.WITHOUT_ID)
        assert ankra_create(vendor, subject="").json["detail"][0]["loc"] == ["body", "subject"]

    def test_each_vendors_own_id(self, sandbox: Sandbox) -> None:
        for vendor in sandbox.vendors.values():
            vendor.fail_next("create", Fault.NULL_ID, times=None)
        assert ripio_create(sandbox.ripio, ripio_bearer(sandbox.ripio)).json["ticketId"] is None
        assert moov_create(sandbox.moov).json["ticketID"] is None
        assert verifik_create(sandbox.verifik).json["data"]["_id"] is None
        sandbox.verifik.dialect = "app"
        assert verifik_create(sandbox.verifik).json["data"]["_id"] is None

    def test_rows_of_lists_and_messages(self, sandbox: Sandbox) -> None:
        remote_id = sandbox.moov.add_ticket()
        sandbox.verifik.add_ticket("Seen", description="Text")
        sandbox.ankra.add_ticket()
        for vendor in sandbox.vendors.values():
            vendor.fail_next("*", Fault.UNKNOWN_ENUM, times=None)
        rows = [
            moov(sandbox.moov, "GET", "/accounts/acct-1/tickets").json["items"],
            verifik(sandbox.verifik, "GET").json["data"],
            ankra(sandbox.ankra, "GET").json["result"],
        ]
        assert [row["status"] for (row,) in rows] == ["escalated_to_moon"] * 3
        sandbox.moov.clear_failures()
        sandbox.moov.fail_next("messages", Fault.JSON_NUL)
        messages = moov(sandbox.moov, "GET", f"/accounts/acct-1/tickets/{remote_id}/messages").json
        assert messages[0]["body"] == "before\x00after"


class TestEveryVendorFails:
    @pytest.mark.parametrize("status", [401, 403, 404, 409, 429, 500, 503])
    def test_in_its_own_words(self, sandbox: Sandbox, status: int) -> None:
        for vendor in sandbox.vendors.values():
            vendor.fail_next("create", Fault.SERVER_ERROR, status=status)
        bearer = ripio_bearer(sandbox.ripio)
        answers = [
            ripio_create(sandbox.ripio, bearer),
            moov_create(sandbox.moov),
            verifik_create(sandbox.verifik),
            ankra_create(sandbox.ankra),
        ]
        assert [answer.status for answer in answers] == [status] * 4
        assert all(answer.headers["x-request-id"] for answer in answers)

    def test_token_endpoint(self, sandbox: Sandbox) -> None:
        sandbox.ripio.fail_next("token", Fault.SERVER_ERROR, status=500)
        assert ripio_token(sandbox.ripio).status == 500
        sandbox.ripio.fail_next("token", Fault.MISSING_FIELDS)
        assert ripio_token(sandbox.ripio).json == {}

    def test_get(self, sandbox: Sandbox) -> None:
        remote_id = sandbox.ripio.add_ticket()
        sandbox.ripio.fail_next("get", Fault.RESET_BEFORE)
        bearer = ripio_bearer(sandbox.ripio)
        with pytest.raises(ConnectionError):
            ripio_get(sandbox.ripio, bearer, remote_id)
        assert ripio_get(sandbox.ripio, bearer, remote_id).status == 200


def test_a_stopped_drip_does_not_hang() -> None:
    with Sandbox() as sandbox:
        sandbox.ankra.fail_next("list", Fault.DRIP_BODY, interval=30)
        host, port = sandbox.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(f"GET /ankra{sandbox.ankra.prefix} HTTP/1.1\r\n\r\n".encode())
            assert connection.recv(10)
            started = time.perf_counter()
            sandbox.stop()
            assert time.perf_counter() - started < 25
