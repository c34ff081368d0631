"""Questions to the outside: does the vendor take our credentials, does the storage keep files?

Each answer is a Finding; nothing here writes to the database, and none of it shows a secret.
"""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.utils import translation
from django.utils.translation import gettext as _

from django_support_tickets.conf import settings
from django_support_tickets.exceptions import AccessDenied, Busy, InvalidProvider, ProviderError
from django_support_tickets.management.findings import SITE, Finding, Level
from django_support_tickets.management.knocking import look_at_webhooks
from django_support_tickets.phrases import translate
from django_support_tickets.providers import Provider, providers
from django_support_tickets.providers.http import HttpProvider
from django_support_tickets.records import Probe
from django_support_tickets.transport import Request, total_deadline

TOKEN_WARNING = timedelta(days=14)
#: A vendor's clock and ours may differ by so many seconds: its times are as coarse as a second, and travel.
CLOCK_WARNING = 60.0


def ask_all(questions: Mapping[str, Callable[[], list[Finding]]], *, seconds: float) -> list[Finding]:
    """Return all findings; the questions are asked at once, and one that takes longer than `seconds` has failed."""
    answers: queue.SimpleQueue[tuple[str, list[Finding]]] = queue.SimpleQueue()
    for name, ask in questions.items():
        arguments = (name, ask, answers, seconds, translation.get_language())
        threading.Thread(target=_answer, args=arguments, daemon=True).start()
    ends_at, found = time.monotonic() + seconds + 1.0, dict[str, list[Finding]]()
    while len(found) < len(questions):
        try:
            name, findings = answers.get(timeout=max(ends_at - time.monotonic(), 0.0))
        except queue.Empty:
            break
        found[name] = findings
    late = _("no answer within %(seconds).0f s") % {"seconds": seconds}
    return [one for name in questions for one in found.get(name, [Finding(Level.FAIL, name, "asked", late)])]


def ask_account(alias: str) -> list[Finding]:
    """Return whether an account can be used: its credentials, its vendor's clock, its webhooks."""
    try:
        provider = providers[alias]
    except InvalidProvider as error:
        return [Finding(Level.FAIL, alias, "settings", translate(str(error)))]
    return [*_ask_credentials(provider), *_ask_vendor_clock(provider), *look_at_webhooks(provider)]


def ask_storage() -> list[Finding]:
    """Write, read and delete a file where attachments are kept."""
    alias = settings.ATTACHMENT_STORAGE
    if alias not in storages.backends:
        text = _("STORAGES has no %(alias)r, so files are refused") % {"alias": alias}
        return [Finding(Level.OK, SITE, "files", text)]
    try:
        complaint = _try_storage(storages[alias])
    except Exception as error:  # a storage raises what it likes, and its words may hold keys and addresses
        complaint = _raised(error)
    text = complaint or _("written, read and deleted")
    return [Finding(Level.FAIL if complaint else Level.OK, SITE, "files", f"STORAGES[{alias!r}]: {text}")]


def _answer(
    name: str,
    ask: Callable[[], list[Finding]],
    answers: queue.SimpleQueue[tuple[str, list[Finding]]],
    seconds: float,
    language: str | None,
) -> None:
    with translation.override(language):  # a thread begins in the site's
        try:
            with total_deadline(seconds):
                answers.put((name, ask()))
        except Exception as error:  # its text may hold anything
            answers.put((name, [Finding(Level.FAIL, name, "asked", _raised(error))]))


def _raised(error: Exception) -> str:
    return _("it raised %(error)s") % {"error": type(error).__name__}


def _ask_credentials(provider: Provider) -> Iterator[Finding]:
    try:
        probe = provider.probe()
    except ProviderError as error:
        level = Level.WARN if isinstance(error, Busy) else Level.FAIL
        text = _("refused: %(why)s") if isinstance(error, AccessDenied) else _("not proved: %(why)s")
        yield Finding(level, provider.alias, "credentials", text % {"why": translate(_without_name(error))})
        return
    except Exception as error:  # of a class of the project's own
        text = translate(f"the provider raised {type(error).__name__}")
        yield Finding(Level.FAIL, provider.alias, "credentials", text)
        return
    yield _about_probe(provider.alias, probe)


def _about_probe(alias: str, probe: Probe) -> Finding:
    warnings, ends_at = list(probe.warnings), probe.token_expires_at
    day = {"day": f"{ends_at:%Y-%m-%d}" if ends_at else ""}
    if ends_at is not None and ends_at - datetime.now(UTC) < TOKEN_WARNING and not warnings:
        warnings.append(_("The token ends on %(day)s.") % day)
    if warnings:
        return Finding(Level.WARN, alias, "credentials", " ".join(warnings))
    text = _("accepted, the token is good until %(day)s") if ends_at else _("accepted")
    return Finding(Level.OK, alias, "credentials", text % day)


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
        text = _("the vendor's clock and ours differ by %(seconds).0f s") % {"seconds": off}
        yield Finding(Level.WARN, provider.alias, "clock", text)


def _try_storage(storage: Storage) -> str:
    content = uuid.uuid4().bytes
    name = storage.save(f"doctor/{uuid.uuid4().hex}", ContentFile(content))
    try:
        with storage.open(name) as file:
            is_kept = file.read() == content
    finally:
        storage.delete(name)
    if not is_kept:
        return _("what was read is not what was written")
    return _("what was deleted is still there") if storage.exists(name) else ""
