from __future__ import annotations

import contextlib
import ipaddress
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from django.db import connections

from django_support_tickets.exceptions import Ambiguous, NotSent
from django_support_tickets.records import Download
from django_support_tickets.transport.accounts import Account, account
from django_support_tickets.transport.connections import READ_BUFFER, call
from django_support_tickets.transport.messages import Answer, HeaderAuth, Request


def refuse_inside_transaction() -> None:
    """Raise RuntimeError if this thread has a database transaction open on any alias.

    A vendor's answer can take minutes and cannot be rolled back. Transactions that a test case opened around a test do
    not count.
    """
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            is_open = not all(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)
        else:
            is_open = connection.connection is not None and not connection.get_autocommit()
        if is_open:
            raise RuntimeError(f"HTTP inside an open transaction (database {connection.alias!r}) is not allowed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """Send requests for one account."""

    alias: str
    base_url: str
    timeout: tuple[float, float] = (5.0, 15.0)
    deadline: float = 30.0
    rate: float | None = None
    max_response_bytes: int = 2_000_000
    proxies: Mapping[str, str] | None = None
    verify: bool | str = True

    @property
    def account(self) -> Account:
        proxies = tuple(sorted((self.proxies or {}).items()))
        return account(self.alias, (self.base_url, self.verify, proxies))

    def send(self, request: Request, *, auth: HeaderAuth | None = None) -> Answer:
        """Return the complete answer; raise NotSent or Ambiguous."""
        with self.open(request, auth=auth) as response:
            return self.answer(request, response)

    @contextlib.contextmanager
    def open(self, request: Request, *, auth: HeaderAuth | None = None) -> Iterator[requests.Response]:
        """Yield the answer with its body unread; raise NotSent or Ambiguous."""
        refuse_inside_transaction()
        account, deadline = self.account, call.allowed(request.deadline or self.deadline)
        if deadline <= 0 or not account.pace.wait(self.rate, longest=deadline):
            raise NotSent("no time is left for it within the deadline", **self._facts(request))
        call.begin(call.allowed(deadline))
        response = self._start(request, account, auth)
        if response is None:
            raise self._failure(request)
        try:
            yield response
        finally:
            response.close()

    def chunks(self, request: Request, response: requests.Response, *, limit: int) -> Iterator[bytes]:
        """Yield the body as it arrives; raise Ambiguous when it is cut, late or longer than `limit` bytes."""
        size = 0
        stream = response.iter_content(READ_BUFFER)
        while True:
            chunk = self._next_chunk(stream)
            if chunk is None:
                raise self._failure(request, status=response.status_code)
            if not chunk:
                return
            size += len(chunk)
            if size > limit:
                raise Ambiguous(f"the answer is larger than {limit} bytes", **self._facts(request))
            yield chunk

    def _start(self, request: Request, account: Account, auth: HeaderAuth | None) -> requests.Response | None:
        headers = dict(request.headers)
        if request.body is not None:
            headers["Content-Type"] = request.body.content_type
        try:
            return account.session.request(
                request.method,
                urljoin(self.base_url.rstrip("/") + "/", request.path.lstrip("/")),
                params=list(request.params),
                headers=headers,
                data=request.body,  # type: ignore[arg-type]
                auth=auth or HeaderAuth(""),
                timeout=self.timeout,
                allow_redirects=False,
                stream=True,
                proxies=dict(self.proxies or {}),
                verify=self.verify,
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError):
            return None

    def download(self, request: Request, response: requests.Response, *, limit: int) -> Download:
        """Return the opened answer as a file that is read while it arrives."""
        length = response.headers.get("Content-Length", "")
        return Download(
            content_type=response.headers.get("Content-Type", ""),
            size=int(length) if length.isdecimal() and len(length) < 16 else None,
            chunks=self.chunks(request, response, limit=limit),
        )

    @staticmethod
    def _next_chunk(stream: Iterator[bytes]) -> bytes | None:
        try:
            call.left()
            return next(stream, b"")
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError):
            return None

    def answer(self, request: Request, response: requests.Response) -> Answer:
        """Return the opened answer as a whole; raise Ambiguous as `send` does."""
        content = b"".join(self.chunks(request, response, limit=self.max_response_bytes))
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(
            request=request,
            alias=self.alias,
            status=response.status_code,
            headers=headers,
            content=content,
        )

    def _failure(self, request: Request, *, status: int | None = None) -> NotSent | Ambiguous:
        late = time.monotonic() >= call.ends_at
        if not call.byte_sent:
            return NotSent("no connection could be made", **self._facts(request))
        cause = "the deadline passed" if late else "the answer was lost or cut"
        return Ambiguous(cause, status=status, **self._facts(request))

    def _facts(self, request: Request) -> dict[str, Any]:
        return {"alias": self.alias, "operation": request.operation, "key": request.key}


def is_loopback(url: str) -> bool:
    """Return whether `url` names this machine by a loopback address or as localhost."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
