"""Filters, order and pages of Verifik's ticket list, as both dialects read them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from django_support_tickets.testing.sandbox.wsgi import Call, Ticket

if TYPE_CHECKING:
    from django_support_tickets.testing.sandbox.verifik import VerifikSandbox


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """One page of `total` rows."""

    rows: list[Ticket]
    page: int
    limit: int
    total: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.limit))


class BadParameter(ValueError):
    """A query parameter that the list does not understand."""


def read_page(vendor: VerifikSandbox, call: Call, exact: tuple[str, ...]) -> Page:
    """Return the page asked for; `exact` names the plain filters of the dialect."""
    query = call.query
    asked = tuple((name, *values) for name, values in sorted(query.items()) if name not in _PAGING)
    rows = vendor.listing(asked, lambda: _rows(vendor, query, exact))
    page = _number(query, "page", 1)
    limit = min(_number(query, vendor.page_size_parameter, vendor.default_limit), vendor.max_limit)
    return Page(rows[(page - 1) * limit : page * limit], page, limit, len(rows))


_PAGING = ("page", "limit", "perPage")


def _number(query: dict[str, list[str]], name: str, default: int) -> int:
    if name not in query:
        return default
    text = query[name][0]
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise BadParameter(f"{name} must be a positive number")
    return int(text)


def _rows(vendor: VerifikSandbox, query: dict[str, list[str]], exact: tuple[str, ...]) -> list[Ticket]:
    rows = vendor.newest_first()
    if vendor.honour_filters:
        for name in exact:
            if name in query:
                rows = [row for row in rows if row[name] in query[name]]
        rows = _either(rows, query)
    for name in reversed(query.get("sort", [""])[0].split()):
        rows.sort(key=lambda row: str(row.get(name.lstrip("-"))), reverse=name.startswith("-"))
    return rows


def _either(rows: list[Ticket], query: dict[str, list[str]]) -> list[Ticket]:
    """Apply the filters whose names start with a question mark; several are ORed (sibling product)."""
    tests = [(name, values) for name, values in query.items() if name.startswith("?")]
    if not tests:
        return rows
    return [row for row in rows if any(_holds(row, name, values) for name, values in tests)]


def _holds(row: Ticket, name: str, values: list[str]) -> bool:
    kind, _, field = name.removeprefix("?").removesuffix("[]").partition("_")
    have = str(row.get(field, ""))
    if kind == "like":
        return any(value.lower() in have.lower() for value in values)
    wanted = [part for value in values for part in (value.split(",") if kind == "in" else [value])]
    return have in wanted
