"""What a vendor would not take is said before anything is stored: at its field, with a code, in a whole sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from django_support_tickets.models import Comment, Delivery, Ticket
from django_support_tickets.records import Capabilities
from tests.outbox.paper import Desk

pytestmark = [pytest.mark.django_db, pytest.mark.fault(22)]
Raise = Callable[..., Ticket]
Complaints = dict[str, list[tuple[str, str]]]

STRICT = Capabilities(
    can_comment=True,
    subject_max=10,
    description_max=12,
    comment_max=5,
    required_fields=frozenset({"customer_id"}),
    categories=("bug", "fees"),
    priorities=("low", "high"),
    option_names=frozenset({"chain", "tx"}),
    required_options={"bug": frozenset({"chain", "tx"})},
    option_max={"tx": 4},
)
NEEDED = ("required", "This account's vendor needs it.")


def complaints_of(act: Callable[[], Any]) -> Complaints:
    """Return the codes and sentences by field."""
    with pytest.raises(ValidationError) as caught:
        act()
    return {
        name: [(str(error.code), error.messages[0]) for error in errors]
        for name, errors in caught.value.error_dict.items()
    }


@pytest.mark.parametrize(
    "values",
    [
        {"subject": "s" * 10, "description": "d" * 12},
        {"category": "fees", "priority": "high", "options": {"tx": "1234"}},
        {"category": "bug", "options": {"chain": "eth", "tx": "1"}},
        {"category": "", "priority": "", "tags": ["a", "b"], "description": ""},
    ],
)
def test_what_is_just_within_the_rules_is_taken(desk: Desk, values: dict[str, Any]) -> None:
    desk.capabilities = STRICT
    Ticket.objects.create(**{"subject": "Deposit", "customer_id": "c-1", **values})
    assert Ticket.objects.get().delivery == Delivery.QUEUED


@pytest.mark.parametrize(
    ("values", "complaints"),
    [
        ({"subject": "s" * 11}, {"subject": [("max_length", "At most 10 characters, it has 11.")]}),
        ({"description": "d" * 13}, {"description": [("max_length", "At most 12 characters, it has 13.")]}),
        ({"subject": " ", "customer_id": " "}, {"customer_id": [NEEDED], "subject": [NEEDED]}),
        ({"category": "other"}, {"category": [("invalid_choice", "The vendor knows bug, fees.")]}),
        ({"priority": "urgent"}, {"priority": [("invalid_choice", "The vendor knows low, high.")]}),
        ({"options": {"b": "1", "a": "2"}}, {"options": [("unknown_option", "The vendor has no option a, b.")]}),
        ({"options": ["tx"]}, {"options": [("unknown_option", "The vendor has no option ?.")]}),
        (
            {"category": "bug", "options": {"chain": " ", "tx": 5}},
            {"options": [("required_option", "With this category the vendor needs the options chain, tx.")]},
        ),
        (
            {"category": "bug", "options": {"tx": "12345"}},
            {
                "options": [
                    ("required_option", "With this category the vendor needs the options chain."),
                    ("max_length", "The option tx takes at most 4 characters, it has 5."),
                ]
            },
        ),
        ({"tags": "abc"}, {"tags": [("invalid", "Tags are a list of texts.")]}),
        ({"contact_email": "nobody"}, {"contact_email": [("invalid", "Enter a valid email address.")]}),
        (
            {"category": "x" * 101},
            {
                "category": [
                    ("max_length", "Ensure this value has at most 64 characters (it has 101)."),
                    ("invalid_choice", "The vendor knows bug, fees."),
                ]
            },
        ),
        (
            {"subject": "s" * 501},
            {"subject": [("max_length", "Ensure this value has at most 500 characters (it has 501).")]},
        ),
    ],
)
def test_a_ticket(desk: Desk, values: dict[str, Any], complaints: Complaints) -> None:
    desk.capabilities = STRICT
    ticket = {"subject": "Deposit", "customer_id": "c-1", **values}
    assert complaints_of(lambda: Ticket.objects.create(**ticket)) == complaints
    assert not Ticket.objects.exists()


@pytest.mark.parametrize(
    ("body", "capabilities", "delivery", "complaint"),
    [
        ("12345", STRICT, "delivered", {}),
        ("12345", STRICT, "queued", {}),
        ("123456", STRICT, "delivered", {"body": [("max_length", "At most 5 characters, it has 6.")]}),
        (" ", STRICT, "delivered", {"body": [("required", "This field is required.")]}),
        ("Hi", STRICT, "refused", {"ticket": [("not_delivered", "The ticket is not at the vendor.")]}),
        ("Hi", Capabilities(), "delivered", {"body": [("unsupported", "This account's vendor takes no comments.")]}),
        (
            "Hi",
            Capabilities(no_comment_reason="Ripio answers by e-mail."),
            "delivered",
            {"body": [("unsupported", "Ripio answers by e-mail.")]},
        ),
    ],
)
def test_a_comment(
    desk: Desk, raised: Raise, body: str, capabilities: Capabilities, delivery: str, complaint: Complaints
) -> None:
    ticket = raised()
    Ticket.objects.update(delivery=delivery, remote_id="R1")
    desk.capabilities = capabilities
    ticket.refresh_from_db()
    comment = Comment(ticket=ticket, body=body)
    if complaint:
        assert complaints_of(comment.save) == complaint
    else:
        comment.save()
    assert Comment.objects.exists() is not bool(complaint)


@pytest.mark.fault(18)
def test_the_account_is_named_or_asked_for(desk: Desk, raised: Raise, settings: Any) -> None:
    unknown = "Provider 'nobody' is not in SUPPORT_TICKETS_PROVIDERS (there: 'paper')."
    assert complaints_of(lambda: raised(provider="nobody")) == {"provider": [("invalid", unknown)]}
    settings.SUPPORT_TICKETS_PROVIDERS |= {"second": settings.SUPPORT_TICKETS_PROVIDERS["paper"]}
    needed = {"provider": [("required", "Name the account: there are paper, second.")]}
    assert complaints_of(lambda: raised(provider="")) == needed
