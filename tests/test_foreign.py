from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from django_support_tickets.exceptions import Ambiguous, NotSent, ProviderError, Refused
from django_support_tickets.records import Download
from django_support_tickets.transport import total_deadline
from django_support_tickets.transport.connections import addresses_of
from django_support_tickets.transport.foreign import ForeignFiles, is_public
from tests.transport_server import TLS, ScriptedServer, Seen, answer, lasting

HOSTS = ("files.example.com", "Cdn.Example.com", "xn--fles-0pa.example.com", "127.0.0.1", "localhost", "2130706433")
PUBLIC = "93.184.215.14"
FILE = bytes(range(256)) * 1000


class Oracle:
    """What the interpreter itself tells of every connection and lookup; what would leave this machine is stopped."""

    def __init__(self) -> None:
        self.is_watching = False
        self.connects: list[Any] = []
        self.lookups: list[Any] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.is_watching:
            return
        if event == "socket.getaddrinfo" and not _is_address(args[0]):
            self.lookups.append(args[0])
        if event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple):
            self.connects.append(args[1][:2])
            if not ipaddress.ip_address(args[1][0]).is_loopback:
                raise ConnectionRefusedError("stopped by the oracle")

    @contextlib.contextmanager
    def watching(self) -> Iterator[Oracle]:
        self.connects, self.lookups, self.is_watching = [], [], True
        try:
            yield self
        finally:
            self.is_watching = False


def _is_address(host: Any) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


ORACLE = Oracle()


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    with ORACLE.watching():
        yield ORACLE


def names(*addresses: str) -> Callable[[str, int], list[str]]:
    """Return a name server that gives every host these addresses."""
    return lambda host, port: list(addresses)


def files(*addresses: str, **options: Any) -> ForeignFiles:
    if addresses:
        options["resolve"] = names(*addresses)
    return ForeignFiles(alias="desk", hosts=HOSTS, **options)


def read(source: ForeignFiles, url: str, *, limit: int = 1_000_000) -> bytes:
    with source.fetch(url, limit=limit) as download:
        return b"".join(download.chunks)


def from_server(server: ScriptedServer, path: str = "/file", **options: Any) -> ForeignFiles:
    return files(base_url=server.url, **options)


ADDRESSES = [
    "http://files.example.com/a.png",
    "ftp://files.example.com/a.png",
    "file:///etc/passwd",
    "gopher://files.example.com/_GET",
    "data:text/html,hello",
    "//files.example.com/a.png",
    "/etc/passwd",
    "",
    "https://",
    "https:///a.png",
    "https:files.example.com/a.png",
    "https://other.example.com/a.png",
    "https://files.example.com.evil.net/a.png",
    "https://evilfiles.example.com/a.png",
    "https://files.example.com./a.png",
    "https://files.example.com:22/a.png",
    "https://files.example.com:80/a.png",
    "https://files.example.com:99999/a.png",
    "https://files.example.com:x/a.png",
    "https://user@files.example.com/a.png",
    "https://user:secret@files.example.com/a.png",
    "https://files.example.com@169.254.169.254/a.png",
    "https://169.254.169.254#@files.example.com/a.png",
    "https://169.254.169.254\\@files.example.com/a.png",
    "https://files.example.com\\@169.254.169.254/a.png",
    "https://169.254.169.254/latest/meta-data/",
    "https://127.0.0.1/a.png",
    "https://127.1/a.png",
    "https://0x7f000001/a.png",
    "https://0x7f.0.0.1/a.png",
    "https://0177.0.0.1/a.png",
    "https://2130706433/a.png",
    "https://localhost/a.png",
    "https://0/a.png",
    "https://[::1]/a.png",
    "https://[::ffff:169.254.169.254]/a.png",
    "https://[::ffff:a9fe:a9fe]/a.png",
    "https://[64:ff9b::a9fe:a9fe]/a.png",
    "https://[2002:7f00:1::]/a.png",
    "https://[::1/a.png",
    "https://fıles.example.com/a.png",
    "https://xn--fles-0pb.example.com/a.png",
    "https://files。example。com/a.png",
    "https://ⓕiles.example.com/a.png",
    "https://files.example.com/a.png\r\nHost: evil.net",
    "https://files.example.com/a b.png",
    "https://files.example.com\t/a.png",
    "https://files.example.com/" + "a" * 5000,
]

