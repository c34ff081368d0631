from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from django_support_tickets.merge import read_rows
from django_support_tickets.models import Ticket

pytestmark = pytest.mark.django_db

COLUMNS = ("pk", "key", "remote_id", "remote_updated_at", "missing_since", "status", "tags", "digest")


def test_rows_are_what_the_orm_reads(desk: Any, ticket: Any) -> None:
    names = ["R-1", 'R "2"', "R'3", "R-ä🙂", "R\\5", "R%s6"]
    for name in names:
        ticket(name, remote_updated_at=timezone.now(), tags=["a", name])
    ticket("R-7")
    ticket("R-1", provider="other")
    read = read_rows(Ticket, COLUMNS, using="default", alias="desk", remote_ids=[*names, "R-8"])
    rows = Ticket.objects.filter(provider="desk", remote_id__in=names)
    assert sorted(read, key=lambda row: row[0]) == sorted(rows.values_list(*COLUMNS), key=lambda row: row[0])
    assert len(read) == len(names)


def test_an_id_that_is_too_long_for_the_column_is_no_other_one(desk: Any, ticket: Any) -> None:
    ticket("R" * 255)
    assert read_rows(Ticket, COLUMNS, using="default", alias="desk", remote_ids=["R" * 256]) == []


def test_nothing_is_asked_for_nothing(desk: Any, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert read_rows(Ticket, COLUMNS, using="default", alias="desk", remote_ids=[]) == []
