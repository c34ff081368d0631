from __future__ import annotations

import contextlib
import http.client
import ipaddress
import logging
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from django.db import connections

from django_support_tickets.exceptions import Ambiguous, NotSent
from django_support_tickets.records import Download
from django_support_tickets.transport.accounts import Account, account
from django_support_tickets.transport.bodies import BrokenFile
from django_support_tickets.transport.connections import READ_BUFFER, Deadline, call
from django_support_tickets.transport.messages import Answer, HeaderAuth, Request

logger = logging.getLogger(__name__)

# What the libraries raise. Anything else is a mistake in a program and no ending of a request.
LOST = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)

Causes = tuple[tuple[type[BaseException], str], ...]

NOT_SENT_CAUSES: Causes = (
    (BrokenFile, "a file is not as it was stored"),
    (urllib3.exceptions.NameResolutionError, "the host name cannot be resolved"),
    (ssl.SSLError, "the TLS certificate or handshake is not accepted"),
    (requests.exceptions.ProxyError, "the proxy makes no connection"),
    (requests.exceptions.InvalidHeader, "a header value is malformed"),
    (ValueError, "the request cannot be written"),
)
NO_TIME = "no time is left for it within the deadline"
#: Causes on this side, whatever the vendor is like.
OURS = {NO_TIME, "a file is not as it was stored", "a header value is malformed", "the request cannot be written"}
AMBIGUOUS_CAUSES: Causes = (
    (BrokenFile, "a file is not as it was stored"),
    (TimeoutError, "the answer did not come in time"),
)
LOST_ANSWER = "the answer was lost or cut"


def refuse_inside_transaction() -> None:
    """Raise RuntimeError if this thread has a database transaction open on any alias.

    A vendor's answer can take minutes and cannot be rolled back. Transactions that a test case opened around a test do
    not count.
    """
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            is_open = not all(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)
        else:
            is_open = connection.connection is not None and not connection.autocommit
        if is_open:
            raise RuntimeError(f"HTTP inside an open transaction (database {connection.alias!r}) is not allowed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """Send requests for one account; times in seconds, `timeout` for connecting and for one read or write."""

    alias: str
    base_url: str
    timeout: tuple[float, float] = (5.0, 15.0)
    deadline: float = 30.0
    rate: float | None = None
    max_response_bytes: int = 2_000_000
    proxies: Mapping[str, str] | None = field(default=None, repr=False)  # an address may contain a password
    verify: bool | str = True

    @property
    def account(self) -> Account:
        """Return what this process keeps of the account: its connection pool, pace and tokens."""
        proxies = tuple(sorted((self.proxies or {}).items()))
        return account(self.alias, (self.base_url, self.verify, proxies))

    def send(self, request: Request, *, auth: HeaderAuth | None = None) -> Answer:
        """Return the complete answer; raise NotSent or Ambiguous."""
        started_at = time.monotonic()
        with self.open(request, auth=auth) as response:
            answer = self.answer(request, response)
        facts = {"event": "http.answered", "account": self.alias, "operation": request.operation, "key": request.key}
        seconds = round(time.monotonic() - started_at, 3)
        extra = {**facts, "request_id": answer.request_id, "duration": seconds}
        logger.debug("%s %s: %d", self.alias, request.operation, answer.status, extra=extra)
        return answer

    @contextlib.contextmanager
    def open(self, request: Request, *, auth: HeaderAuth | None = None) -> Iterator[requests.Response]:
        """Yield the answer with its body unread; raise NotSent or Ambiguous."""
        refuse_inside_transaction()
        account, seconds = self.account, call.allowed(request.deadline or self.deadline)
        deadline = Deadline(seconds, patience=self.timeout[1])
        if seconds <= 0 or not account.pace.wait(self.rate, longest=seconds):
            raise NotSent(NO_TIME, **self._facts(request), is_ours=True)
        with call.starting(deadline):
            response = self._start(request, account, auth)
        if isinstance(response, str):
            kind = Ambiguous if call.byte_sent else NotSent
            raise kind(response, **self._facts(request), is_ours=response in OURS)
        try:
            yield response
        finally:
            response.close()

    def chunks(self, request: Request, response: requests.Response, *, limit: int) -> Iterator[bytes]:
        """Yield the body as it arrives; raise Ambiguous when it is cut or late, a lasting one above `limit` bytes."""
        stream, size = response.iter_content(READ_BUFFER), 0
        facts = {"status": response.status_code, **self._facts(request)}
        while chunk := next_chunk(stream, AMBIGUOUS_CAUSES, LOST_ANSWER):
            if isinstance(chunk, str):
                raise Ambiguous(chunk, **facts)
            size += len(chunk)
            if size > limit:
                del chunk  # personal data, which the traceback of an error would show
                raise Ambiguous(f"the answer is larger than {limit} bytes", **facts, is_lasting=True)
            yield chunk

    def download(self, request: Request, response: requests.Response, *, limit: int) -> Download:
        """Return the opened answer as a file that is read while it arrives, which may raise as `chunks` does."""
        length = response.headers.get("Content-Length", "")
        is_known = length.isdecimal() and len(length) < 16 and "Content-Encoding" not in response.headers
        return Download(
            content_type=response.headers.get("Content-Type", ""),
            size=int(length) if is_known else None,
            chunks=self.chunks(request, response, limit=limit),
        )

    def answer(self, request: Request, response: requests.Response) -> Answer:
        """Return the opened answer as a whole; raise Ambiguous as `send` does."""
        content = b"".join(self.chunks(request, response, limit=self.max_response_bytes))
        return Answer(
            request=request,
            alias=self.alias,
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            content=content,
        )

    def _start(self, request: Request, account: Account, auth: HeaderAuth | None) -> requests.Response | str:
        """Return the answer's beginning, or the cause why there is none.

        Nothing is raised, because the libraries' exceptions and frames hold addresses, headers and the token.
        """
        headers = dict(request.headers)
        if request.body is not None:
            headers["Content-Type"] = request.body.content_type
        try:
            return account.session.request(
                request.method,
                f"{self.base_url.rstrip('/')}/{request.path.lstrip('/')}",
                params=list(request.params),
                headers=headers,
                data=request.body,
                auth=auth or HeaderAuth(""),
                timeout=(self.timeout[0], self.timeout[1]),
                allow_redirects=False,
                stream=True,
                proxies=dict(self.proxies or {}),
                verify=self.verify,
            )
        except LOST as error:
            if call.byte_sent:
                return cause_of(error, AMBIGUOUS_CAUSES, LOST_ANSWER)
            return cause_of(error, NOT_SENT_CAUSES, "no connection could be made")
        finally:
            if request.body is not None:
                request.body.close()

    def _facts(self, request: Request) -> dict[str, Any]:
        return {"alias": self.alias, "operation": request.operation, "key": request.key}


def next_chunk(stream: Iterator[bytes], causes: Causes, other: str) -> bytes | str:
    """Return the next bytes, b"" at the end, or the cause why there are none: see `Transport._start`."""
    try:
        return next(stream, b"")
    except LOST as error:
        return cause_of(error, causes, other)


def cause_of(error: BaseException, causes: Causes, other: str) -> str:
    """Return the first cause whose class is among `error` and what it came from, `other` if none is."""
    chain: list[BaseException] = []
    origin: BaseException | None = error
    while origin is not None and origin not in chain:
        chain.append(origin)
        origin = origin.__cause__ or origin.__context__
    return next((cause for kind, cause in causes if any(isinstance(link, kind) for link in chain)), other)


def is_loopback(url: str) -> bool:
    """Return whether `url` names this machine by a loopback address or as localhost."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