NETWORKS = [
    "0.0.0.0",  # noqa: S104 -- to be refused
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:93.184.215.14",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:a00:1::",
    "2002:7f00:1::1",
    "2600:1f18::5efe:10.0.0.1",
    "2600:1f18::200:5efe:a9fe:a9fe",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "not an address",
]


@pytest.mark.fault(75)
class TestHostileAddresses:
    def test_there_are_forty(self) -> None:
        assert len(ADDRESSES) >= 40

    @pytest.mark.parametrize("url", ADDRESSES, ids=[str(number) for number in range(len(ADDRESSES))])
    def test_one_opens_no_socket_and_asks_no_name_server(self, oracle: Oracle, url: str) -> None:
        with pytest.raises(Refused) as caught:
            read(files(), url)
        assert oracle.connects == oracle.lookups == []
        assert caught.value.status is None

    @pytest.mark.parametrize("address", NETWORKS)
    def test_a_name_that_leads_inside_opens_no_socket(self, oracle: Oracle, address: str) -> None:
        assert not is_public(address)
        with pytest.raises(Refused, match="not public"):
            read(files(address), "https://files.example.com/a.png")
        assert oracle.connects == []

    def test_one_such_address_among_good_ones_is_enough(self, oracle: Oracle) -> None:
        for found in ([PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "2606:4700::1111", "::1"], []):
            with pytest.raises(Refused, match="not public"):
                read(files(resolve=lambda host, port, found=found: found), "https://files.example.com/a.png")
        assert oracle.connects == []

    @pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001::200e"])
    def test_addresses_of_the_internet_are_public(self, address: str) -> None:
        assert is_public(address)

    @pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8"])
    def test_the_oracle_sees_a_connection_to_a_public_address(self, oracle: Oracle, address: str) -> None:
        with pytest.raises(NotSent, match="cannot be reached"):
            read(files(address), "https://cdn.example.com/a.png")
        assert oracle.connects == [(address, 443)]

    def test_the_address_that_was_checked_is_the_one_that_is_used(self, oracle: Oracle) -> None:
        answers = iter([[PUBLIC], ["127.0.0.1"], ["169.254.169.254"]])
        with pytest.raises(NotSent):
            read(files(resolve=lambda host, port: next(answers)), "https://files.example.com/a.png")
        assert oracle.connects == [(PUBLIC, 443)]
        assert next(answers) == ["127.0.0.1"]

    def test_the_name_server_of_the_system_is_asked_once(self, oracle: Oracle) -> None:
        with ScriptedServer() as server:
            url = server.url.replace("127.0.0.1", "localhost")
            read(files(base_url=url), f"{url}/a.png")
        assert oracle.lookups == ["localhost"]
        assert [address for address, _ in oracle.connects] == ["127.0.0.1"]

    def test_localhost_elsewhere_is_not_this_machine(self, oracle: Oracle) -> None:
        for address in ("10.0.0.1", PUBLIC, "nonsense"):
            with pytest.raises(Refused, match="not public"):
                read(files(address, base_url="http://localhost:8000"), "http://localhost:8000/a.png")
        assert oracle.connects == []

    def test_an_address_of_another_type_is_refused(self) -> None:
        for url in (None, 5, b"https://files.example.com/"):
            with pytest.raises(Refused):
                read(files(PUBLIC), url)  # type: ignore[arg-type]


