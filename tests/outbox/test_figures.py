"""F15: the defaults on which the promises rest."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import pytest

from django_support_tickets.models import OutboxEntry, pauses, statements
from django_support_tickets.outbox import (
    claims,
    crew,
    delivery,
    facts,
    flight,
    items,
    leases,
    push,
    searching,
    settling,
    storing,
)
from django_support_tickets.outbox.claims import claim_next
from django_support_tickets.providers import providers
from django_support_tickets.records import AttachmentRules, Capabilities
from django_support_tickets.webhooks import BODY_MAX
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

HTTP = {"base_url": "https://vendor.example"}
OPTIONS = {
    "ripio": {"client_id": "i", "client_secret": "s"},
    "moov": {"public_key": "p", "secret_key": "s"},
    "verifik": {"token": "t", "write_dialect": "app"},
    "ankra": {"token": "t", "organisation_id": "9c1f6a3e-2b5d-4c7a-8f10-3d2e1c0b9a87"},
}


@pytest.fixture
def accounts(settings: Any) -> None:
    settings.SUPPORT_TICKETS_PROVIDERS = {
        name: {
            "BACKEND": f"django_support_tickets.providers.{name}.{name.title()}Provider",
            "OPTIONS": {**HTTP, **options},
        }
        for name, options in OPTIONS.items()
    }


class TestDefaults:
    def test_a_call_connects_reads_and_ends_in_time(self, accounts: None) -> None:
        moov = providers["moov"]
        assert (moov.timeout, moov.deadline, moov.upload_deadline) == ((5.0, 15.0), 30.0, 120.0)
        assert {providers[name].timeout[0] for name in OPTIONS} == {5.0}

    def test_what_carries_files_or_is_reviewed_may_take_two_minutes(self, accounts: None) -> None:
        deadlines = {name: providers[name].deadline_of("create") for name in OPTIONS}
        assert deadlines == {"ripio": 120.0, "moov": 30.0, "verifik": 120.0, "ankra": 120.0}
        assert {providers[name].deadline_of("upload") for name in OPTIONS} == {120.0}

    def test_answers_are_bounded(self, accounts: None) -> None:
        bounds = {name: providers[name].max_response_bytes for name in OPTIONS}
        assert bounds == {"ripio": 2_000_000, "moov": 2_000_000, "verifik": 10 * 1024 * 1024, "ankra": 2_000_000}
        assert BODY_MAX == 256_000

    @pytest.mark.fault(10)
    def test_a_lost_request_settles_for_two_deadlines_and_is_searched_twice(self, accounts: None) -> None:
        for name in OPTIONS:
            assert providers[name].settle_seconds == 2 * providers[name].deadline_of("create")
        assert searching.SEARCHES == 2

    @pytest.mark.fault(10)
    def test_it_settles_for_two_of_the_longest_deadlines(self, desk: Desk, settings: Any) -> None:
        """Also at a provider of a user's that sends files with a ticket, for which they have the longer deadline."""
        del settings.SUPPORT_TICKETS_PROVIDERS["paper"]["OPTIONS"]["settle_seconds"]
        assert providers["paper"].settle_seconds == 2 * providers["paper"].upload_deadline == 240.0
        desk.capabilities = Capabilities(can_find=True)
        assert providers["paper"].settle_seconds == 2 * providers["paper"].deadline == 60.0

    def test_trying_ends_after_72_hours_or_eight_errors_that_nobody_foresaw(self) -> None:
        assert delivery.GIVE_UP_SECONDS == 72 * 3600
        assert searching.SENDS == 8
        assert (claims.BACKOFF_BASE, claims.BACKOFF_MAX) == (30.0, 3600.0)
        assert (pauses.BREAKER_SECONDS, pauses.DENIED_SECONDS, pauses.DENIED_SECONDS_MAX) == (30.0, 900.0, 3600.0)

    @pytest.mark.django_db
    @pytest.mark.fault(25)
    def test_a_lease_lasts_two_deadlines_of_the_operation(self, desk: Desk, raised: Any, attached: Any) -> None:
        desk.capabilities = Capabilities(attachments=AttachmentRules(moments=frozenset({"create"})))
        raised()
        attached(raised())
        leases: list[float] = []

        def note(act: Any) -> Any:
            entry = OutboxEntry.objects.get(sent_at__isnull=False)
            assert entry.leased_until is not None and entry.sent_at is not None
            leases.append((entry.leased_until - entry.sent_at) / 1000)
            return act()

        desk.at("create", note, note)
        push.push("paper")
        assert leases == [pytest.approx(60, abs=0.1), pytest.approx(240, abs=0.1)]


@pytest.mark.fault(92)
class TestClocks:
    """Leases, marks and waits are judged by the database's clock; the clocks of the workers do not matter."""

    @pytest.mark.parametrize(
        "module",
        [claims, crew, delivery, facts, flight, items, leases, push, searching, settling, storing, statements, pauses],
    )
    def test_no_clock_of_this_machine_is_asked(self, module: ModuleType) -> None:
        source = inspect.getsource(module)
        for asked in ("timezone.now", "datetime.now", "time.time(", "date.today", "localtime"):
            assert asked not in source

    @pytest.mark.django_db
    def test_the_databases_clock_may_jump_forward(self, desk: Desk, raised: Any) -> None:
        raised()
        (claim,) = claim_next("paper", 1, using="default")
        pass_time(3600)
        assert push.push("paper").delivered == 1
        assert delivery.deliver(claim, providers["paper"]) == "waiting"
        assert desk.calls == ["create"]

    @pytest.mark.django_db
    def test_the_databases_clock_may_jump_back(self, desk: Desk, raised: Any) -> None:
        """What is leased or waits then waits an hour longer, and no longer."""
        raised()
        raised()
        claim_next("paper", 1, using="default")
        pass_time(-3600)
        push.push("paper")
        pass_time(3600 + 61)
        push.push("paper")
        assert desk.calls == ["create", "create"]
        assert not OutboxEntry.objects.exists()
