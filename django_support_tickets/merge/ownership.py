"""Who owns which field of a ticket, and what a record changes on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django_support_tickets.merge import cleaning
from django_support_tickets.models import Ticket
from django_support_tickets.records import ABSENT, TicketRecord

Reader = Callable[[Any], Any]


def _clipped(name: str) -> Reader:
    limit: int | None = getattr(Ticket._meta.get_field(name), "max_length", None)
    return lambda value: cleaning.text(value, limit)


#: The vendor's on every ticket: {our column: (field of the record, how its value is made fit)}.
VENDORS: Mapping[str, tuple[str, Reader]] = {
    "status": ("status", cleaning.status),
    "remote_status": ("remote_status", _clipped("remote_status")),
    "reference": ("reference", _clipped("reference")),
    "priority": ("priority", _clipped("priority")),
    "category": ("category", _clipped("category")),
    "tags": ("tags", cleaning.tags),
    "resolution": ("resolution", cleaning.text),
    "remote_created_at": ("created_at", cleaning.moment),
    "remote_updated_at": ("updated_at", cleaning.moment),
    "resolved_at": ("resolved_at", cleaning.moment),
    "closed_at": ("closed_at", cleaning.moment),
    "last_comment_at": ("last_comment_at", cleaning.moment),
}
#: The vendor's only on tickets that were raised there; on ours they are what was said here.
RAISED_THERE: Mapping[str, tuple[str, Reader]] = {
    "subject": ("subject", _clipped("subject")),
    "description": ("description", cleaning.text),
    "customer_id": ("customer_id", _clipped("customer_id")),
    "contact_name": ("contact_name", _clipped("contact_name")),
    "contact_email": ("contact_email", _clipped("contact_email")),
}
_EVERYTHING = {**VENDORS, **RAISED_THERE}
#: A change of these is merged but is no news by itself.
SILENT = frozenset({"remote_created_at", "remote_updated_at", "last_comment_at"})
#: Texts: a timeline says that they changed, not how.
TEXTS = frozenset({"subject", "description", "resolution", "contact_name", "contact_email"})


def owned_columns(origin: str) -> Mapping[str, tuple[str, Reader]]:
    """Return the columns that the vendor owns on a ticket of this origin."""
    return VENDORS if origin == Ticket.Origin.HERE else _EVERYTHING


def read_fields(record: TicketRecord, origin: str) -> dict[str, Any]:
    """Return the columns that `record` says something about, ready to be stored."""
    values = ((name, getattr(record, source), read) for name, (source, read) in owned_columns(origin).items())
    return {name: read(value) for name, value, read in values if value is not ABSENT}


def apply_fields(ticket: Ticket, record: TicketRecord) -> dict[str, tuple[Any, Any]]:
    """Set on `ticket` what is the vendor's and return what changed: {column: (old, new)}."""
    changes = {}
    for name, new in read_fields(record, ticket.origin).items():
        old = getattr(ticket, name)
        if old != new:
            changes[name] = (old, new)
            setattr(ticket, name, new)
    return changes


def visible(changes: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """Return the changes that are news."""
    return {name: pair for name, pair in changes.items() if name not in SILENT}


def for_timeline(changes: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """Return changes as a TicketEvent keeps them: short values, never text."""
    return {
        name: "changed" if name in TEXTS else [_written(old), _written(new)] for name, (old, new) in changes.items()
    }


def _written(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
