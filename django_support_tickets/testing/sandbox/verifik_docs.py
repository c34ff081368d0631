"""Verifik's dialect "docs": the current ticket pages of docs.verifik.co (create, list, retrieve)."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

from django_support_tickets.testing.sandbox.verifik_listing import BadParameter, read_page
from django_support_tickets.testing.sandbox.wsgi import Call, Reply, Ticket, json_reply

if TYPE_CHECKING:
    from django_support_tickets.testing.sandbox.verifik import VerifikSandbox

STATUSES = ("open", "pending", "in_progress", "resolved", "closed")
PRIORITIES = ("low", "medium", "high", "urgent")
CATEGORIES = ("technical", "billing", "account", "feature_request", "general")
FILTERS = ("status", "category", "priority")


class DocsDialect:
    """Answer in shape A: `{"success": true, "data": ...}`, threads inline and without ids."""

    def __init__(self, vendor: VerifikSandbox) -> None:
        self.vendor = vendor

    def read(self, call: Call) -> Reply:
        ticket = self.vendor.get_ticket(call["ticket"])
        if ticket is None:
            return _error(404, "Support ticket not found", "SUPPORT_TICKET_NOT_FOUND")
        call.concerns(ticket["_id"])
        return json_reply({"success": True, "data": _full(ticket)})

    def list_page(self, call: Call) -> Reply:
        for name, known in zip(FILTERS, (STATUSES, CATEGORIES, PRIORITIES), strict=True):
            if any(value not in known for value in call.query.get(name, ())):
                return self._bad_parameter(f"Invalid {name}")
        try:
            page = read_page(self.vendor, call, FILTERS)
        except BadParameter as error:
            return self._bad_parameter(str(error))
        pagination = {"page": page.page, "limit": page.limit, "total": page.total, "pages": page.pages}
        answer = {"success": True, "data": [_row(ticket) for ticket in page.rows], "pagination": pagination}
        if call.query.get("countByStatus") == ["true"]:
            counts = collections.Counter(ticket["status"] for ticket in self.vendor.newest_first())
            answer["counts"] = {status: counts[status] for status in STATUSES}
        return json_reply(answer)

    def create(self, call: Call) -> Reply:
        draft = self.vendor.read_json(call)
        if problem := _problem(draft):
            return problem
        given = {name: draft[name] for name in ("title", "description", "priority", "category")}
        ticket = self.vendor.store_ticket(
            **given, tags=list(draft.get("tags") or []), attachments=list(draft.get("attachments") or [])
        )
        call.changed(ticket["_id"])
        return json_reply({"success": True, "data": _full(ticket)}, self.vendor.create_status)

    def insert(self, call: Call) -> Reply:
        return self.vendor.not_found(call)

    # Reply, PUT, delete: the current pages document none of them.
    comment = update = delete = delete_many = insert

    def _bad_parameter(self, message: str) -> Reply:
        body = {"success": False, "error": message, "code": "INVALID_PARAMETERS"}
        return json_reply(body, self.vendor.bad_parameter_status)


def _error(status: int, text: str, code: str) -> Reply:
    """Return the error shape of the retrieve and create pages: the code stands in `message`."""
    return json_reply({"error": text, "message": code}, status)


def _problem(draft: dict[str, Any]) -> Reply | None:
    for name in ("title", "description", "priority", "category"):
        if not isinstance(draft.get(name), str) or not draft[name].strip():
            return _error(400, f"{name.capitalize()} is required", f"{name.upper()}_REQUIRED")
    if draft["priority"] not in PRIORITIES:
        return _error(400, "Invalid priority", "INVALID_PRIORITY")
    if draft["category"] not in CATEGORIES:
        return _error(400, "Invalid category", "INVALID_CATEGORY")
    if not all(isinstance(tag, str) for tag in draft.get("tags") or []):
        return _error(400, "Invalid tags", "INVALID_TAGS")
    if not all(_is_attachment(item) for item in draft.get("attachments") or []):
        return _error(400, "Invalid attachments", "INVALID_ATTACHMENTS")
    return None


def _is_attachment(item: Any) -> bool:
    return isinstance(item, dict) and all(isinstance(item.get(name), str) for name in ("url", "filename"))


def _seconds(moment: str | None) -> str | None:
    """Cut the milliseconds: this dialect's samples have whole seconds."""
    return f"{moment[:19]}Z" if moment and len(moment) == 24 else moment


def _row(ticket: Ticket) -> dict[str, Any]:
    names = ("_id", "title", "description", "status", "priority", "category", "client", "assignedTo", "tags")
    times = {name: _seconds(ticket[name]) for name in ("createdAt", "updatedAt")}
    return {name: ticket[name] for name in names} | times


def _full(ticket: Ticket) -> dict[str, Any]:
    return _row(ticket) | {
        "threads": [_thread(thread) for thread in ticket["threads"]],
        "attachments": ticket["attachments"],
        "resolution": ticket["resolution"],
        "resolvedAt": _seconds(ticket["resolvedAt"]),
    }


def _thread(thread: dict[str, Any]) -> dict[str, Any]:
    shown = {name: thread[name] for name in ("author", "message", "type")}
    return shown | {"timestamp": _seconds(thread["at"])}
