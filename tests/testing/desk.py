"""A vendor that does not exist: its fake desk, and a provider for it that keeps the whole contract."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Unpack

from django_support_tickets.exceptions import WebhookRejected
from django_support_tickets.providers.base import CommonOptions
from django_support_tickets.providers.http import (
    HttpProvider,
    dict_of,
    id_of,
    int_of,
    list_of,
    loaded,
    own_key,
    raw_of,
    text_of,
    time_of,
)
from django_support_tickets.records import (
    AttachmentRecord,
    AttachmentRules,
    Capabilities,
    CommentDraft,
    CommentRecord,
    Download,
    FileDraft,
    Found,
    Page,
    Probe,
    Status,
    TicketDraft,
    TicketRecord,
    TicketRef,
    WebhookEvent,
)
from django_support_tickets.testing.sandbox import VendorSandbox
from django_support_tickets.testing.sandbox.multipart import read_parts
from django_support_tickets.testing.sandbox.wsgi import Call, Refusal, Reply, Route, Ticket, json_reply
from django_support_tickets.transport import Answer, HeaderAuth, MultipartBody, Part, json_body, parse_json, path_id

TOKEN = "desk-token-canary"
SECRET = "desk-webhook-canary"
SUBJECT_MAX = 80
PAGE_SIZE = 2


class DeskSandbox(VendorSandbox):
    """The fake vendor."""

    name = "desk"
    id_key = "id"
    text_key = "subject"

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/tickets/{ticket}", "get", lambda call: json_reply(self._find(call)))
        yield Route("POST", "/tickets", "create", self._create)
        yield Route("GET", "/tickets", "list", self._list)
        yield Route("POST", "/tickets/{ticket}/comments", "comment", self._comment)
        yield Route("POST", "/tickets/{ticket}/close", "close", self._close)
        yield Route("POST", "/tickets/{ticket}/files", "upload", self._upload)
        yield Route("GET", "/tickets/{ticket}/files/{file}", "download", self._download)

    def options(self) -> dict[str, Any]:
        return {"base_url": self.base_url, "token": TOKEN, "webhook_secrets": [SECRET]}

    def failure(self, status: int) -> Reply:
        return json_reply({"code": f"E{status}", "message": "It failed."}, status)

    def malformed(self, reason: str) -> Reply:
        return json_reply({"code": "E400", "message": reason}, 400)

    def records(self, payload: Any) -> list[Any]:
        return list(payload["items"]) if isinstance(payload, dict) and "items" in payload else super().records(payload)

    def sign(self, remote_id: str) -> tuple[dict[str, str], bytes]:
        body = json.dumps({"event": self.new_uuid(), "type": "ticket.changed", "id": remote_id}).encode()
        return {"X-Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}, body

    def _find(self, call: Call) -> Ticket:
        if call.header("Authorization") != f"Bearer {TOKEN}":
            raise Refusal(self.failure(401))
        ticket = self._tickets.get(call["ticket"])
        if ticket is None:
            raise Refusal(self.failure(404))
        return ticket

    def _create(self, call: Call) -> Reply:
        sent = self.read_json(call)
        if not 0 < len(sent["subject"]) <= SUBJECT_MAX:
            return self.malformed("subject has a wrong length")
        fields = {"number": len(self._tickets) + 1, "status": "open", "updated": self.stamp()}
        ticket = {"id": self.new_uuid(), **sent, **fields, "comments": [], "files": []}
        call.changed(ticket["id"])
        return json_reply(self.store(ticket["id"], ticket), 201)

    def _list(self, call: Call) -> Reply:
        page, key = int(call.query.get("page", ["1"])[0]), call.query.get("key", [""])[0]
        rows = [ticket for ticket in self._tickets.values() if key in ("", ticket["key"])]
        is_last = page * PAGE_SIZE >= len(rows)
        items = [{**row, "comments": None} for row in rows[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]]
        return json_reply({"items": items, "next": None if is_last else page + 1})

    def _comment(self, call: Call) -> Reply:
        ticket = self._find(call)
        comment = {"id": self.new_uuid(), "body": self.read_json(call)["body"], "at": self.stamp()}
        ticket["comments"].append(comment)
        call.changed(ticket["id"])
        return json_reply(comment, 201)

    def _close(self, call: Call) -> Reply:
        ticket = self._find(call)
        ticket["status"] = "closed"
        call.changed(ticket["id"])
        return json_reply(ticket)

    def _upload(self, call: Call) -> Reply:
        ticket = self._find(call)
        (part,) = read_parts(call.stream, call.header("Content-Type"), keep=1_000_000)
        file = {"id": self.new_uuid(), "name": part.filename, "size": part.size}
        ticket["files"].append(file)
        self._listings[file["id"]] = [{"content": part.content}]
        call.changed(ticket["id"])
        return json_reply(file, 201)

    def _download(self, call: Call) -> Reply:
        self._find(call)
        return Reply(200, self._listings[call["file"]][0]["content"], [("Content-Type", "image/png")])


class DeskProvider(HttpProvider):
    """A provider as a user might write it."""

    def __init__(
        self, alias: str, *, base_url: str | Callable[[], str], token: str, **common: Unpack[CommonOptions]
    ) -> None:
        super().__init__(alias, base_url=base_url, **common)
        self._token = token

    capabilities = Capabilities(
        can_list=True,
        can_find=True,
        can_comment=True,
        can_close=True,
        has_webhooks=True,
        attachments=AttachmentRules(moments=frozenset({"after"})),
        subject_max=SUBJECT_MAX,
        status_map={"open": Status.OPEN, "closed": Status.CLOSED},
    )

    def authorization(self) -> HeaderAuth:
        return HeaderAuth(f"Bearer {self._token}")

    def read_error(self, data: Any) -> tuple[str, str] | None:
        error = dict_of(data)
        return (text_of(error["code"]), text_of(error.get("message"))) if "code" in error else None

    def get(self, ref: TicketRef) -> TicketRecord:
        return self._ticket(self.call("get", "GET", self._path("get", ref)))

    def create(self, draft: TicketDraft) -> TicketRecord:
        body = json_body({"subject": draft.subject, "text": draft.description, "key": draft.key})
        return self._ticket(self.call("create", "POST", "tickets", body=body, key=draft.key))

    def list_changed(self, scope: str, cursor: str | None) -> Page:
        rows, next_page = self._rows("list", page=cursor or "1")
        records = tuple(to_record(row) for row in rows if id_of(row.get("id")))
        return Page(records=records, next_cursor=next_page)

    def find(self, draft: TicketDraft) -> Found:
        rows, next_page = self._rows("find", page="1", key=draft.key)
        records = [to_record(row) for row in rows]
        is_complete = next_page is None and all(record.remote_id and record.key for record in records)
        ours = tuple(record for record in records if record.remote_id and record.key == draft.key)
        return Found(records=ours, complete=is_complete)

    def add_comment(self, ref: TicketRef, draft: CommentDraft) -> CommentRecord:
        path, body = f"{self._path('comment', ref)}/comments", json_body({"body": draft.body})
        answer = self.call("comment", "POST", path, body=body, key=draft.key)
        comment = to_comment(answer.json())
        if not comment.remote_id:
            raise self.not_understood(answer, "it has no comment id")
        return comment

    def close(self, ref: TicketRef) -> TicketRecord:
        return self._ticket(self.call("close", "POST", f"{self._path('close', ref)}/close"))

    def upload(self, ref: TicketRef, file: FileDraft) -> AttachmentRecord:
        part = Part("file", file.name, file.content_type, file.size, file.sha256, file.open)
        path = f"{self._path('upload', ref)}/files"
        answer = self.call("upload", "POST", path, body=MultipartBody({}, (part,)), key=file.key)
        added = to_attachment(answer.json())
        if not added.remote_id:
            raise self.not_understood(answer, "it has no file id")
        return added

    @contextmanager
    def download(self, ref: TicketRef, attachment: AttachmentRecord) -> Iterator[Download]:
        file = path_id(attachment.remote_id, operation="download", alias=self.alias)
        path, limit = f"{self._path('download', ref)}/files/{file}", attachment.size or 0
        with self.stream("download", path, limit=limit) as download:
            yield download

    def probe(self) -> Probe:
        self._rows("probe", page="1")
        return Probe()

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvent:
        given = {name.lower(): value for name, value in headers.items()}.get("x-signature", "").encode()
        digests = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in self.webhook_secrets()]
        if not any(hmac.compare_digest(digest.encode(), given) for digest in digests):
            raise WebhookRejected("the signature is missing or wrong")
        return self.to_event(body)

    def to_event(self, body: bytes) -> WebhookEvent:
        event = dict_of(parse_json(body))
        identity, kind = text_of(event.get("event")), text_of(event.get("type"))
        return WebhookEvent(identity=identity, event_type=kind, remote_id=id_of(event.get("id")))

    def _path(self, operation: str, ref: TicketRef) -> str:
        return f"tickets/{path_id(ref.remote_id, operation=operation, alias=self.alias)}"

    def _ticket(self, answer: Answer) -> TicketRecord:
        record = to_record(answer.json())
        if not record.remote_id:
            raise self.not_understood(answer, "it has no ticket id")
        return record

    def _rows(self, operation: str, **query: str) -> tuple[list[dict[str, Any]], str | None]:
        answer = self.call(operation, "GET", "tickets", params=tuple(query.items()))
        page = dict_of(answer.json())
        if not isinstance(page.get("items"), list):
            raise self.not_understood(answer, "it is no page")
        return [dict_of(row) for row in page["items"]], text_of(page.get("next")) or None


def to_record(data: Any) -> TicketRecord:
    ticket = dict_of(data)
    return TicketRecord(
        remote_id=id_of(ticket.get("id")),
        key=loaded(ticket, "key", own_key),
        status=loaded(ticket, "status", lambda status: MAP.get(text_of(status), Status.UNKNOWN)),
        remote_status=loaded(ticket, "status", text_of),
        subject=loaded(ticket, "subject", text_of),
        description=loaded(ticket, "text", text_of),
        updated_at=loaded(ticket, "updated", time_of),
        comments=loaded(ticket, "comments", lambda rows: tuple(map(to_comment, list_of(rows)))),
        attachments=loaded(ticket, "files", lambda rows: tuple(map(to_attachment, list_of(rows)))),
        raw=raw_of(ticket),
    )


def to_comment(data: Any) -> CommentRecord:
    comment = dict_of(data)
    return CommentRecord(
        remote_id=id_of(comment.get("id")), body=text_of(comment.get("body")), sent_at=time_of(comment.get("at"))
    )


def to_attachment(data: Any) -> AttachmentRecord:
    file = dict_of(data)
    return AttachmentRecord(
        remote_id=id_of(file.get("id")), name=text_of(file.get("name")), size=int_of(file.get("size"))
    )


MAP = DeskProvider.capabilities.status_map
