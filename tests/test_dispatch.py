"""The seam to queues: it may lose every call, and never fails its caller."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from django_support_tickets.dispatch import resolve_dispatcher, wake
from django_support_tickets.models import Comment, Delivery, Ticket
from django_support_tickets.outbox.push import push

asked: list[tuple[str, int | None, str]] = []


def remember(alias: str, ticket_id: int | None, using: str) -> None:
    asked.append((alias, ticket_id, using))


def fail(alias: str, ticket_id: int | None, using: str) -> None:
    raise ConnectionError("the broker is down: redis://:secret@host")


@pytest.fixture(autouse=True)
def nobody_asked() -> None:
    asked.clear()


def use(settings: Any, name: str) -> None:
    settings.SUPPORT_TICKETS_DISPATCHER = name if name in ("none", "inline") else f"{__name__}.{name}"


@pytest.mark.django_db(transaction=True)
class TestWake:
    def test_nobody_is_asked_by_default(self) -> None:
        ticket = Ticket.objects.create(subject="Deposit missing")
        assert resolve_dispatcher() is None
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.QUEUED

    def test_it_asks_after_the_commit(self, settings: Any) -> None:
        use(settings, "remember")
        with transaction.atomic():
            ticket = Ticket.objects.create(subject="Deposit missing")
            assert asked == []
        assert asked == [("local", ticket.pk, "default")]

    @pytest.mark.fault(1)
    def test_a_rollback_asks_nobody(self, settings: Any) -> None:
        use(settings, "remember")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Ticket.objects.create(subject="Deposit missing")
            1 / 0  # noqa: B018
        assert asked == []

    @pytest.mark.fault(3)
    def test_a_callback_before_it_that_raises_loses_nothing(self, settings: Any) -> None:
        use(settings, "inline")

        def fail() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), transaction.atomic():
            transaction.on_commit(fail)
            Ticket.objects.create(subject="Deposit missing")
        assert Ticket.objects.get().delivery == Delivery.QUEUED
        assert push("local").delivered == 1

    @pytest.mark.parametrize("name", ["fail", "nowhere"])
    def test_a_queue_that_is_down_fails_nobody_and_tells_no_secret(self, settings: Any, caplog: Any, name: str) -> None:
        use(settings, name)
        Ticket.objects.create(subject="Deposit missing")
        assert "dispatcher failed" in caplog.text
        assert "secret" not in caplog.text
        assert push("local").delivered == 1

    def test_an_account_can_be_woken_without_a_ticket(self, settings: Any) -> None:
        use(settings, "remember")
        wake("local")
        assert asked == [("local", None, "default")]


@pytest.mark.django_db(transaction=True)
class TestInline:
    @pytest.fixture(autouse=True)
    def inline(self, settings: Any) -> None:
        use(settings, "inline")

    def test_the_ticket_just_committed_is_sent(self) -> None:
        ticket = Ticket.objects.create(subject="Deposit missing")
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.DELIVERED
        comment = Comment.objects.create(ticket=ticket, body="Hello")
        comment.refresh_from_db()
        assert comment.delivery == Delivery.DELIVERED

    def test_a_wake_without_a_ticket_sends_nothing(self, settings: Any) -> None:
        use(settings, "none")
        Ticket.objects.create(subject="Deposit missing")
        use(settings, "inline")
        wake("local")
        assert Ticket.objects.get().delivery == Delivery.QUEUED

    def test_an_error_of_a_provider_never_reaches_the_caller(self, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {
            "paper": {"BACKEND": "tests.outbox.paper.PaperProvider", "OPTIONS": {"deadline": 5}}
        }
        ticket = Ticket.objects.create(subject="Deposit missing")
        settings.SUPPORT_TICKETS_PROVIDERS = {"paper": {"BACKEND": "tests.outbox.paper.PaperProvider"}}
        Comment.objects.create(ticket=ticket, body="Hello")
        settings.SUPPORT_TICKETS_PROVIDERS = {"other": {"BACKEND": "tests.outbox.paper.PaperProvider"}}
        wake("paper", ticket_id=ticket.pk)
        wake("paper", ticket_id=-1)
