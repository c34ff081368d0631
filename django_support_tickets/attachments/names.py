"""Names of files in a header, and what their end says of their kind."""

from __future__ import annotations

import unicodedata
from pathlib import PurePath
from urllib.parse import quote

from django_support_tickets.models.names import RESERVED, display_name


def extension_of(name: str) -> str:
    """Return the extension of a file name, in lower case without the dot."""
    return PurePath(name).suffix.lower().removeprefix(".")


def disposition(name: str) -> str:
    """Return the Content-Disposition header that makes a browser save a file, in both forms of RFC 6266."""
    name = display_name(name)
    letters = (char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    plain = RESERVED.sub("_", "".join(letters).encode("ascii", "replace").decode())
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
