"""Genuine webhooks, damaged at random: every number makes the same one again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.webhooks import cases

SCRAPS = (
    b"",
    b"\x00",
    b"\xff",
    b"{}",
    b"[]",
    b"null",
    b"NaN",
    b"1e999",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"\xe2\x80\xa8",
    b"9" * 40,
)
NAMES = ("Http-X-Wh-Signature-256", "X-Wh-Signature-256", "X-Timestamp", "X-Nonce", "X-Webhook-ID", "X-Signature")


@dataclass
class Mutation:
    """A webhook; `may_pass` while its headers are as they were signed, and its body too where that is signed."""

    alias: str
    headers: dict[str, str]
    body: bytes
    may_pass: bool


def mutated(number: int) -> Mutation:
    """Return a genuine webhook after one to three mutations."""
    dice = random.Random(number)
    alias = dice.choice(("ripio", "moov"))
    if alias == "ripio":
        genuine, body = cases.ripio_signed(cases.ripio_event())
    else:
        genuine, body = cases.moov_signed(cases.moov_event())
    headers, mangled = dict(genuine), body
    for _ in range(dice.randint(1, 3)):
        if dice.random() < 0.5:
            mangled = dice.choice(BODIES)(mangled, dice)
        else:
            name = dice.choice(list(headers) or list(NAMES))
            value = dice.choice(BODIES)(headers.get(name, "").encode("latin-1"), dice)
            headers[dice.choice((name, name, name, dice.choice(NAMES)))] = value.decode("latin-1")
            if dice.random() < 0.1:
                headers.pop(name, None)
    return Mutation(alias, headers, mangled, _may_pass(alias, headers, genuine, mangled == body))


def _may_pass(alias: str, headers: dict[str, str], genuine: dict[str, str], is_body_genuine: bool) -> bool:
    if alias == "moov":
        return headers.items() >= genuine.items()
    # Ripio's header has two names, and the first one counts.
    given = next((headers[name] for name in NAMES[:2] if name in headers), "")
    return is_body_genuine and given.strip() == genuine[NAMES[0]]


def _flip(data: bytes, dice: random.Random) -> bytes:
    return cases.flipped(data, dice.randrange(8 * len(data))) if data else b"\x01"


def _cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randint(0, len(data))]


def _insert(data: bytes, dice: random.Random) -> bytes:
    at = dice.randint(0, len(data))
    return data[:at] + dice.choice(SCRAPS) + data[at:]


def _replace(data: bytes, dice: random.Random) -> bytes:
    at = dice.randint(0, len(data))
    return data[:at] + dice.choice(SCRAPS) + data[at + dice.randint(0, 12) :]


def _repeat(data: bytes, dice: random.Random) -> bytes:
    return data * dice.randint(2, 4)


def _swap_case(data: bytes, dice: random.Random) -> bytes:
    return data.swapcase()


def _noise(data: bytes, dice: random.Random) -> bytes:
    return dice.randbytes(dice.randint(0, 200))


BODIES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip,
    _flip,
    _cut,
    _insert,
    _replace,
    _repeat,
    _swap_case,
    _noise,
)
