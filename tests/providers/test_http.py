from __future__ import annotations

import pickle
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from django_support_tickets.exceptions import (
    AccessDenied,
    Ambiguous,
    Busy,
    InvalidProvider,
    NotSent,
    ProviderError,
    Refused,
    RemoteNotFound,
)
from django_support_tickets.providers.http import (
    HttpProvider,
    before_sending,
    dict_of,
    id_of,
    int_of,
    list_of,
    loaded,
    own_key,
    short_reference,
    text_of,
    time_of,
    uuid_of,
    without_reference,
)
from django_support_tickets.records import ABSENT, Capabilities, TicketDraft, TicketRecord, TicketRef
from django_support_tickets.transport import Answer, HeaderAuth, Request, Token, forget_accounts, json_body
from tests.canary import frames_of
from tests.transport_server import ScriptedServer, Seen, answer, lasting

EMAIL = "canary@example.com"
TOKEN = "canary-token"
DRAFT = TicketDraft(key="key-1", subject=EMAIL, description=EMAIL, contact_email=EMAIL)


class Desk(HttpProvider):
    """A vendor that documents errors as {"code", "message"} and takes a token."""

    capabilities = Capabilities(can_find=True)

    def get(self, ref: TicketRef) -> TicketRecord:
        self.call("get", "GET", "tickets/1")
        return TicketRecord(remote_id="1")

    def create(self, draft: TicketDraft) -> TicketRecord:
        body = json_body({"text": draft.subject})
        answer = self.call("create", "POST", "tickets", body=body, params=(("q", draft.subject),), key="key-1")
        remote_id = id_of(dict_of(answer.json()).get("id"))
        if not remote_id:
            raise self.not_understood(answer, "it has no id")
        return TicketRecord(remote_id=remote_id)

    def authorization(self) -> HeaderAuth:
        return HeaderAuth(f"Bearer {TOKEN}")

    def read_error(self, data: Any) -> tuple[str, str] | None:
        return (text_of(data.get("code")), text_of(data.get("message"))) if isinstance(data, dict) else None


class TokenDesk(Desk):
    """The same with tokens that the server hands out at /token and refuses when they are old."""

    refused: str | None = None

    def authorization(self) -> HeaderAuth:
        self.refused = self.transport.account.token("me", self._fetch)
        return HeaderAuth(f"Bearer {self.refused}")

    def renewed_authorization(self) -> HeaderAuth | None:
        return HeaderAuth(f"Bearer {self.transport.account.token('me', self._fetch, stale=self.refused)}")

    def _fetch(self) -> Token:
        answer = self.transport.send(Request(operation="token", method="POST", path="token"))
        if not answer.ok:
            raise self.error_for(answer)
        return Token(text_of(answer.json().get("token")))


@pytest.fixture(autouse=True)
def new_accounts() -> Iterator[None]:
    forget_accounts()
    yield
    forget_accounts()


def failure(data: bytes | Callable[[socket.socket, Seen], object], operation: str = "create", **options: Any) -> Any:
    """Return the error in which an operation ends that is answered so."""
    with ScriptedServer(data) as server, pytest.raises(ProviderError) as caught:
        run(Desk("desk", base_url=server.url, **options), operation)
    return caught.value


def run(provider: HttpProvider, operation: str) -> TicketRecord:
    return provider.create(DRAFT) if operation == "create" else provider.get(TicketRef(remote_id="1"))


def said(body: bytes, status: str, *headers: str) -> bytes:
    return answer(body, *headers, status=status)


UNDERSTOOD = b'{"code": "E7", "message": "words for canary@example.com"}'


