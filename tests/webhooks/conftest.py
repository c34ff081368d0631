from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_support_tickets.webhooks import refusals
from tests.webhooks import cases

Parse = Callable[..., Any]


@pytest.fixture(autouse=True)
def accounts(settings: Any) -> Iterator[None]:
    """The accounts and the addresses of `cases`; nothing is left of what other tests had refused."""
    settings.ROOT_URLCONF = "tests.webhooks.urls"
    settings.SUPPORT_TICKETS_PROVIDERS = cases.accounts()
    refusals.clear()
    yield
    refusals.clear()


@pytest.fixture
def parse_by(settings: Any) -> Callable[[Parse], None]:
    """Configure the account "custom", whose provider parses webhooks by the given function."""

    def configure(parse: Parse) -> None:
        cases.CustomProvider.parse = staticmethod(parse)
        settings.SUPPORT_TICKETS_PROVIDERS = {"custom": {"BACKEND": "tests.webhooks.cases.CustomProvider"}}

    return configure
