"""Webhooks of the vendors that send some: sign, queue, deliver over real HTTP."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import json
import time
import urllib.parse
from typing import Any

from django_support_tickets.testing.sandbox.ledger import BODY_KEPT, LedgerEntry
from django_support_tickets.testing.sandbox.wsgi import Site, VendorSandbox

TIMEOUT = 10.0


def compact(payload: dict[str, Any] | bytes) -> bytes:
    """Return the body as it goes over the wire: compact JSON, non-ASCII escaped; bytes stay as they are."""
    if isinstance(payload, bytes):
        return payload
    return json.dumps(payload, separators=(",", ":")).encode()


def key_of(secret: str | bytes) -> bytes:
    """Return a secret as the key of an HMAC."""
    return secret if isinstance(secret, bytes) else secret.encode()


@dataclasses.dataclass(frozen=True, slots=True)
class Outgoing:
    """An event waiting in `outgoing` for `deliver_webhooks`."""

    payload: dict[str, Any]
    remote_id: str


class WebhookVendor(VendorSandbox):
    """A fake vendor that signs and sends webhooks.

    With `webhook_url` set, changes of state queue their event in `outgoing`; nothing is sent before
    `deliver_webhooks()`. Every webhook sent is in the ledger under the operation `webhook`.
    """

    webhook_url: str | None = None
    default_secret = "sandbox-webhook-secret"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.webhook_secrets = [self.default_secret]
        self._outgoing: list[Outgoing] = []

    @property
    def outgoing(self) -> list[Outgoing]:
        """Return the live list of events not yet delivered."""
        self.settle()
        return self._outgoing

    def reset(self) -> None:
        super().reset()
        self.webhook_secrets = [self.default_secret]
        self._outgoing.clear()

    def announce(self, payload: dict[str, Any], remote_id: str) -> None:
        """Queue an event about a ticket in `outgoing`; nothing while `webhook_url` is not set."""
        if self.webhook_url:
            self._outgoing.append(Outgoing(payload, remote_id))

    def sign(self, *payload: Any, **signing: Any) -> tuple[dict[str, str], bytes]:
        """Return the headers and the body of a webhook as this vendor would send it."""
        raise NotImplementedError

    def send_webhook(self, payload: dict[str, Any] | bytes, *, copies: int = 1, **signing: Any) -> list[int]:
        """POST the signed event to `webhook_url`, `copies` times with the same bytes; return the statuses.

        A status of 0 means that no answer came. `signing` goes to `sign`. Raise RuntimeError without a `webhook_url`.
        """
        headers, body = self.sign(payload, **signing)
        return [self._post(headers, body, remote_id="") for _ in range(copies)]

    def deliver_webhooks(self, *, duplicate: int = 1, reverse: bool = False, drop: int = 0, hold: int = 0) -> list[int]:
        """Send what is queued; return the statuses.

        The first `drop` events are lost, the last `hold` stay queued and come late, by the next call. Each other one is
        sent `duplicate` times with the same bytes.
        """
        with self.lock:
            events = self.outgoing[drop:]
            sent = events[: max(len(events) - hold, 0)]
            self._outgoing[:] = events[len(sent) :]
        if reverse:
            sent.reverse()
        return [status for event in sent for status in self._send_event(event, duplicate)]

    def _send_event(self, event: Outgoing, copies: int) -> list[int]:
        headers, body = self.sign(event.payload)
        return [self._post(headers, body, remote_id=event.remote_id) for _ in range(copies)]

    def _post(self, headers: dict[str, str], body: bytes, *, remote_id: str) -> int:
        url, at = self.webhook_url, time.monotonic()
        if not url:
            raise RuntimeError(f"{self.name}: webhook_url is not set")
        try:
            status = _post(url, headers, body)
        except (OSError, http.client.HTTPException):
            status = 0
        self.record(
            LedgerEntry(
                sequence=0,
                at=at,
                operation="webhook",
                method="POST",
                path=url,
                headers={name.lower(): value for name, value in headers.items()},
                body=body[:BODY_KEPT],
                body_size=len(body),
                body_sha256=hashlib.sha256(body).hexdigest(),
                status=status or None,
                fault=None,
                committed=False,
                remote_id=remote_id,
            )
        )
        return status


def _post(url: str, headers: dict[str, str], body: bytes) -> int:
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        connection.request("POST", target, body=body, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()
