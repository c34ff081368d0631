from __future__ import annotations

import re

from django_support_tickets.records import FileDraft
from django_support_tickets.transport import Part, clean_text


def file_part(file: FileDraft, *, name: str, content_type: str) -> Part:
    """Return a file as the part `name` of a multipart body."""
    return Part(
        name=name,
        filename=clean_text(file.name),
        content_type=content_type,
        size=file.size,
        sha256=file.sha256,
        open=file.open,
    )


def short_reference(key: str) -> str:
    """Return the mark by which a ticket is found again where a vendor keeps only text: "[ref 0123456789ab]"."""
    return f"[ref {key.replace('-', '')[:12]}]"


def without_reference(text: str) -> str:
    """Return `text` without the mark that `short_reference` made."""
    return re.sub(r" ?\[ref [0-9a-f]{12}\]", "", text)
