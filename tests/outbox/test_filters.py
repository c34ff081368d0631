from __future__ import annotations

import pytest

from django_support_tickets.outbox.filters import mask_account_numbers

STARS = "*" * 12


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Card 4111 1111 1111 1111 blocked", f"Card {STARS}1111 blocked"),
        ("4111-1111-1111-1111", f"{STARS}1111"),
        ("378282246310005.", f"{STARS}0005."),
        ("two: 5555555555554444, 4012888888881881", f"two: {STARS}4444, {STARS}1881"),
        ("IBAN DE89 3704 0044 0532 0130 00", f"IBAN {STARS}3000"),
        ("GB82WEST12345698765432 AND MORE", f"{STARS}5432 AND MORE"),
        ("GB82WEST12345698765432 PLEASE HELP", f"{STARS}5432 PLEASE HELP"),
        ("DE89 3704 0044 0532 0130 00 PLEASE", f"{STARS}3000 PLEASE"),
        ("AR? BR1500000000000010932840814P2 yes", f"AR? {STARS}14P2 yes"),
    ],
)
def test_account_numbers_are_masked(text: str, masked: str) -> None:
    assert mask_account_numbers(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "order 20261121081815",
        "3c90c3cc-0d44-4b50-8888-8dd25736052a",
        "0x4111111111111111",
        "DE88 3704 0044 0532 0130 00",
        "ZZ89 3704 0044 0532 0130 00",
        "call +49 30 901820 at 10",
        "",
    ],
)
def test_other_numbers_are_left_alone(text: str) -> None:
    assert mask_account_numbers(text) == text


def test_masking_twice_changes_nothing() -> None:
    once = mask_account_numbers("4111 1111 1111 1111 and DE89 3704 0044 0532 0130 00")
    assert mask_account_numbers(once) == once
