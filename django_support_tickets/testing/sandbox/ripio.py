"""A fake Ripio Ramps support desk, after docs.ripio.com (ramps-api: support tickets, webhooks, tokens)."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from typing import Any

from django_support_tickets.testing.sandbox.clock import stamp
from django_support_tickets.testing.sandbox.multipart import MalformedMultipart, Part, read_parts
from django_support_tickets.testing.sandbox.webhooks import WebhookVendor, compact, key_of
from django_support_tickets.testing.sandbox.wsgi import Call, Refusal, Reply, Route, Site, Ticket, json_reply

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "mp4", "mov", "avi", "webm", "pdf")


class RipioSandbox(WebhookVendor):
    """Ripio: create and retrieve, both authorised by a short-lived token; the rest happens by e-mail.

    A stored ticket has `ticketId`, `status`, `issueKey`, which the API shows, and `customerId`, `summary`,
    `description`, `files` (name, content_type, size, sha256), which it does not.
    """

    name = "ripio"
    id_key = "ticketId"
    text_key = "issueKey"
    default_secret = "sandbox-ripio-webhook-secret"
    CUSTOMER = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
    CUSTOMER_WITHOUT_EMAIL = "7f3b0a52-64f1-4a63-9d35-0a5a2f1b7c11"

    client_id = "sandbox-ripio-client"
    client_secret = "sandbox-ripio-secret"
    # Support tickets are opt-in; False answers 403 with code 20061.
    enabled: bool = True
    # "camel" as documented (accessToken, expiresIn), "snake" as public clients read it.
    token_style: str = "camel"
    token_lifetime: int = 36000
    # Register a PENDING ticket this many seconds after creation, or at this many GETs of it; None = by hand.
    auto_register_after: float | None = None
    auto_register_after_gets: int | None = None

    # Limits of the create page; whether MB means 10^6 is undocumented.
    summary_max = 240
    description_max = 5000
    max_files = 5
    max_file_bytes = 25_000_000
    max_total_bytes = 50_000_000
    extensions: tuple[str, ...] = _EXTENSIONS

    # Undocumented, so settable: names of the file part, unknown parts, line ends in a summary, error codes.
    file_field_names: tuple[str, ...] = ("files",)
    refuse_unknown_parts: bool = True
    refuse_multiline_summary: bool = False
    unauthenticated_status: int = 401
    file_limit_status: int = 400
    validation_error: tuple[int, str] = (20000, "ValidationError")
    customer_error: tuple[int, str] = (20000, "ValidationError")
    not_found_error: tuple[int, str] = (40004, "NotFound")

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._tokens: dict[str, datetime.datetime] = {}
        self._reads: dict[str, int] = {}
        self._issued = 0
        self.customers: dict[str, str | None] = {}
        self._add_built_in_customers()

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/api/v1/supportTickets/{ticket_id}/", "get", self._read)
        yield Route("POST", "/api/v1/supportTickets/", "create", self._create)
        yield Route("POST", "/oauth2/token/", "token", self._issue_token)

    def options(self) -> dict[str, Any]:
        """Return the OPTIONS of a provider that talks to this vendor."""
        return {
            "base_url": self.base_url,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "webhook_secrets": list(self.webhook_secrets),
        }

    def reset(self) -> None:
        super().reset()
        self._reads.clear()
        self._issued = 0
        self.customers.clear()
        self._add_built_in_customers()

    def _add_built_in_customers(self) -> None:
        self.customers |= {self.CUSTOMER: "customer@example.com", self.CUSTOMER_WITHOUT_EMAIL: None}

    # What Ripio's staff does.

    def add_customer(self, customer_id: str, email: str | None = "customer@example.com") -> None:
        """Make a customer known; without an e-mail address its tickets are refused with 400 (create page)."""
        self.customers[customer_id.lower()] = email

    def add_ticket(self, summary: str = "Seen elsewhere", **fields: Any) -> str:
        """Store a PENDING ticket that did not come over HTTP; return its id."""
        with self.lock:
            return str(self._store(summary=summary, **fields)["ticketId"])

    def register(self, remote_id: str) -> str:
        """Move a ticket to CREATED with the next issue key; return the key and queue its webhook."""
        with self.lock:
            self._issued += 1
            key = f"SUP-{self._issued}"
            self._finish(remote_id, "CREATED", key)
            return key

    def fail(self, remote_id: str) -> None:
        """Move a ticket to FAILED and queue its webhook."""
        with self.lock:
            self._finish(remote_id, "FAILED", None)

    def process_pending(self) -> list[str]:
        """Register every PENDING ticket; return their ids."""
        with self.lock:
            pending = [key for key, ticket in self.tickets.items() if ticket["status"] == "PENDING"]
            for remote_id in pending:
                self.register(remote_id)
            return pending

    def expire_tokens(self) -> None:
        """Make every access token issued so far invalid."""
        with self.lock:
            self._tokens.clear()

    def _finish(self, remote_id: str, status: str, issue_key: str | None) -> None:
        self.change(remote_id, status=status, issueKey=issue_key)
        self.announce(self.event(remote_id), remote_id)

    def event(self, remote_id: str) -> dict[str, Any]:
        """Return the webhook body of a ticket's present state (support-ticket-events page)."""
        ticket = self._tickets[remote_id]
        return {
            "eventType": f"SUPPORT_TICKET.{ticket['status']}",
            "issueDatetime": stamp(self.now(), "milliseconds"),
            "supportTicket": _shown(ticket),
        }

    def sign(
        self,
        payload: dict[str, Any] | bytes,
        *,
        secret: str | bytes | None = None,
        header: str = "Http-X-Wh-Signature-256",
    ) -> tuple[dict[str, str], bytes]:
        """Return headers and body; HMAC-SHA256 covers the raw body (docs.ripio.com webhooks/introduction)."""
        body = compact(payload)
        key = self.webhook_secrets[0] if secret is None else secret
        digest = hmac.new(key_of(key), body, hashlib.sha256).hexdigest()
        return {"Content-Type": "application/json", header: f"sha256={digest}"}, body

    # Tokens (acquire-access-token page).

    def _issue_token(self, call: Call) -> Reply:
        given = call.header("Authorization")
        if not hmac.compare_digest(given.encode(), self._basic().encode()):
            return json_reply({"error": "invalid_client"}, 401)
        if call.header("Content-Type").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            return json_reply({"error": "invalid_request"}, 400)
        if call.form().get("grant_type") != "client_credentials":
            return json_reply({"error": "unsupported_grant_type"}, 400)
        token = secrets.token_urlsafe(24)
        self._tokens[token] = self.now() + datetime.timedelta(seconds=self.token_lifetime)
        return json_reply(self._token_answer(token))

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()

    def _token_answer(self, token: str) -> dict[str, Any]:
        names = {
            "camel": ("accessToken", "expiresIn", "tokenType"),
            "snake": ("access_token", "expires_in", "token_type"),
        }[self.token_style]
        return {
            **dict(zip(names, (token, self.token_lifetime, "Bearer"), strict=True)),
            "scope": "read write",
        }

    def _authorise(self, call: Call) -> None:
        scheme, _, token = call.header("Authorization").partition(" ")
        expiry = self._tokens.get(token)
        if scheme.lower() != "bearer" or expiry is None or expiry <= self.now():
            raise Refusal(self.failure(401))
        if not self.enabled:
            message = "Support tickets are not enabled for this account."
            raise Refusal(_envelope(403, 20061, "SupportTicketsNotEnabledException", message))

    # Tickets.

    def _read(self, call: Call) -> Reply:
        self._authorise(call)
        ticket = self._tickets.get(call["ticket_id"])
        if ticket is None:
            return self.not_found(call)
        call.concerns(ticket["ticketId"])
        self._count_read(ticket)
        return json_reply(_shown(ticket))

    def _count_read(self, ticket: Ticket) -> None:
        if self.auto_register_after_gets is None or ticket["status"] != "PENDING":
            return
        remote_id = ticket["ticketId"]
        self._reads[remote_id] = self._reads.get(remote_id, 0) + 1
        if self._reads[remote_id] >= self.auto_register_after_gets:
            self.register(remote_id)

    def _create(self, call: Call) -> Reply:
        self._authorise(call)
        try:
            parts = read_parts(call.stream, call.header("Content-Type"), keep=4 * self.description_max + 1000)
            fields = self._fields(parts)
        except MalformedMultipart as error:
            raise Refusal(self.malformed(str(error))) from error
        files = [part for part in parts if part.filename is not None]
        self._check_fields(fields)
        self._check_files(files)
        ticket = self._store(
            customerId=fields["customerId"],
            summary=fields["summary"],
            description=fields["description"],
            files=[_file(part) for part in files],
        )
        call.changed(ticket["ticketId"])
        return json_reply(_shown(ticket), 202)

    def _fields(self, parts: list[Part]) -> dict[str, str]:
        fields: dict[str, str] = {}
        known = ("customerId", "summary", "description")
        for part in parts:
            if part.filename is not None:
                if self.refuse_unknown_parts and part.name not in self.file_field_names:
                    raise Refusal(self._invalid(f"Unexpected file part {part.name!r}."))
            elif part.name in fields or (self.refuse_unknown_parts and part.name not in known):
                raise Refusal(self._invalid(f"Unexpected part {part.name!r}."))
            else:
                fields[part.name] = part.text
        return fields

    def _check_fields(self, fields: dict[str, str]) -> None:
        for name, most in (
            ("customerId", 36),
            ("summary", self.summary_max),
            ("description", self.description_max),
        ):
            if not fields.get(name, "").strip():
                raise Refusal(self._invalid(f"{name}: This field is required."))
            if len(fields[name]) > most:
                raise Refusal(self._invalid(f"{name}: Ensure this field has no more than {most} characters."))
        if self.refuse_multiline_summary and "\n" in fields["summary"]:
            raise Refusal(self._invalid("summary: This field must be one line."))
        if not _UUID.fullmatch(fields["customerId"]):
            raise Refusal(self._invalid("customerId: Must be a valid UUID."))
        if not self.customers.get(fields["customerId"].lower()):
            message = "The customer does not exist or has no email address on file."
            raise Refusal(_envelope(400, *self.customer_error, message))

    def _check_files(self, files: list[Part]) -> None:
        if len(files) > self.max_files:
            raise Refusal(self._file_refused(f"files: No more than {self.max_files} files."))
        for part in files:
            extension = (part.filename or "").rpartition(".")[2].lower()
            if extension not in self.extensions:
                raise Refusal(self._invalid(f"files: File extension {extension!r} is not allowed."))
            if part.size > self.max_file_bytes:
                raise Refusal(self._file_refused("files: A file is too large."))
        if sum(part.size for part in files) > self.max_total_bytes:
            raise Refusal(self._file_refused("files: The files are too large in total."))

    def _store(self, **fields: Any) -> Ticket:
        remote_id = self.new_uuid()
        ticket = {"ticketId": remote_id, "status": "PENDING", "issueKey": None}
        ticket |= {"customerId": self.CUSTOMER, "summary": "", "description": "", "files": []} | fields
        if self.auto_register_after is not None:
            self.later(self.auto_register_after, lambda: self._register_if_pending(remote_id))
        return self.store(remote_id, ticket)

    def _register_if_pending(self, remote_id: str) -> None:
        if remote_id in self._tickets and self._tickets[remote_id]["status"] == "PENDING":
            self.register(remote_id)

    # Errors (envelope of the terms-and-conditions and overview pages).

    def failure(self, status: int) -> Reply:
        if status == 401:
            status = self.unauthenticated_status
            message = "Authentication credentials were not provided."
            return _envelope(status, 40001, "NotAuthenticated", message, code="not_authenticated")
        if status == 404:
            return _envelope(404, *self.not_found_error, "Not found.")
        if status >= 500:
            return Reply(status, b"<html><body><h1>Error</h1></body></html>", [("Content-Type", "text/html")])
        return _envelope(status, status * 100, "ApiException", "The request was refused.")

    def malformed(self, reason: str) -> Reply:
        return _envelope(400, 20001, "ParseError", reason)

    def _invalid(self, message: str) -> Reply:
        return _envelope(400, *self.validation_error, message)

    def _file_refused(self, message: str) -> Reply:
        return _envelope(self.file_limit_status, *self.validation_error, message)


def _shown(ticket: Ticket) -> dict[str, Any]:
    return {key: ticket[key] for key in ("ticketId", "status", "issueKey")}


def _file(part: Part) -> dict[str, Any]:
    return {
        "name": part.filename,
        "content_type": part.content_type,
        "size": part.size,
        "sha256": part.sha256,
    }


def _envelope(http_status: int, number: int, kind: str, message: str, **detail: str) -> Reply:
    body = {"code": number, "type": kind, "detail": {"message": message, **detail}, "status": http_status}
    return json_reply(body, http_status)
