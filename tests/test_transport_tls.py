from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from django_support_tickets.exceptions import NotSent
from django_support_tickets.transport import Request, Transport, forget_accounts, json_body
from tests.transport_server import TLS, ScriptedServer, Seen

AUTHORITY = str(TLS / "authority.pem")
POST = Request(operation="create", method="POST", path="tickets", body=json_body({}))


@pytest.fixture(autouse=True)
def new_accounts() -> Iterator[None]:
    forget_accounts()
    yield
    forget_accounts()


@pytest.mark.fault(26, 27)
class TestTls:
    def test_a_certificate_of_a_known_authority_is_accepted_and_the_connection_kept(self) -> None:
        with ScriptedServer(certificate="good") as server:
            transport = Transport(alias="desk", base_url=server.url, verify=AUTHORITY)
            assert [transport.send(POST).status for _ in range(3)] == [200, 200, 200]
            assert server.connections == 1

    @pytest.mark.parametrize(
        ("certificate", "verify"),
        [
            ("expired", AUTHORITY),
            ("wrong_host", AUTHORITY),
            ("self_signed", AUTHORITY),
            ("self_signed", True),
            ("good", True),
        ],
    )
    def test_a_wrong_certificate_is_refused_before_anything_is_sent(self, certificate: str, verify: bool | str) -> None:
        with ScriptedServer(certificate=certificate) as server:
            with pytest.raises(NotSent, match="the TLS certificate or handshake is not accepted"):
                Transport(alias="desk", base_url=server.url, verify=verify).send(POST)
            assert not server.seen

    @pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
    def test_only_the_option_verify_false_accepts_it(self) -> None:
        with ScriptedServer(certificate="self_signed") as server:
            assert Transport(alias="desk", base_url=server.url, verify=False).send(POST).ok

    def test_a_server_without_tls_is_refused(self) -> None:
        with ScriptedServer() as server:
            address = server.url.replace("http:", "https:")
            with pytest.raises(NotSent):
                Transport(alias="desk", base_url=address, timeout=(0.3, 1.0)).send(POST)

    def test_a_tunnel_through_a_proxy_carries_nothing_before_the_handshake(self) -> None:
        def script(sock: socket.socket, seen: Seen) -> bool:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            sock.recv(1)
            return False

        with ScriptedServer(script) as proxy:
            with pytest.raises(NotSent):
                Transport(alias="desk", base_url="https://vendor.example", proxies={"https": proxy.url}).send(POST)
            assert [seen.method for seen in proxy.seen] == ["CONNECT"]

    def test_a_missing_bundle_is_a_clear_error(self) -> None:
        with pytest.raises(NotSent):
            Transport(alias="desk", base_url="https://127.0.0.1:1", verify="/nowhere/ca.pem").send(POST)