class TestOutcomes:
    @pytest.mark.fault(19)
    @pytest.mark.parametrize("status", [400, 403, 413, 415, 422])
    @pytest.mark.parametrize("operation", ["get", "create"])
    def test_a_status_that_proves_rejection_with_an_understood_body(self, status: int, operation: str) -> None:
        error = failure(said(UNDERSTOOD, f"{status} No", "X-Request-Id: r-1"), operation)
        assert type(error) is Refused
        assert (error.status, error.code, error.reason, error.request_id) == (status, "E7", "words for [e-mail]", "r-1")

    def test_404_with_an_understood_body(self) -> None:
        assert type(failure(said(UNDERSTOOD, "404 No"))) is RemoteNotFound

    @pytest.mark.fault(8, 30)
    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b"null"])
    @pytest.mark.parametrize("status", [400, 403, 404, 422])
    def test_the_same_status_with_a_body_that_is_not_understood_proves_nothing(self, status: int, body: bytes) -> None:
        assert type(failure(said(body, f"{status} No"))) is Ambiguous

    def test_401_is_about_the_account(self) -> None:
        assert type(failure(said(b"<html>", "401 No"))) is AccessDenied

    @pytest.mark.fault(32)
    @pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), (str(10**11), 3600.0), ("soon", None)])
    @pytest.mark.parametrize("operation", ["get", "create"])
    def test_429_is_busy(self, header: str, seconds: float | None, operation: str) -> None:
        error = failure(said(b"", "429 Slow", f"Retry-After: {header}"), operation)
        assert (type(error), error.retry_after) == (Busy, seconds)

    @pytest.mark.parametrize(
        ("operation", "can_find", "header", "outcome"),
        [
            ("get", False, "Retry-After: 5", Busy),
            ("create", True, "Retry-After: 5", Busy),
            ("create", False, "Retry-After: 5", Ambiguous),
            ("get", True, "X: y", Ambiguous),
            ("get", True, "Retry-After: soon", Ambiguous),
        ],
    )
    def test_503_is_busy_only_where_a_repeat_is_safe(
        self, operation: str, can_find: bool, header: str, outcome: type[ProviderError]
    ) -> None:
        with ScriptedServer(said(b"", "503 Down", header)) as server:
            provider = Desk("desk", base_url=server.url)
            provider.capabilities = Capabilities(can_find=can_find)
            with pytest.raises(outcome):
                run(provider, operation)

    @pytest.mark.fault(5, 7)
    @pytest.mark.parametrize("status", ["300 M", "302 Found", "303 See", "307 T", "402 P", "409 C", "500 E", "502 B"])
    def test_everything_else_is_ambiguous(self, status: str) -> None:
        error = failure(said(UNDERSTOOD, status, "Location: /elsewhere"))
        assert (type(error), error.status) == (Ambiguous, int(status[:3]))

    @pytest.mark.fault(8)
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            b"[]",
            b'[{"id": "1"}]',
            b'{"id": null}',
            b'{"id": ""}',
            b'{"id": 7}',
            b'{"id": true}',
            b'{"id": "../1"}',
            b'{"id": "%s"}' % (b"x" * 9000),
            b"<html>login</html>",
        ],
        ids=lambda body: repr(body[:14]),
    )
    def test_success_without_a_valid_id_is_not_understood(self, body: bytes) -> None:
        assert type(failure(said(body, "200 OK"))) is Ambiguous

    @pytest.mark.fault(8)
    def test_no_content_is_not_understood(self) -> None:
        assert type(failure(b"HTTP/1.1 204 No Content\r\n\r\n")) is Ambiguous

    def test_a_documented_error_without_a_body_is_understood(self) -> None:
        with ScriptedServer(said(b" ", "404 No")) as server:
            provider = Desk("desk", base_url=server.url)
            provider.bodiless_errors = frozenset({404})
            with pytest.raises(RemoteNotFound):
                run(provider, "get")


