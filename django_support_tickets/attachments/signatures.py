"""The kinds of files that are known here: their content type, and the first bytes that prove them.

The table is ours, so that it is the same on every machine, and nothing in it can run in a browser. Two kinds may hide
in one file (a PDF that is also a ZIP): what cannot be told apart is made harmless where it is served.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from django_support_tickets.attachments.names import extension_of

# How many bytes of a file are looked at.
HEAD = 4096
OPAQUE = "application/octet-stream"

Test = Callable[[bytes], bool]


def _starts(magic: tuple[bytes, ...], head: bytes) -> bool:
    return head.startswith(magic)


def _is_riff(kind: bytes, head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == kind


def _box(*kinds: bytes) -> Test:
    # The four bytes before are a size: the first one says 16 MB each, and is a letter where this is something else.
    return lambda head: head[4:8] in kinds and head[0] < 8


def _is_webm(head: bytes) -> bool:
    return head.startswith(b"\x1aE\xdf\xa3") and b"webm" in head


# Of the control characters a log has tabs, line ends, form feeds, and the backspaces and escapes of a terminal.
NO_TEXT = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def _is_text(head: bytes) -> bool:
    if any(test(head) for test in BINARY.values()):
        return False
    return head.startswith(UTF_16) or not NO_TEXT.search(head)


BINARY: dict[str, Test] = {
    "image/png": partial(_starts, (b"\x89PNG\r\n\x1a\n",)),
    "image/jpeg": partial(_starts, (b"\xff\xd8\xff",)),
    "image/gif": partial(_starts, (b"GIF87a", b"GIF89a")),
    "image/webp": partial(_is_riff, b"WEBP"),
    "application/pdf": partial(_starts, (b"%PDF-",)),
    "video/mp4": _box(b"ftyp"),
    "video/quicktime": _box(b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"),
    "video/x-msvideo": partial(_is_riff, b"AVI "),
    "video/webm": _is_webm,
}

CONTENT_TYPES = {
    "avi": "video/x-msvideo",
    "csv": "text/csv",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "log": "text/plain",
    "md": "text/plain",
    "mov": "video/quicktime",
    "mp4": "video/mp4",
    "pdf": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
    "webm": "video/webm",
    "webp": "image/webp",
    "yaml": "text/plain",
    "yml": "text/plain",
}
SERVED = frozenset({*CONTENT_TYPES.values(), OPAQUE})


def content_type_of(name: str) -> str:
    """Return the content type of a file, from its name and never from its uploader."""
    return CONTENT_TYPES.get(extension_of(name), OPAQUE)


def is_what_it_says(name: str, head: bytes) -> bool:
    """Return whether the first bytes of a file are of the kind that its name says; True for a kind unknown here."""
    content_type = content_type_of(name)
    if content_type == OPAQUE:
        return True
    return BINARY.get(content_type, _is_text)(head)
