"""Verifik's objects in our records and back, in both shapes in which Verifik documents them.

Dialect "docs": the current ticket pages of docs.verifik.co. Dialect "app": the older page
/resources/support-tickets/support-ticket-api and Verifik's own web app (github.com/Open-Verifik/Smart-Agent,
frontend/src/app/modules/support-tickets). Nobody outside knows which one answers today: both are read, always.
"""

from __future__ import annotations

import base64
import html
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from django.utils.translation import gettext_noop

from django_support_tickets.providers.http import (
    dict_of,
    id_of,
    int_of,
    latest_of,
    list_of,
    loaded,
    oldest_first,
    own_key,
    raw_of,
    short_reference,
    text_of,
    time_of,
    without_reference,
)
from django_support_tickets.records import (
    ABSENT,
    AttachmentRecord,
    AttachmentRules,
    AuthorType,
    BodyFormat,
    Capabilities,
    CommentRecord,
    NotLoaded,
    Status,
    TicketDraft,
    TicketRecord,
    normalised_text,
    text_of_html,
)
from django_support_tickets.transport import Part, checked_chunks, clean_text, parse_json

Dialect = Literal["docs", "app"]
Rows = list[dict[str, Any]]

# docs: /resources/the-support-ticket-object; "pending" is there "pending action", with the client. app: the older page
# and support-ticket.types.ts; "pending" is there the first state, with Verifik, and "closed" only a label of the app.
STATUSES: Mapping[Dialect, Mapping[str, Status]] = {
    "docs": {
        "open": Status.OPEN,
        "pending": Status.WAITING,
        "in_progress": Status.IN_PROGRESS,
        "resolved": Status.RESOLVED,
        "closed": Status.CLOSED,
    },
    "app": {
        "pending": Status.OPEN,
        "progress": Status.IN_PROGRESS,
        "resolved": Status.RESOLVED,
        "cancelled": Status.CLOSED,
        "closed": Status.CLOSED,
    },
}
PRIORITIES = ("low", "medium", "high", "urgent")
CATEGORIES: Mapping[Dialect, tuple[str, ...]] = {
    "docs": ("technical", "billing", "account", "feature_request", "general"),
    "app": ("billing", "integration", "smartCheck", "smartScan", "smartEnroll", "smartAccess", "other"),
}
THREAD_TYPES: Mapping[str, AuthorType] = {
    "user": AuthorType.CUSTOMER,
    "agent": AuthorType.AGENT,
    "system": AuthorType.SYSTEM,
}
# What the web app's create-dialog asks for with one of the categories.
SMART_CHECK = "smartCheck"
SMART_CHECK_SUBJECT_MAX = 400
# Caps of the web app (create-dialog, file-drop-zone); those of the server are documented nowhere.
TITLE_MAX = 200
MESSAGE_MAX = 20_000
FILES = AttachmentRules(
    moments=frozenset({"create", "comment"}),
    max_count=10,
    max_bytes=10 * 1024 * 1024,
    extensions=frozenset({"pdf", "jpg", "jpeg", "png"}),
    content_types=frozenset({"application/pdf", "image/jpeg", "image/png"}),
)
# Fields that only one of the two shapes has.
DOCS_FIELDS = frozenset({"description", "priority", "tags", "resolution", "resolvedAt", "assignedTo"})
APP_FIELDS = frozenset({"number", "assignee", "api", "issueUrl"})
KEY_TAG = "key:"
MARK_LENGTH = len(f" {short_reference('0' * 32)}")


