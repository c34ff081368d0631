"""Names of files as they are shown and sent. None of them ever reaches a path."""

from __future__ import annotations

import re
import unicodedata

from django_support_tickets.records import clean_text

NAME_MAX = 255
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
    spaced = (" " if unicodedata.category(char) == "Zs" else char for char in name.replace("\0", "_"))
    name = "".join(char for char in spaced if char.isprintable())
    name = unicodedata.normalize("NFKC", name).replace("\\", "/").rstrip("/. ").rpartition("/")[2]
    name = RESERVED.sub("_", name)
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = extension, ""
    stem = INNER_DOT.sub("_", " ".join(stem.split()).lstrip("."))[:STEM_MAX].rstrip(" .") or "file"
    if DEVICES.fullmatch(stem.partition(".")[0].strip()):
        stem = f"_{stem}"
    extension = extension.strip()[:EXTENSION_MAX].rstrip()
    return f"{stem}.{extension}" if extension else stem


def original_of(name: str, shown: str) -> str:
    """Return a name as it was given, as far as a database can keep it; "" if it is the one that is shown."""
    given = clean_text(name)
    if given == shown:
        return ""
    return given if len(given) <= NAME_MAX else f"{given[: NAME_MAX - 1]}…"
