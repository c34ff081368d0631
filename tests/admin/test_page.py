from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_support_tickets.admin.timeline import SHOWN
from django_support_tickets.models import (
    Attachment,
    Comment,
    Delivery,
    EpochNow,
    OutboxEntry,
    ProviderState,
    Ticket,
    TicketEvent,
    WebhookDelivery,
)
from django_support_tickets.models.pauses import pause
from django_support_tickets.providers.local import LocalProvider
from django_support_tickets.records import AttachmentRules, AuthorType, BodyFormat, Capabilities
from tests.admin.conftest import PNG, said, text_of, url

pytestmark = pytest.mark.usefixtures("accounts")
Make = Callable[..., Any]
MINUTE = 60_000


def page_of(client: Client, ticket: Ticket) -> str:
    answer = client.get(url("change", ticket.pk))
    assert answer.status_code == 200
    return text_of(answer)


def reply(client: Client, ticket: Ticket, **values: Any) -> Any:
    return client.post(url("reply", ticket.pk), values)


class TestConversation:
    def test_everything_is_told_in_order(
        self, client: Client, agent: Any, make_ticket: Make, make_comment: Make
    ) -> None:
        then = timezone.now() - timedelta(days=1)
        ticket = make_ticket(requester=agent, created_at=then, submitted_at=then, description="Since noon.")
        make_comment(
            ticket, body="Looking.", author_type=AuthorType.AGENT, author_name="Iva", sent_at=then + timedelta(hours=2)
        )
        make_comment(ticket, body="Thanks.", created_by=agent, sent_at=then + timedelta(hours=3))
        TicketEvent.objects.create(
            ticket=ticket,
            kind=TicketEvent.Kind.CHANGED,
            source=TicketEvent.Source.PULL,
            changes={"status": ["open", "waiting"], "remote_status": ["", "new"], "subject": "changed"},
            at=then + timedelta(hours=1),
        )
        entries = client.get(url("change", ticket.pk)).context["timeline"].entries
        assert [(entry.kind, entry.side, entry.who) for entry in entries] == [
            ("message", "ours", "agent"),
            ("event", "nobody", "News from the vendor"),
            ("message", "theirs", "Iva"),
            ("message", "ours", "agent"),
        ]
        lines = {"Status: Open → Waiting for us", "Vendor's status: – → new", "Subject: changed"}
        assert set(entries[1].text.splitlines()) == lines

    @pytest.mark.fault(49)
    def test_what_others_wrote_is_never_markup(self, client: Client, make_ticket: Make, make_comment: Make) -> None:
        evil = '<svg onload="alert(1)"><a href="javascript:alert(1)">x</a>'
        ticket = make_ticket(
            subject=evil, description=evil, remote_status=evil[:64], resolution=evil, contact_name=evil,
            raw={"x": "</pre><script>alert(1)</script>"}, options={"a": evil}, tags=[evil], category=evil[:64],
        )  # fmt: skip
        make_comment(ticket, body=evil, author_name=evil, author_type=AuthorType.AGENT)
        make_comment(ticket, body=f"{evil}<!-- said twice -->", body_format=BodyFormat.HTML, delivery=Delivery.REFUSED,
                     delivery_error=f"the vendor refuses it: {evil}")  # fmt: skip
        Attachment.objects.bulk_create([Attachment(ticket=ticket, name=evil, error=evil, delivery=Delivery.DELIVERED)])
        WebhookDelivery.objects.create(provider="local", identity="1", remote_id=ticket.remote_id, event_type=evil[:64])
        for path in (url("change", ticket.pk), url("delete", ticket.pk), url("history", ticket.pk)):
            page = text_of(client.get(path))
            assert "<svg onload" not in page
            assert 'href="javascript' not in page
            assert "<script>alert" not in page
        page = page_of(client, ticket)
        assert "said twice" not in page
        assert "&lt;script&gt;alert(1)" in page

    def test_events_lead_to_the_ticket_that_they_name(self, client: Client, make_ticket: Make) -> None:
        ticket, other = make_ticket(), make_ticket()
        TicketEvent.objects.create(
            ticket=ticket, kind=TicketEvent.Kind.RAISED_AGAIN, source="admin", changes={"raised_as": str(other.key)}
        )
        assert f"?q={other.key}" in page_of(client, ticket)

    def test_events_of_items_say_which(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket()
        for changes in (
            {"item": "close", "send_again": True},
            {"item": "comment", "reason": "the answer was lost or cut"},
            {"item": "odd", "old": [None, ["a", "b"]]},
        ):
            TicketEvent.objects.create(ticket=ticket, kind="settled", source="admin", changes=changes)
        page = page_of(client, ticket)
        assert "Closing: Settled by a person" in page
        assert "Send again: yes" in page
        assert "Comment: Settled by a person" in page
        assert "The connection broke" in page
        assert "Old: – → a, b" in page

    def test_of_a_long_one_the_newest_are_shown(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket()
        Comment.objects.bulk_create(
            Comment(ticket=ticket, body=f"No. {number}", delivery=Delivery.DELIVERED) for number in range(SHOWN + 1)
        )
        page = page_of(client, ticket)
        assert "No. 0<" not in page
        assert f"No. {SHOWN}<" in page
        assert "No. 0<" in text_of(client.get(url("change", ticket.pk), {"all": "1"}))

    def test_queries_do_not_grow_with_it(
        self, client: Client, agent: Any, make_ticket: Make, make_comment: Make
    ) -> None:
        ticket = make_ticket()
        make_comment(ticket, created_by=agent)
        page_of(client, ticket)  # content types are read once per process
        with CaptureQueriesContext(connection) as few:
            page_of(client, ticket)
        for _number in range(10):
            comment = make_comment(ticket, created_by=agent)
            TicketEvent.objects.create(ticket=ticket, kind="changed", source="pull", actor=agent)
            Attachment.objects.bulk_create([Attachment(ticket=ticket, comment=comment, name="a", delivery="delivered")])
        with CaptureQueriesContext(connection) as many:
            page_of(client, ticket)
        assert len(many) == len(few)

    def test_a_ticket_raised_at_the_vendor_is_theirs(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(origin=Ticket.Origin.VENDOR, subject="", contact_name="Ana")
        page = page_of(client, ticket)
        assert "Ticket, raised at the vendor" in page
        assert "(no subject)" in page

    def test_what_it_is_about_is_linked(self, client: Client, agent: Any, make_ticket: Make) -> None:
        kind = ContentType.objects.get_for_model(type(agent))
        page = page_of(client, make_ticket(about_type=kind, about_id=str(agent.pk)))
        assert ">agent</a>" in page or ">agent</dd>" in page
        gone = ContentType.objects.get_for_model(Ticket)
        assert "77" in page_of(client, make_ticket(about_type=gone, about_id="77"))
        assert "78" in page_of(client, make_ticket(about_type=None, about_id="78"))


class TestWhatHappensNext:
    def test_nothing_is_sent_of_a_draft(self, staff: Callable[..., Client], make_ticket: Make) -> None:
        page = page_of(staff("view_ticket"), make_ticket(delivery=Delivery.DRAFT))
        assert "This is a draft" in page

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ({}, "What is queued is due. The next sync_tickets run will send it."),
            ({"not_before": 5, "attempts": 2, "item": "create"}, "The ticket will be sent"),
            ({"sent_at": 1, "not_before": 5, "item": "comment"}, "A comment: the answer was lost. It is looked for"),
            ({"sent_at": 1, "item": "upload"}, "A file: the answer was lost. It is looked for at the vendor with the"),
            ({"leased_until": 5, "item": "close"}, "The closing: it is being sent right now."),
        ],
    )  # fmt: skip
    def test_what_is_queued_has_its_time(
        self, client: Client, make_ticket: Make, values: dict[str, Any], sentence: str
    ) -> None:
        ticket = make_ticket(delivery=Delivery.QUEUED)
        later = {"not_before", "leased_until"} & values.keys()
        values = {**values, **{name: EpochNow() + values[name] * MINUTE for name in later}}
        error = "no connection could be made [x] (request r1)"
        OutboxEntry.objects.filter(ticket=ticket).update(**values, last_error=error)
        page = page_of(client, ticket)
        assert sentence in page
        assert "The vendor could not be reached, so nothing was sent." in page
        assert "code x, request r1" in page

    def test_with_a_dispatcher_a_worker_has_it(self, client: Client, make_ticket: Make, settings: Any) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = "inline"
        assert "It is handed to a worker at once." in page_of(client, make_ticket(delivery=Delivery.QUEUED))

    def test_a_paused_account_says_until_when_and_why(self, client: Client, make_ticket: Make) -> None:
        detail = "the credentials are refused"
        pause("local", kind=ProviderState.Pause.DENIED, seconds=900, detail=detail, using="default")
        page = page_of(client, make_ticket(delivery=Delivery.QUEUED))
        assert "Account local is paused until" in page
        assert "The vendor refuses the account." in page
        assert "whoever runs this site must look at its credentials" in page

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ({"delivery": "refused", "delivery_error": "the vendor refuses it: no e-mail [20000]"}, "“no e-mail”"),
            ({"delivery": "uncertain"}, "Nobody can tell whether the vendor has got this ticket."),
            ({"close_delivery": "queued"}, "It is to be closed at the vendor."),
            ({"close_delivery": "refused"}, "The vendor has refused to close it."),
            ({"close_delivery": "uncertain"}, "Nobody can tell whether the vendor has closed it"),
            ({"provider": "gone"}, "Account gone cannot be used"),
            ({}, "No more news is expected"),
        ],
    )
    def test_states_are_said(self, client: Client, make_ticket: Make, values: dict[str, Any], sentence: str) -> None:
        assert sentence in page_of(client, make_ticket(**values))

    def test_news_have_their_time(self, client: Client, make_ticket: Make) -> None:
        now = timezone.now()
        assert "Its news is fetched" in page_of(client, make_ticket(next_poll_at=now + timedelta(hours=1)))
        due = page_of(client, make_ticket(next_poll_at=now - timedelta(hours=1)))
        assert "Its news is due. The next sync_tickets run will fetch it." in due
        assert "does not show this ticket any more" in page_of(client, make_ticket(missing_since=now))

    def test_what_comes_after_something_stuck_waits(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(delivery=Delivery.UNCERTAIN)
        OutboxEntry.objects.create(ticket=ticket, provider="local")
        assert "What was written after it waits until that is settled." in page_of(client, ticket)


class TestReplying:
    def test_a_reply_is_queued_with_its_files(self, client: Client, agent: Any, make_ticket: Make) -> None:
        ticket = make_ticket()
        answer = reply(client, ticket, body="Any\r\nnews?", uploads=[SimpleUploadedFile("a.png", PNG)])
        assert answer.url == url("change", ticket.pk)
        comment = ticket.comments.get()
        assert (comment.body, comment.created_by, comment.delivery) == ("Any\nnews?", agent, Delivery.QUEUED)
        assert comment.attachments.get().name == "a.png"
        event = ticket.events.get()
        assert (event.kind, event.actor, event.changes["item"]) == ("submitted", agent, "comment")
        assert "The reply was submitted. The next sync_tickets run will send it." in said(answer)

    def test_the_words_come_before_the_files(self, client: Client, make_ticket: Make) -> None:
        page = page_of(client, make_ticket())
        assert page.index('name="body"') < page.index('name="uploads"')

    def test_a_second_click_says_nothing_twice(self, client: Client, make_ticket: Make) -> None:
        ticket, key = make_ticket(), str(uuid.uuid4())
        reply(client, ticket, body="Any news?", key=key)
        assert "stored already" in text_of(reply(client, ticket, body="Any news?", key=key))
        assert ticket.comments.count() == 1

    @pytest.mark.parametrize(
        ("account", "values"),
        [
            ("local", {"body": ""}),
            ("local", {"body": "x", "uploads": [SimpleUploadedFile("a.exe", b"MZ")]}),
            ("ankra", {"body": "x" * 10_001}),
        ],
    )
    def test_what_cannot_be_sent_is_said_and_kept_in_the_form(
        self, client: Client, make_ticket: Make, account: str, values: dict[str, Any]
    ) -> None:
        ticket = make_ticket(provider=account)
        answer = reply(client, ticket, **values)
        assert answer.status_code == 200
        assert answer.context["reply"].errors
        assert not ticket.comments.exists()

    def test_what_a_filter_breaks_is_said(self, client: Client, make_ticket: Make, settings: Any) -> None:
        settings.SUPPORT_TICKETS_OUTGOING_FILTERS = ["tests.admin.test_page.empty"]
        ticket = make_ticket()
        assert "body" in reply(client, ticket, body="x").context["reply"].errors
        assert not ticket.comments.exists()

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ({"provider": "ripio"}, "Ripio answers the customer by email"),
            ({"delivery": "refused"}, "The vendor has not got this ticket"),
            ({"provider": "gone"}, "the account cannot be used"),
        ],
    )
    def test_where_there_is_no_reply_it_says_why(
        self, client: Client, make_ticket: Make, values: dict[str, Any], sentence: str
    ) -> None:
        ticket = make_ticket(**values)
        page = page_of(client, ticket)
        assert sentence in page
        assert "Send reply" not in page
        assert reply(client, ticket, body="x").status_code == 403

    def test_files_alone_where_the_vendor_takes_only_them(
        self, client: Client, make_ticket: Make, settings: Any
    ) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {"files": {"BACKEND": "tests.admin.test_page.FilesOnly"}}
        ticket = make_ticket(provider="files")
        assert "uploads" in reply(client, ticket).context["reply"].errors
        reply(client, ticket, uploads=[SimpleUploadedFile("a.png", PNG)])
        assert ticket.attachments.get().comment is None


