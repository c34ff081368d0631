from __future__ import annotations

import csv
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.test import Client

from django_support_tickets.admin.export import COLUMNS, cell
from django_support_tickets.models import Ticket
from tests.admin.conftest import url

Make = Callable[..., Any]


def export(client: Client, *tickets: Ticket, **values: Any) -> list[dict[str, str]]:
    keys = [str(ticket.pk) for ticket in tickets]
    answer: Any = client.post(url("changelist"), {"action": "export_selected", "_selected_action": keys, **values})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="tickets-')
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(StringIO(text)))


def test_the_selected_tickets_come_as_a_file(client: Client, agent: Any, make_ticket: Make) -> None:
    ticket = make_ticket(subject='Lost, "and" found\nagain', requester=agent, reference="S-1")
    make_ticket(subject="Not asked for")
    (row,) = export(client, ticket)
    assert list(row) == list(COLUMNS)
    assert (row["key"], row["subject"]) == (str(ticket.key), 'Lost, "and" found\nagain')
    assert row["requester"] == str(agent.pk)
    assert row["delivered_at"] == ""
    assert row["created_at"] == ticket.created_at.isoformat()


def test_all_of_a_filter_come_where_all_are_selected(client: Client, make_ticket: Make) -> None:
    tickets = [make_ticket() for _number in range(3)]
    assert len(export(client, tickets[0], select_across="1")) == 3


@pytest.mark.fault(49)
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_nothing_is_a_formula(client: Client, make_ticket: Make, start: str) -> None:
    evil = f"{start}HYPERLINK(1)"
    (row,) = export(client, make_ticket(subject=evil, contact_name=evil, reference=evil, category=evil))
    assert {row["subject"], row["contact_name"], row["reference"], row["category"]} == {f"'{evil}"}


@pytest.mark.fault(49)
@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        # Many spreadsheets end a cell at a semicolon, whatever stands around it.
        ("Hi;=HYPERLINK(1);", "Hi;'=HYPERLINK(1);"),
        ('Hi";\t+1', "Hi\";'\t'+1"),
        ("  =1", "'  =1"),
        ("a\n-1", "a\n'-1"),
        ("\tx", "'\tx"),
        ("1-2=3; 4, -5", "1-2=3; 4, -5"),
    ],
)
def test_no_part_of_a_cell_is_a_formula(text: str, harmless: str) -> None:
    assert cell(text) == harmless


def test_a_cell_is_text() -> None:
    assert cell(None) == ""
    assert cell(-1) == "'-1"
    assert cell("a=b") == "a=b"
