"""Filters for SUPPORT_TICKETS_OUTGOING_FILTERS: text in, text out, run once at submit."""

from __future__ import annotations

import re

CARD = re.compile(r"(?<![\dA-Za-z])\d(?:[ -]?\d){11,18}(?![\dA-Za-z])")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")


def mask_account_numbers(text: str) -> str:
    """Replace payment card numbers (Luhn) and IBANs (mod 97) by asterisks, all but their last four characters."""
    text = CARD.sub(lambda match: _masked(match[0]) if _is_card(match[0]) else match[0], text)
    return IBAN.sub(lambda match: _mask_iban(match[0]), text)


def _masked(number: str) -> str:
    kept = "".join(char for char in number if char.isalnum())[-4:]
    return "*" * 12 + kept


def _is_card(number: str) -> bool:
    digits = [int(char) for char in number if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


def _mask_iban(text: str) -> str:
    # Words may follow in capitals, so the longest part that is an IBAN is looked for.
    for end in range(len(text), 14, -1):
        if text[end - 1] != " " and _is_iban(text[:end]):
            return _masked(text[:end]) + text[end:]
    return text


def _is_iban(text: str) -> bool:
    number = text.replace(" ", "")
    return len(number) >= 15 and int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97 == 1
