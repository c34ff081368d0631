"""What the tests of webhooks share: the sheets' vectors, two accounts, and a way to the view that costs little."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils import timezone

from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.models import Ticket, WebhookDelivery
from django_support_tickets.providers import Provider
from django_support_tickets.providers.ripio import RipioProvider
from django_support_tickets.records import Capabilities, TicketDraft, TicketRecord, TicketRef, WebhookEvent
from django_support_tickets.webhooks import SHORTEST_INTERVAL, receive

# docs.ripio.com, /ramps-api/webhooks/introduction; the digest was computed apart from this code.
RIPIO_SECRET = "test-webhook-secret"
RIPIO_ID = "11111111-2222-4333-8444-555555555555"
RIPIO_BODY = (
    b'{"eventType":"SUPPORT_TICKET.CREATED","issueDatetime":"2026-01-02T03:04:05.000Z","supportTicket":'
    b'{"ticketId":"11111111-2222-4333-8444-555555555555","status":"CREATED","issueKey":"SUP-1"}}'
)
RIPIO_SIGNATURE = "sha256=66cb1f1ea4b0db25ea856b9c192bd7ec6489ebe769a7a3097ee41025c9397f88"
RIPIO_HEADERS = {"Http-X-Wh-Signature-256": RIPIO_SIGNATURE}

# docs.moov.io, /guides/webhooks/check-webhook-signatures; the same.
MOOV_SECRET = "whsec_test"
MOOV_ID = "ec7e1848-dc80-4ab0-8827-dd7fc0737b43"
MOOV_HEADERS = {
    "X-Timestamp": "2024-01-26T20:42:25Z",
    "X-Nonce": "nonce-1",
    "X-Webhook-ID": "webhook-1",
    "X-Signature": (
        "ae354f8ffbf98e55ea9354ffe71cdf1b7e93a9ee64a03d500d8dfc923c12db81"
        "b8096ac1e9d950636e3f047191949f7b4a395de695cd32e78c1e418e741b188e"
    ),
}
MOOV_EVENT = {
    "eventID": "event-1",
    "type": "ticket.updated",
    "createdOn": "2024-01-26T20:42:25Z",
    "data": {"accountID": "acct-1", "ticketID": MOOV_ID, "status": "closed"},
}
MOOV_BODY = json.dumps(MOOV_EVENT, separators=(",", ":")).encode()

VECTORS = {"ripio": (RIPIO_HEADERS, RIPIO_BODY), "moov": (MOOV_HEADERS, MOOV_BODY)}
#: Nobody listens there: a call to a vendor would fail.
NOWHERE = "http://127.0.0.1:9"

_factory = RequestFactory()
_numbers = itertools.count(1)

Headers = Mapping[str, str]


def accounts(**options: Any) -> dict[str, Any]:
    """Return SUPPORT_TICKETS_PROVIDERS with accounts at the two vendors that send webhooks, and one that does not."""
    backends = "django_support_tickets.providers"
    ripio = {"base_url": NOWHERE, "client_id": "id", "client_secret": "secret", "webhook_secrets": [RIPIO_SECRET]}
    moov = {"base_url": NOWHERE, "token": "t", "webhook_secrets": [MOOV_SECRET]}
    return {
        "ripio": {"BACKEND": f"{backends}.ripio.RipioProvider", "OPTIONS": {**ripio, **options}},
        "moov": {"BACKEND": f"{backends}.moov.MoovProvider", "OPTIONS": {**moov, **options}},
        "local": {"BACKEND": f"{backends}.local.LocalProvider"},
    }


def address(alias: str) -> str:
    return f"/support-tickets/webhooks/{alias}/"


def deliver(alias: str, headers: Headers, body: bytes) -> HttpResponse:
    """Hand a POST to the view, without middleware, and let the answer leave."""
    request = _factory.post(address(alias), body, content_type="application/json", headers=dict(headers))
    answer = receive(request, alias)
    leave(answer)
    return answer


def leave(answer: HttpResponse) -> None:
    """Do as a server that has sent the answer."""
    with kept_connections():
        answer.close()


@contextlib.contextmanager
def kept_connections() -> Iterator[None]:
    """Keep a test's own database connection, as Django's test client does, over the end of a request."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)