def capabilities_of(dialect: Dialect, *, reference: bool) -> Capabilities:
    """Return what an account can do; nothing but create, list and retrieve is documented for dialect docs."""
    if dialect == "docs":
        return Capabilities(
            can_list=True,
            can_find=reference,
            no_comment_reason=gettext_noop("Verifik documents no call for answers; they can only be read."),
            required_fields=frozenset({"description", "category", "priority"}),
            sent_fields=frozenset({"category", "priority", "tags"}),
            categories=CATEGORIES[dialect],
            priorities=PRIORITIES,
            status_map=STATUSES[dialect],
            settled_statuses=frozenset({Status.RESOLVED, Status.CLOSED}),
        )
    return Capabilities(
        can_list=True,
        can_find=reference,
        can_comment=True,
        can_close=True,
        attachments=FILES,
        subject_max=TITLE_MAX - (MARK_LENGTH if reference else 0),
        description_max=MESSAGE_MAX,
        comment_max=MESSAGE_MAX,
        required_fields=frozenset({"description", "category"}),
        sent_fields=frozenset({"category"}),
        categories=CATEGORIES[dialect],
        status_map=STATUSES[dialect],
        settled_statuses=frozenset({Status.RESOLVED, Status.CLOSED}),
        option_names=frozenset({"subject", "api"}),
        customer_options=frozenset({"subject", "api"}),
        required_options={SMART_CHECK: frozenset({"subject", "api"})},
        option_max={"subject": SMART_CHECK_SUBJECT_MAX},
    )


def to_record(ticket: Any, *, assumed: Dialect = "docs", html_messages: bool = True) -> TicketRecord:
    """Return a ticket of either dialect as a record; its remote id is "" where there is no usable one.

    `assumed` is the dialect of an object that could be of both; `html_messages` is how dialect app writes texts. The
    vendor's copy of the description, which is the first thread by time, is no comment.
    """
    data = dict_of(ticket)
    dialect = dialect_of(data, assumed=assumed)
    body_format = BodyFormat.HTML if dialect == "app" and html_messages else BodyFormat.TEXT
    opening, replies = _conversation(data, dialect)
    comments = ABSENT if replies is ABSENT else tuple(to_comment(reply, body_format=body_format) for reply in replies)
    client = dict_of(data.get("client"))
    title = data.get("title") or data.get("subject")
    return TicketRecord(
        remote_id=id_of_ticket(data),
        customer_id=id_of(client.get("_id")) or id_of(data.get("client")) or ABSENT,
        key=loaded(data, "tags", _key_of),
        reference=loaded(data, "number", text_of),
        status=loaded(data, "status", lambda status: _status_of(status, dialect)),
        remote_status=loaded(data, "status", text_of),
        priority=loaded(data, "priority", text_of),
        category=loaded(data, "category", text_of),
        tags=loaded(data, "tags", _tags_of),
        resolution=loaded(data, "resolution", text_of),
        subject=ABSENT if title is None else without_reference(text_of(title)),
        description=_description_of(data, opening, body_format=body_format),
        contact_name=loaded(client, "name", text_of),
        contact_email=loaded(client, "email", text_of),
        created_at=loaded(data, "createdAt", time_of),
        updated_at=loaded(data, "updatedAt", time_of),
        resolved_at=loaded(data, "resolvedAt", time_of),
        last_comment_at=latest_of(comments),
        comments=comments,
        attachments=_attachments_of(data, opening, replies),
        raw=raw_of(data),
    )


def to_comment(thread: Mapping[str, Any], *, body_format: BodyFormat) -> CommentRecord:
    """Return a thread as a comment; in dialect docs it has no id.

    Its direction is `type` in dialect docs; in dialect app a `superAdmin` makes it an agent's, as the app's
    support-ticket-chat-panel has it.
    """
    writer = dict_of(thread.get("superAdmin")) or dict_of(thread.get("client"))
    author_type = AuthorType.AGENT if thread.get("superAdmin") else AuthorType.CUSTOMER
    if "type" in thread:
        author_type = THREAD_TYPES.get(text_of(thread["type"]), AuthorType.UNKNOWN)
    return CommentRecord(
        remote_id=id_of(thread.get("_id")),
        author_type=author_type,
        author_name=text_of(writer.get("name")) or text_of(thread.get("author")),
        body=text_of(thread.get("message")),
        body_format=body_format,
        sent_at=_time_of_thread(thread),
    )


