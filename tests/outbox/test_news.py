"""Whatever happens to a row is news of it, for who asks what has changed since; and the vendor is asked again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from django_support_tickets.exceptions import Ambiguous, Refused
from django_support_tickets.models import Delivery, OutboxEntry, Ticket, TicketEvent
from django_support_tickets.models.clock import database_time, project_time
from django_support_tickets.outbox.decisions import cancel, close_here, request_close, settle
from django_support_tickets.outbox.push import push
from django_support_tickets.records import Capabilities
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]

OLD = project_time(datetime(2020, 1, 1, tzinfo=UTC))


def is_news(row: Any, column: str = "updated_at") -> bool:
    """Return whether a time of a row is the database's of just now."""
    row.refresh_from_db()
    return bool(abs(getattr(row, column) - database_time("default")) < timedelta(seconds=20))


@pytest.fixture
def rows(desk: Desk, raised: Raise, said: Any, attached: Any) -> Callable[[str], Any]:
    """Make something that is queued and was changed long ago."""

    def make(operation: str) -> Any:
        ticket = raised()
        if operation != "create":
            push("paper")
            ticket.refresh_from_db()
        make_one = {"comment": said, "upload": attached, "close": request_close}.get(operation, lambda ticket: None)
        row = make_one(ticket) or ticket
        Ticket.objects.update(updated_at=OLD, next_poll_at=None)
        type(row)._base_manager.update(updated_at=OLD)
        return row

    return make


@pytest.mark.parametrize("operation", ["create", "comment", "upload", "close"])
class TestPush:
    def test_what_is_delivered(self, desk: Desk, rows: Any, operation: str) -> None:
        row = rows(operation)
        assert push("paper").delivered == 1
        assert is_news(row)
        ticket = Ticket.objects.get()
        if operation in ("comment", "upload"):
            assert is_news(ticket, "next_poll_at")
        assert ticket.next_poll_at is not None or operation == "close"

    def test_what_is_refused(self, desk: Desk, rows: Any, operation: str) -> None:
        row = rows(operation)
        desk.at(operation, Refused("the vendor refuses it"))
        assert push("paper").refused == 1
        assert is_news(row)

    def test_what_is_uncertain_and_then_settled(self, desk: Desk, rows: Any, operation: str) -> None:
        row = rows(operation)
        desk.at(operation, Ambiguous("the answer was lost or cut"))
        for search in ("find", "get"):
            desk.at(search, Refused("the vendor refuses it"))
        push("paper")
        pass_time(61)
        assert push("paper").uncertain == 1
        assert is_news(row)
        for answer in ({"send_again": True}, {"exists": "R1"}):
            column = "close_delivery" if operation == "close" else "delivery"
            type(row)._base_manager.update(updated_at=OLD, **{column: Delivery.UNCERTAIN})
            settle(row, **answer)  # type: ignore[arg-type]
            assert is_news(row)
            event = TicketEvent.objects.latest("pk")
            said = answer if "send_again" in answer else {"remote_id": "R1"}
            assert event.changes == {"item": operation, "key": str(row.key), **said}
            assert OutboxEntry.objects.exists()  # queued at once, not by the next sweep
        assert is_news(Ticket.objects.get(), "next_poll_at")

    def test_what_is_cancelled(self, desk: Desk, rows: Any, operation: str) -> None:
        row = rows(operation)
        cancel(row)
        assert is_news(row)
        assert TicketEvent.objects.latest("pk").changes == {"item": operation, "key": str(row.key)}


def test_what_is_closed(desk: Desk, rows: Any) -> None:
    ticket = rows("create")
    request_close(ticket)
    assert is_news(ticket)
    assert OutboxEntry.objects.filter(ticket=ticket).exists()
    push("paper")
    Ticket.objects.update(updated_at=OLD, status="open")
    desk.capabilities = Capabilities()
    close_here(ticket)
    assert is_news(ticket) and is_news(ticket, "closed_at")
