from __future__ import annotations

import pytest

from django_support_tickets.models import Comment, SyncRun, TicketEvent
from django_support_tickets.records import CommentRecord, Status, TicketRecord
from django_support_tickets.sync import pull

pytestmark = pytest.mark.django_db


def test_a_due_ticket_is_fetched_and_merged(desk, ticket):
    one = ticket()
    desk.tickets["R-1"] = TicketRecord(
        remote_id="R-1",
        status=Status.OPEN,
        remote_status="open",
        comments=(CommentRecord(remote_id="c1", body="Hello", author_type="agent"),),
        raw={"id": "R-1"},
    )
    counts = pull("desk")
    assert (counts.fetched, counts.changed, counts.comments) == (1, 1, 1)
    one.refresh_from_db()
    assert one.status == "open" and one.raw == {"id": "R-1"}
    assert Comment.objects.get().body == "Hello"
    assert TicketEvent.objects.count() == 2
    assert SyncRun.objects.get().outcome == "done"
    assert pull("desk").fetched == 0
