"""Ripio Ramps ("Skala"): tickets are created and looked at; all that follows happens by e-mail.

Facts from docs.ripio.com: the pages "Create Support Ticket" and "Retrieve Support Ticket" of the Ramps API, and
/ramps-api/authentication/acquire-access-token, /ramps-api/webhooks/introduction and
/ramps-api/webhooks/support-ticket-events.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Unpack

from django.utils.translation import gettext_noop

from django_support_tickets.exceptions import AccessDenied, Busy, ProviderError, Refused, WebhookRejected
from django_support_tickets.providers.base import CommonOptions
from django_support_tickets.providers.http import (
    HttpProvider,
    dict_of,
    file_part,
    loaded,
    raw_of,
    text_of,
    uuid_of,
    words_of,
)
from django_support_tickets.providers.signatures import check_age, first_header, sign_hmac, verify_hmac
from django_support_tickets.records import (
    AttachmentRules,
    Capabilities,
    Probe,
    Status,
    TicketDraft,
    TicketRecord,
    TicketRef,
    WebhookEvent,
)
from django_support_tickets.transport import (
    Answer,
    BytesBody,
    HeaderAuth,
    MultipartBody,
    Request,
    Token,
    clean_text,
    json_body,
    parse_json,
    path_id,
)

TICKETS = "/api/v1/supportTickets/"
OAUTH = "/oauth2/token/"
# "Retrieve Support Ticket". CREATED means registered with Ripio's desk; whether it was solved is never told.
STATUSES: Mapping[str, Status] = {"PENDING": Status.PENDING, "CREATED": Status.OPEN, "FAILED": Status.FAILED}
EVENT_TYPES = frozenset({"SUPPORT_TICKET.CREATED", "SUPPORT_TICKET.FAILED"})
EXTENSIONS = ("jpg", "jpeg", "png", "webp", "mp4", "mov", "avi", "webm", "pdf")

NOT_ENABLED = "20061"
# 40001 comes with a 403 in Ripio's own sample (docs.ripio.com/overview/introduction), not with a 401.
AUTHENTICATION_CODE = re.compile(r"400[0-9]{2}")

DEFAULT_LIFETIME = 300.0
LONGEST_LIFETIME = 36_000.0
NOBODY = "00000000-0000-0000-0000-000000000000"


class RipioProvider(HttpProvider):
    """An account at Ripio Ramps; each country account has its own credentials, secret and base URL.

    There is no idempotency key and no list, so a create whose answer was lost cannot be looked up.
    """

    def __init__(
        self,
        alias: str,
        *,
        base_url: str | Callable[[], str],
        client_id: str | Callable[[], str],
        client_secret: str | Callable[[], str],
        token_path: str = OAUTH,
        token_leeway: float = 60.0,
        file_field_name: str = "files",
        max_files: int = 5,
        max_file_bytes: int = 25_000_000,
        max_total_bytes: int = 50_000_000,
        allowed_extensions: Sequence[str] = EXTENSIONS,
        summary_max: int = 240,
        description_max: int = 5000,
        signature_headers: Sequence[str] = ("Http-X-Wh-Signature-256", "X-Wh-Signature-256"),
        require_sha256_prefix: bool = False,
        **common: Unpack[CommonOptions],
    ) -> None:
        common.setdefault("timeout", (5.0, 60.0))
        super().__init__(alias, base_url=base_url, **common)
        self._refuse_unless_text("client_id", client_id)
        self._refuse_unless_text("client_secret", client_secret)
        limits = {"max_files": max_files, "max_file_bytes": max_file_bytes, "max_total_bytes": max_total_bytes}
        limits |= {"summary_max": summary_max, "description_max": description_max}
        for name, value in limits.items():
            self._refuse_unless_positive(name, value)
        self._client_id = client_id
        self._client_secret = client_secret
        self.token_path = token_path
        self.token_leeway = token_leeway
        self.file_field_name = file_field_name
        self.signature_headers = tuple(signature_headers)
        self.require_sha256_prefix = require_sha256_prefix
        self._used = _TokenInUse()
        self.capabilities = capabilities_of(allowed_extensions, **limits)

    def get(self, ref: TicketRef) -> TicketRecord:
        path = f"{TICKETS}{path_id(ref.remote_id, operation='get', alias=self.alias)}/"
        answer = self.call("get", "GET", path)
        record = self._ticket(answer)
        if record.remote_id != ref.remote_id:
            raise self.not_understood(answer, "it is another ticket")
        return record

    def create(self, draft: TicketDraft) -> TicketRecord:
        name = self.file_field_name
        parts = tuple(file_part(file, name=name, content_type=file.content_type) for file in draft.files)
        body = MultipartBody(to_payload(draft), parts)
        deadline = self.upload_deadline if parts else self.deadline
        return self._ticket(self.call("create", "POST", TICKETS, body=body, key=draft.key, deadline=deadline))

    def probe(self) -> Probe:
        """Look for a ticket that cannot exist: credentials and the opt-in are proved by a 404."""
        with contextlib.suppress(Refused):
            self.call("probe", "GET", f"{TICKETS}{NOBODY}/")
        return Probe()

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvent:
        """Return the verified event; its identity is the SHA-256 of the body, since Ripio gives events no id.

        An event about something else than tickets names no remote id. Source: /ramps-api/webhooks/introduction.
        """
        verify_hmac(self.webhook_secrets(), body, self._given_digest(headers))
        event = _event_of(body)
        check_age(event.get("issueDatetime"), self.webhook_tolerance)
        event_type = text_of(event.get("eventType"))
        remote_id = uuid_of(dict_of(event.get("supportTicket")).get("ticketId")) if event_type in EVENT_TYPES else ""
        if event_type in EVENT_TYPES and not remote_id:
            raise WebhookRejected("the event names no ticket", status=400)
        identity = hashlib.sha256(body).hexdigest()
        return WebhookEvent(identity=identity, event_type=event_type[:64], remote_id=remote_id)

    def sign_webhook(self, secret: str | bytes) -> tuple[Mapping[str, str], bytes]:
        """Return a webhook of a type that Ripio does not have, which says nothing of any ticket."""
        event = {"eventType": "TEST", "issueDatetime": datetime.now(UTC).isoformat(), "id": str(uuid.uuid4())}
        body = b"".join(json_body(event))
        return {self.signature_headers[0]: sign_hmac(secret, body, prefix="sha256=")}, body

    def deadline_of(self, operation: str) -> float:
        """Return how many seconds a whole operation may take; files travel with the create."""
        return self.upload_deadline if operation == "create" else super().deadline_of(operation)

    def authorization(self) -> HeaderAuth:
        return self._bearer(stale=False)

    def renewed_authorization(self) -> HeaderAuth | None:
        return self._bearer(stale=True)

    def needs_new_token(self, answer: Answer) -> bool:
        return self._refuses_token(answer.status, answer.json_or_none() if answer.status == 403 else None)

    def denies_account(self, answer: Answer, code: str) -> bool:
        return self._refuses_token(answer.status, {"code": code}) or (answer.status == 403 and code == NOT_ENABLED)

    def read_error(self, data: Any) -> tuple[str, str] | None:
        """Read {"code", "type", "detail", "status"}, or the OAuth form {"error"} of the token endpoint."""
        if not isinstance(data, dict):
            return None
        code = text_of(data.get("code")) or text_of(data.get("error"))
        return code, words_of(data.get("detail")) or text_of(data.get("type")) or words_of(data)

    def _ticket(self, answer: Answer) -> TicketRecord:
        record = to_record(answer.json())
        if not record.remote_id:
            raise self.not_understood(answer, "it has no ticket id")
        return record

    @staticmethod
    def _refuses_token(status: int, data: Any) -> bool:
        code = text_of(dict_of(data).get("code"))
        return status == 401 or (status == 403 and AUTHENTICATION_CODE.fullmatch(code) is not None)

    def _bearer(self, *, stale: bool) -> HeaderAuth:
        account, identity = self.transport.account, hashlib.sha256(self._basic().encode()).hexdigest()
        self._used.token = account.token(identity, self._fetch_token, stale=self._used.token if stale else None)
        return HeaderAuth(f"Bearer {self._used.token}")

    def _basic(self) -> str:
        pair = f"{self.resolve('client_id', self._client_id)}:{self.resolve('client_secret', self._client_secret)}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def _fetch_token(self) -> Token:
        """Return a new access token. Source: /ramps-api/authentication/acquire-access-token."""
        started = time.monotonic()
        body = BytesBody(b"grant_type=client_credentials", "application/x-www-form-urlencoded")
        request = Request(operation="token", method="POST", path=self.token_path, body=body, deadline=self.deadline)
        answer = self.transport.send(request, auth=HeaderAuth(self._basic()))
        if not answer.ok:
            raise self._token_refusal(answer)
        token = to_token(answer.json(), started=started, leeway=self.token_leeway)
        if token is None:
            raise self.not_understood(answer, "it has no access token")
        return token

    def _token_refusal(self, answer: Answer) -> ProviderError:
        error = self.error_for(answer)
        if isinstance(error, (AccessDenied, Busy)) or not 400 <= answer.status < 500:
            return error
        return AccessDenied("the credentials are refused", **{**answer.facts, "code": error.code}, reason=error.reason)

    def _given_digest(self, headers: Mapping[str, str]) -> str:
        """Return the 64 hexadecimal digits of the first signature header there is, or ""."""
        # Not case by case: one flipped bit anywhere in the header must refuse it.
        value = first_header(headers, *self.signature_headers)
        match = re.fullmatch(r"(sha256=|SHA256=)?([0-9a-f]{64})", value.strip(" \t"))
        return match[2] if match and (match[1] or not self.require_sha256_prefix) else ""


def capabilities_of(
    extensions: Sequence[str],
    *,
    max_files: int,
    max_file_bytes: int,
    max_total_bytes: int,
    summary_max: int,
    description_max: int,
) -> Capabilities:
    """Return what an account can do; sizes in bytes, texts in characters."""
    return Capabilities(
        no_comment_reason=gettext_noop("Ripio answers the customer by email"),
        has_webhooks=True,
        attachments=AttachmentRules(
            moments=frozenset({"create"}),
            max_count=max_files,
            max_bytes=max_file_bytes,
            max_total_bytes=max_total_bytes,
            extensions=frozenset(extension.lower() for extension in extensions),
        ),
        subject_max=summary_max,
        description_max=description_max,
        required_fields=frozenset({"customer_id", "description"}),
        status_map=STATUSES,
        final_statuses=frozenset({Status.OPEN, Status.FAILED}),
        settled_statuses=frozenset({Status.OPEN, Status.FAILED}),
    )


class _TokenInUse(threading.local):
    """The access token with which this thread last called, so that a refused one is renewed only once."""

    token: str | None = None


def _event_of(body: bytes) -> dict[str, Any]:
    try:
        event = parse_json(body)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise WebhookRejected("the body is not a JSON object", status=400)
    return event


def to_record(data: Any) -> TicketRecord:
    """Return {"ticketId", "status", "issueKey"} as a record; its remote id is "" where there is no usable one."""
    ticket = dict_of(data)
    return TicketRecord(
        remote_id=uuid_of(ticket.get("ticketId")),
        reference=loaded(ticket, "issueKey", text_of),
        status=loaded(ticket, "status", lambda status: STATUSES.get(text_of(status), Status.UNKNOWN)),
        remote_status=loaded(ticket, "status", text_of),
        raw=raw_of(ticket),
    )


def to_payload(draft: TicketDraft) -> dict[str, str]:
    """Return the text parts of "Create Support Ticket"; `summary` is one line."""
    return {
        "customerId": clean_text(draft.customer_id),
        "summary": " ".join(clean_text(draft.subject).split()),
        "description": clean_text(draft.description),
    }


def to_token(data: Any, *, started: float, leeway: float) -> Token | None:
    """Return the access token of an answer asked for at `started` (monotonic), or None if there is none.

    The documentation writes `accessToken` and `expiresIn`; public clients read `access_token` and `expires_in`.
    """
    answer = dict_of(data)
    value = answer.get("accessToken") or answer.get("access_token")
    if not isinstance(value, str):
        return None
    seconds = lifetime_of(answer.get("expiresIn") or answer.get("expires_in"))
    return Token(value, expires_at=started + seconds - min(leeway, seconds / 2))


def lifetime_of(value: Any) -> float:
    """Return for how many seconds a token is good: the documented 36000 at most, 300 where it is not said."""
    seconds = text_of(value)
    number = float(seconds) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", seconds) else 0.0
    return min(number, LONGEST_LIFETIME) or DEFAULT_LIFETIME
