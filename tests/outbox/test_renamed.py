"""An account gets another name in the settings while something of it waits, is under way or is uncertain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_support_tickets.exceptions import AccessDenied, Ambiguous
from django_support_tickets.models import OutboxEntry, ProviderState, Ticket
from django_support_tickets.outbox.decisions import settle
from django_support_tickets.outbox.delivery import deliver
from django_support_tickets.outbox.intake import sweep
from django_support_tickets.outbox.push import push
from django_support_tickets.providers import providers
from django_support_tickets.records import Capabilities
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

pytestmark = [pytest.mark.django_db, pytest.mark.fault(18)]
Raise = Callable[..., Ticket]


@pytest.mark.parametrize("is_renamed", [True, False])
def test_an_entry_whose_worker_died_before_its_mark_follows_when_its_lease_is_over(
    desk: Desk, raised: Raise, claimed: Any, settings: Any, is_renamed: bool
) -> None:
    raised()
    claimed()
    if is_renamed:
        settings.SUPPORT_TICKETS_PROVIDERS = {"renamed": settings.SUPPORT_TICKETS_PROVIDERS["paper"]}
        Ticket.objects.update(provider="renamed")
    alias = "renamed" if is_renamed else "paper"
    assert push(alias).delivered == 0
    pass_time(61)
    assert push(alias).delivered == 1


def test_a_worker_of_the_old_name_sends_nothing_after_its_lease(
    desk: Desk, raised: Raise, claimed: Any, settings: Any
) -> None:
    raised()
    frozen = claimed()
    provider = providers["paper"]
    settings.SUPPORT_TICKETS_PROVIDERS = {"renamed": settings.SUPPORT_TICKETS_PROVIDERS["paper"]}
    Ticket.objects.update(provider="renamed")
    pass_time(61)
    assert sweep("renamed", using="default") == 1
    assert deliver(frozen, provider) == "waiting"
    assert desk.calls == []
    assert push("renamed").delivered == 1


def test_an_entry_that_was_left_goes_with_a_draft_that_is_submitted_to_another_account(
    desk: Desk, raised: Raise, settings: Any
) -> None:
    settings.SUPPORT_TICKETS_PROVIDERS |= {"other": settings.SUPPORT_TICKETS_PROVIDERS["paper"]}
    ticket = raised(provider="paper")
    Ticket.objects.update(delivery="draft")
    ticket.refresh_from_db()
    ticket.provider = "other"
    ticket.submit()
    assert OutboxEntry.objects.get().provider == "other"


def test_an_uncertain_one_is_sent_again_under_the_new_name(desk: Desk, raised: Raise, settings: Any) -> None:
    desk.capabilities = Capabilities()
    ticket = raised()
    desk.at("create", Ambiguous("the answer was lost or cut"))
    assert push("paper").uncertain == 1
    settings.SUPPORT_TICKETS_PROVIDERS = {"renamed": settings.SUPPORT_TICKETS_PROVIDERS["paper"]}
    Ticket.objects.update(provider="renamed")
    ticket.refresh_from_db()
    settle(ticket, send_again=True)
    assert push("renamed").delivered == 1


def test_a_pause_goes_with_the_account(desk: Desk, raised: Raise, settings: Any) -> None:
    raised()
    desk.at("create", AccessDenied("the vendor refuses the account"))
    push("paper")
    settings.SUPPORT_TICKETS_PROVIDERS = {"renamed": settings.SUPPORT_TICKETS_PROVIDERS["paper"]}
    for model in (Ticket, ProviderState):
        model._base_manager.update(provider="renamed")
    assert push("renamed").paused
    pass_time(3601)
    assert push("renamed").delivered == 1
