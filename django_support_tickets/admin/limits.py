"""A vendor's limits in words."""

from __future__ import annotations

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_support_tickets.attachments.rules import MOST, largest
from django_support_tickets.attachments.signatures import CONTENT_TYPES, content_type_of
from django_support_tickets.records import AttachmentRules


def at_most(limit: int) -> str:
    """Return how long a text may be."""
    return ngettext("At most %(limit)d character.", "At most %(limit)d characters.", limit) % {"limit": limit}


def may_travel(rules: AttachmentRules, *moments: str) -> bool:
    """Return whether a file can travel at one of these moments."""
    return bool(rules.moments & set(moments))


def extensions_of(rules: AttachmentRules) -> list[str]:
    """Return the file name extensions that are taken."""
    known = rules.extensions or CONTENT_TYPES.keys()
    types = rules.content_types
    return sorted(name for name in known if not types or content_type_of(f"file.{name}") in types)


def accepted(rules: AttachmentRules) -> str:
    """Return what a browser's file dialogue should offer."""
    return ",".join(f".{name}" for name in extensions_of(rules))


def file_rules(rules: AttachmentRules) -> list[str]:
    """Return in sentences what files are taken."""
    count = MOST if rules.max_count is None else rules.max_count
    facts = {"count": count, "each": megabytes(largest(rules))}
    sentences = [
        ngettext("At most %(count)d file of %(each)s.", "At most %(count)d files of %(each)s each.", count) % facts
    ]
    if rules.max_total_bytes is not None:
        sentences.append(_("Together at most %(total)s.") % {"total": megabytes(rules.max_total_bytes)})
    sentences.append(_("Kinds: %(kinds)s.") % {"kinds": ", ".join(extensions_of(rules))})
    return sentences


def megabytes(size: int) -> str:
    """Return a limit in megabytes of a million bytes, never more than it is."""
    tenths = size // 100_000
    number = number_format(tenths / 10, decimal_pos=1 if tenths % 10 else 0)
    return _("%(number)s MB") % {"number": number}
