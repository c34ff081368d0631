from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests

from django_support_tickets import __version__
from django_support_tickets.exceptions import NotSent, ProviderError
from django_support_tickets.transport.connections import Adapter, call

USER_AGENT = f"django-support-tickets/{__version__}"
POOL_SIZE = 64


class Pace:
    """Let at most `rate` requests per second start, over all threads of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, rate: float | None, *, longest: float) -> bool:
        """Sleep until this request may start; return False if that would take more than `longest` seconds."""
        if not rate:
            return True
        with self._lock:
            now = time.monotonic()
            start = max(self._next, now)
            if start - now > longest:
                return False
            self._next = start + 1.0 / rate
        time.sleep(start - now)
        return True


@dataclass(slots=True)
class Token:
    """An access token of an account; `expires_at` is on the monotonic clock, None: it does not expire."""

    value: str = field(repr=False)
    expires_at: float | None = None

    def is_fresh(self) -> bool:
        """Return whether it has not expired, as far as its vendor has said."""
        return self.expires_at is None or time.monotonic() < self.expires_at


class _Slot:
    """The token of one identity; the lock is held while it is fetched."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.token: Token | None = None
        self.failure: ProviderError | None = None

    def fetch(self, fetch: Callable[[], Token], *, known_failure: ProviderError | None) -> Token:
        """Return a new token; raise the failure again that the thread before met while this one waited for it."""
        if self.failure is not None and self.failure is not known_failure:
            raise _twin(self.failure)
        try:
            token = fetch()
        except ProviderError as error:
            self.failure = _twin(error)
            raise
        self.failure = None
        return token


class Account:
    """The connection pool, the pace and the access tokens of one account in this process."""

    def __init__(self, settings: tuple[Any, ...]) -> None:
        self.settings = settings
        self.pace = Pace()
        self.session = _session()
        self._slots: dict[str, _Slot] = {}

    def token(self, identity: str, fetch: Callable[[], Token], *, stale: str | None = None) -> str:
        """Return the access token of `identity`, fetched once for many threads; `stale` names one that was refused.

        A thread whose token was refused while another renewed it gets the new one without a second fetch. Raise what
        `fetch` raises, to all that waited for it; raise NotSent if the operation's time ends while another fetches.
        """
        slot = self._slots.setdefault(_digest(identity), _Slot())
        refused, known_failure = stale and _digest(stale), slot.failure
        del identity, stale  # secrets, which the traceback of a failing fetch would show
        with _held(slot.lock):
            token = slot.token
            if token is None or not token.is_fresh() or (refused and _digest(token.value) == refused):
                token = slot.token = slot.fetch(fetch, known_failure=known_failure)
            return token.value

    def close(self) -> None:
        """Close the idle connections; calls under way end by themselves."""
        self.session.close()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _twin(error: ProviderError) -> ProviderError:
    """Return the same error without the frames and causes that this one keeps alive."""
    twin = copy.copy(error)
    twin.reason = error.reason
    return twin


@contextlib.contextmanager
def _held(lock: threading.Lock) -> Iterator[None]:
    if not lock.acquire(timeout=max(call.allowed(threading.TIMEOUT_MAX), 0.0)):
        raise NotSent("another thread did not get the access token in time")
    try:
        yield
    finally:
        lock.release()


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: even with `allow_redirects=False` the original reads the whole body of a redirect."""
        return


def _session() -> requests.Session:
    session = _Session()
    session.trust_env = False  # no .netrc, no proxy or CA bundle from the environment
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip"})
    adapter = Adapter(pool_connections=4, pool_maxsize=POOL_SIZE, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


_accounts: dict[str, Account] = {}
_accounts_lock = threading.Lock()


def account(alias: str, settings: tuple[Any, ...]) -> Account:
    """Return the account state of `alias` in this process, made anew when its settings have changed."""
    with _accounts_lock:
        known = _accounts.get(alias)
        if known is None or known.settings != settings:
            if known is not None:
                known.close()
            known = _accounts[alias] = Account(settings)
        return known


def forget_accounts() -> None:
    """Drop all pools and tokens of this process, as happens in a forked child: they belong to the parent."""
    global _accounts_lock
    _accounts_lock = threading.Lock()
    _accounts.clear()


os.register_at_fork(after_in_child=forget_accounts)
