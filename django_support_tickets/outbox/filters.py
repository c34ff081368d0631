"""Filters for SUPPORT_TICKETS_OUTGOING_FILTERS: text in, text out, run once at submit."""

from __future__ import annotations

import re

CARD = re.compile(r"(?<![\dA-Za-z])\d(?:[ -]?\d){11,18}(?![\dA-Za-z])")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
# How long an IBAN of each country is (the IBAN registry of SWIFT, ISO 13616).
REGISTRY = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)
LENGTHS = {entry[:2]: int(entry[2:]) for entry in REGISTRY.split()}


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
    # Words may follow in capitals, so that only the country tells where it ends.
    ends = [end for end in range(1, len(text) + 1) if text[end - 1] != " "]
    length = LENGTHS.get(text[:2], 0)
    if not 0 < length <= len(ends) or not _is_iban(text[: ends[length - 1]]):
        return text
    return _masked(text[: ends[length - 1]]) + text[ends[length - 1] :]


def _is_iban(text: str) -> bool:
    number = text.replace(" ", "")
    return int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97 == 1
