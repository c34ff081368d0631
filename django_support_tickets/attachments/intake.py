"""What a file must be before it is stored, asked once: when it is submitted, or added to a draft."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.base import File
from django.db.models.fields.files import FieldFile
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_support_tickets.attachments.rules import (
    check_company,
    check_content,
    check_moment,
    check_name,
    check_size,
    check_together,
    largest,
    require,
    too_large,
)
from django_support_tickets.attachments.scanning import scan
from django_support_tickets.attachments.signatures import content_type_of
from django_support_tickets.attachments.storing import (
    Measured,
    StorageFailed,
    TooLarge,
    has_storage,
    measure,
    store,
)
from django_support_tickets.conf import settings
from django_support_tickets.models import Attachment, Delivery
from django_support_tickets.models.names import display_name, original_of
from django_support_tickets.records import AttachmentRules

logger = logging.getLogger(__name__)
State = Attachment.State


def prepare_attachment(attachment: Attachment, rules: AttachmentRules | None) -> None:
    """Check a file against what the vendor takes, count and hash its bytes, store it, and have it scanned.

    Raise ValidationError before anything is stored, and StorageFailed if the storage does not work. A new file that the
    scanner does not clear is kept, but quarantined and refused: it is neither sent nor served. One that was stored
    before is refused by a ValidationError.
    """
    rules = require(rules)
    require_storage()
    check_moment(attachment, rules)
    source = _require_file(attachment)
    _name(attachment, attachment.name or source.name or "")
    attachment.content_type = content_type_of(attachment.name)
    check_name(attachment.name, rules)
    try:
        _take(attachment, rules)
    finally:
        if _is_stored(source):  # opened here; an upload is its owner's to close
            source.close()


def validate_files(files: Sequence[File[Any]], rules: AttachmentRules | None) -> None:
    """Raise ValidationError if the vendor would not take these uploads together with a new ticket."""
    rules = require(rules)
    require_storage()
    for file in files:
        name = display_name(file.name or "")
        check_name(name, rules)
        check_size(file.size, rules)
        check_content(name, _head(file))
    check_together((file.size for file in files), rules)


def require_storage() -> None:
    """Raise ValidationError while STORAGES lacks the alias of SUPPORT_TICKETS_ATTACHMENT_STORAGE."""
    if not has_storage():
        message = _("Files are refused: STORAGES has no %(alias)r.") % {"alias": settings.ATTACHMENT_STORAGE}
        raise ValidationError({"file": [ValidationError(message, code="no_storage")]})


def _take(attachment: Attachment, rules: AttachmentRules) -> None:
    measured = _measure(attachment, rules)
    check_content(attachment.name, measured.head)
    if attachment._state.adding:
        attachment.size, attachment.sha256 = measured.size, measured.sha256
        check_company(attachment, [measured.size], rules)
        _store_new(attachment)
    else:
        _recognise(attachment, measured)
        check_company(attachment, [measured.size], rules)


def _name(attachment: Attachment, given: str) -> None:
    attachment.name = display_name(given)
    attachment.original_name = original_of(given, attachment.name) or attachment.original_name


def _require_file(attachment: Attachment) -> FieldFile:
    file = attachment.file
    if not file.name and not _is_stored(file):
        file.name = "file"  # bytes that were given without a name
    if not file.name:
        message = _("This field is required.")
        raise ValidationError({"file": [ValidationError(message, code="required")]})
    return file


def _is_stored(file: FieldFile) -> bool:
    return bool(file._committed)  # type: ignore[attr-defined]


def _measure(attachment: Attachment, rules: AttachmentRules) -> Measured:
    """Read the file once; a size that is known before is complained about before that."""
    file = attachment.file
    try:
        if not _is_stored(file):
            check_size(file.file.size, rules)
        measured = measure(file.chunks(), limit=largest(rules))
    except TooLarge:
        raise too_large(rules) from None
    except ValidationError:
        raise
    except Exception as error:  # a storage raises what it likes, a closed upload ValueError
        raise _unreadable(error, may_pass=_is_stored(file)) from None
    check_size(measured.size, rules)
    return measured


def _unreadable(error: Exception, *, may_pass: bool) -> Exception:
    logger.warning("a file cannot be read: %s", type(error).__name__, extra={"event": "attachments.unreadable"})
    message = _("The file cannot be read.")
    if may_pass and not isinstance(error, FileNotFoundError):
        return StorageFailed(str(message))
    return ValidationError({"file": [ValidationError(message, code="unreadable")]})


def _store_new(attachment: Attachment) -> None:
    """Store the file under a key of its own, also if it lies in the storage already: another row may be its owner."""
    content = attachment.file.file
    # Django's own storages rewind what they are given, others need not.
    content.seek(0)
    key = store(content, size=attachment.size or 0, content_type=attachment.content_type)
    attachment.file = key
    if complaint := scan(key, attachment.name):
        _quarantine(attachment, complaint)


def _quarantine(attachment: Attachment, complaint: str) -> None:
    attachment.state, attachment.error = State.QUARANTINED, complaint
    if attachment.delivery == Delivery.QUEUED:
        attachment.delivery, attachment.delivery_error = Delivery.REFUSED, f"Quarantined: {complaint}"


def _recognise(attachment: Attachment, measured: Measured) -> None:
    """Note what was found of a file that was stored before: by a draft, by `bulk_create()` or by a fixture.

    These columns are written here, because a save leaves them alone.
    """
    if attachment.sha256 and attachment.sha256 != measured.sha256:
        message = _("The stored file is not the one that was added.")
        raise ValidationError({"file": [ValidationError(message, code="changed")]})
    if not attachment.sha256 or attachment.state == State.QUARANTINED:
        _scan_again(attachment)
    attachment.size, attachment.sha256 = measured.size, measured.sha256
    attachment.state, attachment.error = State.STORED, ""
    names = ("name", "original_name", "content_type", "size", "sha256", "state", "error")
    values = {name: getattr(attachment, name) for name in names}
    rows = Attachment.objects.using(attachment._state.db).filter(pk=attachment.pk)
    rows.update(**values, updated_at=timezone.now())


def _scan_again(attachment: Attachment) -> None:
    if complaint := scan(str(attachment.file.name), attachment.name):
        message = _("The file is quarantined: %(reason)s") % {"reason": complaint}
        raise ValidationError({"file": [ValidationError(message, code="quarantined")]})


def _head(file: File[Any]) -> bytes:
    head = next(iter(file.chunks()), b"")  # from the file's beginning
    file.seek(0)
    return head
