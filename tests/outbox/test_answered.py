"""A worker that has its answer is free to call while the answer is written down; one without an answer is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from django_support_tickets.exceptions import AccessDenied, Ambiguous, Busy, NotSent, Refused
from django_support_tickets.models import Delivery, Ticket
from django_support_tickets.outbox.claims import Claim
from django_support_tickets.outbox.delivery import deliver
from django_support_tickets.providers import providers
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]


def outcome_and_hearings(claim: Claim) -> tuple[str, list[str]]:
    """Deliver a claim; return its outcome, and how its ticket stood each time that an answer was announced."""
    heard: list[str] = []
    outcome = deliver(claim, providers["paper"], lambda: heard.append(Ticket.objects.get().delivery))
    return outcome, heard


class TestAnnouncement:
    def test_what_the_vendor_has_taken_is_announced_before_it_is_written_down(
        self, desk: Desk, raised: Raise, claimed: Callable[..., Claim]
    ) -> None:
        raised()
        assert outcome_and_hearings(claimed()) == ("delivered", [Delivery.QUEUED])
        assert Ticket.objects.get().delivery == Delivery.DELIVERED

    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (Busy("the vendor asks to wait", retry_after=60.0), "waiting"),
            (AccessDenied("bad credentials"), "waiting"),
            (NotSent("no connection"), "waiting"),
            (Ambiguous("no answer"), "waiting"),
            (Refused("no such category"), "refused"),
            (ValueError("a fault of the provider"), "waiting"),
        ],
    )
    @pytest.mark.fault(31, 33)
    def test_an_error_is_not_since_it_may_pause_the_account(
        self, desk: Desk, raised: Raise, claimed: Callable[..., Claim], error: Exception, outcome: str
    ) -> None:
        raised()
        desk.at("create", error)
        assert outcome_and_hearings(claimed()) == (outcome, [])

    def test_what_a_search_has_found_is_not(self, desk: Desk, raised: Raise, claimed: Callable[..., Claim]) -> None:
        raised()
        desk.lose_answer("create", Ambiguous("no answer"))
        assert outcome_and_hearings(claimed()) == ("waiting", [])
        pass_time(120)
        desk.advance(120)
        assert outcome_and_hearings(claimed()) == ("delivered", [])
