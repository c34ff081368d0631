"""Check what a vendor signs: building blocks for `parse_webhook`, which raise WebhookRejected and nothing else."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from django_support_tickets.exceptions import WebhookRejected
from django_support_tickets.providers.http import time_of

EPOCH = re.compile(r"[0-9]{1,13}(\.[0-9]{1,9})?")
# What settings files hold before somebody fills them in; whoever signs with one of these proves nothing.
PLACEHOLDERS = frozenset(
    {"...", "…", "changeme", "change-me", "change_me", "dummy", "none", "null", "placeholder", "secret", "todo", "xxx"}
    | {"webhook-secret", "webhook_secret", "your-secret", "your_secret", "your-webhook-secret", "your_webhook_secret"}
)


def first_header(headers: Mapping[str, str], *names: str) -> str:
    """Return the first of these headers that is there, "" if none is; the case of names does not matter."""
    present = {name.lower(): value for name, value in headers.items()}
    return next((present[name.lower()] for name in names if name.lower() in present), "")


def verify_hmac(
    secrets: Iterable[str | bytes],
    message: bytes,
    signature: str,
    *,
    digest: str = "sha256",
    prefix: str = "",
    encoding: Literal["hex", "base64"] = "hex",
) -> None:
    """Raise WebhookRejected unless `signature` is the HMAC of `message` under one of `secrets`.

    It is compared in constant time, as bytes and as it is written: `prefix`, then lower-case hexadecimal digits or
    padded standard base64, and nothing around them. So no bit of it can change unnoticed. Secrets that are blank or
    a placeholder do not count; without any other, everything is rejected.
    """
    known = [secret for secret in _listed(secrets) if is_usable_secret(secret)]
    if not known:
        raise WebhookRejected("no webhook secret is configured")
    given = signature.encode(errors="replace")
    expected = (sign_hmac(secret, message, digest=digest, prefix=prefix, encoding=encoding) for secret in known)
    if not any(hmac.compare_digest(one.encode(), given) for one in expected):
        raise WebhookRejected("the signature is missing or wrong")


def sign_hmac(
    secret: str | bytes,
    message: bytes,
    *,
    digest: str = "sha256",
    prefix: str = "",
    encoding: Literal["hex", "base64"] = "hex",
) -> str:
    """Return the signature that `verify_hmac` accepts: a building block for `sign_webhook`."""
    signature = hmac.digest(_bytes(secret), message, digest)
    return prefix + (base64.b64encode(signature).decode() if encoding == "base64" else signature.hex())


def check_age(moment: Any, tolerance: float | None) -> None:
    """Raise WebhookRejected if `moment` is more than `tolerance` seconds before or after now, or cannot be read.

    `moment` is what a header or a field says: RFC 3339 text, epoch seconds or milliseconds as text or number, or a
    datetime; without an offset it counts as UTC. `tolerance` None: any age is good; 0 is not the same.
    """
    if tolerance is None:
        return
    if isinstance(moment, str) and EPOCH.fullmatch(moment):
        moment = float(moment)
    when = time_of(moment.isoformat() if isinstance(moment, datetime) else moment)
    if when is None or not abs((datetime.now(UTC) - when).total_seconds()) <= tolerance:
        raise WebhookRejected("the time is too old or too new, or cannot be read")


def is_usable_secret(secret: Any) -> bool:
    """Return whether a secret is one at all: neither missing nor blank nor a placeholder."""
    if isinstance(secret, bytes):
        return bool(secret.strip())
    words = secret.strip().strip("<>").lower() if isinstance(secret, str) else ""
    return bool(words) and words not in PLACEHOLDERS


def _listed(secrets: Iterable[str | bytes]) -> Iterable[str | bytes]:
    """Return several secrets; a single one is not taken for a list of its characters."""
    return (secrets,) if isinstance(secrets, (str, bytes)) else secrets


def _bytes(secret: str | bytes) -> bytes:
    return secret if isinstance(secret, bytes) else secret.encode()
