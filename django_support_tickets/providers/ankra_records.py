"""Ankra's objects in our records and back.

Facts from docs.ankra.ai (api-reference/support-api: get-ticket-endpoint, create-ticket-endpoint; platform/support) and
from Ankra's public CLI (github.com/ankraio/ankra-cli: internal/client/support.go, pull request 279).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

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
    text_of,
    time_of,
    uuid_of,
)
from django_support_tickets.records import (
    AttachmentRecord,
    AuthorType,
    BodyFormat,
    CommentRecord,
    FileDraft,
    Page,
    Status,
    TicketDraft,
    TicketRecord,
    clean_text,
)

# get-ticket-endpoint; their meaning: platform/support.
STATUSES: Mapping[str, Status] = {
    "pending_review": Status.PENDING,
    "open": Status.OPEN,
    "triaging": Status.IN_PROGRESS,
    "in_progress": Status.IN_PROGRESS,
    "waiting_customer": Status.WAITING,
    "resolved": Status.RESOLVED,
    "closed": Status.CLOSED,
}
CATEGORIES = ("technical", "account", "billing", "bug", "feature_request", "other")
SEVERITIES = ("low", "medium", "high", "critical")
# platform/support names the four kinds of author, but no page the words for them: hence the option `author_types`.
AUTHOR_TYPES: Mapping[str, AuthorType] = {
    "customer": AuthorType.CUSTOMER,
    "ankra_team": AuthorType.AGENT,
    "agent": AuthorType.AGENT,
    "team": AuthorType.AGENT,
    "ai": AuthorType.AI,
    "system": AuthorType.SYSTEM,
}
# Pull request 279: the Content-Type of the part decides, and application/octet-stream is refused even for a real PNG.
IMAGES: Mapping[str, re.Pattern[bytes]] = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "image/gif": re.compile(rb"GIF8[79]a"),
}

#: `raw` of list rows, of which a walk reads a hundred thousand: one empty object for all of them.
NOTHING: Mapping[str, Any] = MappingProxyType({})

REFERENCE = re.compile(r"^Reference: ([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})[ \t\r]*$", re.MULTILINE)


def content_type_of(file: FileDraft) -> str:
    """Return the image type that a file's first bytes show; of a file that says to be an image and is none, ""."""
    try:
        with file.open() as stream:
            start = stream.read(16)
    except Exception:  # a storage raises what it likes; sending the file will say so
        return file.content_type
    shown = next((kind for kind, magic in IMAGES.items() if magic.match(start)), "")
    return shown or ("" if file.content_type in IMAGES else file.content_type)


def subject_of(draft: TicketDraft) -> str:
    """Return the subject as it is sent, on one line."""
    return " ".join(clean_text(draft.subject).split())


def reference_line(key: str) -> str:
    """Return the end of a description by which the ticket is found again."""
    return f"\n\nReference: {key}"


def key_in(description: Any) -> str:
    """Return our key from a description, "" if it has none."""
    keys = REFERENCE.findall(text_of(description))
    return own_key(keys[-1]) if keys else ""


def without_key(description: Any) -> str:
    """Return a description as it was before `reference_line` was added."""
    text = text_of(description)
    return REFERENCE.sub("", text).rstrip() if REFERENCE.search(text) else text


def to_payload(draft: TicketDraft, *, has_reference: bool) -> dict[str, Any]:
    """Return the body of create-ticket-endpoint; `source` says that this is an API client."""
    description = clean_text(draft.description)
    optional = {"category": draft.category, "severity": draft.priority, "cluster_id": draft.options.get("cluster_id")}
    return {
        "subject": subject_of(draft),
        "description": description + reference_line(draft.key) if has_reference else description,
        "source": "api",
        "acknowledged": draft.options.get("acknowledged") is True,
        **{name: value for name, value in optional.items() if value},
    }


