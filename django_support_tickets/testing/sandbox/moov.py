"""A fake Moov support desk, after docs.moov.io (api/tools/support) and the official moovio-sdk 26.8.6."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Any

from django_support_tickets.testing.sandbox.clock import stamp
from django_support_tickets.testing.sandbox.moov_cursors import cursor_after, start_of_page
from django_support_tickets.testing.sandbox.moov_tokens import MoovTokens, client_credentials
from django_support_tickets.testing.sandbox.webhooks import WebhookVendor, compact, key_of
from django_support_tickets.testing.sandbox.wsgi import (
    Call,
    Refusal,
    Reply,
    Route,
    Site,
    Ticket,
    json_reply,
    restore_defaults,
)

_VERSION = re.compile(r"v\d{4}\.\d{2}\.\d{2}")
_SHOWN = (
    "ticketID",
    "number",
    "title",
    "contact",
    "status",
    "createdOn",
    "updatedOn",
    "latestMessageOn",
    "closedOn",
    "foreignID",
)


class MoovSandbox(WebhookVendor):
    """Moov: create, list, get, close and read messages, per account; nothing else exists.

    A stored ticket has the keys of the API's ticket plus `accountID` and `messages` (author, body, sentOn),
    the first of which is the body sent at creation.
    """

    name = "moov"
    id_key = "ticketID"
    text_key = "title"
    request_id_header: str | None = "x-request-id"
    default_secret = "whsec_sandbox"

    public_key = "sandbox-moov-public"
    secret_key = "sandbox-moov-secret"
    webhook_id = "5f0c2a9e-6b1d-4f0a-9a3c-1d2e3f405162"
    # The accounts this vendor knows; the first is the partner's own, the others are connected to it.
    accounts: tuple[str, ...] = ("acct-1", "acct-2")

    default_count = 200
    max_count = 1000
    # Undocumented, so settable: lengths, uniqueness of foreignID, closing twice, and some statuses.
    title_max: int | None = None
    body_max: int | None = None
    foreign_id_max: int | None = None
    unique_foreign_id: bool = False
    close_twice_status: int = 200
    unknown_account_status: int = 403
    bad_cursor_status: int = 400
    # Tickets came with v2025.07.00; what an older or no version gets is undocumented. True answers 404.
    refuse_old_versions: bool = False
    # Undocumented: which changes made over the API itself fire an event.
    announce_create: bool = True
    announce_api_close: bool = True
    announce_first_message: bool = False
    # X-Timestamp of webhooks: "rfc3339" or "unix"; undocumented.
    timestamp_style: str = "rfc3339"

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.tokens = MoovTokens(self)
        self._number = 0

    def routes(self) -> Iterable[Route]:
        tickets = "/accounts/{account}/tickets"
        yield Route("GET", f"{tickets}/{{ticket}}", "get", self._read)
        yield Route("POST", tickets, "create", self._create)
        yield Route("GET", tickets, "list", self._list)
        yield Route("PATCH", f"{tickets}/{{ticket}}", "close", self._close)
        yield Route("GET", f"{tickets}/{{ticket}}/messages", "messages", self._messages)
        yield Route("POST", "/oauth2/token", "token", lambda call: self.tokens.issue(call))
        yield Route("POST", "/oauth2/revoke", "token", lambda call: self.tokens.revoke(call))

    def options(self) -> dict[str, Any]:
        """Return the OPTIONS of a provider that talks to this vendor."""
        return {
            "base_url": self.base_url,
            "public_key": self.public_key,
            "secret_key": self.secret_key,
            "webhook_secrets": list(self.webhook_secrets),
            "accounts": list(self.accounts),
        }

    def reset(self) -> None:
        super().reset()
        restore_defaults(self.tokens)
        self._number = 0

    # What Moov's staff and the account holder do.

    def add_ticket(self, account: str = "acct-1", *, status: str = "new", **fields: Any) -> str:
        """Store a ticket that somebody else made; return its id.

        `fields` are those of a create: title, body, contact, author, foreignID.
        """
        with self.lock:
            ticket = self._store(account, {"title": "Seen elsewhere", "body": "Body", **fields})
            if status != "new":
                self._set_status(ticket, status)
            return str(ticket["ticketID"])

    def reply(self, remote_id: str, body: str, author: str = "Moov Support") -> None:
        """Add a message to a ticket and queue `ticket.messageAdded`."""
        with self.lock:
            ticket = self._tickets[remote_id]
            self._add_message(ticket, author, body)
            self._announce("ticket.messageAdded", ticket)

    def set_status(self, remote_id: str, status: str) -> None:
        """Set new, in-progress, on-hold or closed (or any other text) and queue `ticket.updated`."""
        with self.lock:
            self._set_status(self._tickets[remote_id], status)
            self._announce("ticket.updated", self._tickets[remote_id])

    def expire_tokens(self) -> None:
        """Make every access token issued so far invalid; Basic is not affected."""
        self.tokens.expire()

    def event(self, kind: str, remote_id: str) -> dict[str, Any]:
        """Return the webhook body of a ticket event (sdk components/webhookevent.py)."""
        ticket = self._tickets[remote_id]
        data = {"accountID": ticket["accountID"], "ticketID": remote_id}
        if kind == "ticket.updated":
            data["status"] = ticket["status"]
        if ticket.get("foreignID"):
            data["foreignID"] = ticket["foreignID"]
        return {"eventID": self.new_uuid(), "type": kind, "createdOn": self.stamp(), "data": data}

    def _announce(self, kind: str, ticket: Ticket) -> None:
        if self.webhook_url:
            self.announce(self.event(kind, ticket["ticketID"]), ticket["ticketID"])

    def sign(
        self,
        payload: dict[str, Any] | bytes,
        *,
        secret: str | bytes | None = None,
        timestamp: str | None = None,
        nonce: str | None = None,
        webhook_id: str | None = None,
    ) -> tuple[dict[str, str], bytes]:
        """Return headers and body; HMAC-SHA512 covers timestamp, nonce and webhook id, not the body.

        Source: docs.moov.io guides/webhooks/check-webhook-signatures.
        """
        signed = (timestamp or self._timestamp(), nonce or self.new_uuid(), webhook_id or self.webhook_id)
        key = self.webhook_secrets[0] if secret is None else secret
        digest = hmac.new(key_of(key), "|".join(signed).encode(), hashlib.sha512).hexdigest()
        names = ("X-Timestamp", "X-Nonce", "X-Webhook-ID", "X-Signature")
        headers = dict(zip(names, (*signed, digest), strict=True))
        return {"Content-Type": "application/json", **headers}, compact(payload)

    def _timestamp(self) -> str:
        return stamp(self.now()) if self.timestamp_style == "rfc3339" else str(int(self.now().timestamp()))

    # Who may (X-Moov-Version, Basic or bearer with scopes).

    def _admit(self, call: Call, verb: str) -> str:
        """Return the account of the request's path, or refuse as Moov documents."""
        self._check_version(call.header("X-Moov-Version"))
        account = call["account"]
        scheme, _, credentials = call.header("Authorization").partition(" ")
        if scheme.lower() == "bearer":
            scopes = self.tokens.scopes_of(credentials)
            if scopes is None:
                raise Refusal(self.failure(401))
            if not self._scopes_allow(scopes, account, verb):
                raise Refusal(self.failure(403))
        elif not self.knows_client(*client_credentials(call)):
            raise Refusal(self.failure(401))
        if account not in self.accounts:
            raise Refusal(self.failure(self.unknown_account_status))
        return account

    def knows_client(self, public_key: str, secret_key: str) -> bool:
        return (public_key, secret_key) == (self.public_key, self.secret_key)

    def _check_version(self, version: str) -> None:
        malformed = version and not _VERSION.fullmatch(version)
        if malformed or (self.refuse_old_versions and version < "v2025.07.00"):
            raise Refusal(self.failure(404))

    def _scopes_allow(self, scopes: frozenset[str], account: str, verb: str) -> bool:
        own = self.accounts[0] if self.accounts else account
        needed = {f"/accounts/{own}/tickets.{verb}"}
        if account != own:
            needed.add(f"/accounts/{account}/profile.read")
        return needed <= scopes

    def _find(self, call: Call, account: str) -> Ticket:
        ticket = self._tickets.get(call["ticket"])
        if ticket is None or ticket["accountID"] != account:
            raise Refusal(self.failure(404))
        call.concerns(ticket["ticketID"])
        return ticket

    # The five operations.

    def _create(self, call: Call) -> Reply:
        account = self._admit(call, "write")
        draft = self.read_json(call)
        if errors := self._errors(draft):
            return json_reply(errors, 422)
        foreign_id = draft.get("foreignID")
        if self.unique_foreign_id and foreign_id and self._with_foreign_id(account, foreign_id):
            return json_reply({"error": "foreignID is already in use"}, 409)
        ticket = self._store(account, draft)
        call.changed(ticket["ticketID"])
        if self.announce_create:
            self._announce("ticket.created", ticket)
        if self.announce_first_message:
            self._announce("ticket.messageAdded", ticket)
        return json_reply(_shown(ticket))

    def _errors(self, draft: dict[str, Any]) -> dict[str, Any]:
        errors: dict[str, Any] = {}
        rules = (("title", True, self.title_max), ("body", True, self.body_max))
        for name, required, most in (
            *rules,
            ("author", False, None),
            ("foreignID", False, self.foreign_id_max),
        ):
            if problem := _text_problem(draft.get(name), required=required, most=most):
                errors[name] = problem
        contact = draft.get("contact")
        if not isinstance(contact, dict) or _text_problem(contact.get("email"), required=True, most=None):
            errors["contact"] = {"email": "must be a valid email address"}
        elif problem := _text_problem(contact.get("name"), required=False, most=None):
            errors["contact"] = {"name": problem}
        return errors

    def _with_foreign_id(self, account: str, foreign_id: str) -> bool:
        """Return whether an account has a ticket with this foreignID, also one that lists do not show yet."""
        tickets = self._tickets.values()
        return any((row["accountID"], row.get("foreignID")) == (account, foreign_id) for row in tickets)

    def _store(self, account: str, draft: dict[str, Any]) -> Ticket:
        self._number += 1
        now = self.stamp()
        contact = {"email": "customer@example.com"} | dict(draft.get("contact") or {})
        ticket = {
            "ticketID": self.new_uuid(),
            "number": self._number,
            "title": draft["title"],
            "contact": {key: contact[key] for key in ("email", "name") if contact.get(key)},
            "status": "new",
            "createdOn": now,
            "updatedOn": now,
            "accountID": account,
            "messages": [],
        }
        if draft.get("foreignID"):
            ticket["foreignID"] = draft["foreignID"]
        author = draft.get("author") or contact.get("name") or contact["email"]
        self._add_message(ticket, author, draft["body"])
        return self.store(ticket["ticketID"], ticket)

    def _add_message(self, ticket: Ticket, author: str, body: str) -> None:
        now = self.stamp()
        ticket["messages"].append({"author": author, "body": body, "sentOn": now})
        ticket["latestMessageOn"] = ticket["updatedOn"] = now
        self.touched()

    def _list(self, call: Call) -> Reply:
        account = self._admit(call, "read")
        query = {name: values[0] for name, values in call.query.items()}
        status, foreign_id = query.get("status"), query.get("foreignID")
        wanted = (account, status, foreign_id)
        rows = self.listing(wanted, lambda: self._newest_first(*wanted))
        try:
            start = start_of_page(rows, query.get("cursor", ""))
        except ValueError:
            return json_reply({"error": "invalid cursor"}, self.bad_cursor_status)
        page = rows[start : start + self._count(query.get("count", ""))]
        answer: dict[str, Any] = {"items": [_shown(ticket) for ticket in page]}
        if start + len(page) < len(rows):
            answer["nextPage"] = {"cursor": cursor_after(page[-1])}
        return json_reply(answer)

    def _newest_first(self, account: str, status: str | None, foreign_id: str | None) -> list[Ticket]:
        return [
            ticket
            for ticket in self.newest_first()
            if ticket["accountID"] == account
            and status in (None, ticket["status"])
            and foreign_id in (None, ticket.get("foreignID"))
        ]

    def _count(self, asked: str) -> int:
        if not (asked.isascii() and asked.isdigit() and int(asked) > 0):
            return self.default_count
        return min(int(asked), self.max_count)

    def _read(self, call: Call) -> Reply:
        return json_reply(_shown(self._find(call, self._admit(call, "read"))))

    def _messages(self, call: Call) -> Reply:
        return json_reply(self._find(call, self._admit(call, "read"))["messages"])

    def _close(self, call: Call) -> Reply:
        ticket = self._find(call, self._admit(call, "write"))
        status = self.read_json(call).get("status", ticket["status"])
        if status == ticket["status"] == "closed" and self.close_twice_status != 200:
            return json_reply({"error": "ticket is already closed"}, self.close_twice_status)
        if status not in ("closed", ticket["status"]):
            return json_reply({"status": "must be closed"}, 422)
        if status != ticket["status"]:
            self._set_status(ticket, status)
            call.changed(ticket["ticketID"])
            if self.announce_api_close:
                self._announce("ticket.updated", ticket)
        return json_reply(_shown(ticket))

    def _set_status(self, ticket: Ticket, status: str) -> None:
        ticket["status"] = status
        ticket["updatedOn"] = self.stamp()
        ticket.pop("closedOn", None)
        if status == "closed":
            ticket["closedOn"] = ticket["updatedOn"]
        self.touched()

    # Errors: 401, 403, 404, 429 and 5xx have no documented body.

    def failure(self, status: int) -> Reply:
        return Reply(status)

    def not_found(self, call: Call) -> Reply:
        """Return 403 for a path with a version in it (support.moov.io, 403 troubleshooting), else 404."""
        return self.failure(403 if call.path.startswith("/v1/") else 404)

    def malformed(self, reason: str) -> Reply:
        return json_reply({"error": reason}, 400)

    def records(self, payload: Any) -> list[Any]:
        if isinstance(payload, dict) and "items" in payload:
            return list(payload["items"])
        return super().records(payload)


def _shown(ticket: Ticket) -> dict[str, Any]:
    return {key: ticket[key] for key in _SHOWN if key in ticket}


def _text_problem(value: Any, *, required: bool, most: int | None) -> str:
    if value is None or value == "":
        return "is required" if required else ""
    if not isinstance(value, str):
        return "must be a string"
    if most is not None and len(value) > most:
        return f"must be at most {most} characters"
    return ""
