"""What a file must be before it is stored: asked once, when it is submitted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.base import File
from django.core.files.storage import InvalidStorageError
from django.utils.translation import gettext_lazy as _

from django_support_tickets.conf import settings
from django_support_tickets.models import Attachment, Delivery, OutboxEntry, Ticket
from django_support_tickets.records import AttachmentRules, clean_text

# Ours, so that it is the same on every machine. Nothing here can run in a browser.
CONTENT_TYPES = {
    "avi": "video/x-msvideo",
    "csv": "text/csv",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "log": "text/plain",
    "mov": "video/quicktime",
    "mp4": "video/mp4",
    "pdf": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
    "webm": "video/webm",
    "webp": "image/webp",
}


def prepare_attachment(attachment: Attachment, rules: AttachmentRules | None) -> None:
    """Check a file against what the vendor takes, count its bytes and hash; raise ValidationError."""
    if rules is None:
        raise ValidationError({"file": _("This account's vendor takes no files.")}, code="unsupported")
    _require_storage(attachment)
    _require_moment(attachment, rules)
    attachment.name = display_name(attachment.name or attachment.file.name or "")
    attachment.content_type = content_type_of(attachment.name)
    _measure(attachment)
    _check_file(attachment, rules)
    _check_company(attachment, rules)


def validate_files(files: Sequence[File[Any]], rules: AttachmentRules | None) -> None:
    """Raise ValidationError if the vendor would not take these uploads together with a new ticket."""
    if rules is None:
        raise ValidationError(_("This account's vendor takes no files."), code="unsupported")
    for file in files:
        name = display_name(file.name or "")
        _check_one(name, file.size, content_type_of(name), rules)
    _check_all(len(files), sum(file.size for file in files), rules)


def display_name(name: str) -> str:
    """Return a name that is safe to show and to send: no path, no control characters, at most 100 characters."""
    name = clean_text(name).replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(char for char in name if char.isprintable()).strip(" .")
    stem, dot, extension = name.rpartition(".")
    return f"{stem[:90]}.{extension[:9]}" if dot and stem else (name[:100] or "file")


def extension_of(name: str) -> str:
    """Return the extension of a file name, in lower case without the dot."""
    return PurePath(name).suffix.lower().removeprefix(".")


def content_type_of(name: str) -> str:
    """Return the content type that we give a file, from its name and never from its uploader."""
    return CONTENT_TYPES.get(extension_of(name), "application/octet-stream")


def _require_storage(attachment: Attachment) -> None:
    try:
        attachment.file.storage.target  # type: ignore[attr-defined]  # noqa: B018
    except InvalidStorageError:
        message = _("Files are refused: STORAGES has no %(alias)r.") % {"alias": settings.ATTACHMENT_STORAGE}
        raise ValidationError({"file": message}, code="no_storage") from None


def _require_moment(attachment: Attachment, rules: AttachmentRules) -> None:
    ticket = attachment.ticket
    if attachment.comment_id and rules.moments & {"comment", "after"}:
        return
    if "after" in rules.moments or _is_unsent(ticket):
        return
    raise ValidationError(
        {"file": _("This account's vendor takes files only together with the ticket, which was sent already.")},
        code="too_late",
    )


def _is_unsent(ticket: Ticket) -> bool:
    if ticket.delivery == Delivery.DRAFT:
        return True
    # Locked, so that no worker starts sending the ticket before this file is committed.
    entries = OutboxEntry.objects.using(ticket._state.db).select_for_update().filter(ticket_id=ticket.pk)
    waiting = entries.filter(ticket__delivery=Delivery.QUEUED, sent_at=None, lease_token=None)
    return ticket.delivery == Delivery.QUEUED and waiting.exists()


def _measure(attachment: Attachment) -> None:
    digest, size = hashlib.sha256(), 0
    attachment.file.open("rb")
    for chunk in attachment.file.chunks():
        digest.update(chunk)
        size += len(chunk)
    attachment.file.seek(0)
    attachment.size, attachment.sha256 = size, digest.hexdigest()


def _check_file(attachment: Attachment, rules: AttachmentRules) -> None:
    _check_one(attachment.name, attachment.size or 0, attachment.content_type, rules)


def _check_one(name: str, size: int, content_type: str, rules: AttachmentRules) -> None:
    extension = extension_of(name)
    if not size:
        raise ValidationError({"file": _("The file is empty.")}, code="empty")
    if rules.max_bytes is not None and size > rules.max_bytes:
        message = _("At most %(limit)d bytes, it has %(size)d.") % {"limit": rules.max_bytes, "size": size}
        raise ValidationError({"file": message}, code="too_large")
    if rules.extensions and extension not in rules.extensions:
        known = ", ".join(sorted(rules.extensions))
        message = _("The vendor takes %(known)s, not %(extension)r.") % {"known": known, "extension": extension}
        raise ValidationError({"file": message}, code="extension")
    if rules.content_types and content_type not in rules.content_types:
        known = ", ".join(sorted(rules.content_types))
        raise ValidationError({"file": _("The vendor takes %(known)s.") % {"known": known}}, code="content_type")


def _check_company(attachment: Attachment, rules: AttachmentRules) -> None:
    others = Attachment.objects.using(attachment.ticket._state.db).filter(
        ticket=attachment.ticket, comment=attachment.comment, direction=Attachment.Direction.OUT
    )
    sizes = [size or 0 for size in others.exclude(pk=attachment.pk).values_list("size", flat=True)]
    _check_all(len(sizes) + 1, sum(sizes) + (attachment.size or 0), rules)


def _check_all(count: int, total: int, rules: AttachmentRules) -> None:
    if rules.max_count is not None and count > rules.max_count:
        raise ValidationError({"file": _("At most %(limit)d files.") % {"limit": rules.max_count}}, code="too_many")
    if rules.max_total_bytes is not None and total > rules.max_total_bytes:
        message = _("At most %(limit)d bytes for all files together.") % {"limit": rules.max_total_bytes}
        raise ValidationError({"file": message}, code="too_large_together")