def to_attachment(item: Mapping[str, Any], *, comment_id: str = "") -> AttachmentRecord:
    """Return a file of either dialect; an address that is not http(s) is dropped."""
    url = text_of(item.get("url"))
    return AttachmentRecord(
        remote_id=id_of(item.get("_id")),
        remote_url=url if url.startswith(("https://", "http://")) else "",
        name=text_of(item.get("filename")) or text_of(item.get("name")),
        content_type=text_of(item.get("type")),
        size=int_of(item.get("size")),
        comment_id=comment_id,
        created_at=time_of(item.get("createdAt")),
    )


def to_payload(draft: TicketDraft, *, tag: str = "") -> dict[str, Any]:
    """Return the body of create in dialect docs (/resources/create-a-support-ticket); `tag` carries our key."""
    return {
        "title": clean_text(draft.subject),
        "description": clean_text(draft.description),
        "priority": draft.priority,
        "category": draft.category,
        "tags": [clean_text(text) for text in (*draft.tags, tag) if text],
    }


def to_app_payload(draft: TicketDraft, thread: Mapping[str, Any], *, mark: str = "") -> dict[str, Any]:
    """Return the body of insert in dialect app, whose title carries our mark and whose first thread is the text."""
    extras = {name: text_of(draft.options.get(name)) for name in ("subject", "api")}
    return {
        "title": f"{clean_text(draft.subject)} {mark}".rstrip(),
        "category": draft.category,
        "threads": [thread],
        **{name: text for name, text in extras.items() if text},
    }


def to_thread(body: str, files: Sequence[str], *, html_messages: bool) -> dict[str, Any]:
    """Return a message and the ids of its files, as HTML unless the API is known to take plain text.

    The web app escapes a text and wraps its lines in <p> (create-dialog), and shows every message as HTML.
    """
    text = clean_text(body)
    return {"message": to_html(text) if html_messages else text, "attachments": list(files)}


def to_html(text: str) -> str:
    """Return plain text as HTML that shows just that text."""
    return "".join(f"<p>{html.escape(line)}</p>" for line in text.splitlines()) or "<p></p>"


def key_tag(key: str) -> str:
    """Return the tag by which a ticket is found again in dialect docs."""
    return f"{KEY_TAG}{key}"


def dialect_of(ticket: Mapping[str, Any], *, assumed: Dialect) -> Dialect:
    """Return the dialect of a ticket by the fields that only one of the two has."""
    docs, app = len(DOCS_FIELDS & ticket.keys()), len(APP_FIELDS & ticket.keys())
    if docs == app:
        return assumed
    return "docs" if docs > app else "app"


def threads_of(ticket: Mapping[str, Any]) -> Rows | NotLoaded:
    """Return the threads, oldest first; ABSENT where the vendor sent none or only their ids."""
    threads = ticket.get("threads", ABSENT)
    if threads is None:
        return []
    if not isinstance(threads, list) or any(isinstance(thread, str) for thread in threads):
        return ABSENT
    return oldest_first([thread for thread in threads if isinstance(thread, dict)], _time_of_thread)


def id_of_ticket(ticket: Mapping[str, Any]) -> str:
    """Return `_id`, or `id` as an early overview page has it."""
    return id_of(ticket.get("_id")) or id_of(ticket.get("id"))


