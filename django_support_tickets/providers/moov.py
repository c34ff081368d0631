"""Moov: tickets belong to a Moov account; Moov answers that account directly, and its messages can only be read.

Facts from docs.moov.io: /api/tools/support (its pages create, list, get, update and list messages),
/api/version-reference, /api/rate-limits and /guides/webhooks/check-webhook-signatures; and from Moov's own clients,
`moovio-sdk` 26.8.6 (PyPI) and github.com/moovfinancial/moov-go.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Unpack

from django.utils.translation import gettext, gettext_noop

from django_support_tickets.exceptions import RemoteNotFound, WebhookRejected
from django_support_tickets.providers.base import CommonOptions
from django_support_tickets.providers.http import (
    HttpProvider,
    dict_of,
    id_of,
    list_of,
    own_key,
    text_of,
    words_of,
)
from django_support_tickets.providers.moov_records import STATUSES, to_event, to_payload, to_record
from django_support_tickets.providers.signatures import check_age, first_header, sign_hmac, verify_hmac
from django_support_tickets.records import (
    ABSENT,
    Capabilities,
    Found,
    Page,
    Probe,
    TicketDraft,
    TicketRecord,
    TicketRef,
    WebhookEvent,
)
from django_support_tickets.transport import Answer, HeaderAuth, json_body, path_id

# The 422 of create and update mirrors the request, with a text for each bad field (moovio-sdk, errors/).
ERROR_FIELDS = frozenset({"title", "body", "author", "contact", "foreignID", "status"})

# A malformed version is answered with 404, as a missing ticket is (/api/tools/support/get), so it is checked here.
VERSION = re.compile(r"v\d{4}\.\d{2}\.\d{2}", re.ASCII)
FIRST_VERSION_WITH_TICKETS = "v2025.07.00"

PAGE_SIZE = 200
PAGES_MAX = 200
SIGNED_HEADERS, SIGNATURE_HEADER = ("X-Timestamp", "X-Nonce", "X-Webhook-ID"), "X-Signature"
# Printable ASCII without "|", which joins the signed parts: with it inside, one signature would fit several splits.
SIGNED_PART = re.compile(r"[\x20-\x7b\x7d-\x7e]{1,200}")

Secret = str | Callable[[], str]


class MoovProvider(HttpProvider):
    """An account at Moov, by API keys or by a bearer `token`; give one of the two.

    `customer_id` is the accountID that a ticket belongs to; `accounts` are those to walk for tickets even while none of
    ours is open there. The ticket's key travels as `foreignID`, by which a create whose answer was lost is found again.
    """

    bodiless_errors = frozenset({401, 403, 404, 429, 500, 504})

    def __init__(
        self,
        alias: str,
        *,
        public_key: Secret = "",
        secret_key: Secret = "",
        token: Secret = "",
        accounts: Sequence[str] = (),
        api_version: str = "v2026.07.00",
        base_url: str | Callable[[], str] = "https://api.moov.io",
        **common: Unpack[CommonOptions],
    ) -> None:
        # Per IP address and account; 10 per second for test accounts (/api/rate-limits).
        common.setdefault("rate", 40.0)
        super().__init__(alias, base_url=base_url, **common)
        self._refuse_bad_credentials(public_key=public_key, secret_key=secret_key, token=token)
        self._refuse_bad_version(api_version)
        if isinstance(accounts, str) or not all(map(id_of, accounts)):
            raise self.invalid("accounts must be a list of Moov account ids")
        self._public_key = public_key
        self._secret_key = secret_key
        self._token = token
        self.accounts = tuple(accounts)
        self.api_version = api_version
        # 409 proves nothing: on create it is documented without a reason, and whether foreignID is unique is not said,
        # so the search decides; on close it may mean that the ticket is closed already, so a look at it decides.
        self.capabilities = Capabilities(
            can_list=True,
            lists_by_customer=True,
            can_find=self.reference,
            no_comment_reason=gettext_noop("Moov answers the account directly; its messages can only be read."),
            can_close=True,
            has_webhooks=True,
            required_fields=frozenset({"customer_id", "contact_email", "description"}),
            sent_fields=frozenset({"contact"}),
            status_map=STATUSES,
            option_names=frozenset({"author"}),
        )

    def get(self, ref: TicketRef) -> TicketRecord:
        path = self._path("get", ref.customer_id, ref.remote_id)
        answer = self.call("get", "GET", path)
        ticket = self._ticket(answer, ref=ref)
        return to_record(ticket, self._messages(path), customer_id=ref.customer_id)

    def create(self, draft: TicketDraft) -> TicketRecord:
        body = json_body(to_payload(draft, foreign_id=draft.key if self.reference else ""))
        answer = self.call("create", "POST", self._path("create", draft.customer_id), body=body, key=draft.key)
        record = to_record(self._ticket(answer), customer_id=draft.customer_id)
        if self.reference and record.key and record.key != own_key(draft.key):
            raise self.not_understood(answer, "it is another ticket")
        return record

    def list_changed(self, scope: str, cursor: str | None) -> Page:
        """Return one page of the tickets of account `scope`; there is no filter by time and no promised order."""
        rows, next_cursor = self._listing("list", scope, cursor=cursor)
        records = (to_record(row, customer_id=scope) for row in rows)
        return Page(records=tuple(record for record in records if record.remote_id), next_cursor=next_cursor)

    def scopes(self, customer_ids: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.accounts, *customer_ids)))

    def find(self, draft: TicketDraft) -> Found:
        """Return the tickets of the draft's account whose foreignID is its key.

        The search is complete when all pages were read and every row showed an id and a foreignID to be judged by.
        """
        key, found = own_key(draft.key), dict[str, TicketRecord]()
        cursor, is_complete = None, True
        for _page in range(PAGES_MAX):
            rows, cursor = self._listing("find", draft.customer_id, cursor=cursor, foreign_id=draft.key)
            records = [to_record(row, customer_id=draft.customer_id) for row in rows]
            found |= {record.remote_id: record for record in records if record.remote_id and record.key == key}
            is_complete &= all(id_of(row.get("ticketID")) and row.get("foreignID") for row in rows)
            if cursor is None:
                return Found(records=tuple(found.values()), complete=is_complete)
        return Found(records=tuple(found.values()), complete=False)

    def close(self, ref: TicketRef) -> TicketRecord:
        path = self._path("close", ref.customer_id, ref.remote_id)
        answer = self.call("close", "PATCH", path, body=json_body({"status": "closed"}))
        return to_record(self._ticket(answer, ref=ref), customer_id=ref.customer_id)

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvent:
        """Return the verified event; its identity is the nonce.

        The signature covers X-Timestamp, X-Nonce and X-Webhook-ID, not the body: a captured set of headers fits any
        body, so the nonce counts once and the body is a hint. Source: /guides/webhooks/check-webhook-signatures.
        """
        signed = tuple(first_header(headers, name) for name in SIGNED_HEADERS)
        if not all(map(SIGNED_PART.fullmatch, signed)):
            raise WebhookRejected("a signed header is missing or malformed", status=400)
        signature = first_header(headers, SIGNATURE_HEADER)
        verify_hmac(self.webhook_secrets(), "|".join(signed).encode(), signature, digest="sha512")
        check_age(signed[0], self.webhook_tolerance)
        return to_event(body, nonce=signed[1])

    def sign_webhook(self, secret: str | bytes) -> tuple[Mapping[str, str], bytes]:
        """Return the webhook that Moov's dashboard sends as a ping, "event.test"."""
        now, nonce = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), str(uuid.uuid4())
        signed = (now, nonce, "support-tickets-test")
        signature = sign_hmac(secret, "|".join(signed).encode(), digest="sha512")
        headers = dict(zip((*SIGNED_HEADERS, SIGNATURE_HEADER), (*signed, signature), strict=True))
        return headers, b"".join(
            json_body({"eventID": nonce, "type": "event.test", "createdOn": now, "data": {"ping": True}})
        )

    def probe(self) -> Probe:
        """List one ticket of the first of `accounts`."""
        if not self.accounts:
            warning = gettext("Not asked: the option accounts names no account whose tickets could be listed.")
            return Probe(warnings=(warning,))
        self._listing("probe", self.accounts[0], cursor=None, count=1)
        return Probe()

    def authorization(self) -> HeaderAuth:
        if self._token:
            return HeaderAuth(f"Bearer {self.resolve('token', self._token)}")
        return HeaderAuth(
            basic(self.resolve("public_key", self._public_key), self.resolve("secret_key", self._secret_key))
        )

    def headers(self) -> Mapping[str, str]:
        return {"X-Moov-Version": self.api_version}

    def read_error(self, data: Any) -> tuple[str, str] | None:
        """Read {"error": text}, or a text by field, of which `contact` is a map itself."""
        error = dict_of(data)
        if isinstance(error.get("error"), str):
            return "", error["error"]
        complaints = words_of({name: value for name, value in error.items() if name in ERROR_FIELDS})
        return ("", complaints) if complaints else None

    def is_bodiless(self, answer: Answer) -> bool:
        """Return whether it is an error without a documented body: an empty one, or any that bears Moov's request id.

        Moov's pages promise x-request-id for these errors and say nothing about their bodies, which may be plain text.
        """
        return super().is_bodiless(answer) or (answer.status in self.bodiless_errors and bool(answer.request_id))

    def _path(self, operation: str, account: str, remote_id: str | None = None) -> str:
        path = f"/accounts/{path_id(account, operation=operation, alias=self.alias)}/tickets"
        if remote_id is None:
            return path
        return f"{path}/{path_id(remote_id, operation=operation, alias=self.alias)}"

    def _ticket(self, answer: Answer, *, ref: TicketRef | None = None) -> dict[str, Any]:
        """Return the ticket in a 2xx answer; raise Ambiguous if it is none or another one."""
        ticket = dict_of(answer.json())
        if not id_of(ticket.get("ticketID")):
            raise self.not_understood(answer, "it has no ticket id")
        if ref is not None and ticket["ticketID"] != ref.remote_id:
            raise self.not_understood(answer, "it is another ticket")
        return ticket

    def _messages(self, ticket_path: str) -> list[Any] | None:
        """Return the messages; None if Moov does not know them, which is not documented for a ticket that it shows."""
        try:
            answer = self.call("get", "GET", f"{ticket_path}/messages")
        except RemoteNotFound:
            return None
        # Moov's services are written in Go, which writes an empty list as null.
        messages = answer.json()
        if messages is not None and not isinstance(messages, list):
            raise self.not_understood(answer, "it is no list of messages")
        return messages or []

    def _listing(
        self, operation: str, account: str, *, cursor: str | None, foreign_id: str = "", count: int = PAGE_SIZE
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return the rows of a page and the cursor of the next; the filter is repeated with every cursor."""
        query = {"cursor": cursor or "", "count": str(count), "foreignID": foreign_id}
        params = tuple((name, value) for name, value in query.items() if value)
        answer = self.call(operation, "GET", self._path(operation, account), params=params)
        listing = dict_of(answer.json())
        items = listing.get("items", ABSENT)
        if items is not None and not isinstance(items, list):
            raise self.not_understood(answer, "it is no page of tickets")
        next_page = listing.get("nextPage")
        next_cursor = text_of(dict_of(next_page).get("cursor"))
        if next_page and next_cursor in ("", cursor):
            raise self.not_understood(answer, "its cursor leads nowhere")
        return [dict_of(row) for row in list_of(items)], next_cursor or None

    def _refuse_bad_credentials(self, *, public_key: Secret, secret_key: Secret, token: Secret) -> None:
        if token and (public_key or secret_key):
            raise self.invalid("give public_key and secret_key or token, not both")
        if token:
            self._refuse_unless_text("token", token)
        elif public_key or secret_key:
            self._refuse_unless_text("public_key", public_key)
            self._refuse_unless_text("secret_key", secret_key)
        else:
            raise self.invalid("public_key and secret_key, or token, must be given")

    def _refuse_bad_version(self, version: Any) -> None:
        if not isinstance(version, str) or not VERSION.fullmatch(version) or version < FIRST_VERSION_WITH_TICKETS:
            raise self.invalid(f"api_version must be {FIRST_VERSION_WITH_TICKETS} or later, not {version!r}")


def basic(public_key: str, secret_key: str) -> str:
    """Return the value of the Authorization header for API keys."""
    return f"Basic {base64.b64encode(f'{public_key}:{secret_key}'.encode()).decode()}"
