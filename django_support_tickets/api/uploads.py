"""An upload is watched while it arrives: one that is too large, or cut, ends there and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.files.uploadhandler import FileUploadHandler
from django.core.handlers.wsgi import LimitedStream
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from django.utils.translation import gettext as _

from django_support_tickets.api.parsers import TooLarge
from django_support_tickets.attachments.rules import largest
from django_support_tickets.attachments.storing import LARGEST
from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.providers import providers
from django_support_tickets.records import AttachmentRules

#: What one request may carry where a vendor does not limit its files together, in bytes.
TOGETHER = 2 * LARGEST
#: What a form may have beside its files, in bytes.
FIELDS = 4 * 1024 * 1024


def watch(request: HttpRequest) -> None:
    """Let the body of a request be read only as far as some account could take it.

    To be called before anything reads it: authentication by session does, for the CSRF token.
    """
    stream = getattr(request, "_stream", None)
    if isinstance(stream, LimitedStream):
        request._stream = WholeBody(stream)  # type: ignore[assignment]
    if request.content_type == "multipart/form-data" and not request._read_started:  # type: ignore[attr-defined]
        request.upload_handlers.insert(0, CappedUpload(request))


def discard(request: HttpRequest) -> None:
    """Close the file that was just arriving when something went wrong; Django closes those that were complete."""
    for handler in request.upload_handlers:
        if (file := getattr(handler, "file", None)) is not None:
            file.close()


class WholeBody:
    """A body that raises UnreadablePostError where it ends before its Content-Length.

    Django takes a form that was cut within a file for a whole one.
    """

    def __init__(self, stream: LimitedStream) -> None:
        self._stream = stream
        self._left = stream.limit

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        return self._counted(self._stream.read(size), is_asked=size != 0)

    def readline(self, size: int = -1) -> bytes:
        """Return the next line."""
        return self._counted(self._stream.readline(size), is_asked=size != 0)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def _counted(self, data: bytes, *, is_asked: bool) -> bytes:
        self._left -= len(data)
        if is_asked and not data and self._left > 0:
            raise UnreadablePostError("the request ends before its Content-Length")
        return data


class CappedUpload(FileUploadHandler):
    """Raise TooLarge as soon as a request, or a file in it, has more bytes than any account takes."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        rules = list(_all_rules())
        self.file_max = max(map(largest, rules), default=0)
        self.together_max = FIELDS + max(map(_together, rules), default=0)

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: Any, encoding: Any = None
    ) -> None:
        """Refuse a request that says itself that it is too large, unread."""
        if content_length > self.together_max:
            raise TooLarge()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Pass the bytes on to the next handler while there are not too many."""
        if start + len(raw_data) > self.file_max:
            message = _("At most %(limit)d bytes.") if self.file_max else _("This account's vendor takes no files.")
            raise TooLarge({str(self.field_name): [message % {"limit": self.file_max}]})
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the next handler."""


def _all_rules() -> Iterator[AttachmentRules]:
    for alias in providers:
        try:
            rules = providers[alias].capabilities.attachments
        except InvalidProvider:
            continue
        if rules is not None:
            yield rules


def _together(rules: AttachmentRules) -> int:
    if rules.max_total_bytes is not None:
        return rules.max_total_bytes
    if rules.max_count is not None and rules.max_bytes is not None:
        return rules.max_count * rules.max_bytes
    return max(TOGETHER, largest(rules))
