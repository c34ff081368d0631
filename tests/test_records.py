from __future__ import annotations

import dataclasses

import pytest

from django_support_tickets.records import ABSENT, AttachmentRecord, CommentRecord, TicketRecord

RECORDS = (TicketRecord, CommentRecord, AttachmentRecord)


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_takes_the_arguments_of_its_fields(record: type) -> None:
    given = {field.name: object() for field in dataclasses.fields(record)}
    made = record(**given)
    assert {name: getattr(made, name) for name in given} == given
    assert dataclasses.replace(made) == made
    with pytest.raises(TypeError, match="unexpected keyword argument 'tpyo'"):
        record(tpyo=1)
    with pytest.raises(TypeError, match="positional"):
        record("R-1")


@pytest.mark.parametrize("record", RECORDS)
def test_a_field_that_is_not_given_has_its_default(record: type) -> None:
    needed = {
        field.name: "R-1"
        for field in dataclasses.fields(record)
        if field.default is dataclasses.MISSING is field.default_factory
    }
    made = record(**needed)
    for field in dataclasses.fields(record):
        if field.default is not dataclasses.MISSING:
            assert getattr(made, field.name) is field.default
    if needed:
        with pytest.raises(TypeError, match="missing"):
            record()


def test_every_ticket_has_its_own_answer() -> None:
    one, other = TicketRecord(remote_id="R-1"), TicketRecord(remote_id="R-2")
    assert one.raw == other.raw == {}
    assert one.raw is not other.raw
    assert one.status is ABSENT


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_cannot_be_changed(record: type) -> None:
    made = record(remote_id="R-1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.remote_id = "R-2"
