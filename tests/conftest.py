from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_support_tickets.testing.sandbox import Sandbox
from django_support_tickets.transport import forget_accounts


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Iterator[Sandbox]:
    """The four vendors, freshly reset, over real HTTP on a loopback port."""
    running_sandbox.reset()
    forget_accounts()
    yield running_sandbox
