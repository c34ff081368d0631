from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile

from django_support_tickets.models import Attachment, Comment, Ticket
from django_support_tickets.outbox.claims import Claim, claim_next
from tests.outbox.paper import Desk, reset_desk

PICTURE = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


@pytest.fixture
def desk(settings: Any) -> Iterator[Desk]:
    """The vendor on paper, which is the only account."""
    settings.SUPPORT_TICKETS_PROVIDERS = {
        "paper": {"BACKEND": "tests.outbox.paper.PaperProvider", "OPTIONS": {"settle_seconds": 60.0}}
    }
    yield reset_desk()
    reset_desk()


@pytest.fixture
def unforeseen() -> None:
    """Say that a test is about errors that nobody foresaw, which set an item aside."""


@pytest.fixture(autouse=True)
def nothing_unforeseen(caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail where push has met an error that nobody foresaw: an item that is set aside waits as after a usual one."""
    yield
    events = {getattr(record, "event", "") for record in caplog.get_records("call")}
    assert "unforeseen" in request.fixturenames or not events & {"push.set_aside", "push.failed"}


@pytest.fixture
def raised() -> Callable[..., Ticket]:
    """Raise a ticket."""

    def create(subject: str = "Deposit missing", **values: Any) -> Ticket:
        return Ticket.objects.create(subject=subject, description="Since noon.", **values)

    return create


@pytest.fixture
def actor() -> Any:
    """Somebody who decides."""
    return get_user_model().objects.create_user("ana")


@pytest.fixture
def said() -> Callable[..., Comment]:
    """Comment on a ticket."""
    return lambda ticket, body="Any news?", **values: Comment.objects.create(ticket=ticket, body=body, **values)


@pytest.fixture
def attached() -> Callable[..., Attachment]:
    """Add a picture to a ticket."""

    def create(ticket: Ticket, name: str = "receipt.png", **values: Any) -> Attachment:
        return Attachment.objects.create(ticket=ticket, file=ContentFile(PICTURE, name=name), **values)

    return create


@pytest.fixture
def claimed() -> Callable[..., Claim]:
    """Claim the one entry that is due."""

    def claim(alias: str = "paper") -> Claim:
        (one,) = claim_next(alias, 5, using="default")
        return one

    return claim
