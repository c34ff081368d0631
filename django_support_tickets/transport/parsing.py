from __future__ import annotations

import json
import re
from typing import Any


def parse_json(content: bytes) -> Any:
    """Return strict JSON, its strings fit to be stored; raise ValueError for everything else.

    NUL and lone surrogates, which PostgreSQL cannot store, become U+FFFD. Duplicate keys, NaN, Infinity, a byte order
    mark, invalid UTF-8, numbers of thousands of digits and nesting beyond the interpreter's limit are refused.
    """
    try:
        return _clean(json.loads(content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse))
    except RecursionError:
        pass
    raise ValueError("nested too deeply")


def clean_text(text: str) -> str:
    """Return `text` with NUL and lone surrogates replaced by U+FFFD."""
    return re.sub("[\x00\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def _clean(value: Any) -> Any:
    match value:
        case str():
            return clean_text(value)
        case list():
            return [_clean(item) for item in value]
        case dict():
            return {clean_text(name): _clean(item) for name, item in value.items()}
        case float() if value != value or value in (float("inf"), float("-inf")):
            raise ValueError("number out of range")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate key")
    return result


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def redact(text: str, *, limit: int = 500) -> str:
    """Return a vendor's message without e-mail addresses and long tokens, on one line, at most `limit` characters."""
    text = re.sub(r"[^\s@<>\"',;:()]+@[^\s@<>\"',;:()]+", "[e-mail]", text)
    text = re.sub(r"(?i)\b(bearer|basic)\s+\S+", r"\1 [secret]", text)
    text = re.sub(r"[A-Za-z0-9_+/=.-]{40,}", "[…]", text)
    text = " ".join(clean_text(text).split())
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
