from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from django_support_tickets.testing.sandbox import Sandbox
from tests.testing.sandbox_client import moov, moov_create, ripio_bearer, ripio_create


class Receiver(http.server.ThreadingHTTPServer):
    """Keep what is posted and answer with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.received: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/?account=1"

    @property
    def events(self) -> list[dict[str, object]]:
        return [json.loads(body) for _, body in self.received]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append(({"path": self.path, **dict(self.headers)}, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


class TestSignatures:
    def test_ripio_signs_the_raw_body(self, sandbox: Sandbox) -> None:
        payload = {
            "eventType": "SUPPORT_TICKET.CREATED",
            "issueDatetime": "2026-01-02T03:04:05.000Z",
            "supportTicket": {
                "ticketId": "11111111-2222-4333-8444-555555555555",
                "status": "CREATED",
                "issueKey": "SUP-1",
            },
        }
        headers, body = sandbox.ripio.sign(payload, secret="test-webhook-secret")
        assert headers["Http-X-Wh-Signature-256"] == (
            "sha256=66cb1f1ea4b0db25ea856b9c192bd7ec6489ebe769a7a3097ee41025c9397f88"
        )
        assert body.startswith(b'{"eventType":"SUPPORT_TICKET.CREATED","issueDatetime":')
        assert sandbox.ripio.sign(body, secret="test-webhook-secret") == (headers, body)

    def test_ripio_escapes_non_ascii_and_may_name_the_header_otherwise(self, sandbox: Sandbox) -> None:
        headers, body = sandbox.ripio.sign({"a": "é"}, header="X-Wh-Signature-256")
        assert body == b'{"a":"\\u00e9"}'
        assert set(headers) == {"Content-Type", "X-Wh-Signature-256"}

    def test_moov_signs_time_nonce_and_subscription(self, sandbox: Sandbox) -> None:
        signed = {"timestamp": "2024-01-26T20:42:25Z", "nonce": "nonce-1", "webhook_id": "webhook-1"}
        headers, body = sandbox.moov.sign({"a": 1}, secret="whsec_test", **signed)
        assert headers == {
            "Content-Type": "application/json",
            "X-Timestamp": "2024-01-26T20:42:25Z",
            "X-Nonce": "nonce-1",
            "X-Webhook-ID": "webhook-1",
            "X-Signature": (
                "ae354f8ffbf98e55ea9354ffe71cdf1b7e93a9ee64a03d500d8dfc923c12db81"
                "b8096ac1e9d950636e3f047191949f7b4a395de695cd32e78c1e418e741b188e"
            ),
        }
        assert body == b'{"a":1}'

    def test_moov_times_and_nonces_are_fresh(self, sandbox: Sandbox) -> None:
        first, second = (sandbox.moov.sign({})[0] for _ in range(2))
        assert first["X-Nonce"] != second["X-Nonce"]
        assert first["X-Timestamp"].endswith("Z")
        sandbox.moov.timestamp_style = "unix"
        assert sandbox.moov.sign({})[0]["X-Timestamp"].isdigit()

    def test_the_first_secret_signs(self, sandbox: Sandbox) -> None:
        sandbox.ripio.webhook_secrets = ["new", "old"]
        assert sandbox.ripio.sign({}) == sandbox.ripio.sign({}, secret="new")
        assert sandbox.ripio.options()["webhook_secrets"] == ["new", "old"]


class TestEvents:
    def test_nothing_is_queued_without_an_address(self, sandbox: Sandbox) -> None:
        sandbox.ripio.register(sandbox.ripio.add_ticket())
        sandbox.moov.set_status(sandbox.moov.add_ticket(), "closed")
        assert sandbox.ripio.outgoing == sandbox.moov.outgoing == []
        assert sandbox.ripio.deliver_webhooks() == []
        with pytest.raises(RuntimeError, match="webhook_url"):
            sandbox.ripio.send_webhook({})

    def test_ripio(self, sandbox: Sandbox, receiver: Receiver) -> None:
        vendor = sandbox.ripio
        vendor.webhook_url = receiver.url
        bearer = ripio_bearer(vendor)
        first, second = (ripio_create(vendor, bearer).json["ticketId"] for _ in range(2))
        vendor.register(first)
        vendor.fail(second)
        assert [event.remote_id for event in vendor.outgoing] == [first, second]
        assert receiver.received == []
        assert vendor.deliver_webhooks() == [200, 200]
        assert [event["eventType"] for event in receiver.events] == [
            "SUPPORT_TICKET.CREATED",
            "SUPPORT_TICKET.FAILED",
        ]
        assert receiver.events[0]["supportTicket"] == {
            "ticketId": first,
            "status": "CREATED",
            "issueKey": "SUP-1",
        }
        headers, body = receiver.received[0]
        assert headers["path"] == "/hooks/?account=1"
        assert vendor.sign(body)[0]["Http-X-Wh-Signature-256"] == headers["Http-X-Wh-Signature-256"]
        assert vendor.outgoing == []

    def test_ripio_queues_when_time_has_come(self, sandbox: Sandbox, receiver: Receiver) -> None:
        sandbox.ripio.webhook_url = receiver.url
        sandbox.ripio.auto_register_after = 10
        remote_id = sandbox.ripio.add_ticket()
        sandbox.advance(11)
        assert [event.remote_id for event in sandbox.ripio.outgoing] == [remote_id]

    def test_moov(self, sandbox: Sandbox, receiver: Receiver) -> None:
        vendor = sandbox.moov
        vendor.webhook_url = receiver.url
        remote_id = moov_create(vendor, foreignID="ours").json["ticketID"]
        vendor.reply(remote_id, "Hello")
        vendor.set_status(remote_id, "on-hold")
        moov(vendor, "PATCH", f"/accounts/acct-1/tickets/{remote_id}", {"status": "closed"})
        vendor.deliver_webhooks()
        assert [event["type"] for event in receiver.events] == [
            "ticket.created",
            "ticket.messageAdded",
            "ticket.updated",
            "ticket.updated",
        ]
        data = {"accountID": "acct-1", "ticketID": remote_id, "foreignID": "ours"}
        assert receiver.events[0]["data"] == receiver.events[1]["data"] == data
        assert receiver.events[3]["data"] == data | {"status": "closed"}
        assert set(receiver.events[0]) == {"eventID", "type", "createdOn", "data"}

    def test_moov_may_announce_other_things(self, sandbox: Sandbox, receiver: Receiver) -> None:
        vendor = sandbox.moov
        vendor.webhook_url = receiver.url
        vendor.announce_create = vendor.announce_api_close = False
        vendor.announce_first_message = True
        remote_id = moov_create(vendor).json["ticketID"]
        moov(vendor, "PATCH", f"/accounts/acct-1/tickets/{remote_id}", {"status": "closed"})
        assert [event.payload["type"] for event in vendor.outgoing] == ["ticket.messageAdded"]


class TestDelivery:
    def test_duplicates_losses_and_disorder(self, sandbox: Sandbox, receiver: Receiver) -> None:
        vendor = sandbox.ripio
        vendor.webhook_url = receiver.url
        ids = [vendor.add_ticket() for _ in range(3)]
        vendor.process_pending()
        assert vendor.deliver_webhooks(duplicate=2, reverse=True, drop=1) == [200] * 4
        told = [event["supportTicket"]["ticketId"] for event in receiver.events]  # type: ignore[index]
        assert told == [ids[2], ids[2], ids[1], ids[1]]
        assert receiver.received[0] == receiver.received[1]
        assert vendor.deliver_webhooks() == []

    def test_some_come_late(self, sandbox: Sandbox, receiver: Receiver) -> None:
        vendor = sandbox.ripio
        vendor.webhook_url = receiver.url
        ids = [vendor.add_ticket() for _ in range(4)]
        vendor.process_pending()
        assert vendor.deliver_webhooks(drop=1, hold=2) == [200]
        assert vendor.deliver_webhooks(hold=3) == []
        assert vendor.deliver_webhooks(reverse=True) == [200, 200]
        told = [event["supportTicket"]["ticketId"] for event in receiver.events]  # type: ignore[index]
        assert told == [ids[1], ids[3], ids[2]]

    def test_copies_are_the_same_bytes(self, sandbox: Sandbox, receiver: Receiver) -> None:
        sandbox.moov.webhook_url = receiver.url
        receiver.status = 503
        assert sandbox.moov.send_webhook({"type": "event.test"}, copies=3, nonce="n") == [503] * 3
        assert receiver.received[0] == receiver.received[1] == receiver.received[2]
        assert receiver.received[0][0]["X-Nonce"] == "n"

    def test_no_answer_is_a_zero_and_the_ledger_knows(self, sandbox: Sandbox, receiver: Receiver) -> None:
        vendor = sandbox.ripio
        vendor.webhook_url = receiver.url
        remote_id = vendor.add_ticket()
        vendor.register(remote_id)
        vendor.deliver_webhooks()
        vendor.webhook_url = "http://127.0.0.1:1/"
        assert vendor.send_webhook(b"not json") == [0]
        delivered, lost = vendor.ledger
        assert (delivered.operation, delivered.path, delivered.status) == ("webhook", receiver.url, 200)
        assert (delivered.remote_id, delivered.committed) == (remote_id, False)
        assert "http-x-wh-signature-256" in delivered.headers
        assert (lost.status, lost.body, lost.path) == (None, b"not json", "http://127.0.0.1:1/")
