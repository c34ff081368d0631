from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from html import unescape
from typing import Any, BinaryIO, Final, Literal, TypeVar

from django_support_tickets.vocabulary import AuthorType as AuthorType
from django_support_tickets.vocabulary import BodyFormat as BodyFormat
from django_support_tickets.vocabulary import Status as Status
from django_support_tickets.vocabulary import TicketRef as TicketRef


class Absent(enum.Enum):
    """The type of ABSENT: the vendor's answer did not carry this field, so nothing is known about it."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> Literal[False]:
        return False


ABSENT: Final = Absent.ABSENT

NotLoaded = Literal[Absent.ABSENT]

R = TypeVar("R")


def _private(default: Any = "") -> Any:
    """Return a field that stays out of `repr()`: text and personal data must not reach logs."""
    return field(default=default, repr=False)


def _made_fast(cls: type[R]) -> type[R]:
    """Let the slots of a frozen dataclass be set by their own descriptors: in half the time of `object.__setattr__`.

    A row of a list becomes a record with two dozen fields, and a walk reads a hundred thousand rows.
    """
    names = {one.name: one for one in fields(cls)}  # type: ignore[arg-type]
    known: dict[str, Any] = {f"set_{name}": getattr(cls, name).__set__ for name in names}
    known |= {f"default_{name}": one.default for name, one in names.items()}
    known |= {f"make_{name}": one.default_factory for name, one in names.items()}
    arguments = [
        name if one.default is MISSING is one.default_factory else f"{name}=default_{name}"
        for name, one in names.items()
    ]
    lines = [f" set_{name}(self, {name})" for name, one in names.items() if one.default_factory is MISSING]
    lines += [
        f" set_{name}(self, make_{name}() if {name} is default_{name} else {name})"
        for name, one in names.items()
        if one.default_factory is not MISSING
    ]
    exec("\n".join([f"def __init__(self, *, {', '.join(arguments)}):", *lines]), known)  # noqa: S102 -- as dataclass does
    type.__setattr__(cls, "__init__", known["__init__"])
    return cls


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDraft:
    """A file to send; `open()` returns a fresh binary stream at byte 0 each time, `size` is in bytes."""

    key: str
    name: str = _private()
    content_type: str = "application/octet-stream"
    size: int = 0
    sha256: str = ""
    open: Callable[[], BinaryIO] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketDraft:
    """A ticket to create. `key` is our id; `sent_at` is when the first byte may have left, None before that."""

    key: str
    customer_id: str = ""
    contact_name: str = _private()
    contact_email: str = _private()
    subject: str = _private()
    description: str = _private()
    priority: str = ""
    category: str = ""
    tags: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    files: tuple[FileDraft, ...] = ()
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentDraft:
    """A comment to send as plain text, with the files that travel with it."""

    key: str
    body: str = _private()
    files: tuple[FileDraft, ...] = ()


@_made_fast
@dataclass(frozen=True, slots=True, kw_only=True)
class CommentRecord:
    """A comment as the vendor shows it; `remote_id` is "" where the vendor gives none."""

    remote_id: str = ""
    author_type: AuthorType = AuthorType.UNKNOWN
    author_name: str = _private()
    body: str = _private()
    body_format: BodyFormat = BodyFormat.TEXT
    sent_at: datetime | None = None


@_made_fast
@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentRecord:
    """A file at the vendor; `comment_id` is the remote id of its comment, "" where it hangs on the ticket."""

    remote_id: str = ""
    remote_url: str = _private()
    name: str = _private()
    content_type: str = ""
    size: int | None = None
    comment_id: str = ""
    created_at: datetime | None = None


@_made_fast
@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRecord:
    """A ticket as the vendor shows it, normalised.

    ABSENT: not loaded, nothing is known. "" or None or (): the vendor says it is empty. All datetimes are aware, in
    UTC. `updated_at` is the version that the merge guard compares; `raw` is the vendor's object as received.
    """

    remote_id: str
    customer_id: str | NotLoaded = ABSENT
    key: str | NotLoaded = ABSENT
    reference: str | NotLoaded = ABSENT
    status: Status | NotLoaded = ABSENT
    remote_status: str | NotLoaded = ABSENT
    priority: str | NotLoaded = ABSENT
    category: str | NotLoaded = ABSENT
    tags: tuple[str, ...] | NotLoaded = ABSENT
    resolution: str | NotLoaded = _private(ABSENT)
    subject: str | NotLoaded = _private(ABSENT)
    description: str | NotLoaded = _private(ABSENT)
    contact_name: str | NotLoaded = _private(ABSENT)
    contact_email: str | NotLoaded = _private(ABSENT)
    created_at: datetime | None | NotLoaded = ABSENT
    updated_at: datetime | None | NotLoaded = ABSENT
    resolved_at: datetime | None | NotLoaded = ABSENT
    closed_at: datetime | None | NotLoaded = ABSENT
    last_comment_at: datetime | None | NotLoaded = ABSENT
    comments: tuple[CommentRecord, ...] | NotLoaded = _private(ABSENT)
    attachments: tuple[AttachmentRecord, ...] | NotLoaded = _private(ABSENT)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list walk; `next_cursor` is None on the last page and opaque to everyone but the provider."""

    records: tuple[TicketRecord, ...]
    next_cursor: str | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The tickets that may be a draft's, each checked locally; `complete` is False if some could not be looked at."""

    records: tuple[TicketRecord, ...] = ()
    complete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """A verified webhook: a hint that `remote_id` has news. `identity` is unique for what was signed."""

    identity: str
    event_type: str = ""
    remote_id: str = ""
    customer_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What `probe()` learned without side effects: the account answers; `warnings` are for the operator."""

    warnings: tuple[str, ...] = ()
    token_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A file while it arrives; `chunks` can be read once, `size` is what the vendor announces, in bytes."""

    content_type: str = ""
    size: int | None = None
    chunks: Iterator[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentRules:
    """What files a vendor takes. Sizes in bytes, extensions without the dot in lower case; empty set: any."""

    # At which moments can a file travel? "create": with the ticket. "after": by itself. "comment": with a comment.
    # Where it can go by itself, it always does: then each file can be read back and sent again alone.
    moments: frozenset[str]
    # How many files may one send, or one ticket, carry?
    max_count: int | None = None
    # How large may one file be?
    max_bytes: int | None = None
    # How large may all files of one send be together?
    max_total_bytes: int | None = None
    # Which file name extensions are taken?
    extensions: frozenset[str] = frozenset()
    # Which content types are taken?
    content_types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Everything that depends on what a vendor can do; the single source for validation, forms, API and docs."""

    # Can tickets be listed, so that changed, unknown and missing ones are found?
    can_list: bool = False
    # Must a list be asked for one customer at a time (scope = customer_id)?
    lists_by_customer: bool = False
    # Can a ticket be found again by our key after its answer was lost?
    can_find: bool = False
    # Can comments be added, and what to tell an agent where not (in English; translated when it is shown)?
    can_comment: bool = False
    no_comment_reason: str = ""
    # Can a ticket be closed?
    can_close: bool = False
    # Does the vendor send webhooks about tickets?
    has_webhooks: bool = False
    # Which files does it take? None: none at all.
    attachments: AttachmentRules | None = None
    # How many characters may a text have? None: not limited.
    subject_max: int | None = None
    description_max: int | None = None
    comment_max: int | None = None
    # Which of customer_id, contact_name, contact_email, description, category, priority must be given?
    required_fields: frozenset[str] = frozenset()
    # Which optional fields are sent at all?
    sent_fields: frozenset[str] = frozenset()
    # Which values may category and priority have? Empty: free or not used.
    categories: tuple[str, ...] = ()
    priorities: tuple[str, ...] = ()
    # What do the vendor's statuses mean?
    status_map: Mapping[str, Status] = field(default_factory=dict)
    # In which states can no news come in any more (never polled), and in which rarely?
    final_statuses: frozenset[Status] = frozenset()
    settled_statuses: frozenset[Status] = frozenset({Status.CLOSED, Status.FAILED})
    # Which HTTP statuses prove that a request was rejected and had no effect?
    proves_rejection: frozenset[int] = frozenset({400, 401, 403, 404, 413, 415, 422})
    # Which keys of `Ticket.options` are sent?
    option_names: frozenset[str] = frozenset()
    # Which of them must be given with which category, and how many characters may their text have?
    required_options: Mapping[str, frozenset[str]] = field(default_factory=dict)
    option_max: Mapping[str, int] = field(default_factory=dict)
    # Which of them may customers set through the API, because they name nobody and decide nothing?
    customer_options: frozenset[str] = frozenset()


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Return `text` with NUL and lone surrogates, which no database can store, replaced by U+FFFD."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


# Searched in one pass over the text: an HTML parser takes minutes for hostile markup of 200 kB.
_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_BREAK = re.compile(r"<(?:br|p|div|li|tr)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z!?][^<>]*>", re.IGNORECASE)


def text_of_html(markup: str) -> str:
    """Return the text of a vendor's HTML, one line per paragraph or break, without markup, scripts and styles.

    What looks unfinished stays as text: the result is for comparing and reading, and is escaped on display.
    """
    text = unescape(_TAG.sub("", _BREAK.sub("\n", _HIDDEN.sub("", markup))))
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def normalised_text(body: str, body_format: str = BodyFormat.TEXT) -> str:
    """Return `body` as it compares with the same text that a vendor has stored: no markup, single spaces."""
    return " ".join((text_of_html(body) if body_format == BodyFormat.HTML else body).split())