def to_page(data: Any, number: int) -> tuple[Page | None, bool]:
    """Return {"result", "pagination"} as a page and whether every row is in it; None if it contradicts itself."""
    rows, pagination = dict_of(data).get("result"), dict_of(dict_of(data).get("pagination"))
    pages = int_of(pagination.get("total_pages"))
    if not isinstance(rows, list) or pages is None or (not rows and number <= pages):
        return None, False
    records = {record.remote_id: record for record in map(to_row, rows)}
    return Page(
        records=tuple(record for remote_id, record in records.items() if remote_id),
        next_cursor=str(number + 1) if number < pages else None,
        total=int_of(pagination.get("total_count")),
    ), "" not in records


def to_record(data: Any, *, author_types: Mapping[str, AuthorType] = AUTHOR_TYPES) -> TicketRecord:
    """Return a full ticket; remote id "" where there is none."""
    ticket = dict_of(data)
    comments = loaded(ticket, "comments", lambda rows: to_comments(rows, author_types))
    return TicketRecord(
        remote_id=uuid_of(ticket.get("id")),
        key=loaded(ticket, "description", key_in),
        reference=loaded(ticket, "ticket_number", text_of),
        status=loaded(ticket, "status", lambda status: STATUSES.get(text_of(status), Status.UNKNOWN)),
        remote_status=loaded(ticket, "status", text_of),
        priority=loaded(ticket, "severity", text_of),
        category=loaded(ticket, "category", text_of),
        subject=loaded(ticket, "subject", text_of),
        description=loaded(ticket, "description", without_key),
        created_at=loaded(ticket, "created_at", time_of),
        updated_at=loaded(ticket, "updated_at", time_of),
        last_comment_at=latest_of(comments),
        comments=comments,
        attachments=loaded(ticket, "attachments", to_attachments),
        raw=raw_of(ticket),
    )


def to_row(data: Any) -> TicketRecord:
    """Return what is looked at in a row of a list: which ticket it is and how new; the rest is left to a GET."""
    ticket = dict_of(data)
    return TicketRecord(
        remote_id=uuid_of(ticket.get("id")),
        remote_status=loaded(ticket, "status", text_of),
        created_at=loaded(ticket, "created_at", time_of),
        updated_at=loaded(ticket, "updated_at", time_of),
        raw=NOTHING,
    )


def to_comments(rows: Any, author_types: Mapping[str, AuthorType]) -> tuple[CommentRecord, ...]:
    """Return the comments, the oldest first; no page promises an order."""
    comments = [to_comment(row, author_types) for row in list_of(rows)]
    return tuple(oldest_first(comments, lambda comment: comment.sent_at))


def to_attachments(rows: Any) -> tuple[AttachmentRecord, ...]:
    """Return the files, the oldest first."""
    return tuple(oldest_first([to_attachment(row) for row in list_of(rows)], lambda file: file.created_at))


def to_comment(data: Any, author_types: Mapping[str, AuthorType]) -> CommentRecord:
    """Return {"id", "author_type", "author_label", "body", "created_at"} as a record."""
    comment = dict_of(data)
    return CommentRecord(
        remote_id=id_of(comment.get("id")),
        author_type=author_types.get(text_of(comment.get("author_type")).lower(), AuthorType.UNKNOWN),
        author_name=text_of(comment.get("author_label")),
        body=text_of(comment.get("body")),
        body_format=BodyFormat.MARKDOWN,
        sent_at=time_of(comment.get("created_at")),
    )


def to_attachment(data: Any) -> AttachmentRecord:
    """Return {"id", "filename", "content_type", "size_bytes", "created_at"} as a record; it has no address."""
    file = dict_of(data)
    return AttachmentRecord(
        remote_id=id_of(file.get("id")),
        name=text_of(file.get("filename")),
        content_type=text_of(file.get("content_type")),
        size=int_of(file.get("size_bytes")),
        created_at=time_of(file.get("created_at")),
    )
