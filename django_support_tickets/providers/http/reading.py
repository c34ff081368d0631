"""Read what a vendor sent leniently: functions that normalisers share; none of them raises."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.utils.dateparse import parse_datetime

from django_support_tickets.records import ABSENT, CommentRecord, NotLoaded
from django_support_tickets.transport import ID_PATTERN, clean_text

T = TypeVar("T")

#: As nearly all are written; the class takes ten times as long for the same.
USUAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def id_of(value: Any) -> str:
    """Return a remote id that is safe in a path, or ""; booleans, lists and over-long values are no ids."""
    return value if isinstance(value, str) and ID_PATTERN.fullmatch(value) else ""


def uuid_of(value: Any) -> str:
    """Return a remote id in the form of a UUID, as the vendor writes it, or ""."""
    return value if isinstance(value, str) and own_key(value) else ""


def text_of(value: Any) -> str:
    """Return a text; null is "", numbers are written out, anything else is ""."""
    if isinstance(value, str):
        return clean_text(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if is_number and abs(value) < 1e18 else ""


def list_of(value: Any) -> list[Any]:
    """Return a list; anything else is an empty one."""
    return value if isinstance(value, list) else []


def oldest_first(items: Sequence[T], moment: Callable[[T], datetime | None]) -> list[T]:
    """Return items by their time, those without one last.

    Items of the same second keep the vendor's order, which is turned round where it shows the newest first.
    """
    times = [time for item in items if (time := moment(item)) is not None]
    is_turned = bool(times) and times[0] > times[-1]
    end_of_time = datetime.max.replace(tzinfo=UTC)
    return sorted(reversed(items) if is_turned else items, key=lambda item: moment(item) or end_of_time)


def dict_of(value: Any) -> dict[str, Any]:
    """Return an object; anything else is an empty one."""
    return value if isinstance(value, dict) else {}


def int_of(value: Any) -> int | None:
    """Return a whole number that a database column can hold, else None."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**63 else None


def time_of(value: Any) -> datetime | None:
    """Return an aware UTC datetime from RFC 3339 text or epoch seconds or milliseconds; None if it cannot be one.

    A time without an offset counts as UTC. Go's zero time (year 1) and years outside 1970 to 9998 are None.
    """
    try:
        moment = _moment(value)
        if moment is None:
            return None
        if moment.tzinfo is not UTC:
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        return None
    return moment if 1970 <= moment.year < 9999 else None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        return parse_datetime(value.strip())
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, tz=UTC)
    return None


def latest_of(comments: tuple[CommentRecord, ...] | NotLoaded) -> datetime | None | NotLoaded:
    """Return when the newest comment was sent, None if no comment says when; ABSENT if none are loaded."""
    if comments is ABSENT:
        return ABSENT
    return max((comment.sent_at for comment in comments if comment.sent_at), default=None)


def loaded(data: Mapping[str, Any], name: str, read: Callable[[Any], Any]) -> Any | NotLoaded:
    """Return `read(data[name])`, or ABSENT if the vendor did not send the field."""
    return read(data[name]) if name in data else ABSENT


def raw_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the vendor's object as received, without the lists in it: they have records of their own."""
    return {name: value for name, value in data.items() if not isinstance(value, list)}


def words_of(detail: Any, *, depth: int = 4) -> str:
    """Return the words of an error detail: a text, {"message": …}, {"loc": […], "msg": …}, a list or map of these."""
    if not isinstance(detail, (dict, list)):
        return text_of(detail)
    if depth == 0:
        return ""
    if isinstance(detail, list):
        return "; ".join(filter(None, (words_of(item, depth=depth - 1) for item in detail)))
    if message := text_of(detail.get("message")) or text_of(detail.get("msg")):
        where = ".".join(map(text_of, list_of(detail.get("loc"))))
        return f"{where}: {message}" if where else message
    words = {name: words_of(value, depth=depth - 1) for name, value in detail.items()}
    return "; ".join(f"{name}: {text}" for name, text in words.items() if text)


def own_key(value: Any) -> str:
    """Return `value` if it has the form of our ticket keys (a UUID), else ""."""
    if isinstance(value, str) and USUAL_UUID.fullmatch(value):
        return value
    try:
        return str(uuid.UUID(value)) if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F-]{36}", value) else ""
    except ValueError:
        return ""
