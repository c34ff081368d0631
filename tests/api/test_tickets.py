from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from django_support_tickets.api.raising import Conflict, delete_draft, edit_draft, submit_draft
from django_support_tickets.api.urls import urlpatterns
from django_support_tickets.models import Attachment, OutboxEntry, Ticket, TicketEvent
from django_support_tickets.outbox.push import push
from tests.api.conftest import client_of, staff

User = get_user_model()

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

URL = "/api/tickets/"
HELLO = {"provider": "local", "subject": "Deposit missing"}
GOOD = {
    "provider": "desk",
    "subject": "Hello",
    "description": "Hi",
    "customer_id": "C-1",
    "contact_email": "a@b.example",
}


def text(name: str = "receipt.txt", size: int = 4) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, b"x" * size)


class TestRaising:
    def test_a_ticket_is_queued_with_its_files(self, as_customer: APIClient, customer: User) -> None:
        data = {"category": "card", "priority": "high", "tags": ["a"], "description": "Since noon."}
        answer = as_customer.post(URL, {**HELLO, **data, "files": [text()]})
        assert answer.status_code == 201
        ticket = Ticket.objects.get()
        assert answer.headers["Location"] == f"http://testserver{URL}{ticket.key}/"
        assert as_customer.get(answer.headers["Location"]).content == answer.content
        assert (ticket.requester, ticket.delivery, ticket.priority) == (customer, "queued", "high")
        assert OutboxEntry.objects.get().ticket == ticket
        event = TicketEvent.objects.get()
        assert (event.kind, event.source, event.actor) == ("submitted", "api", customer)
        assert push("local").delivered >= 1
        seen = as_customer.get(f"{URL}{ticket.key}/").json()
        assert (seen["delivery"], seen["status"], seen["attachments_count"]) == ("delivered", "open", 1)

    def test_the_account_may_be_left_out_where_there_is_one(self, as_customer: APIClient, settings: Any) -> None:
        missing = as_customer.post(URL, {"subject": "Hello"}, format="json")
        assert (missing.status_code, missing.json()) == (400, {"provider": ["Name the account."]})
        settings.SUPPORT_TICKETS_PROVIDERS = {"local": settings.SUPPORT_TICKETS_PROVIDERS["local"]}
        assert as_customer.post(URL, {"subject": "Hello"}, format="json").json()["provider"] == "local"

    def test_an_account_that_is_misconfigured_is_none(self, as_agent: APIClient, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {
            "broken": {**settings.SUPPORT_TICKETS_PROVIDERS["desk"], "OPTIONS": {"tokn": "canary"}}
        }
        answer = as_agent.post(URL, {**HELLO, "provider": "broken"}, format="json")
        assert (answer.status_code, answer.json()) == (400, {"provider": ["There is no such account."]})
        assert as_agent.get("/api/providers/").json() == []

    def test_a_rollback_leaves_nothing(self, as_customer: APIClient, settings: Any) -> None:
        settings.SUPPORT_TICKETS_OUTGOING_FILTERS = ["tests.api.test_tickets.fail"]
        with pytest.raises(ZeroDivisionError):
            as_customer.post(URL, {**HELLO, "files": [text()]})
        assert not Ticket.objects.exists()
        assert not OutboxEntry.objects.exists()

    def test_nothing_is_answered_that_an_outer_transaction_could_undo(self, settings: Any) -> None:
        for pattern in urlpatterns:
            assert "default" in pattern.callback._non_atomic_requests


def fail(words: str) -> str:
    raise ZeroDivisionError


class TestCapabilities:
    """What the vendor would refuse is a 400 that names the field, and nothing is stored."""

    @pytest.mark.fault(22)
    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"subject": "x" * 41}, "subject"),
            ({"subject": "  "}, "subject"),
            ({"description": "x" * 101}, "description"),
            ({"description": ""}, "description"),
            ({"category": "shoes"}, "category"),
            ({"priority": "extreme"}, "priority"),
            ({"options": {"colour": 1}}, "options"),
            ({"customer_id": ""}, "customer_id"),
            ({"contact_email": "nobody"}, "contact_email"),
            ({"customer_id": "x" * 256}, "customer_id"),
        ],
    )
    def test_fields(self, as_agent: APIClient, values: dict[str, Any], field: str) -> None:
        answer = as_agent.post(URL, {**GOOD, **values}, format="json")
        assert (answer.status_code, list(answer.json())) == (400, [field])
        assert not Ticket.objects.exists()

    @pytest.mark.fault(22)
    @pytest.mark.parametrize(
        "files",
        [
            [("a.txt", 1001)],
            [("a.txt", 1000), ("b.txt", 600)],
            [("a.txt", 1), ("b.txt", 1), ("c.txt", 1)],
            [("a.png", 1)],
            [("a.txt", 0)],
        ],
        ids=["too large", "too large together", "too many", "extension", "empty"],
    )
    @pytest.mark.parametrize("draft", [True, False])
    def test_files(self, as_agent: APIClient, files: list[tuple[str, int]], draft: bool) -> None:
        before = stored_files()
        uploads = [text(name, size) for name, size in files]
        answer = as_agent.post(URL, {**GOOD, "draft": draft, "files": uploads})
        assert (answer.status_code, list(answer.json())) == (400, ["files"])
        assert not Ticket.objects.exists()
        assert stored_files() == before

    def test_everything_at_its_limit_is_taken(self, as_agent: APIClient) -> None:
        values = {"subject": "x" * 40, "description": "x" * 100, "category": "card", "priority": "low"}
        answer = as_agent.post(URL, {**GOOD, **values, "files": [text(size=1000), text("b.txt", 500)]})
        assert answer.status_code == 201, answer.content

    def test_no_files_where_the_site_has_no_storage(self, as_customer: APIClient, settings: Any) -> None:
        settings.STORAGES = {name: value for name, value in settings.STORAGES.items() if name != "support_tickets"}
        answer = as_customer.post(URL, {**HELLO, "files": [text()]})
        assert (answer.status_code, list(answer.json())) == (400, ["files"])

    def test_a_storage_that_fails_is_a_503(self, as_customer: APIClient, settings: Any) -> None:
        settings.STORAGES = {
            **settings.STORAGES,
            "support_tickets": {
                "BACKEND": "django.core.files.storage.FileSystemStorage",
                "OPTIONS": {"location": "/dev/null/nowhere"},
            },
        }
        answer = as_customer.post(URL, {**HELLO, "files": [text()]})
        assert answer.status_code == 503
        assert not Ticket.objects.exists()


