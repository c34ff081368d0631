"""The one way in which a stored file leaves this site; who may have it is for the door to ask."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from asgiref.sync import sync_to_async
from django.core.files.storage import Storage
from django.http import FileResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _

from django_support_tickets.attachments.names import disposition
from django_support_tickets.attachments.signatures import OPAQUE, SERVED
from django_support_tickets.models import Attachment

logger = logging.getLogger(__name__)
State = Attachment.State

#: How long a signed address is good for, in seconds.
SIGNED_SECONDS = 60
PRIVATE = "private, no-store"
# For development: http to any other host would show the address to everybody on the way.
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})

# State -> (HTTP status, code, sentence) of a file that cannot be had.
UNAVAILABLE: dict[str, tuple[int, str, Any]] = {
    State.REMOTE: (409, "remote", _("This file lies at the vendor and was not fetched yet.")),
    State.QUARANTINED: (409, "quarantined", _("This file is quarantined.")),
    State.EXPIRED: (410, "expired", _("The vendor does not have this file any more.")),
    State.FAILED: (409, "failed", _("This file could not be fetched from the vendor.")),
}
UNCHECKED = (409, "unchecked", _("This file was not checked yet."))
MISSING = (404, "missing", _("This file is not in the storage."))
CHANGED = (503, "changed", _("The storage holds another file than the one that was checked."))
STORAGE = (503, "storage", _("The storage of files does not answer."))


class NotServed(Exception):
    """A file cannot be served; `status` is the HTTP answer, `code` a word for programs, the text a sentence."""

    def __init__(self, status: int, code: str, message: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class AttachmentResponse(FileResponse):
    """A file that a browser saves and never shows, whatever is in it."""

    block_size = 64 * 1024

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces under ASGI too, where Django would read the whole file first."""
        read = sync_to_async(partial(next, iter(self), b""))
        while piece := await read():
            yield piece


def attachment_response(attachment: Attachment, *, may_redirect: bool = True) -> HttpResponseBase:
    """Return the response that hands out a stored file; raise NotServed if there is none to hand out.

    Where the storage can sign addresses, and `may_redirect`, this is a redirect to one that is good for a minute and
    names the file and its type; else the file is streamed. The caller has checked that the user may have it.
    """
    if attachment.state != State.STORED:
        raise NotServed(*UNAVAILABLE.get(attachment.state, MISSING))
    if not attachment.file:
        raise NotServed(*MISSING)
    if not attachment.sha256:
        raise NotServed(*UNCHECKED)
    url = signed_url(attachment) if may_redirect else ""
    return _redirect(url) if url else _stream(attachment)


def signed_url(attachment: Attachment) -> str:
    """Return an address of the stored file that is good for SIGNED_SECONDS, "" where the storage makes none.

    Only one that is proved to be signed, short-lived, encrypted on its way, and to carry our headers counts: an S3
    storage without `querystring_auth`, with signature version 2 or behind a `custom_domain` gives others.
    """
    storage: Storage = attachment.file.storage.target  # type: ignore[attr-defined]
    if not {"parameters", "expire"} <= set(inspect.signature(storage.url).parameters):
        return ""
    headers = {
        "ResponseContentDisposition": disposition(attachment.name),
        "ResponseContentType": _content_type(attachment),
        "ResponseCacheControl": PRIVATE,
    }
    try:
        url: Any = storage.url(attachment.file.name, parameters=headers, expire=SIGNED_SECONDS)  # type: ignore[call-arg]
    except Exception as error:  # a storage raises what it likes; the file can still be streamed
        facts = {"event": "attachments.not_signed", "key": str(attachment.key)}
        logger.warning("no address was signed: %s", type(error).__name__, extra=facts)
        return ""
    return url if _is_signed(url, headers) else ""


def _is_signed(url: str, headers: dict[str, str]) -> bool:
    parts = urlsplit(url)
    query = {name.lower(): values[-1] for name, values in parse_qs(parts.query).items()}
    lifetime = query.get("x-amz-expires", "")
    return (
        (parts.scheme == "https" or parts.hostname in LOCAL)
        and bool(query.get("x-amz-signature"))
        and lifetime.isdecimal()
        and int(lifetime) <= SIGNED_SECONDS
        and query.get("response-content-disposition") == headers["ResponseContentDisposition"]
        and query.get("response-content-type") == headers["ResponseContentType"]
    )


def _redirect(url: str) -> HttpResponseRedirect:
    headers = {"Cache-Control": PRIVATE, "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
    return HttpResponseRedirect(url, headers=headers)


def _stream(attachment: Attachment) -> AttachmentResponse:
    response = _opened(attachment)
    if response.get("Content-Length") != str(attachment.size):
        response.close()
        raise NotServed(*CHANGED)
    response["Content-Disposition"] = disposition(attachment.name)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = PRIVATE
    return response


def _opened(attachment: Attachment) -> AttachmentResponse:
    try:
        with ExitStack() as stack:
            file = stack.enter_context(closing(attachment.file.storage.open(str(attachment.file.name), "rb")))
            # An S3 storage fetches the file only now, to tell its length.
            response = AttachmentResponse(file, content_type=_content_type(attachment))
            stack.pop_all()
            return response
    except FileNotFoundError:
        failure = NotServed(*MISSING)
    except Exception as error:  # a storage raises what it likes
        facts = {"event": "attachments.unreadable", "key": str(attachment.key)}
        logger.error("a file cannot be opened: %s", type(error).__name__, extra=facts)
        failure = NotServed(*STORAGE)
    raise failure


def _content_type(attachment: Attachment) -> str:
    """Return our own type of a file; a row may still have one that a vendor has claimed."""
    return attachment.content_type if attachment.content_type in SERVED else OPAQUE
