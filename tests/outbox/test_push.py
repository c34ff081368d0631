from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test import TestCase

from django_support_tickets.exceptions import InvalidProvider, NotSent
from django_support_tickets.models import Comment, Delivery, OutboxEntry, Ticket, TicketEvent
from django_support_tickets.outbox.claims import Claim
from django_support_tickets.outbox.crew import Crew
from django_support_tickets.outbox.push import PushCounts, _work, push, push_ticket
from django_support_tickets.providers import providers
from tests.outbox.paper import Desk

pytestmark = pytest.mark.django_db


class TestDelivery:
    def test_a_created_ticket_is_queued_and_delivered(self, raised: Callable[..., Ticket]) -> None:
        ticket = Ticket.objects.create(subject="Deposit missing")
        assert ticket.delivery == Delivery.QUEUED
        assert OutboxEntry.objects.get().ticket == ticket
        counts = push("local")
        ticket.refresh_from_db()
        assert (counts.delivered, ticket.delivery, ticket.remote_id) == (1, Delivery.DELIVERED, str(ticket.key))
        assert ticket.status == "open"
        assert not OutboxEntry.objects.exists()
        assert ticket.events.order_by("id").first().kind == TicketEvent.Kind.DELIVERED  # type: ignore[union-attr]

    def test_a_comment_and_a_close_follow_in_order(self, raised: Callable[..., Ticket]) -> None:
        ticket = Ticket.objects.create(subject="Deposit missing")
        comment = Comment.objects.create(ticket=ticket, body="Any news?")
        Ticket.objects.update(close_delivery=Delivery.QUEUED)
        assert push("local").delivered == 3
        ticket.refresh_from_db()
        comment.refresh_from_db()
        assert comment.delivery == Delivery.DELIVERED
        assert (ticket.close_delivery, ticket.status) == (Delivery.DELIVERED, "closed")
        assert not OutboxEntry.objects.exists()

    @pytest.mark.fault(1)
    def test_a_rollback_leaves_nothing(self, raised: Callable[..., Ticket]) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            raised()
            1 / 0  # noqa: B018
        assert not Ticket.objects.exists()
        assert push("local").delivered == 0

    @pytest.mark.fault(2, 14)
    def test_rows_that_nothing_announced_are_found_by_the_sweep(self, raised: Callable[..., Ticket]) -> None:
        ticket = Ticket.objects.create(subject="Deposit missing")
        OutboxEntry.objects.all().delete()
        Ticket.objects.bulk_create([Ticket(subject="In bulk")])
        assert push("local").delivered == 2
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.DELIVERED

    def test_an_unknown_account_is_an_error(self) -> None:
        with pytest.raises(InvalidProvider, match="nobody"):
            push("nobody")


class TestValidation:
    def test_a_blank_subject_is_refused_and_nothing_is_stored(self) -> None:
        with pytest.raises(ValidationError) as caught:
            Ticket.objects.create(subject="  ")
        assert list(caught.value.error_dict) == ["subject"]
        assert not Ticket.objects.exists()

    def test_an_unknown_account_is_named(self, raised: Callable[..., Ticket]) -> None:
        with pytest.raises(ValidationError, match="nobody"):
            raised(provider="nobody")


class TestOwnership:
    @pytest.mark.fault(16)
    def test_a_stale_instance_undoes_nothing(self, raised: Callable[..., Ticket]) -> None:
        stale = raised()
        push("local")
        stale.priority = "high"
        stale.save()
        ticket = Ticket.objects.get()
        assert (ticket.delivery, ticket.remote_id) == (Delivery.DELIVERED, str(ticket.key))
        assert push("local").delivered == 0

    @pytest.mark.fault(16)
    def test_a_stale_comment_or_file_undoes_nothing(
        self, desk: Desk, raised: Callable[..., Ticket], said: Any, attached: Any
    ) -> None:
        ticket = raised()
        comment, file = said(ticket), attached(ticket)
        push("paper")
        comment.created_by = file.created_by = None
        for stale in (comment, file):
            stale.save()
            stored = type(stale).objects.get()
            assert (stored.delivery, bool(stored.remote_id)) == (Delivery.DELIVERED, True)
        desk.calls.clear()
        push("paper")
        assert desk.calls == []

    @pytest.mark.fault(16)
    def test_submitted_text_is_frozen(self, raised: Callable[..., Ticket]) -> None:
        ticket = Ticket.objects.create(subject="Deposit missing")
        ticket.subject = "Something else"
        with pytest.raises(ValidationError) as caught:
            ticket.save()
        assert list(caught.value.error_dict) == ["subject"]

    def test_a_draft_can_be_edited_and_submitted(self, raised: Callable[..., Ticket]) -> None:
        draft = raised(delivery=Delivery.DRAFT)
        draft.subject = "Edited"
        draft.save()
        assert push("local").delivered == 0
        draft.submit()
        assert push("local").delivered == 1
        assert Ticket.objects.get().subject == "Edited"