@pytest.mark.fault(75)
class TestRedirects:
    def redirect(self, *targets: str, status: int = 302) -> Callable[[socket.socket, Seen], None]:
        """Redirect to each target in turn, then send the file."""
        left = list(targets)

        def script(sock: socket.socket, seen: Seen) -> None:
            headers = [f"Location: {left.pop(0)}"] if left else []
            sock.sendall(answer(FILE, *headers, status=f"{status} Moved" if headers else "200 OK"))

        return script

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_one_within_the_same_rules_is_followed(self, status: int) -> None:
        with ScriptedServer(self.redirect("/b?c=d", status=status)) as server:
            assert read(from_server(server), f"{server.url}/a") == FILE
            assert [seen.target for seen in server.seen] == ["/a", "/b?c=d"]

    @pytest.mark.parametrize(
        "target",
        [
            "http://169.254.169.254/",
            "https://169.254.169.254/",
            "https://files.example.com@10.0.0.1/",
            "//10.0.0.1/",
            "http://localhost:1/",
            "file:///etc/passwd",
            "https://evil.net/",
            "https://[::1/",
            "",
        ],
    )
    def test_one_that_leads_elsewhere_is_not(self, oracle: Oracle, target: str) -> None:
        with ScriptedServer(self.redirect(target)) as server:
            with pytest.raises(Refused):
                read(from_server(server), f"{server.url}/a")
            assert {address for address, _ in oracle.connects} == {"127.0.0.1"}
            assert len(server.seen) == 1

    def test_one_to_a_host_of_the_account_is_checked_like_the_first(self, oracle: Oracle) -> None:
        with ScriptedServer(self.redirect("https://files.example.com/a")) as server:
            source = from_server(
                server, resolve=lambda host, port: ["10.0.0.1"] if host.endswith(".com") else ["127.0.0.1"]
            )
            with pytest.raises(Refused, match="not public"):
                read(source, f"{server.url}/a")
            assert {address for address, _ in oracle.connects} == {"127.0.0.1"}

    def test_three_are_enough(self) -> None:
        with ScriptedServer(self.redirect("/1", "/2", "/3")) as server:
            assert read(from_server(server), f"{server.url}/0") == FILE
        with ScriptedServer(self.redirect("/1", "/2", "/3", "/4")) as server:
            with pytest.raises(Refused, match="too often"):
                read(from_server(server), f"{server.url}/0")
            assert len(server.seen) == 4