@pytest.mark.fault(34)
class TestRenewal:
    def test_a_refused_token_is_renewed_once_and_the_request_sent_again(self) -> None:
        issued: list[str] = []

        def script(sock: socket.socket, seen: Seen) -> None:
            if seen.target == "/token":
                issued.append(f"t{len(issued)}")
                sock.sendall(answer(b'{"token": "%s"}' % issued[-1].encode()))
            else:
                good = seen.headers["authorization"] == "Bearer t1"
                sock.sendall(answer(b'{"id": "1"}') if good else said(b"{}", "401 No"))

        with ScriptedServer(script) as server:
            assert TokenDesk("desk", base_url=server.url).create(DRAFT).remote_id == "1"
            bodies = [seen.body for seen in server.seen if seen.target != "/token"]
            assert len(bodies) == 2
            assert bodies[0] == bodies[1] != b""
            assert issued == ["t0", "t1"]

    def test_a_vendor_that_refuses_every_token_is_no_loop(self) -> None:
        def script(sock: socket.socket, seen: Seen) -> None:
            is_token = seen.target == "/token"
            sock.sendall(answer(b'{"token": "t"}') if is_token else said(b"{}", "401 No"))

        with ScriptedServer(script) as server:
            with pytest.raises(AccessDenied):
                TokenDesk("desk", base_url=server.url).create(DRAFT)
            assert [seen.target for seen in server.seen if "tickets" not in seen.target] == ["/token"] * 2
            assert len(server.seen) == 4

    @pytest.mark.parametrize("lost", [b"", said(b"<html>", "502 Bad"), answer(b"nonsense")])
    def test_a_token_that_cannot_be_had_means_not_sent(self, lost: bytes) -> None:
        def script(sock: socket.socket, seen: Seen) -> bool:
            sock.sendall(lost)
            return False

        with ScriptedServer(script) as server:
            with pytest.raises(NotSent) as caught:
                TokenDesk("desk", base_url=server.url).create(DRAFT)
            assert [seen.target for seen in server.seen] == ["/token"]
        assert (caught.value.alias, caught.value.key) == ("desk", "key-1")

    def test_20_threads_meet_an_expired_token(self) -> None:
        """F16: one fetch for all of them."""
        issued: list[str] = []

        def script(sock: socket.socket, seen: Seen) -> None:
            if seen.target == "/token":
                issued.append(f"t{len(issued)}")
                time.sleep(0.05)
                sock.sendall(answer(b'{"token": "%s"}' % issued[-1].encode()))
            else:
                good = seen.headers["authorization"] == "Bearer t1"
                sock.sendall(answer(b'{"id": "1"}') if good else said(b"{}", "401 No"))

        with ScriptedServer(script) as server:
            results: list[str] = []
            barrier = threading.Barrier(20)

            def work() -> None:
                barrier.wait()
                results.append(TokenDesk("desk", base_url=server.url).get(TicketRef(remote_id="1")).remote_id)

            threads = [threading.Thread(target=work) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert results == ["1"] * 20
            assert issued == ["t0", "t1"]
            assert len([seen for seen in server.seen if seen.target != "/token"]) <= 40

    @pytest.mark.fault(25)
    def test_token_request_and_renewal_share_one_deadline(self) -> None:
        def script(sock: socket.socket, seen: Seen) -> None:
            time.sleep(1.2)
            sock.sendall(answer(b'{"token": "t"}') if seen.target == "/token" else said(b"{}", "401 No"))

        with ScriptedServer(script) as server, lasting(3.2), pytest.raises(NotSent):
            TokenDesk("desk", base_url=server.url, deadline=3.2).create(DRAFT)


class TestStream:
    def read(self, server: ScriptedServer, *, limit: int = 100) -> tuple[bytes, int | None, str]:
        with Desk("desk", base_url=server.url).stream("download", "file", limit=limit) as download:
            return b"".join(download.chunks), download.size, download.content_type

    def test_a_file_arrives_with_what_is_announced(self) -> None:
        with ScriptedServer(answer(b"x" * 100)) as server:
            assert self.read(server) == (b"x" * 100, 100, "application/json")
            self.read(server)
            assert server.connections == 1

    def test_a_longer_one_is_cut_off(self) -> None:
        with ScriptedServer(answer(b"x" * 101)) as server, pytest.raises(Ambiguous, match="larger than 100") as caught:
            self.read(server)
        assert caught.value.is_lasting

    def test_a_cut_one_may_pass(self) -> None:
        def script(sock: socket.socket, seen: Seen) -> bool:
            sock.sendall(answer(b"x" * 100)[:-1])
            return False

        with ScriptedServer(script) as server, pytest.raises(Ambiguous) as caught:
            self.read(server)
        assert not caught.value.is_lasting

    @pytest.mark.parametrize("status", ["302 Found", "304 Same", "404 No", "500 E"])
    def test_what_is_not_2xx_is_no_file(self, status: str) -> None:
        body = b"" if "304" in status else UNDERSTOOD
        with ScriptedServer(answer(body, "Location: /x", status=status)) as server, pytest.raises(ProviderError):
            self.read(server)

    def test_a_refused_token_is_renewed_once(self) -> None:
        answers = iter([answer(b'{"token": "a"}'), said(b"{}", "401 No"), answer(b'{"token": "b"}'), answer(b"file")])
        with ScriptedServer(lambda sock, seen: sock.sendall(next(answers))) as server:
            with TokenDesk("desk", base_url=server.url).stream("download", "file", limit=9) as download:
                assert b"".join(download.chunks) == b"file"
            assert server.seen[-1].headers["authorization"] == "Bearer b"

    def test_the_size_of_a_compressed_file_is_not_known(self) -> None:
        with ScriptedServer(answer(b"", "Content-Encoding: gzip")) as server:
            assert self.read(server)[1] is None


@pytest.mark.fault(37, 87)
class TestSecrets:
    ENDINGS = {
        "refused": said(UNDERSTOOD, "400 No"),
        "denied": said(UNDERSTOOD, "401 No"),
        "busy": said(UNDERSTOOD, "429 Slow"),
        "redirect": said(b"", "302 Found", f"Location: https://{EMAIL}/"),
        "broken": said(UNDERSTOOD, "500 E"),
        "no json": said(EMAIL.encode(), "200 OK"),
        "no id": said(b'{"text": "canary@example.com"}', "200 OK"),
        "too long": said(EMAIL.encode() * 100, "200 OK"),
        "cut": answer(EMAIL.encode() * 10)[:-1],
        "header": answer(b"{}", f"X-Request-Id: {EMAIL} x", status="400 No"),
        "garbled": f"{EMAIL}\r\n\r\n".encode(),
    }

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_an_error_and_its_frames_show_neither_secrets_nor_personal_data(self, ending: str) -> None:
        def script(sock: socket.socket, seen: Seen) -> bool:
            sock.sendall(self.ENDINGS[ending])
            return False

        self.check(failure(script, max_response_bytes=500))

    def test_nor_when_nobody_is_there(self) -> None:
        with pytest.raises(NotSent) as caught:
            Desk("desk", base_url="http://127.0.0.1:1", proxies={"ftp": f"http://u:{TOKEN}@x"}).create(DRAFT)
        self.check(caught.value)

    @staticmethod
    def check(error: ProviderError) -> None:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_name != "create":
            trace = trace.tb_next  # the frames of this test
        report = traceback.TracebackException(type(error), error, trace, capture_locals=True)
        assert report.stack
        for text in (str(error), repr(error), repr(pickle.dumps(error)), "".join(report.format())):
            assert EMAIL not in text
            assert TOKEN not in text
        assert error.__cause__ is None


class TestPickle:
    def test_an_error_survives_pickling_without_the_vendors_words(self) -> None:
        error = Busy("c", alias="a", operation="get", key="k", status=429, reason="words", retry_after=3.0)
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (type(copy), str(copy), copy.retry_after, copy.reason) == (Busy, str(error), 3.0, "")


class TestOptions:
    @pytest.mark.parametrize(
        "url",
        ["", "vendor.example", "ftp://vendor.example", "http://", "http://[::1", 7, None]
        + ["https://u:canary@vendor.example", "https://vendor.example/?q=canary", "https://vendor.example/#canary"],
    )
    def test_a_bad_address_is_refused_without_showing_it(self, url: Any) -> None:
        with pytest.raises(InvalidProvider, match="'desk'.*base_url") as caught:
            Desk("desk", base_url=url)
        assert "canary" not in str(caught.value)

    def test_an_address_may_be_a_callable_which_is_called_at_use(self) -> None:
        with ScriptedServer(answer(b'{"id": "1"}')) as server:
            addresses = iter(["http://127.0.0.1:1", server.url, server.url])
            provider = Desk("desk", base_url=lambda: next(addresses))
            with pytest.raises(NotSent):
                provider.create(DRAFT)
            assert provider.create(DRAFT).remote_id == "1"

    @pytest.mark.parametrize("gives", [None, "", " \n", 5, b"canary", {"token": "canary"}, KeyError("canary")])
    @pytest.mark.parametrize("name", ["base_url", "token"])
    def test_a_callable_that_gives_no_text_is_an_error_that_names_operation_and_option(
        self, name: str, gives: Any
    ) -> None:
        class Tokens(Desk):
            def authorization(self) -> HeaderAuth:
                return HeaderAuth(self.resolve("token", broken) if name == "token" else "")

        def broken() -> Any:
            if isinstance(gives, Exception):
                raise gives
            return gives

        provider = Tokens("desk", base_url=broken if name == "base_url" else "http://127.0.0.1:1")
        with pytest.raises(NotSent) as caught:
            provider.create(DRAFT)
        cause = f"an option given as a callable could not be read: {name}"
        assert str(caught.value) == f"desk create: {cause} (key key-1)"
        frames = [frame for frame, place in frames_of(caught.value) if "test_http" not in place]
        assert "canary" not in repr([frame.f_locals for frame in frames])
        with pytest.raises(NotSent, match="^desk download: an option"), provider.stream("download", "/file", limit=1):
            pass

    @pytest.mark.fault(27)
    def test_the_check_warns_of_what_weakens_tls(self) -> None:
        loopback = Desk("desk", base_url="http://localhost:8000")
        weak = Desk("desk", base_url="http://vendor.example", verify=False)
        assert [message.id for message in loopback.check()] == []
        assert [message.id for message in weak.check()] == ["support_tickets.W101", "support_tickets.W102"]
        assert Desk("desk", base_url=lambda: 1 / 0).check() == []  # type: ignore[arg-type, return-value]


def test_a_step_before_sending_is_never_ambiguous() -> None:
    error = before_sending(Ambiguous("lost", alias="a", operation="token", key="k", status=502, code="c", reason="r"))
    assert (type(error), error.alias, error.operation, error.key, error.status) == (NotSent, "a", "token", "k", 502)
    refused = Refused("no")
    assert before_sending(refused) is refused


@pytest.mark.fault(41, 42, 44)
class TestLenientReading:
    @pytest.mark.parametrize("value", [None, 7, True, [], {}, "", "a/b", " a", "x" * 256])
    def test_what_is_no_id_is_empty(self, value: Any) -> None:
        assert id_of(value) == ""
        assert uuid_of(value) == ""
        assert own_key(value) == ""

    def test_ids_and_keys(self) -> None:
        key = "9B1DEB4D-3b7d-4bad-9bdd-2b0d7b3dcb6d"
        assert (id_of(key), uuid_of(key), own_key(key)) == (key, key, key.lower())
        assert own_key("-" * 36) == ""

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("a\x00\ud800", "a\ufffd\ufffd"),
            (7, "7"),
            (1.5, "1.5"),
            (True, ""),
            (None, ""),
            ([], ""),
            ({}, ""),
            pytest.param(10**5000, "", id="5000 digits"),
            (float("nan"), ""),
            (float("inf"), ""),
        ],
    )
    def test_texts(self, value: Any, text: str) -> None:
        assert text_of(value) == text

    def test_lists_objects_and_numbers(self) -> None:
        assert list_of(None) == list_of({}) == []
        assert dict_of(None) == dict_of([]) == {}
        assert [int_of(value) for value in (5, 0, -1, True, "5", 1.0, 2**63, None)] == [5, 0] + [None] * 6

    @pytest.mark.parametrize(
        ("value", "moment"),
        [
            ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
            (" 2026-01-02T03:04:05.678901+02:00 ", datetime(2026, 1, 2, 1, 4, 5, 678901, tzinfo=UTC)),
            ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
            (1_767_323_045, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
            (1_767_323_045_000, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
            ("0001-01-01T00:00:00Z", None),
            ("0001-01-01T00:00:00+14:00", None),
            ("9999-12-31T23:59:59-12:00", None),
            ("2026-13-45T99:99:99Z", None),
            ("soon", None),
            ("", None),
            (None, None),
            (True, None),
            ([], None),
            (float("nan"), None),
            (float("inf"), None),
            pytest.param(10**400, None, id="400 digits"),
            (-(10**12), None),
        ],
    )
    def test_times(self, value: Any, moment: datetime | None) -> None:
        assert time_of(value) == moment

    def test_absent_is_not_null(self) -> None:
        assert loaded({}, "a", text_of) is ABSENT
        assert loaded({"a": None}, "a", text_of) == ""

    def test_the_reference_is_added_and_taken_away(self) -> None:
        mark = short_reference("9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d")
        assert mark == "[ref 9b1deb4d3b7d]"
        assert without_reference(f"Subject {mark}") == "Subject"
        assert without_reference("Subject [ref x]") == "Subject [ref x]"


def test_an_answer_tells_its_facts_without_its_content() -> None:
    with ScriptedServer(answer(EMAIL.encode(), f"X-Canary: {EMAIL}")) as server:
        got: Answer = Desk("desk", base_url=server.url).call("get", "GET", "x", params=(("q", EMAIL),))
    assert EMAIL not in repr(got)
