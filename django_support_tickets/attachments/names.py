"""Names of files: what is shown, sent and put into a header. None of them ever reaches a path."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath
from urllib.parse import quote

STEM_MAX = 90
EXTENSION_MAX = 9
# What means something in a path, a header, a shell or on Windows.
RESERVED = re.compile(r"[<>:;\"'`|?*%&$\\/]")
# A dot that could make the stem look like a name with an extension of its own; dots of dates and versions stay.
INNER_DOT = re.compile(r"\.(?!\d)")
DEVICES = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])", re.IGNORECASE)


def display_name(name: str) -> str:
    """Return a name that is safe to show and to send, at most 100 characters long.

    It has no path, no control, invisible or direction-changing characters, at most one extension, and is no device of
    Windows; look-alikes such as the fullwidth dot count as what they look like.
    """
    # A NUL is where a careless reader would stop; other characters that do not print are only not seen.
    name = "".join(char for char in name.replace("\0", "_") if char.isprintable())
    name = unicodedata.normalize("NFKC", name).replace("\\", "/").rstrip("/. ").rpartition("/")[2]
    name = RESERVED.sub("_", name).rstrip(" .")
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = extension, ""
    stem = INNER_DOT.sub("_", " ".join(stem.split()).lstrip("."))[:STEM_MAX].rstrip(" .") or "file"
    if DEVICES.fullmatch(stem.partition(".")[0].strip()):
        stem = f"_{stem}"
    extension = extension.strip()[:EXTENSION_MAX].rstrip()
    return f"{stem}.{extension}" if extension else stem


def extension_of(name: str) -> str:
    """Return the extension of a file name, in lower case without the dot."""
    return PurePath(name).suffix.lower().removeprefix(".")


def disposition(name: str) -> str:
    """Return the Content-Disposition header that makes a browser save a file, in both forms of RFC 6266."""
    name = display_name(name)
    letters = (char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    plain = RESERVED.sub("_", "".join(letters).encode("ascii", "replace").decode())
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
