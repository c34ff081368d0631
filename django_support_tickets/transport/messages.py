from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import requests
from requests.auth import AuthBase

from django_support_tickets.exceptions import Ambiguous, Refused
from django_support_tickets.transport.bodies import Body
from django_support_tickets.transport.parsing import parse_json

RETRY_AFTER_MAX = 3600.0
# Room for every id in the fact sheets and for ids of the same kind; nothing that could climb out of a path.
ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~@-]{0,254}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request; `path` is relative to the account's base URL and already quoted."""

    operation: str
    method: str
    path: str
    params: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Body | None = None
    key: str = ""
    deadline: float | None = None


def path_id(value: str, *, operation: str, alias: str = "") -> str:
    """Return a remote id quoted for a path; raise Refused if it could mean another path."""
    if not ID_PATTERN.fullmatch(value):
        raise Refused("the remote id cannot be used in a path", alias=alias, operation=operation)
    return quote(value, safe="")


class HeaderAuth(AuthBase):
    """Set the Authorization header at the last moment, so that no frame of ours holds it in a dictionary.

    An empty value sets none.
    """

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value:
            request.headers["Authorization"] = self._value
        return request

    def __repr__(self) -> str:
        return "<HeaderAuth>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete HTTP answer, whatever its status."""

    request: Request
    alias: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Return whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def request_id(self) -> str:
        """Return the vendor's id of this exchange (X-Request-ID), "" where there is none, or one not fit for a log."""
        value = self.headers.get("x-request-id", "")
        return value if re.fullmatch(r"[A-Za-z0-9._:/+=-]{1,100}", value) else ""

    @property
    def facts(self) -> dict[str, Any]:
        """Return what an error should say about this exchange."""
        return {
            "alias": self.alias,
            "operation": self.request.operation,
            "key": self.request.key,
            "status": self.status,
            "request_id": self.request_id,
        }

    def json(self) -> Any:
        """Return the parsed body; raise Ambiguous if it is not strict JSON."""
        try:
            return parse_json(self.content)
        except ValueError:
            pass
        raise Ambiguous("the answer is not JSON that can be understood", **self.facts)

    def json_or_none(self) -> Any:
        """Return the parsed body, or None if it is not strict JSON."""
        try:
            return parse_json(self.content)
        except ValueError:
            return None

    def retry_after(self, *, now: float | None = None) -> float | None:
        """Return the wait that the vendor asks for, in seconds within [0, 1 h]; None if it names none."""
        value = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"-?\d{1,20}(\.\d{1,6})?", value):
            return min(max(float(value), 0.0), RETRY_AFTER_MAX)
        try:
            moment = parsedate_to_datetime(value).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        return min(max(moment - (time.time() if now is None else now), 0.0), RETRY_AFTER_MAX)