class TestFiles:
    @pytest.fixture
    def file(self, client: Client, make_ticket: Make) -> Iterator[Attachment]:
        ticket = make_ticket()
        reply(client, ticket, body="Here.", uploads=[SimpleUploadedFile("a.png", PNG)])
        yield ticket.attachments.get()

    def test_a_file_is_handed_out_to_be_saved(self, client: Client, file: Attachment) -> None:
        path = url("file", file.ticket_id, file.key)
        assert path in page_of(client, file.ticket)
        answer = client.get(path)
        assert b"".join(answer.streaming_content) == PNG
        assert answer["Content-Disposition"].startswith("attachment")
        assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"

    def test_one_that_cannot_be_had_says_why(self, client: Client, file: Attachment) -> None:
        Attachment.objects.update(state=Attachment.State.QUARANTINED)
        answer = client.get(url("file", file.ticket_id, file.key))
        assert "This file is quarantined." in said(answer)
        assert url("file", file.ticket_id, file.key) not in page_of(client, file.ticket)

    def test_it_belongs_to_its_ticket(self, client: Client, file: Attachment, make_ticket: Make) -> None:
        assert client.get(url("file", make_ticket().pk, file.key)).status_code == 404

    def test_one_at_the_vendor_can_be_fetched(self, client: Client, make_ticket: Make, settings: Any) -> None:
        ticket = make_ticket(provider="gone")
        remote = Attachment(
            ticket=ticket, name="a.pdf", remote_id="1", direction="in", state="remote", delivery="delivered"
        )
        Attachment.objects.bulk_create([remote])
        path = url("fetch_file", ticket.pk, remote.key)
        assert path in page_of(client, ticket)
        assert client.get(path).status_code == 405
        assert "is not in SUPPORT_TICKETS_PROVIDERS" in said(client.post(path))

    def test_one_that_the_scanner_did_not_clear_can_be_scanned_again(self, client: Client, file: Attachment) -> None:
        Attachment.objects.update(direction="in", state=Attachment.State.QUARANTINED)
        path = url("fetch_file", file.ticket_id, file.key)
        page = page_of(client, file.ticket)
        assert path in page
        assert "Scan again" in page
        assert said(client.post(path)).endswith("Stored")

    def test_fetching_ends_in_a_state(self, client: Client, file: Attachment) -> None:
        assert said(client.post(url("fetch_file", file.ticket_id, file.key))).endswith("Stored")


def test_a_ticket_that_is_gone_leads_to_the_index(client: Client) -> None:
    for pk in ("1", "nonsense", "9" * 40):
        assert client.get(url("change", pk)).status_code == 302


def empty(text: str) -> str:
    """Return nothing of a text."""
    return ""


class FilesOnly(LocalProvider):
    """A desk that takes files later, and no words."""

    capabilities = Capabilities(attachments=AttachmentRules(moments=frozenset({"after"})))
