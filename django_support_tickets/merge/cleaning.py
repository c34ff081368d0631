"""Make what a provider returns fit for its column, whoever wrote the provider."""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

from django_support_tickets.models import project_time
from django_support_tickets.records import (
    AttachmentRecord,
    AuthorType,
    BodyFormat,
    CommentRecord,
    Status,
    TicketRecord,
    clean_text,
)

RAW_LIMIT = 64 * 1024
_SCALARS = (str, int, float, bool, type(None))
_STATUSES, _AUTHOR_TYPES, _BODY_FORMATS = set(Status.values), set(AuthorType.values), set(BodyFormat.values)


def text(value: Any, limit: int | None = None) -> str:
    """Return a storable text of at most `limit` characters; "…" at its end says that it was longer."""
    cleaned = value if isinstance(value, str) else "" if value is None else str(value)
    cleaned = clean_text(cleaned)
    return cleaned if limit is None or len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def status(value: Any) -> str:
    """Return one of our statuses, "unknown" for anything else."""
    return str(value) if value in _STATUSES else Status.UNKNOWN.value


def author_type(value: Any) -> str:
    """Return one of our types of author, "unknown" for anything else."""
    return str(value) if value in _AUTHOR_TYPES else AuthorType.UNKNOWN.value


def body_format(value: Any) -> str:
    """Return one of our formats of text, "text" for anything else."""
    return str(value) if value in _BODY_FORMATS else BodyFormat.TEXT.value


def moment(value: Any) -> datetime | None:
    """Return a datetime as this project stores it, None if it is none or out of any calendar's reach."""
    if not isinstance(value, datetime) or not 1970 <= value.year < 9999:
        return None
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return project_time(value)


def tags(value: Any) -> list[str]:
    """Return at most 100 short tags."""
    return [text(tag, 100) for tag in list(value or ())[:100]]


def is_remote_id(value: Any) -> bool:
    """Return whether a vendor's id can be stored, and asked for, as it is."""
    return isinstance(value, str) and 0 < len(value) <= 255 and clean_text(value) == value


def own_key(value: Any) -> str:
    """Return a key as our rows have them, "" for anything else."""
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        return ""


def size(value: Any) -> int | None:
    """Return a number of bytes that a column can hold, else None."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**63 else None


def raw(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the vendor's object without lists of objects; a marker with its size if it is over 64 kB."""
    slim: dict[str, Any] = _slim(value, depth=0)
    if _is_surely_small(slim):
        return slim
    length = len(json.dumps(slim, ensure_ascii=False).encode(errors="replace"))
    return slim if length <= RAW_LIMIT else {"_left_out": "the vendor's answer is too large", "_bytes": length}


def _is_surely_small(slim: dict[str, Any]) -> bool:
    """Return whether an object is flat and so short that it need not be written to know it: six bytes a character."""
    texts = [value for value in slim.values() if isinstance(value, str)]
    others = (value is None or isinstance(value, (str, int, float)) for value in slim.values())
    return all(others) and 6 * (sum(map(len, texts)) + sum(map(len, slim)) + 32 * len(slim)) <= RAW_LIMIT


def _slim(value: Any, *, depth: int) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) < 2**63 else text(str(value) if abs(value) < 10**50 else "…")
    if isinstance(value, (list, tuple)):
        return [_slim(item, depth=depth + 1) for item in value]
    if isinstance(value, Mapping):
        inner = value.items() if depth < 20 else ()
        return {
            _name(name): clean_text(item) if type(item) is str else _slim(item, depth=depth + 1)
            for name, item in inner
            if _is_kept(item)
        }
    return text(value)


def _name(name: Any) -> str:
    return clean_text(name) if type(name) is str and len(name) <= 200 else text(name, 200)


def _is_kept(value: Any) -> bool:
    return not isinstance(value, (list, tuple)) or all(isinstance(item, _SCALARS) for item in value)


_TICKET = attrgetter(*(name for name in TicketRecord.__dataclass_fields__ if name not in ("comments", "attachments")))
_COMMENT = attrgetter(*CommentRecord.__dataclass_fields__)
_ATTACHMENT = attrgetter(*AttachmentRecord.__dataclass_fields__)


def digest(record: TicketRecord) -> str:
    """Return the hash of everything that a record says; equal for equal content, also after a restart.

    By `repr()` of plain values, which is several times faster than JSON. Where a vendor's keys change their order the
    hash changes too, and a row is written once more than needed.
    """
    content = (_TICKET(record), _rows(record.comments, _COMMENT), _rows(record.attachments, _ATTACHMENT))
    return hashlib.blake2b(repr(content).encode(errors="surrogatepass"), digest_size=32).hexdigest()


def _rows(records: Any, values_of: attrgetter[Any]) -> Any:
    return [values_of(record) for record in records] if records else records


def in_three_bytes(record: TicketRecord) -> TicketRecord:
    """Return the record with each character that needs four bytes in UTF-8 replaced: MySQL's old utf8 takes three."""
    cleaned: TicketRecord = _in_three_bytes(record)
    return cleaned


def _in_three_bytes(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, StrEnum):
        return re.sub("[\U00010000-\U0010ffff]", "\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, (TicketRecord, CommentRecord, AttachmentRecord)):
        return replace(value, **{name: _in_three_bytes(getattr(value, name)) for name in value.__dataclass_fields__})
    if isinstance(value, Mapping):
        return {_in_three_bytes(name): _in_three_bytes(item) for name, item in value.items()}
    return [*map(_in_three_bytes, value)] if isinstance(value, (list, tuple)) else value


def pseudo_id(*parts: Any) -> str:
    """Return what stands in for the remote id that a vendor does not give."""
    written = json.dumps(parts, default=str).encode()
    return "~" + hashlib.blake2b(written, digest_size=20).hexdigest()
