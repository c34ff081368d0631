"""Somebody is erased while a ticket of theirs is on its way, or nobody knows whether it has arrived."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from django_support_tickets.exceptions import Ambiguous
from django_support_tickets.management.erasure import VendorCopy, erase
from django_support_tickets.models import Ticket
from django_support_tickets.outbox.claims import claim_next, mark
from django_support_tickets.outbox.decisions import settle
from django_support_tickets.outbox.items import Item, Kind
from django_support_tickets.outbox.push import push
from django_support_tickets.outbox.settling import LeaseLost, settle_delivered
from django_support_tickets.records import Capabilities, TicketRecord
from django_support_tickets.sync import pull
from tests.management.test_erase import CANARY, dump
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

pytestmark = [pytest.mark.django_db, pytest.mark.fault(15, 89)]


@pytest.fixture
def user() -> Any:
    return get_user_model().objects.create_user("jo")


def uncertain(user: Any, desk: Desk) -> Ticket:
    desk.capabilities = Capabilities()
    ticket = Ticket.objects.create(subject=CANARY, description=CANARY, requester=user)
    desk.lose_answer("create", Ambiguous("the answer was lost or cut"))
    assert push("paper").uncertain == 1
    return ticket


def test_a_lost_answer_is_looked_for_first(user: Any, desk: Desk) -> None:
    ticket = Ticket.objects.create(subject=CANARY, description=CANARY, requester=user)
    desk.lose_answer("create", Ambiguous("the answer was lost or cut"))
    push("paper")
    assert erase(user, using="default").in_flight == [str(ticket.key)]
    pass_time(61)
    assert push("paper").delivered == 1
    assert erase(user, using="default").vendor_copies == [VendorCopy("paper", "", "R1")]
    assert CANARY not in dump()


def test_an_uncertain_one_does_not_go_out_empty(user: Any, desk: Desk) -> None:
    ticket = uncertain(user, desk)
    erase(user, using="default")
    with pytest.raises(ValidationError, match="was erased here.*delete it") as caught:
        settle(ticket, send_again=True)
    assert caught.value.code == "erased"
    assert push("paper").delivered == 0
    assert desk.calls == ["create"]


def test_one_that_the_vendor_does_not_have_can_be_deleted(user: Any, desk: Desk) -> None:
    ticket = uncertain(user, desk)
    erase(user, using="default")
    ticket.delete()
    assert push("paper").delivered == 0
    assert not Ticket.objects.exists()


def test_an_uncertain_one_can_still_be_found_by_a_person(user: Any, desk: Desk) -> None:
    ticket = uncertain(user, desk)
    erase(user, using="default")
    settle(ticket, exists="R1")
    assert erase(user, using="default").vendor_copies == [VendorCopy("paper", "", "R1")]
    pull("paper", workers=1)
    assert desk.calls == ["create"]


def test_an_answer_that_comes_after_all_names_the_copy(user: Any, desk: Desk) -> None:
    desk.capabilities = Capabilities()
    Ticket.objects.create(subject=CANARY, description=CANARY, requester=user)
    (claim,) = claim_next("paper", 1, using="default")
    item = Item(Kind.CREATE, claim.entry.ticket)
    assert mark(claim, item, lease_seconds=60)
    pass_time(61)
    assert push("paper").uncertain == 1
    erase(user, using="default")
    with pytest.raises(LeaseLost):
        settle_delivered(claim, item, TicketRecord(remote_id="R1", resolution=CANARY))
    assert erase(user, using="default").vendor_copies == [VendorCopy("paper", "", "R1")]
    assert CANARY not in dump()
