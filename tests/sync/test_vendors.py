"""Pull against the four fake vendors over real HTTP, from the first delivery to the last answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from django_support_tickets.models import Comment, ProviderState, Ticket
from django_support_tickets.outbox.push import push
from django_support_tickets.sync import hint, pull
from django_support_tickets.testing.sandbox.faults import Fault

pytestmark = pytest.mark.django_db

BACKENDS = {
    "moov": "django_support_tickets.providers.moov.MoovProvider",
    "ripio": "django_support_tickets.providers.ripio.RipioProvider",
    "verifik": "django_support_tickets.providers.verifik.VerifikProvider",
    "ankra": "django_support_tickets.providers.ankra.AnkraProvider",
}


@pytest.fixture
def accounts(sandbox: Any, settings: Any) -> Any:
    """Configure all four, without their rate limits."""

    def configure(**more: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {
            name: {"BACKEND": path, "OPTIONS": {**sandbox.vendors[name].options(), "rate": None, **more}}
            for name, path in BACKENDS.items()
        }

    configure()
    return configure


@pytest.fixture
def raised(accounts: Any, sandbox: Any) -> Any:
    """Raise a ticket at a vendor and return it with its remote id."""

    def raise_ticket(alias: str) -> Ticket:
        values: dict[str, Any] = {
            "subject": "It does not work",
            "description": "At all.",
            "contact_email": "a@b.example",
        }
        if alias == "ripio":
            sandbox.ripio.add_customer("11111111-2222-4333-8444-555555555555")
            values["customer_id"] = "11111111-2222-4333-8444-555555555555"
        if alias == "moov":
            values["customer_id"] = "acct-1"
        if alias == "verifik":
            values |= {"priority": "high", "category": "technical"}
        if alias == "ankra":
            values |= {"category": "technical"}
        ticket = Ticket.objects.create(provider=alias, **values)
        assert push(alias).delivered == 1
        ticket.refresh_from_db()
        return ticket

    return raise_ticket


def due_again() -> None:
    """Let time pass until every ticket and list is due."""
    Ticket.objects.update(next_poll_at=timezone.now())
    ProviderState.objects.update(next_walk_at=None)


@pytest.mark.parametrize("alias", BACKENDS)
def test_a_delivered_ticket_is_unchanged_at_the_first_look(raised, alias):
    ticket = raised(alias)
    due_again()
    counts = pull(alias)
    assert (counts.fetched, counts.failed, counts.unknown, counts.stale) == (1, 0, 0, 0)
    after = Ticket.objects.get()
    assert (after.subject, after.description, after.status) == (ticket.subject, ticket.description, ticket.status)
    assert not Comment.objects.exists()  # the vendor's copy of the description is none
    due_again()
    counts = pull(alias)
    assert (counts.unchanged, counts.changed, counts.failed) == (counts.fetched, 0, 0)


def test_ripio_registers_the_ticket(raised, sandbox):
    ticket = raised("ripio")
    reference = sandbox.ripio.register(ticket.remote_id)
    due_again()
    assert pull("ripio").changed == 1
    ticket.refresh_from_db()
    assert ticket.reference == reference and ticket.status == "open"


@pytest.mark.parametrize(
    ("alias", "status", "ours"),
    [("moov", "closed", "closed"), ("verifik", "resolved", "resolved"), ("ankra", "waiting_customer", "waiting")],
)
def test_answers_and_states_arrive(raised, sandbox, alias, status, ours):
    ticket = raised(alias)
    pull(alias)
    vendor = sandbox.vendors[alias]
    vendor.reply(ticket.remote_id, "We are looking into it.")
    due_again()
    counts = pull(alias)
    assert (counts.comments, counts.failed) == (1, 0)
    assert Comment.objects.get().body == "We are looking into it."
    vendor.set_status(ticket.remote_id, status)
    due_again()
    counts = pull(alias)
    ticket.refresh_from_db()
    assert (ticket.status, counts.comments) == (ours, 0)
    due_again()
    assert pull(alias).changed == 0


@pytest.mark.parametrize("alias", ["moov", "verifik", "ankra"])
def test_a_list_walk_finds_what_changed(raised, sandbox, alias):
    ticket = raised(alias)
    pull(alias)
    sandbox.vendors[alias].set_status(
        ticket.remote_id, {"moov": "on-hold", "ankra": "in_progress"}.get(alias, "in_progress")
    )
    Ticket.objects.update(next_poll_at=F("next_poll_at") + (timezone.now() - timezone.now().replace(year=2000)))
    ProviderState.objects.update(next_walk_at=None)
    counts = pull(alias)
    assert (counts.listed, counts.hinted, counts.fetched, counts.changed) == (1, 1, 1, 1)


@pytest.mark.parametrize("alias", ["moov", "verifik", "ankra"])
def test_tickets_of_others_are_imported_where_asked_for(accounts, raised, sandbox, alias):
    raised(alias)
    sandbox.vendors[alias].add_ticket()
    assert pull(alias).unknown == 1
    accounts(import_unknown=True)
    due_again()
    counts = pull(alias)
    assert (counts.unknown, counts.imported, counts.failed) == (1, 1, 0)
    stranger = Ticket.objects.get(origin="vendor")
    assert stranger.subject == "Seen elsewhere" and stranger.requester is None
    due_again()
    counts = pull(alias)
    assert (counts.unknown, counts.imported, counts.changed, counts.unchanged) == (0, 0, 0, 2)


@pytest.mark.parametrize("alias", ["moov", "verifik", "ankra"])
@pytest.mark.fault(48)
def test_a_ticket_that_was_deleted_at_the_vendor_is_flagged(raised, sandbox, alias):
    ticket = raised(alias)
    pull(alias)
    sandbox.vendors[alias].delete(ticket.remote_id)
    hint(alias, [ticket.remote_id])
    pull(alias)
    hint(alias, [ticket.remote_id])
    assert pull(alias).missing == 1
    ticket.refresh_from_db()
    assert ticket.missing_since is not None and ticket.status != "closed"


QUICK = [
    fault
    for fault in Fault
    if fault not in (Fault.DRIP_BODY, Fault.DRIP_HEADERS, Fault.DELAY, Fault.HOLD, Fault.LATE_COMMIT)
    and fault not in (Fault.ENDLESS_CHUNKED, Fault.GZIP_BOMB, Fault.BIG_BODY)  # the transport's own tests
]


@pytest.mark.parametrize("alias", BACKENDS)
@pytest.mark.fault(29, 30, 41, 42, 43)
def test_whatever_a_vendor_answers_the_run_goes_on_and_the_next_one_heals(raised, sandbox, alias):
    ticket = raised(alias)
    vendor = sandbox.vendors[alias]
    for fault in QUICK:
        vendor.fail_next("get", fault)
        due_again()
        ProviderState.objects.update(failures=0, denials=0, paused_until=None, pause="")
        counts = pull(alias)
        assert counts.failed + counts.fetched + bool(counts.paused) >= 1, fault
        assert counts.missing == 0, fault
        vendor.clear_failures()
    ProviderState.objects.update(failures=0, denials=0, paused_until=None, pause="")
    due_again()
    assert pull(alias).failed == 0
    after = Ticket.objects.get()
    assert (after.status, after.remote_status) == (ticket.status, ticket.remote_status)
    assert after.missing_since is None and after.delivery == "delivered"


@pytest.mark.parametrize("alias", ["moov", "verifik", "ankra"])
@pytest.mark.fault(29)
def test_a_list_that_is_cut_or_empty_flags_nothing(raised, sandbox, alias):
    raised(alias)
    vendor = sandbox.vendors[alias]
    empty = {"moov": {"items": []}, "verifik": {"success": True, "data": []}, "ankra": {"result": []}}[alias]
    for fault, details in (
        (Fault.CUT_BODY, {}),
        (Fault.EMPTY_BODY, {}),
        (Fault.LIST_INSTEAD_OF_OBJECT, {}),
        (Fault.ANSWER, {"status": 200, "body": json.dumps(empty)}),
    ):
        vendor.fail_next("list", fault, **details)
        due_again()
        counts = pull(alias)
        assert counts.missing == 0, fault
        vendor.clear_failures()
    assert Ticket.objects.get().missing_since is None


def test_files_are_copied_at_once_where_the_account_says_so(accounts, raised, sandbox):
    accounts(mirror_attachments=True)
    ticket = raised("verifik")
    file = sandbox.verifik.add_file("log.txt", b"It broke.")
    sandbox.verifik.reply(ticket.remote_id, "See the log.", attachments=[file])
    due_again()
    counts = pull("verifik")
    assert (counts.attachments, counts.mirrored) == (1, 1)
    stored = ticket.attachments.get()
    assert (stored.state, stored.name, stored.file.read()) == ("stored", "log.txt", b"It broke.")
