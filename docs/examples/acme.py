"""A provider for Acme, a vendor that does not exist: the example of the tutorial "Add a vendor"."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Unpack

from django_support_tickets.providers.base import CommonOptions
from django_support_tickets.providers.http import (
    HttpProvider,
    dict_of,
    id_of,
    list_of,
    loaded,
    own_key,
    raw_of,
    text_of,
    time_of,
)
from django_support_tickets.providers.signatures import first_header, sign_hmac, verify_hmac
from django_support_tickets.records import (
    AuthorType,
    Capabilities,
    CommentDraft,
    CommentRecord,
    Found,
    Page,
    Status,
    TicketDraft,
    TicketRecord,
    TicketRef,
    WebhookEvent,
)
from django_support_tickets.transport import Answer, HeaderAuth, json_body, parse_json, path_id

STATUSES = {"new": Status.OPEN, "answered": Status.WAITING, "done": Status.CLOSED}


class AcmeProvider(HttpProvider):
    """An account at Acme, by API key."""

    capabilities = Capabilities(
        can_list=True,
        can_find=True,
        can_comment=True,
        has_webhooks=True,
        subject_max=120,
        required_fields=frozenset({"contact_email"}),
        sent_fields=frozenset({"contact"}),
        status_map=STATUSES,
    )

    def __init__(
        self,
        alias: str,
        *,
        api_key: str | Callable[[], str],
        base_url: str | Callable[[], str] = "https://api.acme.example",
        **common: Unpack[CommonOptions],
    ) -> None:
        super().__init__(alias, base_url=base_url, **common)
        self._refuse_unless_text("api_key", api_key)
        self._api_key = api_key

    def authorization(self) -> HeaderAuth:
        return HeaderAuth(f"Bearer {self.resolve('api_key', self._api_key)}")

    def read_error(self, data: Any) -> tuple[str, str] | None:
        """Read {"error": {"code", "message"}}."""
        error = dict_of(dict_of(data).get("error"))
        return (text_of(error.get("code")), text_of(error.get("message"))) if error else None

    def create(self, draft: TicketDraft) -> TicketRecord:
        answer = self.call("create", "POST", "/tickets", body=json_body(to_payload(draft)), key=draft.key)
        return self._ticket(answer)

    def get(self, ref: TicketRef) -> TicketRecord:
        return self._ticket(self.call("get", "GET", self._path("get", ref)))

    def find(self, draft: TicketDraft) -> Found:
        """Return the tickets with our key; the search is complete if all rows were seen and could be judged."""
        rows, next_page = self._rows("find", external_id=draft.key)
        records = [to_record(row) for row in rows]
        ours = tuple(record for record in records if record.remote_id and record.key == own_key(draft.key))
        is_judged = all(record.remote_id and record.key for record in records)
        return Found(records=ours, complete=is_judged and next_page is None)

    def list_changed(self, scope: str, cursor: str | None) -> Page:
        rows, next_page = self._rows("list", page=cursor or "1")
        return Page(records=tuple(to_record(row) for row in rows if id_of(row.get("id"))), next_cursor=next_page)

    def add_comment(self, ref: TicketRef, draft: CommentDraft) -> CommentRecord:
        path = f"{self._path('comment', ref)}/messages"
        answer = self.call("comment", "POST", path, body=json_body({"text": draft.body}), key=draft.key)
        comment = to_comment(answer.json())
        if not comment.remote_id:
            raise self.not_understood(answer, "it has no message id")
        return comment

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvent:
        verify_hmac(self.webhook_secrets(), body, first_header(headers, "X-Acme-Signature"), prefix="sha256=")
        event = dict_of(parse_json(body))
        return WebhookEvent(
            identity=text_of(event["id"]), event_type=text_of(event.get("type")), remote_id=id_of(event.get("ticket"))
        )

    def sign_webhook(self, secret: str | bytes) -> tuple[Mapping[str, str], bytes]:
        body = b"".join(json_body({"id": str(uuid.uuid4()), "type": "test"}))
        return {"X-Acme-Signature": sign_hmac(secret, body, prefix="sha256=")}, body

    def _path(self, operation: str, ref: TicketRef) -> str:
        return f"/tickets/{path_id(ref.remote_id, operation=operation, alias=self.alias)}"

    def _ticket(self, answer: Answer) -> TicketRecord:
        record = to_record(answer.json())
        if not record.remote_id:
            raise self.not_understood(answer, "it has no ticket id")
        return record

    def _rows(self, operation: str, **query: str) -> tuple[list[dict[str, Any]], str | None]:
        answer = self.call(operation, "GET", "/tickets", params=tuple(query.items()))
        page = dict_of(answer.json())
        if not isinstance(page.get("tickets"), list):
            raise self.not_understood(answer, "it is no page of tickets")
        return [dict_of(row) for row in page["tickets"]], text_of(page.get("next_page")) or None


def to_payload(draft: TicketDraft) -> dict[str, str]:
    return {
        "title": draft.subject,
        "text": draft.description,
        "email": draft.contact_email,
        "external_id": draft.key,
    }


def to_record(data: Any) -> TicketRecord:
    ticket = dict_of(data)
    return TicketRecord(
        remote_id=id_of(ticket.get("id")),
        key=loaded(ticket, "external_id", own_key),
        reference=loaded(ticket, "number", text_of),
        status=loaded(ticket, "state", lambda state: STATUSES.get(text_of(state), Status.UNKNOWN)),
        remote_status=loaded(ticket, "state", text_of),
        updated_at=loaded(ticket, "updated_at", time_of),
        comments=loaded(ticket, "messages", lambda messages: tuple(map(to_comment, list_of(messages)))),
        raw=raw_of(ticket),
    )


def to_comment(data: Any) -> CommentRecord:
    message = dict_of(data)
    return CommentRecord(
        remote_id=id_of(message.get("id")),
        author_type=AuthorType.AGENT if message.get("by") == "acme" else AuthorType.CUSTOMER,
        body=text_of(message.get("text")),
        sent_at=time_of(message.get("at")),
    )