def ripio_signed(body: bytes, *, secret: str = RIPIO_SECRET) -> tuple[dict[str, str], bytes]:
    """Return the headers and body of a webhook of Ripio's."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"Http-X-Wh-Signature-256": f"sha256={digest}"}, body


def ripio_event(remote_id: str = RIPIO_ID, **fields: Any) -> bytes:
    """Return the body of a Ripio event that no other test has sent."""
    ticket = {"ticketId": remote_id, "status": "CREATED", "issueKey": f"SUP-{next(_numbers)}"}
    event = {"eventType": "SUPPORT_TICKET.CREATED", "issueDatetime": "2026-01-02T03:04:05Z", "supportTicket": ticket}
    return json.dumps({**event, **fields}, separators=(",", ":")).encode()


def moov_signed(body: bytes = MOOV_BODY, *, nonce: str = "", timestamp: str = "") -> tuple[dict[str, str], bytes]:
    """Return the headers and body of a webhook of Moov's, with a fresh nonce where none is given."""
    signed = (timestamp or "2024-01-26T20:42:25Z", nonce or f"nonce-of-{next(_numbers)}", "webhook-1")
    digest = hmac.new(MOOV_SECRET.encode(), "|".join(signed).encode(), hashlib.sha512).hexdigest()
    return dict(zip(MOOV_HEADERS, (*signed, digest), strict=True)), body


def moov_event(remote_id: str = MOOV_ID, account: str = "acct-1") -> bytes:
    return json.dumps({**MOOV_EVENT, "data": {"accountID": account, "ticketID": remote_id}}).encode()


def ticket(alias: str, remote_id: str | None, **values: Any) -> Ticket:
    """Store a ticket that is at its vendor, was fetched an hour ago and is not due for another."""
    now = timezone.now()
    known = {"provider": alias, "remote_id": remote_id, "subject": "Subject", "description": "Description"}
    times = {"submitted_at": now, "synced_at": now - timedelta(hours=1), "next_poll_at": now + timedelta(hours=1)}
    return Ticket.objects.bulk_create([Ticket(**{**known, **times, "delivery": "delivered", **values})])[0]


def is_due(one: Ticket) -> bool:
    one.refresh_from_db()
    return one.next_poll_at is not None and one.next_poll_at <= timezone.now()


def waits_for_its_interval(one: Ticket, fetched_at: datetime) -> bool:
    """Return whether a hint has made the ticket due, but not before its last fetch is an interval ago."""
    one.refresh_from_db()
    rounding = timedelta(milliseconds=2)
    earliest, latest = fetched_at + SHORTEST_INTERVAL - rounding, timezone.now() + SHORTEST_INTERVAL
    return one.next_poll_at is not None and earliest <= one.next_poll_at <= latest


def everything() -> list[Any]:
    """Return all that a webhook could have changed."""
    return [list(Ticket.objects.order_by("pk").values()), list(WebhookDelivery.objects.order_by("pk").values())]


def flipped(data: bytes, position: int) -> bytes:
    """Return `data` with one bit turned round."""
    changed = bytearray(data)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


class CustomProvider(Provider):
    """A user's provider; the tests say what its `parse_webhook` does."""

    capabilities = Capabilities(has_webhooks=True)
    parse: Callable[[Mapping[str, str], bytes], Any]

    def __init__(self, alias: str, *, required: str = "") -> None:
        super().__init__(alias)
        if required == "broken":
            raise InvalidProvider("Provider 'custom': required is broken")
        if required == "nonsense":
            raise ValueError("SENSITIVE")

    def get(self, ref: TicketRef) -> TicketRecord:
        raise NotImplementedError

    def create(self, draft: TicketDraft) -> TicketRecord:
        raise NotImplementedError

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvent:
        event: WebhookEvent = type(self).parse(headers, body)
        return event


class EarlyRipio(RipioProvider):
    """Ripio, whose webhook comes before its answer to the create has been stored."""

    meanwhile: Callable[[TicketRecord], None]

    def create(self, draft: TicketDraft) -> TicketRecord:
        record = super().create(draft)
        type(self).meanwhile(record)
        return record
