from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from django_support_tickets.models import Attachment, Delivery, OutboxEntry, Ticket
from tests.admin.conftest import PNG, said, text_of, url

pytestmark = pytest.mark.usefixtures("accounts")
Make = Callable[..., Any]
TEXT = {"subject": "Deposit missing", "description": "Since noon."}


def form_url(account: str) -> str:
    return f"{url('add')}?account={account}"


def submit(client: Client, account: str, **values: Any) -> Any:
    return client.post(form_url(account), {**TEXT, "_submit": "", **values})


def errors_of(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


def receipt(name: str = "receipt.png", content: bytes = PNG) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


class TestChoosing:
    def test_the_account_comes_first(self, client: Client) -> None:
        page = text_of(client.get(url("add")))
        for alias in ("local", "ripio", "moov", "ankra"):
            assert f'href="?account={alias}"' in page
        assert "Ripio answers the customer by email" in page
        assert "At most 5 files of 25 MB each. Together at most 50 MB." in page

    def test_the_only_account_needs_no_choice(self, client: Client, settings: Any) -> None:
        del settings.SUPPORT_TICKETS_PROVIDERS
        page = text_of(client.get(url("add")))
        assert 'name="subject"' in page
        assert "Choose another account" not in page

    def test_an_unknown_account_is_said(self, client: Client) -> None:
        assert "There is no account gone" in text_of(client.get(form_url("gone")))

    def test_a_wrong_configuration_hides_nothing_else(self, client: Client, settings: Any) -> None:
        broken = {"BACKEND": "django_support_tickets.providers.ripio.RipioProvider"}
        settings.SUPPORT_TICKETS_PROVIDERS = {**settings.SUPPORT_TICKETS_PROVIDERS, "broken": broken}
        page = text_of(client.get(url("add")))
        assert "is wrongly configured" in page
        assert 'href="?account=broken"' not in page
        assert "There is no account broken" in text_of(client.get(form_url("broken")))


class TestForm:
    @pytest.mark.parametrize(
        ("account", "there", "not_there"),
        [
            ("ripio", {"customer_id", "uploads"}, {"category", "contact_email", "tags", "priority"}),
            ("moov", {"customer_id", "contact_email", "option_author"}, {"category", "uploads", "tags"}),
            ("ankra", {"category", "priority", "uploads", "option_acknowledged"}, {"customer_id", "tags"}),
            ("local", {"contact_name", "category", "tags", "uploads"}, {"customer_id"}),
        ],
    )
    def test_it_has_what_the_vendor_can_be_told(
        self, client: Client, account: str, there: set[str], not_there: set[str]
    ) -> None:
        fields = client.get(form_url(account)).context["adminform"].form.fields.keys()
        assert there | {"subject", "description", "requester"} <= fields
        assert not not_there & fields

    def test_limits_are_said_and_kept_by_the_browser(self, client: Client) -> None:
        page = text_of(client.get(form_url("ripio")))
        assert 'maxlength="240"' in page
        assert "At most 5000 characters." in page
        assert 'accept=".avi,.jpeg' in page
        assert "Kinds: avi, jpeg, jpg, mov, mp4, pdf, png, webm, webp." in page

    def test_categories_are_a_choice(self, client: Client) -> None:
        page = text_of(client.get(form_url("ankra")))
        assert '<option value="technical">technical</option>' in page
        assert set(errors_of(submit(client, "ankra", category="gardening"))) == {"category"}

    def test_where_no_files_are_taken_it_says_so(self, client: Client) -> None:
        assert "takes no files" in text_of(client.get(form_url("moov")))

    def test_who_may_not_add_files_has_no_field_for_them(self, staff: Callable[..., Client]) -> None:
        client = staff("add_ticket", "view_ticket")
        assert 'name="uploads"' not in text_of(client.get(form_url("ripio")))
        submit(client, "ripio", customer_id="c", uploads=[receipt()])
        assert not Attachment.objects.exists()


class TestSubmitting:
    def test_a_ticket_with_a_file_is_queued(self, client: Client, agent: Any) -> None:
        answer = submit(client, "local", uploads=[receipt()], tags="card, urgent,")
        ticket = Ticket.objects.get()
        assert answer.url == url("change", ticket.pk)
        assert (ticket.delivery, ticket.requester, ticket.tags) == (Delivery.QUEUED, agent, ["card", "urgent"])
        assert OutboxEntry.objects.filter(ticket=ticket).exists()
        file = ticket.attachments.get()
        assert (file.name, file.delivery, file.created_by) == ("receipt.png", Delivery.QUEUED, agent)
        assert "The next sync_tickets run will send it." in said(answer)

    def test_the_timeline_says_who_has_submitted_it(self, client: Client, agent: Any, django_user_model: Any) -> None:
        other = django_user_model.objects.create_user("other")
        submit(client, "local", requester=other.pk)
        event = Ticket.objects.get().events.get(kind="submitted")
        assert (event.actor, event.source, event.changes["item"]) == (agent, "admin", "create")

    def test_the_requester_can_be_somebody_else(self, client: Client, django_user_model: Any) -> None:
        customer = django_user_model.objects.create_user("customer")
        submit(client, "local", requester=str(customer.pk))
        assert Ticket.objects.get().requester == customer

    def test_options_of_the_vendor_are_kept(self, client: Client) -> None:
        submit(client, "ankra", option_acknowledged="True", option_cluster_id=" c1 ")
        assert Ticket.objects.get().options == {"acknowledged": True, "cluster_id": "c1"}

    @pytest.mark.parametrize(
        ("account", "values", "field"),
        [
            ("moov", {}, "customer_id"),
            ("moov", {"customer_id": "c"}, "contact_email"),
            ("ripio", {"customer_id": "c", "subject": "x" * 241}, "subject"),
            ("ripio", {"customer_id": "c", "description": ""}, "description"),
            ("ripio", {"customer_id": "c", "uploads": [SimpleUploadedFile("a.exe", b"MZ")]}, "uploads"),
            ("ripio", {"customer_id": "c", "uploads": [SimpleUploadedFile("a.png", b"no picture")]}, "uploads"),
            ("ripio", {"customer_id": "c", "uploads": [SimpleUploadedFile("a.png", b"")]}, "uploads"),
            ("ripio", {"customer_id": "c", "uploads": [SimpleUploadedFile("a.png", PNG)] * 6}, "uploads"),
            ("local", {"requester": "999999"}, "requester"),
            ("local", {"requester": "nobody"}, "requester"),
            ("local", {"contact_email": "nowhere"}, "contact_email"),
        ],
    )  # fmt: skip
    def test_what_the_vendor_would_refuse_is_said_at_its_field(
        self, client: Client, account: str, values: Any, field: str
    ) -> None:
        assert field in errors_of(submit(client, account, **values))
        assert not Ticket.objects.exists()
        assert not Attachment.objects.exists()

    def test_ends_of_lines_count_as_the_vendor_counts_them(self, client: Client) -> None:
        submit(client, "ripio", customer_id="c", description="a\r\n" * 2500)
        assert Ticket.objects.get().description == ("a\n" * 2500).strip()

    def test_what_a_filter_makes_too_long_is_said_at_its_field(self, client: Client, settings: Any) -> None:
        settings.SUPPORT_TICKETS_OUTGOING_FILTERS = ["tests.admin.test_raising.blow_up"]
        found = errors_of(submit(client, "ripio", customer_id="c", uploads=[receipt()]))
        assert set(found) == {"subject", "description"}
        assert not Ticket.objects.exists()

    def test_a_second_click_raises_nothing(self, client: Client) -> None:
        key = str(uuid.uuid4())
        first, second = submit(client, "local", key=key), submit(client, "local", key=key)
        assert first.url == second.url
        assert Ticket.objects.count() == 1
        assert "raised already" in said(second)

    def test_without_a_storage_files_are_refused_in_words(self, client: Client, settings: Any) -> None:
        settings.STORAGES = {name: value for name, value in settings.STORAGES.items() if name != "support_tickets"}
        found = errors_of(submit(client, "local", uploads=[receipt()]))
        assert "STORAGES" in str(found["uploads"])

    def test_a_storage_that_does_not_work_is_said(self, client: Client, settings: Any) -> None:
        settings.STORAGES = {
            **settings.STORAGES,
            "support_tickets": {"BACKEND": "tests.admin.test_raising.BrokenStorage"},
        }
        found = errors_of(submit(client, "local", uploads=[receipt()]))
        assert "storage" in str(found["__all__"])
        assert not Ticket.objects.exists()

    def test_a_popup_hands_the_ticket_back(self, client: Client) -> None:
        page = text_of(submit(client, "local", _popup="1"))
        assert "popup_response.js" in page
        assert str(Ticket.objects.get().pk) in page


class TestDrafts:
    @pytest.fixture
    def draft(self, client: Client) -> Ticket:
        client.post(form_url("ripio"), {"subject": "Later", "_draft": "", "uploads": [receipt()]})
        return Ticket.objects.get()

    def test_a_draft_may_be_incomplete_and_is_not_sent(self, client: Client, draft: Ticket) -> None:
        assert draft.delivery == Delivery.DRAFT
        assert [file.name for file in draft.attachments.all()] == ["receipt.png"]
        page = text_of(client.get(url("change", draft.pk)))
        assert 'value="Later"' in page
        assert "Draft for ripio" in page

    def test_only_the_subject_must_be_there(self, client: Client) -> None:
        answer = client.post(form_url("ripio"), {"subject": "", "_draft": ""})
        assert set(errors_of(answer)) == {"subject"}

    def test_it_can_be_changed(self, client: Client, draft: Ticket) -> None:
        client.post(url("change", draft.pk), {"subject": "Sooner", "customer_id": "c", "_draft": ""})
        draft.refresh_from_db()
        assert (draft.subject, draft.customer_id, draft.delivery) == ("Sooner", "c", Delivery.DRAFT)

    def test_files_come_and_go(self, client: Client, draft: Ticket) -> None:
        old = str(draft.attachments.get().key)
        values = {"subject": "Later", "_draft": "", "discard": [old], "uploads": [receipt("new.png")]}
        client.post(url("change", draft.pk), values)
        assert [file.name for file in draft.attachments.all()] == ["new.png"]

    def test_it_is_submitted_with_its_files(self, client: Client, draft: Ticket) -> None:
        assert not draft.events.filter(kind="submitted").exists()
        answer = client.post(url("change", draft.pk), {**TEXT, "customer_id": "c", "_submit": ""})
        draft.refresh_from_db()
        assert draft.delivery == Delivery.QUEUED
        assert draft.events.filter(kind="submitted", actor__isnull=False).count() == 1
        assert draft.submitted_at is not None
        assert OutboxEntry.objects.filter(ticket=draft).exists()
        assert "The ticket was submitted." in said(answer)
        assert "receipt.png" in text_of(client.get(answer.url))

    def test_what_is_missing_keeps_it_a_draft(self, client: Client, draft: Ticket) -> None:
        answer = client.post(url("change", draft.pk), {**TEXT, "_submit": ""})
        assert set(errors_of(answer)) == {"customer_id"}
        draft.refresh_from_db()
        assert (draft.delivery, draft.subject) == (Delivery.DRAFT, "Later")

    def test_what_a_filter_breaks_keeps_it_a_draft(self, client: Client, draft: Ticket, settings: Any) -> None:
        settings.SUPPORT_TICKETS_OUTGOING_FILTERS = ["tests.admin.test_raising.blow_up"]
        answer = client.post(url("change", draft.pk), {**TEXT, "customer_id": "c", "_submit": ""})
        assert "subject" in errors_of(answer)
        draft.refresh_from_db()
        assert (draft.delivery, draft.subject) == (Delivery.DRAFT, "Later")

    def test_a_second_click_on_submit_changes_nothing(self, client: Client, draft: Ticket) -> None:
        values = {**TEXT, "customer_id": "c", "_submit": ""}
        client.post(url("change", draft.pk), values)
        answer = client.post(url("change", draft.pk), {**values, "subject": "Other"})
        assert answer.status_code == 302
        draft.refresh_from_db()
        assert draft.subject == TEXT["subject"]

    def test_of_an_account_that_is_gone_it_is_shown(self, client: Client, draft: Ticket, settings: Any) -> None:
        del settings.SUPPORT_TICKETS_PROVIDERS
        assert "not (or wrongly) configured" in text_of(client.get(url("change", draft.pk)))


def blow_up(text: str) -> str:
    """Return a text that is too long for everybody."""
    return text + "x" * 6000


class BrokenStorage:
    """A storage that is down."""

    def __init__(self, **options: Any) -> None:
        pass

    def save(self, *args: Any, **kwargs: Any) -> str:
        raise OSError("the disk is gone")

    def exists(self, name: str) -> bool:
        raise OSError("the disk is gone")
