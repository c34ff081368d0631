"""Search in the order in which agents mean it: what names one ticket first, words last."""

from __future__ import annotations

import contextlib
import uuid

from django.db import connections
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.db.models.lookups import Contains

from django_support_tickets.models import Ticket
from django_support_tickets.providers import providers

#: Columns whose beginning is looked for; each has an index.
PREFIXED = ("reference", "contact_email")
#: More hits than this of one beginning are not listed one by one.
HITS_MAX = 200


def search_tickets(tickets: QuerySet[Ticket], term: str) -> QuerySet[Ticket]:
    """Return the tickets that `term` names: by key, remote id, or the beginning of a reference or contact e-mail.

    Only if it names none, those with the term in their subject or contact's name, or as their customer id. The keys
    are read first, each by its own index, because a database that is asked for all of it at once reads the table.
    """
    term = term.strip()
    if not term:
        return tickets
    every = Ticket.objects.using(tickets.db)
    conditions = [*_names(term), *_beginnings(term, tickets.db)]
    found: set[int] = set()
    for condition in conditions:
        hits = list(every.filter(condition).values_list("pk", flat=True)[: HITS_MAX + 1])
        if len(hits) > HITS_MAX:
            return tickets.filter(condition)
        found.update(hits)
    return tickets.filter(pk__in=found) if found else tickets.filter(_words(term, tickets.db))


def _names(term: str) -> list[Q]:
    conditions = [Q(provider__in=list(providers), remote_id=term)]
    with contextlib.suppress(ValueError):
        conditions.append(Q(key=uuid.UUID(term)))
    return conditions


def _beginnings(term: str, using: str) -> list[Q]:
    """Return conditions that an index on the column can answer; as typed, and in capitals and small letters."""
    # MariaDB's "startswith" compares bytes, which no index is ordered by.
    lookup = "istartswith" if connections[using].vendor == "mysql" else "startswith"
    forms = sorted({term, term.upper(), term.lower()})
    return [Q(**{f"{name}__{lookup}": form}) for name in PREFIXED for form in forms]


def _words(term: str, using: str) -> Q:
    words = Q(subject__icontains=term) | Q(contact_name__icontains=term) | Q(customer_id=term)
    if connections[using].vendor == "mysql":  # where a binary collation makes "icontains" mind the case
        words |= Q(Contains(Lower("subject"), term.lower()))
    return words
