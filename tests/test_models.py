from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from django_support_tickets.models import Comment, Ticket

pytestmark = pytest.mark.django_db


@pytest.fixture
def ticket() -> Ticket:
    facts: dict[str, Any] = {"subject": "S", "delivery": "delivered", "remote_id": "R-1", "raw": {"seen": "at noon"}}
    return Ticket.objects.bulk_create([Ticket(**facts)])[0]


class TestTheVendorsAnswer:
    """It may be 64 kB and is hardly ever looked at."""

    def test_it_is_fetched_when_it_is_looked_at(self, ticket: Ticket, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(1) as captured:
            (found,) = Ticket.objects.all()
        assert '"raw"' not in captured.captured_queries[0]["sql"].replace("`", '"')
        with django_assert_num_queries(1):
            assert found.raw == {"seen": "at noon"}

    def test_it_can_be_asked_for(self, ticket: Ticket, django_assert_num_queries: Any) -> None:
        for rows in (Ticket.objects.defer(None), Ticket.objects.only("raw")):
            with django_assert_num_queries(1):
                assert rows.get().raw == {"seen": "at noon"}
        assert Ticket.objects.values_list("raw", flat=True).get() == {"seen": "at noon"}

    def test_a_ticket_of_any_query_can_be_saved_and_keeps_it(self, ticket: Ticket) -> None:
        found = Ticket.objects.get()
        found.requester = None
        found.save()
        assert Ticket.objects.filter(raw={"seen": "at noon"}).exists()

    def test_a_dump_has_it(self, ticket: Ticket) -> None:
        output = StringIO()
        call_command("dumpdata", "support_tickets.Ticket", stdout=output)
        assert json.loads(output.getvalue())[0]["fields"]["raw"] == {"seen": "at noon"}

    def test_a_ticket_with_an_unread_answer_is_deleted_with_all_it_has(self, ticket: Ticket) -> None:
        Comment.objects.bulk_create([Comment(ticket=ticket, body="B", delivery="delivered")])
        Ticket.objects.get().delete()
        assert not Comment.objects.exists()
