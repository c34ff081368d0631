"""What providers that speak HTTP share: the calls and their outcomes, lenient reading, and what is sent."""

from __future__ import annotations

from django_support_tickets.providers.http.outcomes import before_sending
from django_support_tickets.providers.http.provider import HttpProvider
from django_support_tickets.providers.http.reading import (
    dict_of,
    id_of,
    int_of,
    latest_of,
    list_of,
    loaded,
    oldest_first,
    own_key,
    raw_of,
    text_of,
    time_of,
    uuid_of,
    words_of,
)
from django_support_tickets.providers.http.writing import file_part, short_reference, without_reference

__all__ = [
    "HttpProvider",
    "before_sending",
    "dict_of",
    "file_part",
    "id_of",
    "int_of",
    "latest_of",
    "list_of",
    "loaded",
    "oldest_first",
    "own_key",
    "raw_of",
    "short_reference",
    "text_of",
    "time_of",
    "uuid_of",
    "without_reference",
    "words_of",
]