def stored_files() -> list[list[str]]:
    storage = storages["support_tickets"]
    return [storage.listdir(folder)[1] for folder in storage.listdir("")[0]]


class TestDrafts:
    def test_a_draft_is_raised_edited_and_submitted(self, as_customer: APIClient, customer: User) -> None:
        draft = as_customer.post(URL, {**HELLO, "draft": True, "files": [text()]}).json()
        assert (draft["delivery"], draft["submitted_at"], draft["attachments_count"]) == ("draft", None, 1)
        assert push("local").delivered == 0
        url = f"{URL}{draft['key']}/"
        assert as_customer.patch(url, {"subject": "Edited"}, format="json").json()["subject"] == "Edited"
        assert as_customer.post(f"{url}attachments/", {"file": text("more.txt")}).status_code == 201
        submitted = as_customer.post(f"{url}submit/").json()
        assert (submitted["delivery"], submitted["attachments_count"]) == ("queued", 2)
        assert push("local").delivered >= 1
        ticket = Ticket.objects.get()
        assert (ticket.subject, ticket.delivery) == ("Edited", "delivered")
        assert {file.delivery for file in ticket.attachments.all()} == {"delivered"}
        event = TicketEvent.objects.filter(kind="submitted").get()
        assert (event.source, event.actor) == ("api", customer)

    def test_a_draft_is_asked_what_the_vendor_takes_when_it_is_submitted(self, as_agent: APIClient) -> None:
        draft = as_agent.post(URL, {"provider": "desk", "subject": "x" * 50, "draft": True}, format="json").json()
        answer = as_agent.post(f"{URL}{draft['key']}/submit/")
        assert answer.status_code == 400
        assert set(answer.json()) == {"subject", "description", "customer_id", "contact_email"}
        assert Ticket.objects.get().delivery == "draft"
        assert as_agent.patch(f"{URL}{draft['key']}/", GOOD, format="json").status_code == 200
        assert as_agent.post(f"{URL}{draft['key']}/submit/").json()["delivery"] == "queued"

    def test_a_draft_is_deleted(self, as_customer: APIClient) -> None:
        draft = as_customer.post(URL, {**HELLO, "draft": True, "files": [text()]}).json()
        assert as_customer.delete(f"{URL}{draft['key']}/").status_code == 204
        assert not Ticket.objects.exists()
        assert not Attachment.objects.exists()

    @pytest.mark.parametrize("delivery", ["queued", "delivered", "refused", "uncertain"])
    def test_what_was_submitted_is_neither_edited_nor_deleted(
        self, as_customer: APIClient, stored: Any, delivery: str
    ) -> None:
        ticket = stored(delivery=delivery, remote_id="R-1")
        url = f"{URL}{ticket.key}/"
        assert as_customer.patch(url, {"subject": "Edited", "priority": "high"}, format="json").status_code == 409
        assert as_customer.delete(url).status_code == 409
        assert as_customer.post(f"{url}submit/").status_code == (200 if delivery == "refused" else 409)
        again = Ticket.objects.get()
        assert (again.subject, again.priority) == ("Deposit missing", "")

    def test_the_account_of_a_draft_with_files_stays(self, as_agent: APIClient) -> None:
        draft = as_agent.post(URL, {**HELLO, "draft": True, "files": [text()]}).json()
        answer = as_agent.patch(f"{URL}{draft['key']}/", {"provider": "desk"}, format="json")
        assert (answer.status_code, list(answer.json())) == (400, ["provider"])
        assert as_agent.patch(f"{URL}{draft['key']}/", {"provider": "local"}, format="json").status_code == 200

    def test_files_are_added_to_a_draft_one_by_one(self, as_customer: APIClient, stored: Any) -> None:
        url = f"{URL}{stored(delivery='draft').key}/"
        answer = as_customer.patch(url, {"subject": "Edited", "files": [text()]})
        assert (answer.status_code, list(answer.json())) == (400, ["files"])
        assert Ticket.objects.get().subject == "Deposit missing"
        assert as_customer.patch(url, {"subject": "Edited"}).status_code == 200

    def test_one_that_was_submitted_meanwhile_is_a_conflict(self, as_customer: APIClient, stored: Any) -> None:
        stale = stored(delivery="draft")
        Ticket.objects.get().submit()
        for change in (
            lambda: edit_draft(stale, {"priority": "high"}),
            lambda: delete_draft(stale),
            lambda: submit_draft(stale, {}, user=None),
        ):
            with pytest.raises(Conflict):
                change()
        assert Ticket.objects.get().priority == ""


