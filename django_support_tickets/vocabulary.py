"""What models, records and errors have in common; apart from the records, which loading the models does not load."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Status(TextChoices):
    """The vendor's side of a ticket, in our words."""

    PENDING = "pending", _("Pending")
    OPEN = "open", _("Open")
    IN_PROGRESS = "in_progress", _("In progress")
    WAITING = "waiting", _("Waiting for us")
    ON_HOLD = "on_hold", _("On hold")
    RESOLVED = "resolved", _("Resolved")
    CLOSED = "closed", _("Closed")
    FAILED = "failed", _("Failed")
    UNKNOWN = "unknown", _("Unknown")


class AuthorType(TextChoices):
    """Who wrote a comment."""

    CUSTOMER = "customer", _("Customer")
    AGENT = "agent", _("Agent")
    SYSTEM = "system", _("System")
    AI = "ai", _("AI")
    UNKNOWN = "unknown", _("Unknown")


#: Authors of a comment that cannot be our own coming back.
NEVER_US = frozenset({AuthorType.AGENT, AuthorType.SYSTEM, AuthorType.AI})


class BodyFormat(TextChoices):
    """How the text of a comment is to be read; it is always escaped on display."""

    TEXT = "text", _("Text")
    MARKDOWN = "markdown", _("Markdown")
    HTML = "html", _("HTML")


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRef:
    """What names a ticket at a vendor; `customer_id` only where the vendor's path needs it (Moov)."""

    remote_id: str
    customer_id: str = ""


def one_line(text: object) -> str:
    """Return a text fit for a log: nothing in it begins another line or moves a terminal's cursor."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text or ""))
