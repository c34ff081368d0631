from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from django_support_tickets.models import (
    Attachment,
    Delivery,
    EpochNow,
    OutboxEntry,
    ProviderState,
    Ticket,
    TicketEvent,
    epoch_now,
)
from django_support_tickets.models.pauses import pause
from django_support_tickets.records import Status
from tests.admin.conftest import PNG, said, text_of, url

pytestmark = pytest.mark.usefixtures("accounts")
Make = Callable[..., Any]


def act(client: Client, name: str, ticket: Ticket, **values: Any) -> str:
    """Take an action on a ticket; return what is said of it."""
    return said(client.post(url(name, ticket.pk), values))


def select(client: Client, name: str, *tickets: Ticket, **values: Any) -> Any:
    """Take an action on several tickets of the list."""
    keys = [str(ticket.pk) for ticket in tickets]
    return client.post(url("changelist"), {"action": name, "_selected_action": keys, "index": "0", **values})


class TestSync:
    def test_it_makes_the_ticket_due_and_says_who_fetches(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket()
        assert "The next sync_tickets run will fetch it." in act(client, "sync", ticket)
        ticket.refresh_from_db()
        assert ticket.next_poll_at is not None
        assert LogEntry.objects.get().get_change_message() == "Fetch news now"

    def test_what_is_not_at_the_vendor_has_no_news(self, client: Client, make_ticket: Make) -> None:
        assert "The vendor has not got this ticket." in act(client, "sync", make_ticket(delivery=Delivery.REFUSED))

    def test_the_inline_dispatcher_fetches_after_the_commit(
        self, client: Client, make_ticket: Make, settings: Any, django_capture_on_commit_callbacks: Any
    ) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = "inline"
        ticket = make_ticket()
        with django_capture_on_commit_callbacks(execute=True):
            act(client, "sync", ticket)
        ticket.refresh_from_db()
        assert ticket.synced_at is not None

    def test_another_dispatcher_is_woken_for_the_account(
        self, client: Client, make_ticket: Make, settings: Any, django_capture_on_commit_callbacks: Any
    ) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = "tests.admin.test_actions.note"
        woken.clear()
        with django_capture_on_commit_callbacks(execute=True):
            act(client, "sync", make_ticket())
        assert woken == [("local", None)]


class TestSend:
    def test_what_waits_is_due_now(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(delivery=Delivery.QUEUED)
        OutboxEntry.objects.update(not_before=EpochNow() + 3_600_000, attempts=3)
        assert "The next sync_tickets run will send it." in act(client, "send", ticket)
        assert OutboxEntry.objects.get().not_before <= epoch_now("default")

    def test_what_may_be_at_the_vendor_is_not_hurried(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(delivery=Delivery.QUEUED)
        OutboxEntry.objects.update(sent_at=1, not_before=EpochNow() + 3_600_000)
        assert "before anything is sent again" in act(client, "send", ticket)
        assert OutboxEntry.objects.get().not_before > epoch_now("default")

    def test_what_a_worker_has_is_left_to_it(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(delivery=Delivery.QUEUED)
        OutboxEntry.objects.update(leased_until=EpochNow() + 60_000, not_before=5)
        assert "A worker has it already." in act(client, "send", ticket)
        assert OutboxEntry.objects.get().not_before == 5

    def test_a_paused_account_is_told(self, client: Client, make_ticket: Make) -> None:
        pause("local", kind=ProviderState.Pause.BUSY, seconds=60, detail="", using="default")
        for name in ("send", "sync"):
            ticket = make_ticket(delivery=Delivery.QUEUED, remote_id=name)
            assert "Account local is paused until" in act(client, name, ticket)

    def test_where_nothing_is_queued_it_says_so(self, client: Client, make_ticket: Make) -> None:
        assert "Nothing of this ticket is queued." in act(client, "send", make_ticket())

    def test_inline_it_is_sent_after_the_commit(
        self, client: Client, make_ticket: Make, settings: Any, django_capture_on_commit_callbacks: Any
    ) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = "inline"
        ticket = make_ticket(delivery=Delivery.QUEUED, submitted_at=timezone.now())
        with django_capture_on_commit_callbacks(execute=True):
            act(client, "send", ticket)
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.DELIVERED


class TestSettle:
    def test_it_asks_before_it_settles(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(delivery=Delivery.UNCERTAIN, delivery_error="the answer was lost or cut")
        TicketEvent.objects.create(
            ticket=ticket,
            kind=TicketEvent.Kind.LATE_ANSWER,
            source="push",
            changes={"item": "create", "key": str(ticket.key), "remote_id": "late-1"},
        )
        page = text_of(client.get(url("settle", ticket.pk)))
        assert "The connection broke before" in page
        assert 'value="late-1"' in page
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.UNCERTAIN

    def test_it_is_there(self, client: Client, agent: Any, make_ticket: Make) -> None:
        ticket = make_ticket(delivery=Delivery.UNCERTAIN)
        assert "It counts as delivered." in act(client, "settle", ticket, answer="exists", remote_id=" r-1 ")
        ticket.refresh_from_db()
        assert (ticket.delivery, ticket.remote_id) == (Delivery.DELIVERED, "r-1")
        event = ticket.events.get(kind=TicketEvent.Kind.SETTLED)
        assert (event.actor, event.source) == (agent, TicketEvent.Source.ADMIN)

    def test_it_is_not_there(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(delivery=Delivery.UNCERTAIN)
        page = act(client, "settle", ticket, answer="again")
        assert "It is queued again. The next sync_tickets run will send it." in page
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.QUEUED
        assert OutboxEntry.objects.filter(ticket=ticket).exists()

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({}, "answer"),
            ({"answer": "exists"}, "remote_id"),
            ({"answer": "exists", "remote_id": "../x"}, "remote_id"),
            ({"answer": "exists", "remote_id": "taken"}, "remote_id"),
        ],
    )
    def test_complaints_stand_at_their_field(
        self, client: Client, make_ticket: Make, values: dict[str, str], field: str
    ) -> None:
        make_ticket(remote_id="taken")
        ticket = make_ticket(delivery=Delivery.UNCERTAIN)
        answer = client.post(url("settle", ticket.pk), values)
        assert set(answer.context["form"].errors) == {field}

    def test_what_is_certain_cannot_be_settled(self, client: Client, make_ticket: Make) -> None:
        answer = client.post(url("settle", make_ticket(delivery=Delivery.QUEUED).pk), {"answer": "again"})
        assert "not uncertain" in text_of(answer)

    def test_a_closing_needs_no_id(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(close_delivery=Delivery.UNCERTAIN)
        assert 'name="remote_id"' not in text_of(client.get(url("settle", ticket.pk)))
        act(client, "settle", ticket, answer="exists")
        ticket.refresh_from_db()
        assert ticket.close_delivery == Delivery.DELIVERED

    def test_a_comment_and_a_file_are_settled_by_themselves(
        self, client: Client, make_ticket: Make, make_comment: Make
    ) -> None:
        ticket = make_ticket()
        comment = make_comment(ticket, delivery=Delivery.UNCERTAIN, body="<b>Any news?</b>")
        file = Attachment(ticket=ticket, name="a.png", delivery=Delivery.UNCERTAIN, state="stored")
        Attachment.objects.bulk_create([file])
        page = text_of(client.get(url("change", ticket.pk)))
        for kind, item in (("comment", comment), ("file", file)):
            path = url("settle_item", ticket.pk, kind, item.key)
            assert path in page
            assert "may be at the vendor or not" in text_of(client.get(path))
            assert client.post(path, {"answer": "exists"}).status_code == 302
            item = type(item).objects.get(key=item.key)
            assert item.delivery == Delivery.DELIVERED
        assert client.get(url("settle_item", ticket.pk, "comment", ticket.key)).status_code == 404
        assert client.get(url("settle_item", ticket.pk, "nonsense", comment.key)).status_code == 404


class TestDecisions:
    def test_a_refused_ticket_is_edited_and_submitted_again(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(delivery=Delivery.REFUSED, delivery_error="no e-mail")
        act(client, "edit", ticket)
        assert "Draft for local" in text_of(client.get(url("change", ticket.pk)))
        event = ticket.events.get()
        assert (event.kind, event.source, event.actor is not None) == ("cancelled", "admin", True)
        assert "not refused" in act(client, "edit", make_ticket())

    def test_what_is_queued_can_be_cancelled(self, client: Client, make_ticket: Make, make_comment: Make) -> None:
        ticket = make_ticket(delivery=Delivery.QUEUED)
        act(client, "cancel", ticket)
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.DRAFT
        there = make_ticket()
        comment = make_comment(there, delivery=Delivery.QUEUED)
        path = url("cancel_item", there.pk, "comment", comment.key)
        assert path in text_of(client.get(url("change", there.pk)))
        assert client.get(path).status_code == 405
        assert "It is not sent." in said(client.post(path))
        assert "not queued" in said(client.post(path))

    def test_what_was_cancelled_or_refused_can_be_submitted_again(
        self, client: Client, agent: Any, make_ticket: Make, make_comment: Make
    ) -> None:
        ticket = make_ticket()
        comment = make_comment(ticket, delivery=Delivery.REFUSED)
        path = url("submit_item", ticket.pk, "comment", comment.key)
        assert path in text_of(client.get(url("change", ticket.pk)))
        assert client.get(path).status_code == 405
        assert "It is queued again." in said(client.post(path))
        comment.refresh_from_db()
        assert comment.delivery == Delivery.QUEUED
        assert "Only a draft can be submitted." in said(client.post(path))
        event = ticket.events.get(kind="submitted")
        assert (event.actor, event.source, event.changes["item"]) == (agent, "admin", "comment")
        assert (
            LogEntry.objects.filter(object_id=str(ticket.pk), change_message__contains="Submitted again").count() == 1
        )

    def test_what_is_being_sent_cannot(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(delivery=Delivery.QUEUED)
        OutboxEntry.objects.update(sent_at=1, item="create")
        assert "can no longer be cancelled" in act(client, "cancel", ticket)

    def test_closing_is_queued_where_the_vendor_can(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket()
        page = text_of(client.get(url("change", ticket.pk)))
        assert url("close", ticket.pk) in page
        assert url("close_here", ticket.pk) not in page
        assert "Its closing is queued. The next sync_tickets run" in act(client, "close", ticket)
        ticket.refresh_from_db()
        assert ticket.close_delivery == Delivery.QUEUED

    def test_elsewhere_it_is_closed_here(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(provider="ripio")
        page = text_of(client.get(url("change", ticket.pk)))
        assert url("close_here", ticket.pk) in page
        assert url("close", ticket.pk) not in page
        assert "no way to close" in act(client, "close", ticket)
        act(client, "close_here", ticket)
        ticket.refresh_from_db()
        assert ticket.status == Status.CLOSED

    def test_raising_again_leads_to_the_draft(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(delivery=Delivery.REFUSED, subject="Once more")
        answer = client.post(url("raise_again", ticket.pk))
        assert "This is the new draft." in said(answer)
        draft = Ticket.objects.get(subject="Once more", delivery=Delivery.DRAFT)
        assert answer.url == url("change", draft.pk)

    def test_actions_are_posts(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket()
        for name in ("sync", "send", "cancel", "edit", "close", "close_here", "raise_again", "reply"):
            assert client.get(url(name, ticket.pk)).status_code == 405
            assert client.post(url(name, ticket.pk + 1)).status_code == 404

    def test_they_need_the_token_of_the_page(self, agent: Any, make_ticket: Make) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(agent)
        assert client.post(url("sync", make_ticket().pk)).status_code == 403


class TestSeveral:
    def test_news_of_several_are_fetched(self, client: Client, make_ticket: Make) -> None:
        there, draft = make_ticket(), make_ticket(delivery=Delivery.DRAFT)
        assert "1 ticket is due now." in said(select(client, "sync_selected", there, draft))
        there.refresh_from_db()
        assert there.next_poll_at is not None
        assert "0 tickets are due now." in said(select(client, "sync_selected", draft))

    @pytest.mark.parametrize("dispatcher", ["none", "inline", "tests.admin.test_actions.note"])
    def test_several_are_sent(
        self, client: Client, make_ticket: Make, settings: Any, dispatcher: str, django_capture_on_commit_callbacks: Any
    ) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = dispatcher
        tickets = [make_ticket(delivery=Delivery.QUEUED, submitted_at=timezone.now()) for _ in range(2)]
        OutboxEntry.objects.update(not_before=EpochNow() + 3_600_000)
        woken.clear()
        with django_capture_on_commit_callbacks(execute=True):
            assert "2 tickets are due now." in said(select(client, "send_selected", *tickets))
        assert Ticket.objects.filter(delivery=Delivery.DELIVERED).count() == (2 if dispatcher == "inline" else 0)
        assert woken == ([("local", None)] if "note" in dispatcher else [])

    def test_several_are_cancelled_and_closed(self, client: Client, make_ticket: Make) -> None:
        queued, there, ripio = make_ticket(delivery=Delivery.QUEUED), make_ticket(), make_ticket(provider="ripio")
        assert "Done for 1 ticket." in said(select(client, "cancel_selected", queued, there))
        page = said(select(client, "close_selected", there, ripio))
        assert "Done for 1 ticket." in page
        assert "1 × This account" in page
        assert "Done for 1 ticket." in said(select(client, "close_here_selected", ripio))

    def test_an_action_without_a_name_does_nothing(self, client: Client, make_ticket: Make) -> None:
        assert "No action selected." in said(select(client, "", make_ticket()))


class TestDeleting:
    def test_it_warns_of_the_copy_at_the_vendor(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(remote_id="remote-1")
        page = text_of(client.get(url("delete", ticket.pk)))
        assert "The copy at the vendor (local, remote-1) is not deleted" in page
        assert client.post(url("delete", ticket.pk), {"post": "yes"}).status_code == 302
        assert not Ticket.objects.exists()

    def test_what_is_queued_goes_with_its_outbox(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(delivery=Delivery.QUEUED)
        assert "What is queued is not sent any more." in text_of(client.get(url("delete", ticket.pk)))
        client.post(url("delete", ticket.pk), {"post": "yes"})
        assert not OutboxEntry.objects.exists()

    def test_what_is_in_flight_stays_and_says_why(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(delivery=Delivery.QUEUED)
        OutboxEntry.objects.update(sent_at=1, item="create", item_id=ticket.pk)
        page = said(client.post(url("delete", ticket.pk), {"post": "yes"}))
        assert "It is being sent to the vendor" in page
        page = said(select(client, "delete_selected", ticket, make_ticket(), post="yes"))
        assert "It is being sent to the vendor" in page
        assert Ticket.objects.count() == 2
        assert not LogEntry.objects.exists()

    def test_several_are_deleted_after_a_warning(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket()
        assert "The copies at the vendors are not deleted" in text_of(select(client, "delete_selected", ticket))
        select(client, "delete_selected", ticket, post="yes")
        assert not Ticket.objects.exists()

    def test_a_file_of_a_ticket_goes_with_it(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket()
        client.post(url("reply", ticket.pk), {"body": "x", "uploads": [SimpleUploadedFile("a.png", PNG)]})
        client.post(url("delete", ticket.pk), {"post": "yes"})
        assert not Attachment.objects.exists()


woken: list[tuple[str, int | None]] = []


def note(alias: str, ticket_id: int | None, using: str) -> None:
    """Take down for whom somebody asked a worker."""
    woken.append((alias, ticket_id))
