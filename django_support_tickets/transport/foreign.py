"""Fetch a file from the address that a vendor's answer names, without being led into this network.

An address is followed if it is https, its host is one of the account's `attachment_hosts`, and every IP address that
the host name has is public. The connection goes to an address that was checked, and carries no token. The origin of a
`base_url` on this machine (a fake vendor) is allowed too.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import ssl
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import SplitResult, urljoin, urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NameResolutionError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout

from django_support_tickets.exceptions import Ambiguous, NotSent, ProviderError, Refused
from django_support_tickets.records import Download
from django_support_tickets.transport.accounts import USER_AGENT
from django_support_tickets.transport.client import LOST, cause_of, is_loopback, next_chunk, refuse_inside_transaction
from django_support_tickets.transport.connections import (
    Deadline,
    PlainConnection,
    Resolve,
    SecureConnection,
    addresses_of,
    call,
)

NOT_SENT_CAUSES = (
    (NameResolutionError, "its host name cannot be resolved"),
    (ssl.SSLError, "the TLS certificate or handshake of its host is not accepted"),
)
LATE = ((TimeoutError, "it did not come in time"),)
CHUNK = 256 * 1024
URL_MAX = 4096
REDIRECTS_MAX = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PORTS = {"https": 443, "http": 80}
HEADERS = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
# A name with at least two labels whose last one has a letter first: every spelling of an IP address is something else.
HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")

# Special-purpose networks that Python's `is_global` lets pass, or whose addresses stand for an IPv4 one.
UNFIT = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # IETF protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
UNICAST = ipaddress.ip_network("2000::/3")


class ForbiddenAddress(ValueError):
    """A host name leads to an address that must not be connected to."""


class _Silence(logging.Filter, threading.local):
    """Drop what urllib3 logs while this thread asks for a file: its path alone may be all that guards it."""

    is_asked = False

    def filter(self, record: logging.LogRecord) -> bool:
        return not self.is_asked

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        self.is_asked = True
        try:
            yield
        finally:
            self.is_asked = False


silence = _Silence()
logging.getLogger("urllib3.connectionpool").addFilter(silence)


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet, and does not stand for one that may not.

    `ipaddress.is_private` is not enough: it knows neither 100.64.0.0/10 nor the IPv6 forms that embed an IPv4 address.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if not ip.is_global or ip.is_multicast or any(ip in network for network in UNFIT):
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return True
    # Outside of it lie the mapped and compatible forms and NAT64; an ISATAP address ends in ::[02]00:5efe:a.b.c.d.
    return ip in UNICAST and ip.packed[8:12] not in (b"\x00\x00^\xfe", b"\x02\x00^\xfe")


def is_own(address: str) -> bool:
    """Return whether an IP address is this machine's loopback."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFiles:
    """Where the files of one account may come from, and how long one may take; times in seconds.

    `base_url` is the account's own: its origin is allowed if it is on this machine.
    """

    alias: str
    hosts: Collection[str] = ()
    base_url: str = ""
    timeout: tuple[float, float] = (5.0, 15.0)
    deadline: float = 120.0
    verify: bool | str = True
    resolve: Resolve = field(default=addresses_of, repr=False)

    @contextlib.contextmanager
    def fetch(self, url: str, *, limit: int, key: str = "") -> Iterator[Download]:
        """Yield the file at `url` while it arrives.

        Raise Refused for an address that is not followed and for HTTP statuses from 400, NotSent if no connection can
        be made, and Ambiguous for anything else: 429, 5xx, a cut or late answer, and as a lasting one more than `limit`
        bytes or an encoded file. The text of an error never holds the address, which may be a secret.
        """
        refuse_inside_transaction()
        errors = Errors(self.alias, key)
        deadline = Deadline(call.allowed(self.deadline), patience=self.timeout[1])
        with contextlib.ExitStack() as stack:
            response = self._follow(url, stack, deadline, errors)
            yield Download(
                content_type=response.headers.get("Content-Type", ""),
                size=_length(response, limit, errors),
                chunks=_chunks(response, limit, errors),
            )

    def _follow(self, url: str, stack: contextlib.ExitStack, deadline: Deadline, errors: Errors) -> BaseHTTPResponse:
        """Return the answer at the end of at most REDIRECTS_MAX redirects, each checked like the first address."""
        for _ in range(REDIRECTS_MAX + 1):
            target = self._target(url, errors)
            response = stack.enter_context(self._open(target, deadline, errors))
            if response.status not in REDIRECTS:
                return _good(response, errors)
            stack.close()
            url = next_url(url, response.headers.get("Location", "")) or errors.refuse("a redirect leads nowhere")
        errors.refuse("it is redirected too often")

    def _target(self, url: str, errors: Errors) -> SplitResult:
        """Return the parts of an address that may be followed; raise Refused for any other."""
        if not isinstance(url, str) or len(url) > URL_MAX or not re.fullmatch(r"[!-~]+", url) or "\\" in url:
            errors.refuse("its address is no plain URL")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            errors.refuse("its address is no URL")
        if "@" in parts.netloc:
            errors.refuse("its address names a user")
        if self._is_own_origin(parts):
            return parts
        if parts.scheme != "https" or port not in (None, PORTS["https"]):
            errors.refuse("its address is not https")
        host = parts.hostname or ""
        if not HOST.fullmatch(host) or host not in {name.lower() for name in self.hosts}:
            errors.refuse("its host is not in attachment_hosts")
        return parts

    def _is_own_origin(self, parts: SplitResult) -> bool:
        return is_loopback(self.base_url) and _origin(parts) == _origin(urlsplit(self.base_url))

    @contextlib.contextmanager
    def _open(self, target: SplitResult, deadline: Deadline, errors: Errors) -> Iterator[BaseHTTPResponse]:
        pool = self._pool(target)
        path = f"{target.path or '/'}?{target.query}" if target.query else target.path or "/"
        with call.starting(deadline), silence.kept():
            response = _request(pool, path, Timeout(*self.timeout))
        if not isinstance(response, BaseHTTPResponse):
            raise errors.about(*response)
        try:
            yield response
        finally:
            response.close()
            pool.close()

    def _pool(self, target: SplitResult) -> HTTPConnectionPool:
        """Return a pool for one request: a checked address is good for that one only."""
        accepts = is_own if self._is_own_origin(target) else is_public
        options: dict[str, Any] = {"accepts": accepts, "resolve": self.resolve, "maxsize": 1}
        host, port = target.hostname or "", target.port or PORTS[target.scheme]
        if target.scheme == "http":
            return _PlainPool(host, port, **options)
        bundle = self.verify if isinstance(self.verify, str) else DEFAULT_CA_BUNDLE_PATH
        return _SecurePool(host, port, cert_reqs="CERT_REQUIRED", ca_certs=bundle, **options)