class Base64Body:
    """The JSON body of an upload: the file streams through as a base64 data URI and is never whole in memory.

    Source: attachment.service.ts of the web app; no documentation page has the call.
    """

    content_type = "application/json"

    def __init__(self, file: Part, *, expiration_days: float | None) -> None:
        about = {
            "name": file.filename,
            "size": file.size,
            "type": file.content_type,
            "source": "support-ticket",
            "metadata": {},
            **({} if expiration_days is None else {"expirationDays": expiration_days}),
        }
        self._file = file
        self._head = json.dumps({"file": f"data:{file.content_type};base64,"})[:-2].encode()
        self._tail = b'", ' + json.dumps(about)[1:].encode()
        self._chunks = checked_chunks(file)

    def __len__(self) -> int:
        return len(self._head) + 4 * -(-self._file.size // 3) + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """Return the pieces; a file that cannot be read is found before the first one leaves."""
        self.close()
        self._chunks = checked_chunks(self._file)
        return self._pieces(itertools.chain((next(self._chunks),), self._chunks))

    def close(self) -> None:
        """Close the file; a body that was never sent to its end still has it open."""
        self._chunks.close()

    def _pieces(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        yield self._head
        rest = b""
        for chunk in chunks:
            rest += chunk
            whole = len(rest) // 3 * 3
            yield base64.b64encode(rest[:whole])
            rest = rest[whole:]
        yield base64.b64encode(rest) + self._tail


def expiry_of(token: str) -> datetime | None:
    """Return when a JWT ends, read without checking its signature; None where it does not say so."""
    try:
        part = token.split(".")[1]
        claims = parse_json(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return None
    return time_of(dict_of(claims).get("exp"))


def _conversation(ticket: Mapping[str, Any], dialect: Dialect) -> tuple[dict[str, Any] | None, Rows | NotLoaded]:
    """Return the thread that is the description, and the others; both None and ABSENT where none are loaded."""
    threads = threads_of(ticket)
    if threads is ABSENT:
        return None, ABSENT
    opens = bool(threads) and (dialect == "app" or _repeats(threads[0], ticket))
    return (threads[0], threads[1:]) if opens else (None, threads)


def _repeats(thread: Mapping[str, Any], ticket: Mapping[str, Any]) -> bool:
    """Return whether a thread of dialect docs is the description again (/resources/create-a-support-ticket)."""
    if "description" not in ticket:
        return thread.get("type") == "user"
    return normalised_text(text_of(thread.get("message"))) == normalised_text(text_of(ticket["description"]))


def _description_of(
    ticket: Mapping[str, Any], opening: Mapping[str, Any] | None, *, body_format: BodyFormat
) -> str | NotLoaded:
    if "description" in ticket:
        return text_of(ticket["description"])
    if opening is None:
        return ABSENT
    text = text_of(opening.get("message"))
    return text_of_html(text) if body_format == BodyFormat.HTML else text


def _attachments_of(
    ticket: Mapping[str, Any], opening: Mapping[str, Any] | None, replies: Rows | NotLoaded
) -> tuple[AttachmentRecord, ...] | NotLoaded:
    """Return the files of the ticket and of its threads; ABSENT where none are loaded, or some by their id only."""
    holders = [(ticket, ""), (opening or {}, "")]
    holders += [(reply, id_of(reply.get("_id"))) for reply in replies or ()]
    files = [(file, place) for holder, place in holders for file in list_of(holder.get("attachments"))]
    is_loaded = any("attachments" in holder for holder, _ in holders)
    if not is_loaded or any(isinstance(file, str) for file, _ in files):
        return ABSENT
    return tuple(to_attachment(file, comment_id=place) for file, place in files if isinstance(file, dict))


def _status_of(status: Any, dialect: Dialect) -> Status:
    """Return our status; a word that only the other dialect has is taken from there."""
    known = {**STATUSES["docs"], **STATUSES["app"], **STATUSES[dialect]}
    return known.get(text_of(status), Status.UNKNOWN)


def _key_of(tags: Any) -> str:
    keys = (own_key(tag.removeprefix(KEY_TAG)) for tag in _texts(tags) if tag.startswith(KEY_TAG))
    return next(filter(None, keys), "")


def _tags_of(tags: Any) -> tuple[str, ...]:
    return tuple(tag for tag in _texts(tags) if not (tag.startswith(KEY_TAG) and own_key(tag.removeprefix(KEY_TAG))))


def _texts(values: Any) -> Iterable[str]:
    return filter(None, map(text_of, list_of(values)))


def _time_of_thread(thread: Mapping[str, Any]) -> datetime | None:
    return time_of(thread.get("timestamp")) or time_of(thread.get("createdAt"))
