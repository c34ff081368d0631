"""A vendor that is down for a day, with everything waiting: no storm, nothing lost, and the doctor says since when."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from django_support_tickets.exceptions import NotSent
from django_support_tickets.management.backlog import backlog_of
from django_support_tickets.models import Delivery, OutboxEntry, ProviderState, Ticket
from django_support_tickets.outbox.push import push
from django_support_tickets.providers import Provider
from django_support_tickets.records import Capabilities, TicketDraft, TicketRecord, TicketRef

#: 10,000 in one cell of `make test-all`.
WAITING = int(os.environ.get("TEST_OUTAGE", "60"))
STEP, DAY = 3600, 24 * 3600
TIMES = ("sent_at", "leased_until", "not_before", "tried_since")


class Desk(Provider):
    """A vendor whose machines are off, or on."""

    is_down = True
    called: list[str] = []

    def __init__(self, alias: str, **common: Any) -> None:
        super().__init__(alias, **common)
        self.capabilities = Capabilities()

    def get(self, ref: TicketRef) -> TicketRecord:
        return TicketRecord(remote_id=ref.remote_id)

    def create(self, draft: TicketDraft) -> TicketRecord:
        self.called.append(draft.key)
        if self.is_down:
            raise NotSent("no connection could be made", alias=self.alias, operation="create")
        return TicketRecord(remote_id=draft.key)


def let_pass(seconds: int) -> None:
    """Let time pass, by shifting rows back."""
    OutboxEntry.objects.update(
        **{name: F(name) - seconds * 1000 for name in TIMES}, created_at=F("created_at") - timedelta(seconds=seconds)
    )
    ProviderState.objects.update(paused_until=F("paused_until") - seconds * 1000)


@pytest.mark.django_db(transaction=True)
@pytest.mark.fault(24)
def test_a_day_without_the_vendor(settings: Any) -> None:
    settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {"BACKEND": f"{__name__}.Desk"}}
    Desk.is_down, Desk.called = True, []
    now = timezone.now()
    tickets = Ticket.objects.bulk_create(
        [Ticket(subject="S", description="D", submitted_at=now) for _ in range(WAITING)], batch_size=500
    )
    for _ in range(DAY // STEP):
        push("desk")
        let_pass(STEP)
    # Five open the breaker; after that a single call at a time tries for all.
    assert 5 <= len(Desk.called) <= DAY // STEP + 5
    assert not Ticket.objects.exclude(delivery=Delivery.QUEUED).exists()
    backlog = backlog_of("desk", using="default")
    assert (backlog.queued, round((backlog.oldest_unsent or 0) / DAY)) == (WAITING, 1)

    Desk.is_down, Desk.called = False, []
    while OutboxEntry.objects.exists():
        push("desk")
        let_pass(STEP)
    assert Counter(Desk.called) == Counter(str(ticket.key) for ticket in tickets)
    assert not Ticket.objects.exclude(delivery=Delivery.DELIVERED).exists()
