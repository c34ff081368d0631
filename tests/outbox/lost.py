"""Answers that were lost, and the time after which they are looked for."""

from __future__ import annotations

from collections.abc import Callable

from django_support_tickets.exceptions import Ambiguous
from django_support_tickets.models import Ticket
from django_support_tickets.outbox.push import PushCounts, push
from django_support_tickets.records import AttachmentRules, Capabilities
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

LOST = Ambiguous("the answer was lost or cut")
CREATE_ONLY = Capabilities(can_find=True, attachments=AttachmentRules(moments=frozenset({"create"})))


def wait_and_push() -> PushCounts:
    """Let the settle time pass, and push."""
    pass_time(61)
    return push("paper")


def at_vendor(desk: Desk, raised: Callable[..., Ticket]) -> Ticket:
    """Return a ticket that was delivered, whose calls are forgotten."""
    ticket = raised()
    push("paper")
    desk.calls.clear()
    ticket.refresh_from_db()
    return ticket
