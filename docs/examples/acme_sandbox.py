"""A fake Acme, written from Acme's documentation and not from our provider."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import Any

from django_support_tickets.testing.sandbox import Call, Refusal, Reply, Route, VendorSandbox, json_reply

API_KEY = "acme-api-key-of-the-tests"
SECRET = "acme-webhook-key-of-the-tests"
PAGE_SIZE = 2


class AcmeSandbox(VendorSandbox):
    """Tickets in a dictionary, behind real HTTP."""

    name = "acme"
    id_key = "id"
    text_key = "title"

    def options(self) -> dict[str, Any]:
        return {"base_url": self.base_url, "api_key": API_KEY, "webhook_secrets": [SECRET]}

    def routes(self) -> Iterable[Route]:
        yield Route("POST", "/tickets", "create", self._create)
        yield Route("GET", "/tickets", "list", self._list)
        yield Route("GET", "/tickets/{ticket}", "get", lambda call: json_reply(self._find(call)))
        yield Route("POST", "/tickets/{ticket}/messages", "comment", self._comment)

    def failure(self, status: int) -> Reply:
        return json_reply({"error": {"code": f"E{status}", "message": "It failed."}}, status)

    def malformed(self, reason: str) -> Reply:
        return json_reply({"error": {"code": "E400", "message": reason}}, 400)

    def records(self, payload: Any) -> list[Any]:
        return payload["tickets"] if isinstance(payload, dict) and "tickets" in payload else super().records(payload)

    def sign(self, remote_id: str) -> tuple[dict[str, str], bytes]:
        """Return headers and body of a webhook about a ticket."""
        body = json.dumps({"id": self.new_uuid(), "type": "ticket.changed", "ticket": remote_id}).encode()
        return {"X-Acme-Signature": f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"}, body

    def _create(self, call: Call) -> Reply:
        self._check_key(call)
        sent = self.read_json(call)
        if not 0 < len(sent["title"]) <= 120 or "@" not in sent["email"]:
            return self.malformed("title or email is wrong")
        number = str(len(self._tickets) + 1)
        ticket = {**sent, "id": f"t-{number}", "number": number, "state": "new", "updated_at": self.stamp()}
        call.changed(ticket["id"])
        return json_reply(self.store(ticket["id"], {**ticket, "messages": []}), 201)

    def _list(self, call: Call) -> Reply:
        self._check_key(call)
        page, key = int(call.query.get("page", ["1"])[0]), call.query.get("external_id", [""])[0]
        found = [ticket for ticket in self._tickets.values() if key in ("", ticket["external_id"])]
        rows = [{name: value for name, value in ticket.items() if name != "messages"} for ticket in found]
        is_last = page * PAGE_SIZE >= len(rows)
        shown = rows[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        return json_reply({"tickets": shown, "next_page": None if is_last else page + 1})

    def _comment(self, call: Call) -> Reply:
        ticket, text = self._find(call), self.read_json(call)["text"]
        message = {"id": self.new_uuid(), "by": "customer", "text": text, "at": self.stamp()}
        ticket["messages"].append(message)
        call.changed(ticket["id"])
        return json_reply(message, 201)

    def _find(self, call: Call) -> dict[str, Any]:
        self._check_key(call)
        if call["ticket"] not in self._tickets:
            raise Refusal(self.failure(404))
        return self._tickets[call["ticket"]]

    def _check_key(self, call: Call) -> None:
        if call.header("Authorization") != f"Bearer {API_KEY}":
            raise Refusal(self.failure(401))
