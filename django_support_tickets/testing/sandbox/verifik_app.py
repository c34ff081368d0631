"""Verifik's dialect "app": the older support-ticket-api page and the requests of Verifik's own web app."""

from __future__ import annotations

import collections
import html
import re
from typing import TYPE_CHECKING, Any

from django_support_tickets.testing.sandbox.verifik_listing import BadParameter, read_page
from django_support_tickets.testing.sandbox.wsgi import Call, Refusal, Reply, Ticket, json_reply

if TYPE_CHECKING:
    from django_support_tickets.testing.sandbox.verifik import VerifikSandbox

STATUSES = ("pending", "progress", "resolved", "cancelled")
CATEGORIES = ("billing", "integration", "smartCheck", "smartScan", "smartEnroll", "smartAccess", "other")
CHANGEABLE = ("title", "category", "status", "subject", "api")
STAFF_ONLY = ("assignee", "issueUrl")


class AppDialect:
    """Answer in shape B: `{"data": ...}`, threads as documents, errors as `{code, message}`."""

    def __init__(self, vendor: VerifikSandbox) -> None:
        self.vendor = vendor

    def read(self, call: Call) -> Reply:
        return json_reply({"data": self._shown(self._find(call), call.query.get("populates", []))})

    def list_page(self, call: Call) -> Reply:
        try:
            page = read_page(self.vendor, call, ("status", "category"))
        except BadParameter as error:
            return self.vendor.error(self.vendor.bad_parameter_status, "BadRequest", str(error))
        if not page.rows:
            return self.vendor.error(404, "NotFound", "support tickets not found")
        populates = call.query.get("populates", [])
        if self.vendor.rows_carry_threads:
            populates = [*populates, "threads"]
        answer: dict[str, Any] = {"data": [self._shown(ticket, populates) for ticket in page.rows]}
        answer |= {"limit": page.limit, "page": page.page, "pages": page.pages, "total": page.total}
        if call.query.get("countByStatus") == ["true"]:
            answer["counts"] = self._counts()
        return json_reply(answer)

    def create(self, call: Call) -> Reply:
        return self.vendor.not_found(call)

    def insert(self, call: Call) -> Reply:
        draft = self.vendor.read_json(call)
        title = self._text(draft, "title", self.vendor.title_max)
        category = self._text(draft, "category", 100)
        if category not in CATEGORIES:
            raise self._bad("category is not valid")
        threads = draft.get("threads")
        if not isinstance(threads, list) or not threads:
            raise self._bad("threads is required")
        messages = [self._message(thread) for thread in threads]
        ticket = self.vendor.store_ticket(
            title=title, category=category, **self._smart_check(draft, category), threads=[]
        )
        ticket["threads"].clear()
        for message, files in messages:
            self.vendor.add_thread(ticket, message, author=self.vendor.client_id, kind="user", files=files)
        call.changed(ticket["_id"])
        return json_reply({"data": self._shown(ticket, [])}, 201)

    def comment(self, call: Call) -> Reply:
        ticket = self._find(call)
        message, files = self._message(self.vendor.read_json(call))
        author = self.vendor.client_id
        thread = self.vendor.add_thread(ticket, message, author=author, kind="user", files=files)
        call.changed(ticket["_id"])
        return json_reply({"data": self._thread(ticket, thread, [])}, 201)

    def update(self, call: Call) -> Reply:
        ticket = self._find(call)
        changes = self.vendor.read_json(call)
        if any(name in changes for name in STAFF_ONLY):
            return self.vendor.failure(403)
        status = changes.get("status", ticket["status"])
        if status not in (*STATUSES, ticket["status"]):
            raise self._bad("status is not valid")
        ticket |= {name: changes[name] for name in CHANGEABLE if name in changes}
        self.vendor.apply_status(ticket, status)
        call.changed(ticket["_id"])
        return json_reply({"status": "completed"})

    def delete(self, call: Call) -> Reply:
        ticket = self._find(call)
        self.vendor.remove([ticket["_id"]])
        call.changed(ticket["_id"])
        return json_reply({"status": "completed"})

    def delete_many(self, call: Call) -> Reply:
        """`POST /bulk` deletes, whatever its name suggests."""
        ids = self.vendor.read_json(call).get("ids")
        if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
            raise self._bad("ids is required")
        self.vendor.remove(ids)
        call.changed(",".join(ids))
        return json_reply({"status": "completed"})

    # What was sent.

    def _find(self, call: Call) -> Ticket:
        ticket = self.vendor.get_ticket(call["ticket"])
        if ticket is None:
            raise Refusal(self.vendor.error(404, "NotFound", "support ticket not found"))
        call.concerns(ticket["_id"])
        return ticket

    def _bad(self, message: str) -> Refusal:
        return Refusal(self.vendor.error(400, "BadRequest", message))

    def _text(self, draft: dict[str, Any], name: str, most: int) -> str:
        value = draft.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self._bad(f"{name} is required")
        if len(value) > most:
            raise self._bad(f"{name} is longer than {most}")
        return value

    def _smart_check(self, draft: dict[str, Any], category: str) -> dict[str, Any]:
        """Return subject and api, which category smartCheck requires (create dialog of the web app)."""
        given = {name: draft.get(name) for name in ("subject", "api")}
        if category == "smartCheck":
            given = {
                "subject": self._text(draft, "subject", self.vendor.subject_max),
                "api": self._text(draft, "api", 400),
            }
        return given

    def _message(self, thread: Any) -> tuple[str, list[str]]:
        if not isinstance(thread, dict):
            raise self._bad("a thread is an object")
        message = self._text(thread, "message", 10 * self.vendor.message_max)
        # The web app limits what its user writes, and sends it as HTML; more is not known.
        if len(html.unescape(re.sub("<[^>]*>", "", message))) > self.vendor.message_max:
            raise self._bad(f"message is longer than {self.vendor.message_max}")
        files = thread.get("attachments") or []
        if not isinstance(files, list) or not all(file in self.vendor.files for file in files):
            raise self._bad("attachments is not a list of attachment ids")
        if len(files) > self.vendor.max_files:
            raise self._bad(f"more than {self.vendor.max_files} attachments")
        return message, files

    # What is shown.

    def _counts(self) -> dict[str, int]:
        counts = collections.Counter(ticket["status"] for ticket in self.vendor.newest_first())
        closed = counts["resolved"] + counts["cancelled"] + counts["closed"]
        return {"all": counts.total(), "open": counts.total() - closed, "closed": closed}

    def _shown(self, ticket: Ticket, populates: list[str]) -> dict[str, Any]:
        """Show a ticket; threads are ids unless asked for (support-ticket.service.ts of the web app)."""
        joined = any(name.split(".")[0] == "threads" for name in populates)
        threads: list[Any] = [thread["_id"] for thread in ticket["threads"]]
        if joined:
            threads = [self._thread(ticket, thread, populates) for thread in ticket["threads"]]
        names = ("_id", "number", "title", "subject", "status", "category", "api", "createdAt", "updatedAt")
        shown = {name: ticket[name] for name in names}
        shown |= {"client": self._client("client" in populates), "assignee": ticket["assignedTo"]}
        return shown | {"issueUrl": None, "threads": threads}

    def _client(self, joined: bool) -> Any:
        identity = self.vendor.client_id
        if joined:
            return {"_id": identity, "name": "Sandbox Client", "email": "client@example.com"}
        return identity

    def _thread(self, ticket: Ticket, thread: dict[str, Any], populates: list[str]) -> dict[str, Any]:
        by_agent = thread["type"] != "user"
        files = thread["attachments"]
        if "threads.attachments" in populates:
            files = [self.vendor.files.document(file) for file in files if file in self.vendor.files]
        agent = (
            {"_id": thread["author"], "name": "Sandbox Agent"}
            if "threads.superAdmin" in populates
            else thread["author"]
        )
        return {
            "_id": thread["_id"],
            "message": thread["message"],
            "client": None if by_agent else self._client("threads.client" in populates),
            "superAdmin": agent if by_agent else None,
            "supportTicket": ticket["_id"],
            "seenAt": None,
            "attachments": files,
            "createdAt": thread["at"],
            "updatedAt": thread["at"],
        }
