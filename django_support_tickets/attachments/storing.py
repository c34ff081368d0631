"""Measure a file and put it into the storage, a chunk at a time and under a key that nobody chose."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.files.base import File
from django.core.files.storage import InvalidStorageError, Storage

from django_support_tickets.attachments.signatures import HEAD
from django_support_tickets.models import Attachment

logger = logging.getLogger(__name__)

#: What a file may have where neither its vendor nor anybody else names a limit, in bytes.
LARGEST = 64 * 1024 * 1024


class StorageFailed(Exception):
    """The storage of files does not work, or has not kept what it was given; trying again later may help."""


class TooLarge(Exception):
    """A file has more bytes than it may."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was counted while a file was read; `head` are its first bytes."""

    size: int
    sha256: str
    head: bytes


def file_storage() -> Storage:
    """Return the storage that all attachments are kept in."""
    storage: Storage = Attachment._meta.get_field("file").storage
    return storage


def has_storage() -> bool:
    """Return whether STORAGES has the alias of SUPPORT_TICKETS_ATTACHMENT_STORAGE."""
    try:
        return file_storage().target is not None  # type: ignore[attr-defined]
    except InvalidStorageError:
        return False


def measure(chunks: Iterable[bytes], *, limit: int, copy_to: Any = None) -> Measured:
    """Count and hash a file while it is read, and write it to `copy_to`; raise TooLarge above `limit` bytes."""
    digest, size, head = hashlib.sha256(), 0, b""
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise TooLarge(str(limit))
        digest.update(chunk)
        if len(head) < HEAD:
            head += chunk[: HEAD - len(head)]
        if copy_to is not None:
            copy_to.write(chunk)
    return Measured(size, digest.hexdigest(), head)


def store(file: File[Any], *, size: int, content_type: str) -> str:
    """Put a file of `size` bytes into the storage and return its key; raise StorageFailed and leave nothing behind."""
    # An S3 storage keeps this with the object; what an uploader claims must not get there.
    file.content_type = content_type  # type: ignore[attr-defined]
    storage, key = file_storage(), ""
    try:
        key = storage.save(random_key(), file)
        if storage.size(key) == size:
            return key
    except Exception as error:  # a storage raises what it likes, and its words may hold addresses and names
        logger.error("a file could not be stored: %s", type(error).__name__, extra={"event": "attachments.not_stored"})
    if key:
        discard(key)
    raise StorageFailed("The storage has not kept the file.")


def discard(key: str) -> bool:
    """Delete a stored file, and return whether that worked; what is left is an orphan for the next sweep."""
    try:
        file_storage().delete(key)
    except Exception as error:
        logger.warning("a file is left: %s", type(error).__name__, extra={"event": "attachments.not_deleted"})
        return False
    return True


def random_key() -> str:
    """Return a storage key that nobody can guess and nobody has chosen."""
    token = secrets.token_hex(16)
    return f"{token[:2]}/{token}"
