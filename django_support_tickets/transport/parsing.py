from __future__ import annotations

import json
import math
import re
import sys
from typing import Any

from django_support_tickets.records import clean_text
from django_support_tickets.vocabulary import one_line

__all__ = ["clean_text", "parse_json", "redact"]

# Deeper than any vendor's object, and far from the depth at which other parts of a program give up.
DEPTH_MAX = 64
DIGITS_MAX = 4300
ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# What is left tells how deep a text is nested and how many names are written in it. Of what may stand between a quote
# and a colon inside a text, digits (times), "s" (addresses) and vowels (words) are enough for not taking it for a name.
ALL_BUT_SKELETON = bytes(set(range(256)) - set(b'[]{}":\\0123456789saeiouAEIOU'))
# The only ways in which valid UTF-8 JSON can carry a character that cannot be stored.
UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")

EMAIL = re.compile(r"[^\s@<>\"',;:()]+@[^\s@<>\"',;:()]+")
AUTHORIZATION = re.compile(r"(?i)\b(bearer|basic)\s+\S+")
LONG_TOKEN = re.compile(r"[A-Za-z0-9_+/=.-]{40,}")


def parse_json(content: bytes) -> Any:
    """Return strict JSON, its strings fit to be stored; raise ValueError for everything else.

    NUL and lone surrogates, which PostgreSQL cannot store, become U+FFFD. Duplicate keys, NaN, Infinity, a byte order
    mark, invalid UTF-8, numbers of thousands of digits and nesting deeper than 64 are refused.
    """
    skeleton = content.translate(None, ALL_BUT_SKELETON)
    value = _parse(content, skeleton)
    if not _is_shallow(skeleton) and _is_deep(value):
        raise ValueError("nested too deeply")
    return _clean(value) if b"\\" in skeleton and UNSTORABLE.search(content) else value


def _parse(content: bytes, skeleton: bytes) -> Any:
    text, names = content.decode("utf-8"), 0

    def count(found: dict[str, Any]) -> dict[str, Any]:
        nonlocal names
        names += len(found)
        return found

    value = _loads(text, object_hook=count)
    # Every name ends in a quote and a colon, with nothing but blanks between, and so may a piece of text: equal numbers
    # prove that none was doubled. Twice as fast as looking at the pairs of each object, which is done only where the
    # numbers differ.
    return value if names == skeleton.count(b'":') else _loads(text, object_pairs_hook=_unique)


def _loads(text: str, **hooks: Any) -> Any:
    # A call per number costs a sixth of the parsing: needed only where the interpreter's own limit is off.
    parse_int = None if sys.get_int_max_str_digits() else _integer
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=parse_int, **hooks)
    except RecursionError:
        pass
    raise ValueError("nested too deeply")


def _is_shallow(content: bytes) -> bool:
    """Return True if the text proves that it is not nested deeply; a bracket inside a string can hide that."""
    brackets = content.translate(None, ALL_BUT_BRACKETS)
    for _ in range(DEPTH_MAX):
        if not brackets:
            return True
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    return False


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [child for node in level for child in _children(node) if isinstance(child, (dict, list))]
    return bool(level)


def _children(node: Any) -> Any:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _clean(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case list():
            return [_clean(item) for item in value]
        case dict():
            return {clean_text(name): _clean(item) for name, item in value.items()}
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate key")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("number out of range")
    return number


def _integer(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise ValueError("number out of range")
    return int(text)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def redact(text: str, *, limit: int = 500) -> str:
    """Return a vendor's message without e-mail addresses and long tokens, on one line, at most `limit` characters."""
    text = EMAIL.sub("[e-mail]", text[: 4 * limit])
    text = AUTHORIZATION.sub(r"\1 [secret]", text)
    text = LONG_TOKEN.sub("[…]", text)
    text = one_line(" ".join(clean_text(text).split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"
