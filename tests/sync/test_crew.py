from __future__ import annotations

import sys
from typing import Any

import pytest

from django_support_tickets.records import Status, TicketRecord
from django_support_tickets.sync import pull
from django_support_tickets.sync.crew import SWITCH_SECONDS, Crew, turns


def test_turns_are_short_until_the_last_crew_has_ended() -> None:
    before = sys.getswitchinterval()
    with turns.short():
        with turns.short():
            assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    assert sys.getswitchinterval() == before


@pytest.mark.django_db
def test_a_pull_leaves_the_interpreter_as_it_was(desk: Any, ticket: Any) -> None:
    before, seen = sys.getswitchinterval(), []
    ticket()

    def look(ref: Any) -> TicketRecord:
        seen.append(sys.getswitchinterval())
        return TicketRecord(remote_id=ref.remote_id, status=Status.OPEN)

    desk.script = [look]
    pull("desk")
    assert seen == [pytest.approx(SWITCH_SECONDS)]
    assert sys.getswitchinterval() == before


def test_an_error_of_a_thread_is_raised_where_its_result_is_taken() -> None:
    crew = Crew[int](2)
    crew.submit(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        crew.next_result(timeout=60)
    assert crew.outstanding == 0 and crew.next_result(timeout=0.01) is None
    crew.close()
