"""A fake Verifik support desk in both shapes that Verifik documents: dialect "docs" and dialect "app"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django_support_tickets.testing.sandbox.verifik_app import AppDialect
from django_support_tickets.testing.sandbox.verifik_docs import DocsDialect
from django_support_tickets.testing.sandbox.verifik_files import VerifikFiles
from django_support_tickets.testing.sandbox.verifik_tokens import VerifikTokens
from django_support_tickets.testing.sandbox.wsgi import (
    Call,
    Reply,
    Route,
    Site,
    Ticket,
    VendorSandbox,
    json_reply,
    restore_defaults,
)


class VerifikSandbox(VendorSandbox):
    """Verifik: create, list, get; in dialect "app" also reply, PUT, delete and files with an expiry.

    A stored ticket has the keys of both dialects (`_id`, `number`, `title`, `subject`, `description`,
    `status`, `priority`, `category`, `client`, `assignedTo`, `tags`, `resolution`, `resolvedAt`, `createdAt`,
    `updatedAt`, `api`, `attachments`, `threads`); a thread has `_id`, `author`, `type`, `message`, `at`,
    `attachments`. What the API shows of it depends on `dialect`, which may be set at any time.
    """

    name = "verifik"
    id_key = "_id"
    text_key = "title"

    timespec = "milliseconds"
    # "docs" (docs.verifik.co, current pages) or "app" (older page and Verifik's web app).
    dialect: str = "docs"
    client_id = "client_123456789"
    agent_id = "agent_123456789"
    prefix = "/v2/support-tickets"

    # Undocumented, so settable. Status of a create in dialect docs (its page labels the example 200).
    create_status: int = 200
    upload_status: int = 201
    # Which query parameter sets the page size: the docs say `limit`, a sibling product reads `perPage`.
    page_size_parameter: str = "limit"
    default_limit: int = 20
    max_limit: int = 100
    # Whether filters are honoured at all; a client must filter again anyway.
    honour_filters: bool = True
    # Dialect app: an older page shows list rows with threads, the web app's code with bare thread ids.
    rows_carry_threads: bool = False
    bad_parameter_status: int = 400
    # Limits of Verifik's own web app; the server's are undocumented.
    title_max: int = 200
    message_max: int = 20_000
    subject_max: int = 400
    max_files: int = 10

    def __init__(self, site: Site) -> None:
        self.tokens = VerifikTokens(self)
        self.files = VerifikFiles(self)
        self._dialects: dict[str, DocsDialect | AppDialect] = {
            "docs": DocsDialect(self),
            "app": AppDialect(self),
        }
        super().__init__(site)
        self.token = self.tokens.new(months=1)
        self._number = 0

    def routes(self) -> Iterable[Route]:
        ticket = f"{self.prefix}/{{ticket}}"
        yield Route("GET", ticket, "get", lambda call: self._speak(call).read(call))
        yield Route("GET", self.prefix, "list", lambda call: self._speak(call).list_page(call))
        yield Route("POST", self.prefix, "create", lambda call: self._speak(call).create(call))
        yield Route("POST", f"{self.prefix}/insert", "create", lambda call: self._speak(call).insert(call))
        yield Route("POST", f"{self.prefix}/bulk", "delete", lambda call: self._speak(call).delete_many(call))
        yield Route("POST", f"{ticket}/thread", "comment", lambda call: self._speak(call).comment(call))
        yield Route("PUT", ticket, "close", lambda call: self._speak(call).update(call))
        yield Route("DELETE", ticket, "delete", lambda call: self._speak(call).delete(call))
        yield from self.files.routes()
        yield from self.tokens.routes()

    def options(self) -> dict[str, Any]:
        """Return the OPTIONS of a provider that talks to this vendor in its present dialect."""
        return {
            "base_url": self.base_url,
            "token": self.token,
            "write_dialect": self.dialect,
            "attachment_hosts": [self.site.url.rpartition("/")[2].rpartition(":")[0]],
        }

    def reset(self) -> None:
        super().reset()
        restore_defaults(self.tokens)
        restore_defaults(self.files)
        self.tokens.revive(self.token)
        self.files.clear()
        self._number = 0

    def _speak(self, call: Call) -> DocsDialect | AppDialect:
        self.tokens.authorise(call)
        return self._dialects[self.dialect]

    # What Verifik's staff does.

    def add_ticket(self, title: str = "Seen elsewhere", **fields: Any) -> str:
        """Store a ticket that somebody else made, with any stored field; return its id."""
        with self.lock:
            return str(self.store_ticket(title=title, **fields)["_id"])

    def reply(
        self, remote_id: str, body: str, *, kind: str = "agent", attachments: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Add a thread by an agent (or kind "user", "system"); `attachments` come from `add_file`."""
        with self.lock:
            ticket = self._tickets[remote_id]
            for attachment in attachments:
                self.attach(ticket, attachment)
            author = self.client_id if kind == "user" else self.agent_id
            files = [attachment["_id"] for attachment in attachments]
            self.add_thread(ticket, body, author=author, kind=kind, files=files)

    def set_status(self, remote_id: str, status: str, *, resolution: str | None = None) -> None:
        """Set any status; resolved and closed also set `resolvedAt`, and a resolution where one is given."""
        with self.lock:
            self.apply_status(self._tickets[remote_id], status)
            if resolution is not None:
                self._tickets[remote_id]["resolution"] = resolution

    def add_file(
        self, filename: str, content: bytes, content_type: str = "text/plain", *, expires_in_days: float = 0
    ) -> dict[str, Any]:
        """Host a file at the vendor without a request; return its attachment with `_id` and `url`."""
        with self.lock:
            return self.files.host(filename, content, content_type, days=expires_in_days)

    def expire_tokens(self) -> None:
        """Expire every token: 403 `expired_token` from now on, until `renew_token()`."""
        self.tokens.expire()

    def renew_token(self) -> str:
        """Issue a new `token` as an operator would; return it."""
        self.token = self.tokens.new(months=1)
        return self.token

    # Tickets, as both dialects store them.

    def store_ticket(self, **fields: Any) -> Ticket:
        self._number += 1
        now = self.stamp()
        docs = self.dialect == "docs"
        ticket: Ticket = {
            "_id": f"support_ticket_{123456788 + self._number}" if docs else self.new_object_id(),
            "number": self._number,
            "title": "",
            "subject": None,
            "description": "",
            "status": "open" if docs else "pending",
            "priority": "medium",
            "category": "technical" if docs else "other",
            "api": None,
            "client": self.client_id,
            "assignedTo": None,
            "tags": [],
            "attachments": [],
            "threads": [],
            "resolution": None,
            "resolvedAt": None,
            "createdAt": now,
            "updatedAt": now,
        }
        ticket |= fields
        if not ticket["threads"]:
            self.add_thread(ticket, ticket["description"], author=ticket["client"], kind="user", files=[])
        return self.store(ticket["_id"], ticket)

    def add_thread(
        self, ticket: Ticket, message: str, *, author: str, kind: str, files: Sequence[str]
    ) -> dict[str, Any]:
        now = self.stamp()
        thread = {
            "_id": self.new_object_id(),
            "author": author,
            "type": kind,
            "message": message,
            "at": now,
            "attachments": list(files),
        }
        ticket["threads"].append(thread)
        ticket["updatedAt"] = now
        self.touched()
        return thread

    def attach(self, ticket: Ticket, attachment: dict[str, Any]) -> None:
        ticket["attachments"].append(
            {
                "filename": attachment["name"],
                "url": attachment["url"],
                "size": attachment["size"],
                "type": attachment["type"],
            }
        )

    def apply_status(self, ticket: Ticket, status: str) -> None:
        ticket["status"] = status
        ticket["updatedAt"] = self.stamp()
        ticket["resolvedAt"] = ticket["updatedAt"] if status in ("resolved", "closed") else None
        self.touched()

    def get_ticket(self, remote_id: str) -> Ticket | None:
        return self._tickets.get(remote_id)

    def remove(self, remote_ids: Iterable[str]) -> None:
        for remote_id in remote_ids:
            self._tickets.pop(remote_id, None)
            self._stored_at.pop(remote_id, None)
        self.touched()

    def new_object_id(self) -> str:
        return f"{self._random.getrandbits(96):024x}"

    # Errors: the docs say {code, message} on most pages, tickets in dialect docs have their own.

    def failure(self, status: int) -> Reply:
        codes = {
            401: "Unauthorized",
            403: "Forbidden",
            404: "NotFound",
            409: "Conflict",
            429: "TooManyRequests",
        }
        code = codes.get(status, "BadRequest" if status < 500 else "InternalServerError")
        return self.error(status, code, code)

    def error(self, status: int, code: str, message: str) -> Reply:
        """Return the third error shape: the code in PascalCase, the text in `message`."""
        return json_reply({"code": code, "message": message}, status)

    def malformed(self, reason: str) -> Reply:
        return self.error(400, "BadRequest", reason)

    def records(self, payload: Any) -> list[Any]:
        data = payload.get("data", payload) if isinstance(payload, dict) else payload
        return super().records(data)