class TestRequests:
    @pytest.mark.fault(75)
    def test_no_token_no_cookie_and_no_secret_goes_along(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        with ScriptedServer(answer(FILE, "Set-Cookie: a=b")) as server:
            for _ in range(2):
                read(from_server(server), f"{server.url}/a?signature=s3cret#part")
            first, second = server.seen
        assert first.target == "/a?signature=s3cret"
        assert set(second.headers) == {"host", "user-agent", "accept", "accept-encoding"}
        assert second.headers["host"] == server.url.removeprefix("http://")

    def test_the_file_comes_in_pieces_with_what_is_announced(self) -> None:
        with (
            ScriptedServer(answer(FILE, "Content-Type: image/png")) as server,
            from_server(server).fetch(f"{server.url}/a", limit=len(FILE)) as download,
        ):
            assert isinstance(download, Download)
            assert (download.size, download.content_type.count("image/png")) == (len(FILE), 1)
            assert b"".join(download.chunks) == FILE

    def test_a_chunked_one_announces_nothing(self) -> None:
        body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        with ScriptedServer(body) as server, from_server(server).fetch(f"{server.url}/a", limit=5) as download:
            assert download.size is None
            assert b"".join(download.chunks) == b"abcde"

    def test_nothing_is_asked_inside_a_transaction(self, transactional_db: None) -> None:
        with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
            read(files(PUBLIC), "https://files.example.com/a.png")

    def test_the_certificate_must_be_for_the_host(self) -> None:
        authority = str(TLS / "authority.pem")
        with ScriptedServer(answer(FILE), certificate="good") as server:
            assert read(from_server(server, verify=authority), f"{server.url}/a") == FILE
            with pytest.raises(NotSent, match="TLS"):
                read(from_server(server), f"{server.url}/a")
        with ScriptedServer(answer(FILE), certificate="wrong_host") as server:
            with pytest.raises(NotSent, match="TLS"):
                read(from_server(server, verify=authority), f"{server.url}/a")
            with pytest.raises(NotSent, match="TLS"):
                read(from_server(server, verify=False), f"{server.url}/a")
            assert not server.seen

    def test_the_host_is_named_as_in_the_address(self) -> None:
        told: list[str | None] = []
        with ScriptedServer(answer(FILE), certificate="good") as server:
            assert server._context is not None
            server._context.sni_callback = lambda sock, name, context: told.append(name)
            url = server.url.replace("127.0.0.1", "localhost")
            source = files("127.0.0.1", base_url=url, verify=str(TLS / "authority.pem"))
            assert read(source, f"{url}/a") == FILE
            assert f"https://{server.seen[0].headers['host']}" == url
        assert told == ["localhost"]

    @pytest.mark.fault(77)
    def test_the_address_is_in_no_error_and_no_log(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        with ScriptedServer(answer(status="404 Not Found")) as server, pytest.raises(Refused) as caught:
            read(from_server(server), f"{server.url}/s3cret/a?signature=s3cret")
        for url in ("https://files.example.com/s3cret", "https://nobody.example/s3cret"):
            with ORACLE.watching(), pytest.raises(ProviderError) as later:
                read(files(PUBLIC), url)
            assert "s3cret" not in f"{later.value} {later.value!r} {later.value.__context__!r}"
        assert "s3cret" not in f"{caught.value} {caught.value!r} {caught.value.__context__!r}"
        assert "s3cret" not in caplog.text


@pytest.mark.fault(76)
class TestAnswers:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 451])
    def test_a_refusal_names_its_status(self, status: int) -> None:
        with ScriptedServer(answer(status=f"{status} No")) as server, pytest.raises(Refused) as caught:
            read(from_server(server), f"{server.url}/a")
        assert (caught.value.status, caught.value.alias, caught.value.operation) == (status, "desk", "download")

    @pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 429, 500, 503])
    def test_anything_else_may_pass(self, status: int) -> None:
        with ScriptedServer(answer(status=f"{status} So")) as server, pytest.raises(Ambiguous):
            read(from_server(server), f"{server.url}/a")

    @pytest.mark.parametrize(
        ("data", "is_lasting"),
        [
            (answer(FILE)[:-1], False),
            (answer(FILE)[:-1] + b"x" * 1000, None),
            (answer(FILE, framed=False), False),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", False),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc", False),
            (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\nabc", True),
            (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nabc", True),
            (answer(FILE, "Content-Encoding: gzip"), True),
            (b"hello", False),
            (b"", False),
        ],
    )
    def test_a_cut_or_odd_one_is_told_apart(self, data: bytes, is_lasting: bool | None) -> None:
        def script(sock: socket.socket, seen: Seen) -> bool:
            sock.sendall(data)
            return False

        with ScriptedServer(script) as server:
            if is_lasting is None:
                assert len(read(from_server(server), f"{server.url}/a")) == len(FILE)
                return
            with pytest.raises(Ambiguous) as caught:
                read(from_server(server), f"{server.url}/a")
            assert caught.value.is_lasting == is_lasting

    @pytest.mark.parametrize("head", ["Transfer-Encoding: chunked", "Content-Length: 100000000"])
    def test_more_bytes_than_allowed_are_not_read(self, head: str) -> None:
        sent = 0

        def script(sock: socket.socket, seen: Seen) -> None:
            nonlocal sent
            sock.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
            while True:
                sock.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
                sent += 65536

        with ScriptedServer(script) as server, pytest.raises(Ambiguous, match="larger than 1000000 bytes") as caught:
            read(from_server(server), f"{server.url}/a")
        assert caught.value.is_lasting
        assert sent < 20_000_000

    @pytest.mark.parametrize("limit", [len(FILE) - 1, len(FILE)])
    def test_the_limit_is_exact(self, limit: int) -> None:
        expected = contextlib.nullcontext() if limit == len(FILE) else pytest.raises(Ambiguous)
        with ScriptedServer(answer(FILE)) as server, expected:
            assert read(from_server(server), f"{server.url}/a", limit=limit) == FILE

    @pytest.mark.fault(25)
    @pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"])
    def test_a_drip_ends_with_the_deadline(self, head: bytes) -> None:
        def script(sock: socket.socket, seen: Seen) -> None:
            sock.sendall(head)
            for byte in b"HTTP/1.1 200 OK" * 100:
                sock.sendall(bytes((byte,)))
                time.sleep(0.02)

        with ScriptedServer(script) as server, lasting(1.0), pytest.raises(Ambiguous):
            read(from_server(server, deadline=1.0), f"{server.url}/a")

    def test_a_deadline_around_it_counts_too(self) -> None:
        with ScriptedServer(lambda sock, seen: sock.recv(1)) as server, total_deadline(1.0), pytest.raises(Ambiguous):
            read(from_server(server), f"{server.url}/a")

    def test_a_host_that_is_not_there_was_not_asked(self) -> None:
        with pytest.raises(NotSent, match="cannot be reached"):
            read(files(base_url="http://127.0.0.1:1"), "http://127.0.0.1:1/a")
        with pytest.raises(NotSent, match="resolved"):
            read(files(resolve=fail_to_resolve), "https://files.example.com/a")


def fail_to_resolve(host: str, port: int) -> list[str]:
    raise socket.gaierror("Name or service not known")


def test_names_are_resolved_as_the_system_does() -> None:
    assert "127.0.0.1" in addresses_of("localhost", 443)