class TestControl:
    def test_it_stops_when_asked_and_goes_on_later(self, desk: Desk, raised: Callable[..., Ticket]) -> None:
        for _ in range(5):
            raised()
        assert push("paper", stop=lambda: len(desk.calls) >= 2).delivered == 2
        assert push("paper").delivered == 3

    def test_it_goes_on_with_what_comes_meanwhile_and_nothing_announces(
        self, desk: Desk, raised: Callable[..., Ticket]
    ) -> None:
        def bring_another(act: Callable[[], Any]) -> Any:
            Ticket.objects.bulk_create([Ticket(subject="In bulk")])
            return act()

        desk.at("create", bring_another)
        Ticket.objects.bulk_create([Ticket(subject="In bulk")])
        assert push("paper").delivered == 2

    def test_progress_is_told(self, desk: Desk, raised: Callable[..., Ticket]) -> None:
        told: list[int] = []
        for _ in range(3):
            raised()
        push("paper", progress=told.append)
        assert told == [1, 2, 3]

    def test_an_error_of_the_machinery_itself_is_counted_and_names_no_text(
        self, desk: Desk, raised: Callable[..., Ticket], claimed: Callable[..., Claim], caplog: Any, unforeseen: None
    ) -> None:
        """The database goes away while an outcome is written: the lease runs out by itself."""
        raised()

        def lose_connection(act: Callable[[], Any]) -> Any:
            act()
            connection.set_rollback(True)
            raise NotSent("no connection could be made", reason="Deposit missing")

        desk.at("create", lose_connection)
        counts = PushCounts()
        _work(claimed(), providers["paper"], counts)
        assert counts.waiting == 1
        (failed,) = [record for record in caplog.records if record.message.startswith("push failed")]
        assert failed.message == "push failed: TransactionManagementError"
        assert (failed.event, failed.account) == ("push.failed", "paper")
        assert "Deposit" not in caplog.text
        connection.set_rollback(False)


class TestTransactionGuard:
    """HTTP waits for minutes and cannot be rolled back: never inside a transaction."""

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("options", [{}, {"durable": True}])
    def test_push_refuses_to_run_inside_one(self, raised: Callable[..., Ticket], options: dict[str, Any]) -> None:
        ticket = Ticket.objects.create(subject="Deposit missing")
        with transaction.atomic(**options):
            with pytest.raises(RuntimeError, match="open transaction"):
                push("local")
            with pytest.raises(RuntimeError, match="open transaction"):
                push_ticket(ticket.pk)
        assert push("local").delivered == 1

    @pytest.mark.django_db(transaction=True)
    def test_the_inline_dispatcher_waits_for_the_outermost_commit(
        self, raised: Callable[..., Ticket], settings: Any
    ) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = "inline"
        with transaction.atomic():
            with transaction.atomic():
                raised()
            assert Ticket.objects.get().delivery == Delivery.QUEUED
        assert Ticket.objects.get().delivery == Delivery.DELIVERED


class TestUsersTestCases(TestCase):
    """Transactions that a test case opens do not count."""

    def test_push_runs_and_commit_callbacks_too(self) -> None:
        with self.settings(SUPPORT_TICKETS_DISPATCHER="inline"), self.captureOnCommitCallbacks(execute=True):
            Ticket.objects.create(subject="Deposit missing")
        assert Ticket.objects.get().delivery == Delivery.DELIVERED
        Ticket.objects.create(subject="Deposit missing")
        assert push("local").delivered == 1


