"""A fake Ankra support desk, after docs.ankra.ai (support-api) and the public ankra-cli."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django_support_tickets.testing.sandbox.ankra_files import AnkraFiles
from django_support_tickets.testing.sandbox.ankra_reviews import AnkraReviews, Verdict
from django_support_tickets.testing.sandbox.wsgi import (
    Call,
    Refusal,
    Reply,
    Route,
    Site,
    Ticket,
    VendorSandbox,
    json_reply,
    restore_defaults,
)

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
STATUSES = ("pending_review", "open", "triaging", "in_progress", "waiting_customer", "resolved", "closed")
CATEGORIES = ("technical", "account", "billing", "bug", "feature_request", "other")
SEVERITIES = ("low", "medium", "high", "critical")
SOURCES = ("portal", "api", "cli", "agent")
FILTERS = ("status", "cluster_id", "q")
Filters = dict[str, tuple[str, ...]]
_ONLY_IN_FULL = ("organisation_id", "description", "ai_summary", "comments", "attachments")


class AnkraSandbox(VendorSandbox):
    """Ankra: create with an inline AI review, list, get, comment, close, upload, download.

    A stored ticket is the API's full ticket (`id`, `organisation_id`, `subject`, `status`, `comments`,
    `attachments` and so on). A review flags a ticket when told by `flag_next_review`, or when its subject
    contains "flag me".
    """

    name = "ankra"
    id_key = "id"
    text_key = "subject"
    number_key = "ticket_number"

    token = "sandbox-ankra-token"
    organisation_id = "9c1f6a3e-2b5d-4c7a-8f10-3d2e1c0b9a87"
    prefix = "/api/v1/org/support/tickets"

    subject_max = 200
    description_max = 10_000
    comment_max = 10_000
    # Undocumented, so settable.
    create_status: int = 201
    initial_status: str = "open"
    default_page_size: int = 50
    max_page_size: int = 100
    search_fields: tuple[str, ...] = ("subject", "description")
    comment_after_close_status: int | None = None
    close_twice_status: int | None = None
    comment_bumps_updated_at: bool = True
    upload_bumps_updated_at: bool = True
    # The header is optional in the docs and pins the organisation; True refuses a request without it.
    require_organisation: bool = False

    def __init__(self, site: Site) -> None:
        self.files = AnkraFiles(self)
        super().__init__(site)
        self.reviews = AnkraReviews(self)

    def routes(self) -> Iterable[Route]:
        ticket = f"{self.prefix}/{{ticket}}"
        yield Route("GET", ticket, "get", self._read)
        yield Route("POST", self.prefix, "create", self._create)
        yield Route("GET", self.prefix, "list", self._list)
        yield Route("POST", f"{self.prefix}/review", "review", self._review)
        yield Route("POST", f"{ticket}/comments", "comment", self._comment)
        yield Route("POST", f"{ticket}/close", "close", self._close)
        yield from self.files.routes()

    def options(self) -> dict[str, Any]:
        """Return the OPTIONS of a provider that talks to this vendor."""
        return {"base_url": self.base_url, "token": self.token, "organisation_id": self.organisation_id}

    def reset(self) -> None:
        super().reset()
        restore_defaults(self.files)
        restore_defaults(self.reviews)
        self.reviews.clear()
        self.files.clear()

    # What Ankra's staff does.

    def add_ticket(self, subject: str = "Seen elsewhere", **fields: Any) -> str:
        """Store a ticket that somebody else made, with any field of the API; return its id."""
        with self.lock:
            return str(self._store(subject=subject, **fields)["id"])

    def reply(
        self,
        remote_id: str,
        body: str,
        author_type: str = "ankra_team",
        author_label: str = "Ankra",
    ) -> None:
        """Add a comment by the team, the AI or the system; the names of author types are not published."""
        with self.lock:
            self._add_comment(self._tickets[remote_id], body, author_type, author_label)

    def set_status(self, remote_id: str, status: str) -> None:
        """Set any status."""
        with self.lock:
            self._tickets[remote_id] |= {"status": status, "updated_at": self.stamp()}
            self.touched()

    def flag_next_review(
        self,
        flags: Sequence[str] = ("Too little detail.",),
        questions: Sequence[str] = (),
        duplicates: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Make the next review flag its ticket, inline at create or on its own."""
        with self.lock:
            self.reviews.tell(Verdict(flags, questions, duplicates))

    # Who may.

    def admit(self, call: Call) -> str:
        """Return the organisation the request works in, or refuse it."""
        if call.header("Authorization") != f"Bearer {self.token}":
            raise Refusal(self.failure(401))
        given = call.header("x-ankra-organisation-id")
        if not given and self.require_organisation:
            raise Refusal(self.failure(403))
        organisation = given or self.organisation_id
        if organisation.lower() != self.organisation_id:
            raise Refusal(json_reply({"detail": "Not a member of this organisation."}, 403))
        return self.organisation_id

    def find(self, call: Call) -> Ticket:
        organisation = self.admit(call)
        if not _UUID.fullmatch(call["ticket"]):
            raise Refusal(invalid(["path", "ticket_id"], "Input should be a valid UUID", "uuid_parsing"))
        ticket = self._tickets.get(call["ticket"].lower())
        if ticket is None or ticket["organisation_id"] != organisation:
            raise Refusal(self.failure(404))
        call.concerns(ticket["id"])
        return ticket

    # Create and review.

    def _create(self, call: Call) -> Reply:
        organisation = self.admit(call)
        draft = self.read_json(call)
        _choice(draft, "severity", SEVERITIES)
        if draft.get("review_id") is not None:
            review = self.reviews.find(draft["review_id"])
        else:
            self._check(draft)
            review = self.reviews.judge(draft)
        if review.flags and draft.get("acknowledged") is not True:
            reasons = " ".join(review.flags)
            return json_reply({"detail": f"The review flagged this ticket: {reasons}"}, 409)
        ticket = self._store(
            **review.draft,
            organisation_id=organisation,
            severity=draft.get("severity"),
            ai_review_status="flagged" if review.flags else "passed",
        )
        call.changed(ticket["id"])
        return json_reply(ticket, self.create_status)

    def _check(self, draft: dict[str, Any]) -> None:
        for name, most in (("subject", self.subject_max), ("description", self.description_max)):
            _text(draft, name, most)
        _choice(draft, "category", CATEGORIES)
        _choice(draft, "source", SOURCES)
        cluster = draft.get("cluster_id")
        if cluster is not None and not (isinstance(cluster, str) and _UUID.fullmatch(cluster)):
            raise Refusal(invalid(["body", "cluster_id"], "Input should be a valid UUID", "uuid_parsing"))

    def _review(self, call: Call) -> Reply:
        self.admit(call)
        draft = self.read_json(call)
        self._check(draft)
        call.receipt.committed = True
        return json_reply(self.reviews.keep(draft))

    def _store(self, **fields: Any) -> Ticket:
        now = self.stamp()
        ticket: Ticket = {
            "id": self.new_uuid(),
            "organisation_id": self.organisation_id,
            "source": "portal",
            "category": "technical",
            "subject": "",
            "description": "",
            "status": self.initial_status,
            "severity": None,
            "ai_review_status": "passed",
            "ai_summary": None,
            "cluster_id": None,
            "cluster_name": None,
            "is_tracked_by_team": False,
            "created_at": now,
            "updated_at": now,
            "comments": [],
            "attachments": [],
        }
        return self.store(ticket["id"], ticket | fields)

    # List, get, comment, close.

    def _list(self, call: Call) -> Reply:
        organisation = self.admit(call)
        query = call.query
        page = _number(query, "page", 1)
        size = min(_number(query, "page_size", self.default_page_size), self.max_page_size)
        filters: Filters = {name: tuple(query[name]) for name in FILTERS if name in query}
        if unknown := set(filters.get("status", ())) - set(STATUSES):
            raise Refusal(invalid(["query", "status"], f"Unknown status {unknown}", "enum"))
        key = (organisation, *filters.items())
        rows = self.listing(key, lambda: self._newest_first(organisation, filters))
        pagination = {
            "page": page,
            "page_size": size,
            "total_pages": -(-len(rows) // size),
            "total_count": len(rows),
        }
        result = [_row(ticket) for ticket in rows[(page - 1) * size : page * size]]
        return json_reply({"result": result, "pagination": pagination})

    def _newest_first(self, organisation: str, filters: Filters) -> list[Ticket]:
        rows = [row for row in self.newest_first() if row["organisation_id"] == organisation]
        for name in ("status", "cluster_id"):
            if name in filters:
                rows = [row for row in rows if row[name] in filters[name]]
        if needle := "".join(filters.get("q", ())[:1]).lower():
            rows = [row for row in rows if self._contains(row, needle)]
        return rows

    def _contains(self, row: Ticket, needle: str) -> bool:
        return any(needle in str(row[name]).lower() for name in self.search_fields)

    def _read(self, call: Call) -> Reply:
        return json_reply(self.find(call))

    def _comment(self, call: Call) -> Reply:
        ticket = self.find(call)
        draft = self.read_json(call)
        _text(draft, "body", self.comment_max)
        if ticket["status"] == "closed" and self.comment_after_close_status is not None:
            return json_reply({"detail": "The ticket is closed."}, self.comment_after_close_status)
        self._add_comment(ticket, draft["body"], "customer", "Sandbox Customer")
        if ticket["status"] == "waiting_customer":
            ticket["status"] = "in_progress"
        call.changed(ticket["id"])
        return json_reply(ticket, self.create_status)

    def _add_comment(self, ticket: Ticket, body: str, author_type: str, author_label: str) -> None:
        now = self.stamp()
        comment = {"id": self.new_uuid(), "author_type": author_type, "author_label": author_label}
        ticket["comments"].append(comment | {"body": body, "created_at": now})
        if self.comment_bumps_updated_at:
            ticket["updated_at"] = now
        self.touched()

    def _close(self, call: Call) -> Reply:
        ticket = self.find(call)
        if ticket["status"] != "closed":
            ticket |= {"status": "closed", "updated_at": self.stamp()}
            self.touched()
            call.changed(ticket["id"])
        elif self.close_twice_status is not None:
            return json_reply({"detail": "The ticket is already closed."}, self.close_twice_status)
        return json_reply(ticket)

    # Errors: {"detail": text or list}.

    def failure(self, status: int) -> Reply:
        details = {
            401: "Not authenticated",
            403: "permission_denied",
            404: "Ticket not found",
            429: "Too many requests",
        }
        body = {"detail": details.get(status, "The request could not be handled.")}
        if status == 403:
            body["permission"] = "support_tickets:write"
        return json_reply(body, status)

    def malformed(self, reason: str) -> Reply:
        return invalid(["body"], reason, "json_invalid")

    def records(self, payload: Any) -> list[Any]:
        if isinstance(payload, dict) and "result" in payload:
            return list(payload["result"])
        return super().records(payload)


def invalid(where: Sequence[str], message: str, kind: str) -> Reply:
    """Return a 422 in the list form of `detail`."""
    return json_reply({"detail": [{"loc": list(where), "msg": message, "type": kind}]}, 422)


def _row(ticket: Ticket) -> dict[str, Any]:
    return {key: value for key, value in ticket.items() if key not in _ONLY_IN_FULL}


def _text(draft: dict[str, Any], name: str, most: int) -> None:
    value = draft.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Refusal(invalid(["body", name], "Field required", "missing"))
    if len(value) > most:
        message = f"String should have at most {most} characters"
        raise Refusal(invalid(["body", name], message, "string_too_long"))


def _choice(draft: dict[str, Any], name: str, known: Sequence[str]) -> None:
    if draft.get(name) is not None and draft[name] not in known:
        raise Refusal(invalid(["body", name], f"Input should be one of {', '.join(known)}", "enum"))


def _number(query: dict[str, list[str]], name: str, default: int) -> int:
    text = query.get(name, [str(default)])[0]
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise Refusal(invalid(["query", name], "Input should be greater than 0", "greater_than"))
    return int(text)
