"""The same request with the same Idempotency-Key makes one row, however often and however parallel it comes."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db import router
from django.utils.translation import gettext_lazy as _
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.request import Request

from django_support_tickets.models import Submission

HEADER = "Idempotency-Key"
NAMESPACE = uuid.UUID("6f6ca2e7-bd7e-50f8-a261-54d64322494a")
PRINTABLE = re.compile(r"[\x21-\x7e]{1,255}")


class OtherRequest(APIException):
    """The Idempotency-Key was used for something else."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = _("This Idempotency-Key was used for another request.")
    default_code = "idempotency_key"


@dataclass(frozen=True, slots=True)
class Intention:
    """What a request with an Idempotency-Key wants: the key of what it makes, and a digest of everything it says."""

    key: uuid.UUID
    digest: str

    @property
    def columns(self) -> dict[str, Any]:
        """Return what a row that is made by the request keeps of it."""
        return {"key": self.key, "request_digest": self.digest}

    def is_fulfilled(self, model: type[Submission]) -> bool:
        """Return whether the same request has made its row before; raise OtherRequest if another one has."""
        rows = model._default_manager.using(router.db_for_write(model)).filter(key=self.key)
        found = rows.values_list("request_digest", flat=True).first()
        if found not in (None, self.digest):
            raise OtherRequest()
        return found is not None


def intention_of(request: Request, *place: str) -> Intention | None:
    """Return the intention of a request, None without the header; raise ParseError for a header that is no key.

    The same header at another `place`, such as another ticket, is another intention.
    """
    header = request.headers.get(HEADER)
    if header is None:
        return None
    if not PRINTABLE.fullmatch(header):
        raise ParseError(_("An Idempotency-Key has 1 to 255 printable ASCII characters."))
    # Such that no other user's id, which may be any text, and header give the same.
    whose = json.dumps([str(request.user.pk), header, *place])
    return Intention(uuid.uuid5(NAMESPACE, whose), digest_of(request.data))


def kept_of_request(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns by which a serializer's request is known when it comes again; {} without the header."""
    intention: Intention | None = context.get("intention")
    return intention.columns if intention else {}


def digest_of(data: Any) -> str:
    """Return the SHA-256 of a request's fields and of the bytes of its files, whatever order the fields have."""
    lists = getattr(data, "lists", None)
    fields = dict(lists()) if lists is not None else data
    said = json.dumps(fields, sort_keys=True, separators=(",", ":"), default=_file_digest)
    return hashlib.sha256(said.encode()).hexdigest()


def _file_digest(value: Any) -> dict[str, Any]:
    if not isinstance(value, UploadedFile):
        raise TypeError(type(value).__name__)
    digest = hashlib.sha256()
    for chunk in value.chunks():
        digest.update(chunk)
    value.seek(0)
    return {"name": value.name, "sha256": digest.hexdigest()}
