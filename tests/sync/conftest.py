from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_support_tickets.models import Ticket
from django_support_tickets.records import Capabilities
from tests.sync import scripted


@pytest.fixture
def desk(settings: Any) -> Iterator[scripted.Desk]:
    """The scripted vendor, empty, configured as the account "desk"."""
    scripted.DESK.__init__()  # type: ignore[misc]
    settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {"BACKEND": scripted.BACKEND, "OPTIONS": {}}}
    yield scripted.DESK


@pytest.fixture
def configure(settings: Any) -> Callable[..., None]:
    """Give the account "desk" other options or capabilities."""

    def configure(capabilities: Capabilities | None = None, **options: Any) -> None:
        values = {**options, **({"capabilities": capabilities} if capabilities else {})}
        settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {"BACKEND": scripted.BACKEND, "OPTIONS": values}}

    return configure


@pytest.fixture
def ticket() -> Callable[..., Ticket]:
    """Make a ticket of the account "desk" that is at the vendor and due."""

    def make(remote_id: str = "R-1", **values: Any) -> Ticket:
        now = timezone.now()
        values = {
            "provider": "desk",
            "remote_id": remote_id,
            "subject": "Subject",
            "description": "Description",
            "delivery": "delivered",
            "delivered_at": now,
            "next_poll_at": now - timedelta(seconds=1),
            **values,
        }
        return Ticket.objects.bulk_create([Ticket(**values)])[0]

    return make
