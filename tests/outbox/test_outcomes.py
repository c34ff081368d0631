"""What push does with each outcome of a send: the table of DESIGN.md, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_support_tickets.exceptions import AccessDenied, Ambiguous, Busy, NotSent, Refused, RemoteNotFound
from django_support_tickets.models import Comment, Delivery, OutboxEntry, ProviderState, Ticket, TicketEvent
from django_support_tickets.outbox.push import push
from django_support_tickets.records import Capabilities, CommentRecord, Found, TicketRecord
from django_support_tickets.signals import delivery_refused, delivery_uncertain, ticket_delivered
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]

HOUR = 3600.0
UNSEARCHABLE = Capabilities(can_comment=True)


def delivery() -> tuple[str, str]:
    ticket = Ticket.objects.get()
    return ticket.delivery, ticket.delivery_error


class TestNotSent:
    @pytest.mark.fault(26)
    def test_it_is_tried_again_within_half_a_minute(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.at("create", NotSent("no connection could be made", alias="paper"))
        assert push("paper").waiting == 1
        entry = OutboxEntry.objects.get()
        assert (entry.sent_at, entry.attempts, entry.lease_token) == (None, 0, None)
        assert entry.last_error == "no connection could be made"
        pass_time(30)
        assert push("paper").delivered == 1
        assert desk.calls == ["create", "create"]

    @pytest.mark.fault(24)
    def test_it_is_given_up_after_72_hours_and_says_so(self, desk: Desk, raised: Raise, caplog: Any) -> None:
        raised()
        desk.at("create", *[NotSent("no connection could be made")] * 2)
        push("paper")
        pass_time(73 * HOUR)
        assert push("paper").refused == 1
        assert delivery() == (Delivery.REFUSED, "Given up after 72 hours: no connection could be made")
        assert "refused: provider : no connection could be made" in caplog.messages

    def test_what_was_given_up_can_be_submitted_again(self, desk: Desk, raised: Raise) -> None:
        ticket = raised()
        desk.at("create", *[NotSent("no connection could be made")] * 2)
        push("paper")
        pass_time(73 * HOUR)
        push("paper")
        ticket.refresh_from_db()
        ticket.submit()
        assert push("paper").delivered == 1

    def test_the_hours_are_counted_from_the_first_try(self, desk: Desk, raised: Raise) -> None:
        raised()
        pass_time(100 * HOUR)
        desk.at("create", NotSent("no connection could be made"))
        assert push("paper").waiting == 1


class TestBusy:
    @pytest.mark.fault(31, 32)
    def test_the_account_waits_as_long_as_the_vendor_asks(self, desk: Desk, raised: Raise) -> None:
        raised()
        raised()
        desk.at("create", Busy("the vendor asks to wait", alias="paper", retry_after=600.0))
        assert push("paper").paused == "the vendor asks to wait"
        assert desk.calls == ["create"]
        pass_time(599)
        assert push("paper").delivered == 0
        pass_time(32)
        assert push("paper").delivered == 2

    @pytest.mark.fault(32)
    def test_a_vendor_that_asks_for_no_wait_is_not_hammered(self, desk: Desk, raised: Raise) -> None:
        for _ in range(5):
            raised()
        desk.at("create", *[Busy("the vendor asks to wait", retry_after=0.0)] * 100)
        for _ in range(10):
            push("paper")
        assert len(desk.calls) == 1

    @pytest.mark.fault(32)
    def test_it_ends_after_72_hours(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.at("create", *[Busy("the vendor asks to wait", retry_after=1.0)] * 2)
        push("paper")
        pass_time(73 * HOUR)
        assert push("paper").refused == 1

    @pytest.mark.fault(5, 31)
    def test_a_server_that_asks_for_patience_may_have_done_it(self, desk: Desk, raised: Raise) -> None:
        """A gateway answers 503 with Retry-After although the server behind it has made the ticket."""
        raised()
        desk.lose_answer("create", Busy("the vendor asks to wait", status=503, retry_after=5.0))
        assert push("paper").paused == "the vendor asks to wait"
        pass_time(61)
        assert push("paper").delivered == 1
        assert desk.calls == ["create", "find"]

    @pytest.mark.fault(31)
    def test_its_wait_is_kept_also_if_it_is_longer_than_the_settle_time(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.at("create", Busy("the vendor asks to wait", status=503, retry_after=600.0))
        push("paper")
        pass_time(599)
        push("paper")
        assert desk.calls == ["create"]
        for _ in range(2):
            pass_time(61)
            push("paper")
        assert desk.calls == ["create", "find", "find", "create"]

    def test_at_a_vendor_that_cannot_be_searched_it_is_left_to_a_person(self, desk: Desk, raised: Raise) -> None:
        desk.capabilities = UNSEARCHABLE
        raised()
        desk.at("create", Busy("the vendor asks to wait", status=503, retry_after=5.0))
        assert push("paper").uncertain == 1


class TestAccessDenied:
    @pytest.mark.fault(19)
    def test_the_row_stays_queued_and_the_account_pauses_and_says_so(self, desk: Desk, raised: Raise) -> None:
        raised()
        raised()
        desk.at("create", AccessDenied("the vendor refuses this account", code="20061"))
        counts = push("paper")
        assert counts.waiting == 1
        assert counts.paused == "The vendor refuses the account: the vendor refuses this account [20061]"
        assert desk.calls == ["create"]
        assert set(Ticket.objects.values_list("delivery", flat=True)) == {Delivery.QUEUED}

    def test_one_probe_tries_for_all_when_the_pause_is_over(self, desk: Desk, raised: Raise) -> None:
        for _ in range(3):
            raised()
        desk.at("create", *[AccessDenied("the vendor refuses this account")] * 2)
        push("paper")
        pass_time(15 * 60 + 1)
        push("paper", workers=1)
        assert len(desk.calls) == 2
        pass_time(30 * 60 + 1)
        assert push("paper").delivered == 3

    def test_an_earlier_send_that_may_have_arrived_is_still_looked_for(self, desk: Desk, raised: Raise) -> None:
        raised()
        lost = Ambiguous("the answer was lost or cut")
        desk.at("create", lost, AccessDenied("the vendor refuses this account"), lost)
        push("paper")
        for seconds in (61, 61, 3600, 61):
            pass_time(seconds)
            push("paper")
        first, last = desk.finds[0].sent_at, desk.finds[-1].sent_at
        assert first is not None and last is not None
        assert (first - last).total_seconds() == pytest.approx(61 + 3600 + 61, abs=5)

    def test_the_time_does_not_count_as_time_of_trying(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.at("create", AccessDenied("the vendor refuses this account"), NotSent("no connection could be made"))
        push("paper")
        pass_time(100 * HOUR)
        assert push("paper").waiting == 1
        pass_time(60)
        assert push("paper").delivered == 1


class TestRefused:
    @pytest.mark.fault(19)
    def test_it_ends_there_with_the_vendors_words(self, desk: Desk, raised: Raise, caplog: Any) -> None:
        raised()
        error = Refused("the vendor refuses it", code="40012", reason="The customer has no e-mail", request_id="r-1")
        desk.at("create", error)
        counts = push("paper")
        assert (counts.refused, counts.failures) == (1, [f"paper {Ticket.objects.get().key}: refused"])
        assert delivery() == (
            Delivery.REFUSED,
            "the vendor refuses it: The customer has no e-mail [40012] (request r-1)",
        )
        (record,) = [record for record in caplog.records if record.event == "push.refused"]
        assert (record.message, record.request_id) == (f"refused: {error}", "r-1")
        assert not OutboxEntry.objects.exists()
        pass_time(HOUR)
        push("paper")
        assert desk.calls == ["create"]

    @pytest.mark.fault(19, 33)
    def test_one_customers_refusal_pauses_nobody(self, desk: Desk, raised: Raise) -> None:
        for _ in range(10):
            raised()
        desk.at("create", *[Refused("the vendor refuses it", status=403, alias="paper")] * 9)
        counts = push("paper")
        assert (counts.refused, counts.delivered, counts.paused) == (9, 1, "")

    def test_a_refused_ticket_holds_what_comes_after_it(self, desk: Desk, raised: Raise, said: Any) -> None:
        comment = said(raised())
        desk.at("create", Refused("the vendor refuses it"))
        push("paper")
        comment.refresh_from_db()
        assert comment.delivery == Delivery.QUEUED
        assert desk.calls == ["create"]
        assert not OutboxEntry.objects.exists()

    def test_a_refused_comment_and_file_hold_nothing(self, desk: Desk, raised: Raise, said: Any, attached: Any) -> None:
        ticket = raised()
        push("paper")
        first, second = said(ticket), said(ticket, "And now?")
        file = attached(ticket)
        desk.at("comment", Refused("the vendor refuses it"))
        desk.at("upload", RemoteNotFound("the vendor does not know it"))
        counts = push("paper")
        assert (counts.refused, counts.delivered) == (2, 1)
        assert [row.delivery for row in Comment.objects.order_by("pk")] == [Delivery.REFUSED, Delivery.DELIVERED]
        file.refresh_from_db()
        assert file.delivery == Delivery.REFUSED
        assert (first.key, second.key) == tuple(Comment.objects.order_by("pk").values_list("key", flat=True))


class TestAmbiguous:
    @pytest.mark.fault(5)
    def test_a_vendor_that_cannot_be_searched_leaves_it_to_a_person(self, desk: Desk, raised: Raise) -> None:
        desk.capabilities = UNSEARCHABLE
        raised()
        desk.at("create", Ambiguous("the answer was lost or cut"))
        counts = push("paper")
        assert (counts.uncertain, counts.failures) == (1, [f"paper {Ticket.objects.get().key}: uncertain"])
        assert delivery() == (Delivery.UNCERTAIN, "the answer was lost or cut")
        pass_time(10 * HOUR)
        push("paper")
        assert desk.calls == ["create"]

    @pytest.mark.fault(8)
    def test_an_error_that_nobody_foresaw_is_ambiguous(self, desk: Desk, raised: Raise, caplog: Any) -> None:
        desk.capabilities = UNSEARCHABLE
        ticket = raised()
        desk.at("create", ZeroDivisionError("with the text of a ticket"))
        assert push("paper").uncertain == 1
        assert delivery() == (Delivery.UNCERTAIN, "the provider raised ZeroDivisionError")
        assert f"paper create: the provider raised ZeroDivisionError (key {ticket.key})" in caplog.text
        assert not ProviderState.objects.exists()

    def test_a_searchable_vendor_gets_its_settle_time(self, desk: Desk, raised: Raise, caplog: Any) -> None:
        raised()
        desk.lose_answer(
            "create", Ambiguous("the answer was lost or cut", alias="paper", operation="create", request_id="req-1")
        )
        assert push("paper").waiting == 1
        (record,) = [record for record in caplog.records if record.event == "push.answer_lost"]
        assert record.message == "answer lost: paper create: the answer was lost or cut (request id req-1)"
        assert (record.levelname, record.request_id) == ("WARNING", "req-1")
        entry = OutboxEntry.objects.get()
        assert (entry.last_error, entry.request_id) == ("the answer was lost or cut (request req-1)", "req-1")
        pass_time(59)
        assert push("paper").waiting == 0
        pass_time(2)
        assert push("paper").delivered == 1
        assert desk.calls == ["create", "find"]

    def test_it_gets_the_wait_that_the_vendor_asks_for_if_that_is_longer(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.lose_answer("create", Ambiguous("the answer was lost or cut", retry_after=600.0))
        push("paper")
        pass_time(300)
        assert push("paper").delivered == 0
        pass_time(301)
        assert push("paper").delivered == 1


class TestTimeline:
    def kinds(self) -> list[str]:
        return list(TicketEvent.objects.order_by("pk").values_list("kind", flat=True))

    def test_every_end_leaves_an_event_and_a_signal(self, desk: Desk, raised: Raise) -> None:
        heard: list[tuple[str, str]] = []

        def hear(signal: Any, ticket: Ticket, **kwargs: Any) -> None:
            heard.append((str(ticket.delivery), kwargs.get("reason", "")))

        for signal in (ticket_delivered, delivery_refused, delivery_uncertain):
            signal.connect(hear)
        try:
            desk.capabilities = UNSEARCHABLE
            desk.at("create", None, Refused("the vendor refuses it"), Ambiguous("the answer was lost or cut"))
            for _ in range(3):
                raised()
            push("paper")
        finally:
            for signal in (ticket_delivered, delivery_refused, delivery_uncertain):
                signal.disconnect(hear)
        assert heard == [("delivered", ""), ("refused", "the vendor refuses it"), ("uncertain", "")]
        assert self.kinds() == ["delivered", "refused", "uncertain"]

    def test_a_closing_that_is_refused_says_why(self, desk: Desk, raised: Raise) -> None:
        raised()
        push("paper")
        Ticket.objects.update(close_delivery=Delivery.QUEUED)
        desk.at("close", Refused("the vendor refuses it", reason="Open invoice"))
        push("paper")
        assert Ticket.objects.get().close_delivery == Delivery.REFUSED
        assert TicketEvent.objects.latest("pk").changes["reason"] == "the vendor refuses it: Open invoice"


class TestProvidersOfUsers:
    """A provider of a user's may return and raise anything; what is stored stays storable."""

    @pytest.mark.fault(8)
    @pytest.mark.parametrize(
        ("answer", "problem"),
        [
            (None, "the provider has returned no record"),
            ("R1", "the provider has returned no record"),
            (TicketRecord(remote_id=""), "the answer has no usable id"),
            (TicketRecord(remote_id="x" * 256), "the answer has no usable id"),
            (TicketRecord(remote_id="a\x00"), "the answer has no usable id"),
        ],
        ids=["nothing", "a text", "no id", "a long id", "a broken id"],
    )
    def test_what_is_no_record_is_ambiguous(
        self, desk: Desk, raised: Raise, answer: Any, problem: str, caplog: Any
    ) -> None:
        desk.capabilities = UNSEARCHABLE
        ticket = raised()
        desk.at("create", lambda act: answer)
        assert push("paper").uncertain == 1
        assert Ticket.objects.get().remote_id is None
        assert delivery() == (Delivery.UNCERTAIN, problem)
        assert caplog.messages[-1] == f"uncertain: paper create: {problem} (key {ticket.key})"

    def test_an_id_may_be_as_long_as_its_column(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.at("create", lambda act: TicketRecord(remote_id="x" * 255))
        assert push("paper").delivered == 1
        assert Ticket.objects.get().remote_id == "x" * 255

    @pytest.mark.parametrize("remote_id", ["", "x" * 256])
    def test_a_comment_without_a_usable_id_is_delivered_without_one(
        self, desk: Desk, raised: Raise, said: Any, remote_id: str
    ) -> None:
        said(raised())
        desk.at("comment", lambda act: CommentRecord(remote_id=remote_id))
        assert push("paper").delivered == 2
        assert Comment.objects.get().remote_id is None

    def test_a_search_that_returns_no_records_proves_nothing(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.lose_answer("create", Ambiguous("the answer was lost or cut"))
        desk.at("find", lambda act: Found(records=(None,), complete=True))  # type: ignore[arg-type]
        push("paper")
        pass_time(61)
        assert push("paper").waiting == 1
        pass_time(HOUR)
        assert push("paper").delivered == 1

    @pytest.mark.fault(43)
    def test_words_that_no_database_can_store_are_cleaned_and_cut(self, desk: Desk, raised: Raise) -> None:
        raised()
        desk.at("create", Refused("no", reason="a\x00b\ud800" + "x" * 10_000, request_id="r\x00"))
        assert push("paper").refused == 1
        assert Ticket.objects.get().delivery_error.startswith("no: a\N{REPLACEMENT CHARACTER}b")
        assert len(Ticket.objects.get().delivery_error) == 2000

    @pytest.mark.fault(31)
    @pytest.mark.parametrize("asked", [1e11, float("inf"), float("nan"), -5.0])
    def test_no_wait_that_is_asked_for_is_longer_than_an_hour(self, desk: Desk, raised: Raise, asked: float) -> None:
        raised()
        desk.at("create", Busy("the vendor asks to wait", retry_after=asked))
        assert push("paper").waiting == 1
        pass_time(HOUR + 1)
        assert push("paper").delivered == 1
