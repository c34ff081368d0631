"""What is written around the ORM must arrive as the ORM would have written it, on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from django_support_tickets.merge.writing import find_keys, insert_rows, new_row, update_rows
from django_support_tickets.models import Comment, Delivery, Ticket, project_time

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
#: What means something to a statement, to JSON or to a stream of rows.
TEXTS = ["", "\\N", "\\.", "a\tb\nc\rd", "\\t", "'; --", '"{}"', "100%s", "ñ 漢", "\\\\", "null"]


def made(**values: Any) -> Ticket:
    return new_row(Ticket, provider="desk", delivery=Delivery.DELIVERED, **values)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.fault(43)
def test_a_text_arrives_as_it_is(text: str) -> None:
    raw = {"text": text, "list": [text], "none": None, "number": 1.5}
    row = made(remote_id="R-1", subject=text, description=text, tags=[text], raw=raw)

    insert_rows(Ticket, [row], using="default")

    stored = Ticket.objects.get()
    assert (stored.subject, stored.description, stored.tags, stored.raw) == (text, text, [text], raw)


def test_values_of_every_type_arrive_as_the_orm_writes_them() -> None:
    values = {"subject": "A", "remote_updated_at": project_time(AT), "raw": None, "options": {"a": [1, True]}}
    insert_rows(Ticket, [made(remote_id="R-1", **values)], using="default")
    by_orm = Ticket.objects.create(provider="desk", remote_id="R-2", delivery=Delivery.DELIVERED, **values)

    first, second = Ticket.objects.order_by("remote_id")
    own = {"id", "key", "remote_id", "created_at", "updated_at", "submitted_at", "delivered_at"}
    names = [field.attname for field in Ticket._meta.concrete_fields if field.attname not in own]
    assert second.pk == by_orm.pk
    assert [getattr(first, name) for name in names] == [getattr(second, name) for name in names]
    assert Ticket.objects.filter(raw__isnull=True).count() == 2


def test_a_new_row_has_defaults_of_its_own_and_becomes_a_usable_instance() -> None:
    one, other = made(remote_id="R-1", subject="A"), made(remote_id="R-2", subject="B")
    one.tags.append("only mine")
    insert_rows(Ticket, [one, other], using="default")
    find_keys(Ticket, [one, other], using="default")

    assert one.key != other.key
    assert other.tags == []
    comment = new_row(Comment, ticket_id=one.pk, body="hello", delivery=Delivery.DELIVERED)
    assert comment.ticket == one
    one.refresh_from_db()
    assert one.tags == ["only mine"]


def test_rows_are_updated_each_with_its_own_values_and_only_while_a_column_is_as_it_was() -> None:
    moments = [project_time(AT + timedelta(microseconds=number)) for number in range(5)]
    insert_rows(
        Ticket,
        [made(remote_id=f"R-{number}", subject="A", next_poll_at=moments[number]) for number in range(4)],
        using="default",
    )
    pks = list(Ticket.objects.order_by("remote_id").values_list("pk", flat=True))
    rows = [(pks[3], (None, moments[0])), (pks[0], (moments[1], moments[4]))]

    update_rows(Ticket, ("synced_at", "next_poll_at"), rows, using="default")
    changed = [(pk, (moments[2],), moments[number]) for number, pk in enumerate(pks)]
    update_rows(Ticket, ("next_poll_at",), changed, using="default", unchanged="next_poll_at")

    found = Ticket.objects.order_by("remote_id").values_list("synced_at", "next_poll_at")
    assert list(found) == [(moments[1], moments[4]), (None, moments[2]), (None, moments[2]), (None, moments[0])]
