"""Verifik: one resource, documented in two shapes that exclude each other; which of them to write is an option.

The facts and their pages stand in `verifik_records`; errors and the list: docs.verifik.co
/resources/retrieve-a-support-ticket, /resources/create-a-support-ticket and /resources/list-all-support-tickets.
No page documents a webhook for tickets, an idempotency key or a rate limit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Unpack, get_args

from django.utils.translation import ngettext

from django_support_tickets.exceptions import Ambiguous, ProviderError, Refused, RemoteNotFound
from django_support_tickets.providers.base import CommonOptions
from django_support_tickets.providers.http import (
    HttpProvider,
    before_sending,
    dict_of,
    file_part,
    id_of,
    short_reference,
    text_of,
)
from django_support_tickets.providers.verifik_lists import Listing, Search, to_listing
from django_support_tickets.providers.verifik_records import (
    SMART_CHECK,
    SMART_CHECK_SUBJECT_MAX,
    Base64Body,
    Dialect,
    capabilities_of,
    dialect_of,
    expiry_of,
    id_of_ticket,
    key_tag,
    threads_of,
    to_app_payload,
    to_comment,
    to_payload,
    to_record,
    to_thread,
)
from django_support_tickets.records import (
    ABSENT,
    BodyFormat,
    CommentDraft,
    CommentRecord,
    FileDraft,
    Found,
    Page,
    Probe,
    TicketDraft,
    TicketRecord,
    TicketRef,
)
from django_support_tickets.transport import Answer, Body, HeaderAuth, json_body, path_id, redact

ATTACHMENTS = "/v2/attachments"
PAGE_SIZE = 50
PAGES_MAX = 200
# How far the vendor's clock may be behind ours; more costs a search nothing but some rows.
CLOCK_SKEW = timedelta(days=1)
TOKEN_WARNING = timedelta(days=7)

CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
# The web app's auth.interceptor takes these for a token that is no longer good; the first comes with a 403.
BAD_TOKEN = frozenset({"expired_token", "invalid_token", "jwt expired", "token expired"})
PATH_PREFIX = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
# Without it the threads of a ticket in dialect app are only ids (support-ticket.service.ts).
POPULATES = tuple(("populates", f"threads.{name}") for name in ("attachments", "client", "superAdmin"))

MessageFormat = Literal["html", "text"]


class VerifikProvider(HttpProvider):
    """An account at Verifik; `token` is a JWT of 30 days that an operator renews, so a callable is of use.

    `write_dialect` "docs" can create and read; "app" can also answer, close and send files, but has no priority and no
    tags. A create whose answer was lost is found again by a tag, or by a mark in the title.
    """

    def __init__(
        self,
        alias: str,
        *,
        token: str | Callable[[], str],
        base_url: str | Callable[[], str] = "https://api.verifik.co",
        path_prefix: str = "/v2/support-tickets",
        auth_scheme: str = "Bearer",
        write_dialect: Dialect = "docs",
        message_format: MessageFormat = "html",
        close_status: Literal["resolved", "cancelled"] = "resolved",
        expiration_days: float | None = 1,
        **common: Unpack[CommonOptions],
    ) -> None:
        # No limit is published; rows of an older list carry whole conversations.
        common.setdefault("rate", 1.0)
        common.setdefault("timeout", (5.0, 30.0))
        common.setdefault("max_response_bytes", 10 * 1024 * 1024)
        common.setdefault("attachment_hosts", ("storage.verifik.co",))
        # The web app lets files expire after a day (attachment.service.ts).
        common.setdefault("mirror_attachments", write_dialect == "app")
        super().__init__(alias, base_url=base_url, **common)
        self._refuse_unless_text("token", token)
        self._refuse_unless_one_of("write_dialect", write_dialect, get_args(Dialect))
        self._refuse_unless_one_of("message_format", message_format, get_args(MessageFormat))
        self._refuse_unless_one_of("close_status", close_status, ("resolved", "cancelled"))
        self._refuse_unless_one_of("auth_scheme", auth_scheme, ("Bearer", ""))
        if not isinstance(path_prefix, str) or not PATH_PREFIX.fullmatch(path_prefix):
            raise self.invalid(f"path_prefix must be a path without a slash at its end, not {path_prefix!r}")
        if expiration_days is not None:
            self._refuse_unless_positive("expiration_days", expiration_days)
        self._token = token
        self.path_prefix = path_prefix
        self.auth_scheme = auth_scheme
        self.write_dialect: Dialect = write_dialect
        self.html_messages = message_format == "html"
        self.close_status = close_status
        self.expiration_days = expiration_days
        self.capabilities = capabilities_of(write_dialect, reference=self.reference)

    def get(self, ref: TicketRef) -> TicketRecord:
        path = self._path("get", ref.remote_id)
        is_app = self.write_dialect == "app"
        ticket = self._ticket(self.call("get", "GET", path, params=POPULATES if is_app else ()), ref=ref)
        if not is_app and dialect_of(ticket, assumed="docs") == "app" and threads_of(ticket) is ABSENT:
            ticket = self._ticket(self.call("get", "GET", path, params=POPULATES), ref=ref)
        return self._record(ticket)

    def create(self, draft: TicketDraft) -> TicketRecord:
        path, body = self._create_app(draft) if self.write_dialect == "app" else self._create_docs(draft)
        answer = self.call("create", "POST", path, body=body, key=draft.key, deadline=self.deadline)
        return self._record(self._ticket(answer))

    def list_changed(self, scope: str, cursor: str | None) -> Page:
        """Return one page of all tickets; no filter by time is documented.

        A list that does not end, or shows nothing where it says there is something, raises Ambiguous: such a walk must
        not count as complete.
        """
        number, previous = _place_of(cursor)
        listing = self._listing("list", number)
        identity = _identity_of(listing)
        is_repeated = identity == previous
        if listing.contradicts_itself or (is_repeated and listing.pages is not None):
            raise self._broken_list("it contradicts itself")
        if number >= PAGES_MAX and not listing.is_last:
            raise self._broken_list(f"it does not end within {PAGES_MAX} pages")
        records = () if is_repeated else tuple(self._record(row) for row in listing.rows if id_of_ticket(row))
        is_last = listing.is_last or is_repeated
        return Page(records=records, next_cursor=None if is_last else f"{number + 1} {identity}", total=listing.total)

    def find(self, draft: TicketDraft) -> Found:
        """Return the tickets that carry the draft's key, in a tag or in the title.

        The search is complete when all rows were seen, or all that are not older than the draft's `sent_at`, and each
        could be judged.
        """
        since = None if draft.sent_at is None else draft.sent_at - CLOCK_SKEW
        search = Search(draft, dialect=self.write_dialect, since=since)
        for number in range(1, PAGES_MAX + 1):
            listing = self._listing("find", number, newest_first=self.write_dialect == "app")
            has_news = search.add(listing)
            if search.is_past() or listing.is_last or not has_news:
                break
        return Found(records=tuple(map(self._record, search.found.values())), complete=search.is_complete())

    def add_comment(self, ref: TicketRef, draft: CommentDraft) -> CommentRecord:
        path = f"{self._path('comment', ref.remote_id)}/thread"
        files = self._upload_all(draft.files, key=draft.key)
        body = json_body(to_thread(draft.body, files, html_messages=self.html_messages))
        answer = self.call("comment", "POST", path, body=body, key=draft.key, deadline=self.deadline)
        comment = to_comment(self._object(answer), body_format=self._body_format)
        if not comment.remote_id:
            raise self.not_understood(answer, "it has no thread id")
        return comment

    def close(self, ref: TicketRef) -> TicketRecord:
        """Set the status that ends a ticket, and return the ticket; if only looking at it fails, nothing but its id.

        PUT answers {"status": "completed"} and not the ticket (support-ticket-api).
        """
        answer = self.call(
            "close", "PUT", self._path("close", ref.remote_id), body=json_body({"status": self.close_status})
        )
        if answer.content.strip():
            self._payload(answer)
        try:
            return self.get(ref)
        except ProviderError:
            return TicketRecord(remote_id=ref.remote_id)

    def probe(self) -> Probe:
        """List one ticket, and read from the token when it ends."""
        self._listing("probe", 1, size=1)
        expires_at = expiry_of(self.resolve("token", self._token))
        left = None if expires_at is None else expires_at - datetime.now(UTC)
        if left is None or left > TOKEN_WARNING:
            return Probe(token_expires_at=expires_at)
        days = max(left.days, 0)
        warning = ngettext("The token ends in %(days)d day.", "The token ends in %(days)d days.", days) % {"days": days}
        return Probe(token_expires_at=expires_at, warnings=(warning,))

    def deadline_of(self, operation: str) -> float:
        """Return how many seconds a whole operation may take: files go first, and a search may read every page."""
        if operation == "find":
            return PAGES_MAX / self.rate + self.deadline if self.rate else self.upload_deadline
        if operation in ("create", "comment") and self.capabilities.attachments is not None:
            return max(self.upload_deadline, self.deadline)
        return super().deadline_of(operation)

    def authorization(self) -> HeaderAuth:
        return HeaderAuth(f"{self.auth_scheme} {self.resolve('token', self._token)}".strip())

    def denies_account(self, answer: Answer, code: str) -> bool:
        """Return whether the token is refused: an expired one comes as a 403 {"message": "expired_token"}."""
        if answer.status == 403:
            return text_of(dict_of(answer.json_or_none()).get("message")).casefold() in BAD_TOKEN
        return answer.status == 401

    def read_error(self, data: Any) -> tuple[str, str] | None:
        """Read {"error", "message": CODE}, {"success": false, "error", "code"} or {"code", "message"}."""
        body = dict_of(data)
        code, error, message = (text_of(body.get(name)) for name in ("code", "error", "message"))
        if not code and CODE.fullmatch(message):
            code, message = message, ""
        text = error or message
        is_known = bool(text or body.get("success") is False) if code else bool(error and message)
        return (code, text) if is_known else None

    @property
    def _body_format(self) -> BodyFormat:
        return BodyFormat.HTML if self.html_messages else BodyFormat.TEXT

    def _path(self, operation: str, remote_id: str) -> str:
        return f"{self.path_prefix}/{path_id(remote_id, operation=operation, alias=self.alias)}"

    def _record(self, ticket: Mapping[str, Any]) -> TicketRecord:
        return to_record(ticket, assumed=self.write_dialect, html_messages=self.html_messages)

    def _payload(self, answer: Answer) -> Any:
        """Return the parsed body of a 2xx answer; raise Ambiguous if it reports a failure.

        Whether a write with "success": false took effect is documented nowhere, so it is not refused: a search decides.
        """
        payload = answer.json()
        body = dict_of(payload)
        code, reason = self.read_error(payload) or ("", "")
        if body.get("success") is False or ("data" not in body and code):
            error = self.not_understood(answer, "a failure with a status of success")
            error.code, error.reason = redact(code, limit=100), redact(reason)
            raise error
        return payload

    def _object(self, answer: Answer) -> dict[str, Any]:
        """Return the object of a 2xx answer, bare or as {"data": {…}}."""
        body = dict_of(self._payload(answer))
        return dict_of(body.get("data")) if "data" in body else body

    def _ticket(self, answer: Answer, *, ref: TicketRef | None = None) -> dict[str, Any]:
        ticket = self._object(answer)
        remote_id = id_of_ticket(ticket)
        if not remote_id:
            raise self.not_understood(answer, "it has no ticket id")
        if ref is not None and remote_id != ref.remote_id:
            raise self.not_understood(answer, "it is another ticket")
        return ticket

    def _listing(self, operation: str, number: int, *, size: int = PAGE_SIZE, newest_first: bool = False) -> Listing:
        """Return a page. The docs name the page size `limit`, the layer below the web app's API `perPage`.

        Where there is none to show, dialect app answers 404 NotFound (support-ticket-api).
        """
        order = (("sort", "-updatedAt"),) if newest_first else ()
        params = (("page", str(number)), ("limit", str(size)), ("perPage", str(size)), *order)
        try:
            answer = self.call(operation, "GET", self.path_prefix, params=params, deadline=self.deadline)
        except RemoteNotFound as error:
            if error.code != "NotFound":
                raise
            return Listing(rows=[], number=number, pages=0, total=0)
        listing = to_listing(self._payload(answer), number=number)
        if listing is None:
            raise self.not_understood(answer, "it is no page of tickets")
        return listing

    def _upload_all(self, files: Sequence[FileDraft], *, key: str) -> list[str]:
        """Return the attachment ids of the uploaded files; a failure is one before the text was sent."""
        try:
            return [self._upload(file, key=key) for file in files]
        except ProviderError as error:
            failure = before_sending(error)
        raise failure

    def _upload(self, file: FileDraft, *, key: str) -> str:
        part = file_part(file, name="file", content_type=file.content_type)
        body = Base64Body(part, expiration_days=self.expiration_days)
        answer = self.call("upload", "POST", ATTACHMENTS, body=body, key=key)
        remote_id = id_of(self._object(answer).get("_id"))
        if not remote_id:
            raise self.not_understood(answer, "it has no attachment id")
        return remote_id

    def _create_docs(self, draft: TicketDraft) -> tuple[str, Body]:
        tag = key_tag(draft.key) if self.reference else ""
        return self.path_prefix, json_body(to_payload(draft, tag=tag))

    def _create_app(self, draft: TicketDraft) -> tuple[str, Body]:
        self._refuse_incomplete(draft)
        files = self._upload_all(draft.files, key=draft.key)
        thread = to_thread(draft.description, files, html_messages=self.html_messages)
        mark = short_reference(draft.key) if self.reference else ""
        return f"{self.path_prefix}/insert", json_body(to_app_payload(draft, thread, mark=mark))

    def _refuse_incomplete(self, draft: TicketDraft) -> None:
        """Refuse what the web app's create-dialog would not send."""
        if draft.category != SMART_CHECK:
            return
        subject, api = (text_of(draft.options.get(name)) for name in ("subject", "api"))
        if not subject or not api or len(subject) > SMART_CHECK_SUBJECT_MAX:
            raise Refused(
                f"{SMART_CHECK} needs the options api and subject, of at most {SMART_CHECK_SUBJECT_MAX} characters",
                alias=self.alias,
                operation="create",
                key=draft.key,
            )

    def _broken_list(self, what: str) -> Ambiguous:
        return Ambiguous(f"the list is not understood: {what}", alias=self.alias, operation="list")

    def _refuse_unless_one_of(self, name: str, value: Any, known: Sequence[str]) -> None:
        if value not in known:
            raise self.invalid(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")


def _place_of(cursor: str | None) -> tuple[int, str]:
    """Return the page that a cursor names, and the identity of the page before it."""
    match = re.fullmatch(r"([0-9]{1,6}) ([0-9a-f]{16})", cursor or "")
    return (int(match[1]), match[2]) if match else (1, "")


def _identity_of(listing: Listing) -> str:
    """Return what tells a page from another, to notice a list that shows the same rows again and again."""
    return hashlib.sha256(" ".join(map(id_of_ticket, listing.rows)).encode()).hexdigest()[:16]