class TestCrew:
    def test_one_worker_works_in_the_callers_thread(self) -> None:
        threads: list[str] = []
        crew = Crew(1, lambda claim, answered: threads.append(threading.current_thread().name))
        crew.start("a claim")  # type: ignore[arg-type]
        crew.wait()
        crew.close()
        assert threads == [threading.current_thread().name]

    def test_threads_are_made_when_they_are_needed_and_end(self) -> None:
        gate = threading.Event()
        crew = Crew(8, lambda claim, answered: gate.wait(60) and None)
        assert workers() == 0
        for _ in range(3):
            crew.start("a claim")  # type: ignore[arg-type]
        assert (workers(), crew.free) == (3, 5)
        gate.set()
        while crew.busy:
            crew.wait()
        crew.close()
        assert (workers(), crew.finished) == (0, 3)

    def test_who_writes_an_answer_down_is_free_to_call_but_for_so_many_threads_only(self) -> None:
        gate = threading.Event()

        def work(claim: Any, answered: Callable[[], None]) -> None:
            answered()
            answered()  # once is enough
            assert gate.wait(60)

        crew = Crew(8, work)
        for free in (8, 8, 8, 7, 6, 5, 4, 3, 2, 1):
            assert crew.free == free
            crew.start("a claim")  # type: ignore[arg-type]
            crew.wait()
        assert (crew.busy, crew.calling, crew.free, workers()) == (10, 0, 0, 10)
        gate.set()
        while crew.busy:
            crew.wait()
        assert (crew.calling, crew.free, crew.finished) == (0, 8, 10)
        crew.close()

    def test_a_call_without_an_answer_ends_with_its_work(self) -> None:
        crew = Crew(2, lambda claim, answered: None)
        crew.start("a claim")  # type: ignore[arg-type]
        while crew.busy:
            crew.wait()
        assert (crew.calling, crew.free, crew.finished) == (0, 2, 1)
        crew.close()

    def test_a_worker_survives_a_provider_that_ends_the_program(self, caplog: Any) -> None:
        def work(claim: Any, answered: Callable[[], None]) -> None:
            sys.exit("with the text of a ticket")

        crew, claim = Crew(2, work), Claim(OutboxEntry(provider="local"), uuid.uuid4(), "default")
        for _ in range(4):
            crew.start(claim)
            while crew.busy:
                crew.wait()
        assert workers() == 1  # one is free again each time
        crew.close()
        assert crew.finished == 4
        assert {(record.event, record.account, record.message) for record in caplog.records} == {
            ("push.stopped", "local", "worker stopped by SystemExit")
        }
        assert "text" not in caplog.text


def workers() -> int:
    return sum(thread.name.startswith("push-") for thread in threading.enumerate())


class TestMissingText:
    @pytest.mark.parametrize("subject", [None, ""])
    def test_no_subject_at_all_is_named(self, subject: str | None) -> None:
        with pytest.raises(ValidationError) as caught:
            Ticket.objects.create(subject=subject, description=None)
        assert list(caught.value.error_dict) == ["subject"]
        assert not Ticket.objects.exists()


class TestTags:
    @pytest.mark.parametrize("tags", ["abc", {"a": 1}, [1], [["x"]], None])
    def test_anything_but_a_list_of_texts_is_named(self, tags: object) -> None:
        with pytest.raises(ValidationError) as caught:
            Ticket.objects.create(subject="Deposit missing", tags=tags)
        assert list(caught.value.error_dict) == ["tags"]


class TestFixtures:
    @pytest.mark.fault(14)
    def test_loading_a_ticket_that_was_to_be_closed_closes_nothing(self) -> None:
        ticket = Ticket.objects.create(subject="Deposit missing")
        push("local")
        Ticket.objects.update(close_delivery=Delivery.QUEUED)
        text = serializers.serialize("json", Ticket.objects.all())
        Ticket.objects.update(close_delivery="")
        for loaded in serializers.deserialize("json", text):
            loaded.save()
        assert push("local").delivered == 0
        ticket.refresh_from_db()
        assert ticket.close_delivery == ""
