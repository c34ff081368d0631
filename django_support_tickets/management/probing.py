"""Questions to the outside: does the vendor take our credentials, does a webhook arrive, does the storage keep files?

Each answer is a Finding; nothing here writes to the database, and none of it shows a secret.
"""

from __future__ import annotations

import io
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from urllib.parse import urlsplit

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.core.handlers.wsgi import WSGIRequest
from django.urls import NoReverseMatch, Resolver404, resolve, reverse

from django_support_tickets.conf import settings
from django_support_tickets.exceptions import AccessDenied, Busy, InvalidProvider, ProviderError, WebhookRejected
from django_support_tickets.providers import Provider, providers
from django_support_tickets.providers.http import HttpProvider
from django_support_tickets.providers.signatures import is_usable_secret
from django_support_tickets.transport import Request, Transport, total_deadline
from django_support_tickets.webhooks import read_event, receive

TOKEN_WARNING = timedelta(days=14)
#: A vendor's clock and ours may differ by so many seconds: its times are as coarse as a second, and travel.
CLOCK_WARNING = 60.0
FORGED = b'{"forged": true}'
SITE = "site"


class Level(StrEnum):
    """How a finding is to be read."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: `subject` is an account or "site"."""

    level: Level
    subject: str
    topic: str
    text: str


def ask_all(questions: Mapping[str, Callable[[], list[Finding]]], *, seconds: float) -> list[Finding]:
    """Return all findings; the questions are asked at once, and one that takes longer than `seconds` has failed."""
    answers: queue.SimpleQueue[tuple[str, list[Finding]]] = queue.SimpleQueue()
    for name, ask in questions.items():
        threading.Thread(target=_answer, args=(name, ask, answers, seconds), daemon=True).start()
    ends_at, found = time.monotonic() + seconds + 1.0, dict[str, list[Finding]]()
    while len(found) < len(questions):
        try:
            name, findings = answers.get(timeout=max(ends_at - time.monotonic(), 0.0))
        except queue.Empty:
            break
        found[name] = findings
    late = f"no answer within {seconds:.0f} s"
    return [one for name in questions for one in found.get(name, [Finding(Level.FAIL, name, "asked", late)])]


def ask_account(alias: str) -> list[Finding]:
    """Return whether an account can be used: its credentials, its vendor's clock, its webhooks."""
    try:
        provider = providers[alias]
    except InvalidProvider as error:
        return [Finding(Level.FAIL, alias, "settings", str(error))]
    return [*_ask_credentials(provider), *_ask_vendor_clock(provider), *_look_at_webhooks(provider)]


def ask_storage() -> list[Finding]:
    """Write, read and delete a file where attachments are kept."""
    alias = settings.ATTACHMENT_STORAGE
    if alias not in storages.backends:
        return [Finding(Level.OK, SITE, "files", f"STORAGES has no {alias!r}, so files are refused")]
    try:
        complaint = _try_storage(storages[alias])
    except Exception as error:  # a storage raises what it likes, and its words may hold keys and addresses
        complaint = f"it raised {type(error).__name__}"
    if complaint:
        return [Finding(Level.FAIL, SITE, "files", f"STORAGES[{alias!r}]: {complaint}")]
    return [Finding(Level.OK, SITE, "files", f"STORAGES[{alias!r}]: written, read and deleted")]


def ask_webhook_address(url: str) -> list[Finding]:
    """Look from outside whether `url`, as a vendor knows it, leads to the webhooks of one of our accounts."""
    base, alias = url.rstrip("/").rpartition("/")[::2]
    last = url.removeprefix(f"{base}/")  # with its slash, or without: one of the two may be redirected
    if alias not in providers or urlsplit(url).scheme not in ("http", "https"):
        return [Finding(Level.FAIL, SITE, "address", f"{url}: it does not end in the alias of an account")]
    transport = Transport(alias=f"address of {alias}", base_url=base, timeout=(5.0, 10.0), deadline=10.0)
    try:
        seen = transport.send(Request(operation="look", method="GET", path=last)).status
        forged = transport.send(Request(operation="forge", method="POST", path=last)).status
    except ProviderError as error:
        return [Finding(Level.FAIL, alias, "address", f"{url}: {error.cause}")]
    if seen == 200 and forged in (400, 401):
        return [Finding(Level.OK, alias, "address", f"{url}: answers, and refuses a forged webhook")]
    return [Finding(Level.FAIL, alias, "address", f"{url}: answers {seen}, and a forged webhook {forged}")]


