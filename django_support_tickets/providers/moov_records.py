"""Moov's tickets, messages and events in our records and back.

Facts from docs.moov.io /api/tools/support and from `moovio-sdk` 26.8.6 (PyPI), which is made from Moov's own schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django_support_tickets.exceptions import WebhookRejected
from django_support_tickets.providers.http import (
    dict_of,
    id_of,
    latest_of,
    loaded,
    oldest_first,
    own_key,
    raw_of,
    text_of,
    time_of,
)
from django_support_tickets.records import (
    ABSENT,
    AuthorType,
    CommentRecord,
    NotLoaded,
    Status,
    TicketDraft,
    TicketRecord,
    WebhookEvent,
)
from django_support_tickets.transport import clean_text, parse_json

# /api/tools/support/get. The official SDK keeps the enum open: a new status is no error.
STATUSES: Mapping[str, Status] = {
    "new": Status.OPEN,
    "in-progress": Status.IN_PROGRESS,
    "on-hold": Status.ON_HOLD,
    "closed": Status.CLOSED,
}

EVENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
TICKET_EVENTS = "ticket."


def to_record(ticket: Any, messages: Any = None, *, customer_id: str = "") -> TicketRecord:
    """Return a ticket and its messages as a record; its remote id is "" where there is no usable one.

    `messages` None means not loaded. Moov keeps no description: it is the first message by time, and as the copy of
    our own text no comment. The version is the latest of updatedOn, latestMessageOn and closedOn, since nothing says
    that a message moves updatedOn.
    """
    data = dict_of(ticket)
    contact = dict_of(data.get("contact"))
    description, comments = _split(messages, contact)
    return TicketRecord(
        remote_id=id_of(data.get("ticketID")),
        customer_id=customer_id or ABSENT,
        key=loaded(data, "foreignID", own_key),
        reference=loaded(data, "number", text_of),
        status=loaded(data, "status", lambda status: STATUSES.get(text_of(status), Status.UNKNOWN)),
        remote_status=loaded(data, "status", text_of),
        subject=loaded(data, "title", text_of),
        description=description,
        contact_name=loaded(contact, "name", text_of),
        contact_email=loaded(contact, "email", text_of),
        created_at=loaded(data, "createdOn", time_of),
        updated_at=_version_of(data),
        closed_at=loaded(data, "closedOn", time_of),
        last_comment_at=latest_of(comments),
        comments=comments,
        raw=raw_of(data),
    )


def to_payload(draft: TicketDraft, *, foreign_id: str = "") -> dict[str, Any]:
    """Return the body of create (/api/tools/support/create); what is not given is left out, never null."""
    contact = {"email": clean_text(draft.contact_email), "name": clean_text(draft.contact_name)}
    payload = {
        "title": clean_text(draft.subject),
        "body": clean_text(draft.description),
        "contact": {name: text for name, text in contact.items() if text},
        "author": text_of(draft.options.get("author")),
        "foreignID": foreign_id,
    }
    return {name: value for name, value in payload.items() if value}


def to_event(body: bytes, *, nonce: str) -> WebhookEvent:
    """Return the hint in a webhook's body, whose ids are checked since nobody signed them; raise WebhookRejected.

    Events that are not about tickets name no remote id. Source: moovio-sdk, components/webhookevent.py.
    """
    try:
        event = dict_of(parse_json(body))
    except ValueError:
        event = {}
    event_type, data = event.get("type"), dict_of(event.get("data"))
    if not isinstance(event_type, str) or not EVENT_TYPE.fullmatch(event_type):
        raise WebhookRejected("the body is not an event", status=400)
    if not event_type.startswith(TICKET_EVENTS):
        return WebhookEvent(identity=nonce, event_type=event_type)
    remote_id, account = id_of(data.get("ticketID")), id_of(data.get("accountID"))
    if not remote_id or not account:
        raise WebhookRejected("the event names no ticket", status=400)
    return WebhookEvent(identity=nonce, event_type=event_type, remote_id=remote_id, customer_id=account)


def _split(messages: Any, contact: Mapping[str, Any]) -> tuple[str | NotLoaded, tuple[CommentRecord, ...] | NotLoaded]:
    """Return the description and the comments."""
    if not isinstance(messages, list):
        return ABSENT, ABSENT
    ours = {text for text in (_folded(contact.get("name")), _folded(contact.get("email"))) if text}
    comments = [_to_comment(message, ours) for message in messages if isinstance(message, dict)]
    ordered = oldest_first(comments, lambda comment: comment.sent_at)
    return (ordered[0].body if ordered else ABSENT), tuple(ordered[1:])


def _to_comment(message: Mapping[str, Any], ours: set[str]) -> CommentRecord:
    """Return a message as a comment; it has no id and no direction, but its author may be the ticket's contact."""
    author = text_of(message.get("author"))
    author_type = AuthorType.CUSTOMER if _folded(author) in ours else AuthorType.AGENT
    return CommentRecord(
        author_type=author_type if author and ours else AuthorType.UNKNOWN,
        author_name=author,
        body=text_of(message.get("body")),
        sent_at=time_of(message.get("sentOn")),
    )


def _folded(value: Any) -> str:
    return " ".join(text_of(value).split()).casefold()


def _version_of(data: Mapping[str, Any]) -> datetime | None | NotLoaded:
    times = (time_of(data.get(name)) for name in ("updatedOn", "latestMessageOn", "closedOn"))
    return max(filter(None, times), default=None if "updatedOn" in data else ABSENT)
