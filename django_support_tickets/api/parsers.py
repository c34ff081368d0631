"""What a request may look like; whatever else comes is a 400 or a 413, never a 500."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http.request import UnreadablePostError
from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser, MultiPartParser

from django_support_tickets.transport import parse_json


class TooLarge(APIException):
    """A request, or a file in it, has more bytes than are taken."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = _("The request is too large.")
    default_code = "too_large"


class StrictJSONParser(BaseParser):
    """Take a JSON object in UTF-8 whose texts every database can store.

    Refused are NaN and Infinity, duplicate names, numbers of thousands of digits, nesting deeper than 64, NUL and lone
    surrogates, and bodies over DATA_UPLOAD_MAX_MEMORY_SIZE, which Django does not apply to a stream.
    """

    media_type = "application/json"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        value = strict_json(_read(stream))
        if not isinstance(value, dict):
            raise ParseError(_("A JSON object is expected."))
        return value


class UploadParser(MultiPartParser):
    """Take a form with files; one with too many fields or files, or too long ones, is a 400 or a 413."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RequestDataTooBig:
            raise TooLarge() from None
        except (SuspiciousOperation, OSError, ValueError, LookupError):
            raise ParseError(_("The form cannot be read.")) from None


def strict_json(content: bytes) -> Any:
    """Return the value of a JSON text; raise ParseError for what is not strict JSON or could not be stored."""
    try:
        value = parse_json(content)
    except ValueError:
        raise ParseError(_("This is not JSON as it is taken here.")) from None
    # Cleaning is for what vendors send; a client is told. Only an escape can have brought what was cleaned.
    if b"\\u" in content and json.loads(content) != value:
        raise ParseError(_("The text has characters that cannot be stored."))
    return value


def _read(stream: Any) -> bytes:
    limit = django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    try:
        content: bytes = stream.read() if limit is None else stream.read(limit + 1)
    except UnreadablePostError:
        raise ParseError(_("This is not JSON as it is taken here.")) from None
    if limit is not None and len(content) > limit:
        raise TooLarge()
    return content