def _answer(
    name: str, ask: Callable[[], list[Finding]], answers: queue.SimpleQueue[tuple[str, list[Finding]]], seconds: float
) -> None:
    try:
        with total_deadline(seconds):
            answers.put((name, ask()))
    except Exception as error:  # its text may hold anything
        answers.put((name, [Finding(Level.FAIL, name, "asked", f"it raised {type(error).__name__}")]))


def _ask_credentials(provider: Provider) -> Iterator[Finding]:
    try:
        probe = provider.probe()
    except ProviderError as error:
        level = Level.WARN if isinstance(error, Busy) else Level.FAIL
        what = "refused" if isinstance(error, AccessDenied) else "not proved"
        yield Finding(level, provider.alias, "credentials", f"{what}: {_without_name(error)}")
        return
    except Exception as error:  # of a class of the project's own
        yield Finding(Level.FAIL, provider.alias, "credentials", f"the provider raised {type(error).__name__}")
        return
    warnings, ends_at = list(probe.warnings), probe.token_expires_at
    if ends_at is not None and ends_at - datetime.now(UTC) < TOKEN_WARNING and not warnings:
        warnings.append(f"The token ends on {ends_at:%Y-%m-%d}.")
    if warnings:
        yield Finding(Level.WARN, provider.alias, "credentials", " ".join(warnings))
        return
    until = f", the token is good until {ends_at:%Y-%m-%d}" if ends_at else ""
    yield Finding(Level.OK, provider.alias, "credentials", f"accepted{until}")


def _without_name(error: ProviderError) -> str:
    return str(error).partition(": ")[2]


def _ask_vendor_clock(provider: Provider) -> Iterator[Finding]:
    """Compare the vendor's clock with ours where it is far off; a request without credentials is enough."""
    if not isinstance(provider, HttpProvider):
        return
    try:
        answer = provider.transport.send(Request(operation="clock", method="HEAD", path="", deadline=10.0))
        moment = parsedate_to_datetime(answer.headers["date"])
    except (ProviderError, KeyError, ValueError, TypeError):
        return
    off = abs((datetime.now(UTC) - moment.replace(tzinfo=UTC)).total_seconds())
    if off > CLOCK_WARNING:
        yield Finding(Level.WARN, provider.alias, "clock", f"the vendor's clock and ours differ by {off:.0f} s")


def _look_at_webhooks(provider: Provider) -> Iterator[Finding]:
    if not provider.capabilities.has_webhooks:
        return
    level, text = Level.FAIL, ""
    try:
        path = reverse("support_tickets:webhook", args=[provider.alias])
        secrets = [secret for secret in provider.webhook_secrets() if is_usable_secret(secret)]
        text = _complaint_of_webhooks(provider, path, secrets)
    except (NoReverseMatch, Resolver404):
        level, text = Level.WARN, "django_support_tickets.urls is not included, so none arrive; tickets are only polled"
    except ProviderError as error:
        text = error.cause
    if text:
        yield Finding(level, provider.alias, "webhooks", text)
        return
    count = "1 secret" if len(secrets) == 1 else f"{len(secrets)} secrets"
    yield Finding(Level.OK, provider.alias, "webhooks", f"{count}, a forged one is refused, {path}")


def _complaint_of_webhooks(provider: Provider, path: str, secrets: list[str | bytes]) -> str:
    """Return what is wrong with the webhooks of an account, tried in this process without storing anything."""
    if not secrets:
        return "no usable webhook_secrets, so every webhook is refused; tickets are only polled"
    if resolve(path).func is not receive:
        return f"{path} leads to another view"
    if receive(_request("GET", path), provider.alias).status_code != 200:
        return f"{path} does not answer"
    try:
        read_event(provider, _request("POST", path, FORGED))
    except WebhookRejected:
        return ""
    return "a forged webhook is taken for genuine"


def _request(method: str, path: str, body: bytes = b"") -> WSGIRequest:
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "CONTENT_TYPE": "application/json"}
    return WSGIRequest({**environ, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)})


def _try_storage(storage: Storage) -> str:
    content = uuid.uuid4().bytes
    name = storage.save(f"doctor/{uuid.uuid4().hex}", ContentFile(content))
    try:
        with storage.open(name) as file:
            is_kept = file.read() == content
    finally:
        storage.delete(name)
    if not is_kept:
        return "what was read is not what was written"
    return "what was deleted is still there" if storage.exists(name) else ""