class TestAgents:
    def test_only_some_permissions_allow_only_some_things(self, stored: Any) -> None:
        draft = stored(delivery="draft")
        editor = client_of(staff("editor", "view_ticket", "change_ticket"))
        url = f"{URL}{draft.key}/"
        assert editor.patch(url, {"subject": "Edited"}, format="json").status_code == 200
        assert editor.delete(url).status_code == 403
        assert editor.post(f"{url}refresh/").status_code == 403
        assert editor.post(f"{url}comments/", {"body": "Hi"}, format="json").status_code == 403

    def test_files_need_their_own_permission_everywhere(self, delivered: Any) -> None:
        writer = client_of(staff("writer", "view_ticket", "add_ticket", "add_comment"))
        url = f"{URL}{delivered().key}/"
        assert writer.post(URL, {**HELLO, "files": [text()]}).status_code == 403
        assert writer.post(f"{url}comments/", {"body": "Hi", "files": [text()]}).status_code == 403
        assert writer.post(f"{url}comments/", {"body": "Hi"}).status_code == 201
        assert not Attachment.objects.exists()

    def test_the_reason_of_a_refusal_is_for_agents(
        self, stored: Any, as_agent: APIClient, as_customer: APIClient
    ) -> None:
        url = f"{URL}{stored(delivery='refused', delivery_error='no e-mail [20061]').key}/"
        assert as_agent.get(url).json()["delivery_error"] == "no e-mail [20061]"
        assert "20061" not in as_customer.get(url).content.decode()
