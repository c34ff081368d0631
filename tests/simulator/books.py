"""What is written down here of a simulated account, read by statements that are compiled once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import Any

from django_support_tickets.models import Attachment, Comment, Ticket
from django_support_tickets.models.statements import Statement, slot

#: Model -> the columns that are read of it; the vendor's answer is of no interest.
COLUMNS: dict[type[Any], list[str]] = {
    model: [field.attname for field in model._meta.concrete_fields if field.name != "raw"]
    for model in (Ticket, Comment, Attachment)
}


class Books:
    """The rows of an account at one moment."""

    def __init__(self, alias: str) -> None:
        self.tickets: list[Ticket] = read(Ticket, alias)
        self.comments = _by_ticket(read(Comment, alias))
        self.files = _by_ticket(read(Attachment, alias))

    @property
    def items(self) -> Iterator[Ticket | Comment | Attachment]:
        yield from self.tickets
        yield from chain.from_iterable(self.comments.values())
        yield from chain.from_iterable(self.files.values())


def read(model: type[Any], alias: str) -> list[Any]:
    """Return the rows of a model in the order in which they were made."""
    rows = _reading(model).rows("default", alias=alias)
    return [model.from_db("default", COLUMNS[model], row) for row in rows]


@cache
def _reading(model: type[Any]) -> Statement:
    account = "provider" if model is Ticket else "ticket__provider"
    rows = model._base_manager.filter(**{account: slot(Ticket, "provider", "alias")})
    return Statement(rows.order_by("pk").values_list(*COLUMNS[model]).query)


def _by_ticket(rows: list[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.ticket_id].append(row)
    return found