@dataclass(frozen=True, slots=True)
class Errors:
    """Make the errors about one file."""

    alias: str
    key: str

    def about(self, kind: type[ProviderError], cause: str, status: int | None = None) -> ProviderError:
        """Return an error of this kind, with what is known of the file but its address."""
        return kind(cause, alias=self.alias, operation="download", key=self.key, status=status)

    def refuse(self, cause: str, status: int | None = None) -> NoReturn:
        """Raise Refused."""
        raise self.about(Refused, cause, status)

    def give_up(self, cause: str, status: int) -> NoReturn:
        """Raise Ambiguous about an answer that is no better when it is asked for again."""
        error = self.about(Ambiguous, cause, status)
        error.is_lasting = True
        raise error


class _Checked(PlainConnection):
    """Connect only to addresses that are accepted: all of the host's must be, and the one checked is the one used."""

    def __init__(self, *args: Any, accepts: Callable[[str], bool], resolve: Resolve, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._accepts = accepts
        self.resolve = resolve

    def _addresses(self) -> list[str]:
        found = super()._addresses()
        if not found or not all(map(self._accepts, found)):
            raise ForbiddenAddress
        return found


class _SecureChecked(_Checked, SecureConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Checked


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureChecked


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)


def next_url(url: str, location: str) -> str:
    """Return the address to which a redirect leads, "" if it is none."""
    try:
        return urljoin(url, location) if location else ""
    except ValueError:
        return ""


def _request(
    pool: HTTPConnectionPool, path: str, timeout: Timeout
) -> BaseHTTPResponse | tuple[type[ProviderError], str]:
    """Return the answer's beginning, or the error: the libraries' exceptions hold the address."""
    options: dict[str, Any] = {"preload_content": False, "decode_content": False, "assert_same_host": False}
    try:
        return pool.urlopen("GET", path, headers=HEADERS, redirect=False, retries=False, timeout=timeout, **options)
    except ForbiddenAddress:
        failure: tuple[type[ProviderError], str] = Refused, "its host has an address that is not public"
    except LOST as error:
        unreached = cause_of(error, NOT_SENT_CAUSES, "its host cannot be reached")
        failure = (Ambiguous, "its host did not answer") if call.byte_sent else (NotSent, unreached)
    pool.close()
    return failure


def _good(response: BaseHTTPResponse, errors: Errors) -> BaseHTTPResponse:
    status = response.status
    if 400 <= status < 500 and status != 429:
        errors.refuse("its host refuses it", status)
    if status != 200:
        raise errors.about(Ambiguous, "its host does not send it now", status)
    if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        errors.give_up("it is sent encoded", status)
    return response


def _length(response: BaseHTTPResponse, limit: int, errors: Errors) -> int | None:
    length = response.headers.get("Content-Length", "")
    if not length.isdecimal():
        if response.headers.get("Transfer-Encoding", "").lower() != "chunked":
            raise errors.about(Ambiguous, "nothing tells where it ends", response.status)
        return None
    if len(length) > 15 or int(length) > limit:
        errors.give_up(f"it is larger than {limit} bytes", response.status)
    return int(length)


def _chunks(response: BaseHTTPResponse, limit: int, errors: Errors) -> Iterator[bytes]:
    stream, size = response.stream(CHUNK, decode_content=False), 0
    while chunk := next_chunk(stream, LATE, "it was lost or cut"):
        if isinstance(chunk, str):
            raise errors.about(Ambiguous, chunk, response.status)
        size += len(chunk)
        if size > limit:
            del chunk  # personal data, which the traceback of an error would show
            errors.give_up(f"it is larger than {limit} bytes", response.status)
        yield chunk
