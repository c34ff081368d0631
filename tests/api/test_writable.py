"""What a request may set, asked of every field that the models have."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import models
from rest_framework.test import APIClient

from django_support_tickets.models import Attachment, Comment, Ticket
from tests.api.conftest import client_of, staff

User = get_user_model()

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

CUSTOMERS = {"provider", "subject", "description", "priority", "category", "tags", "options"}
AGENTS = CUSTOMERS | {"customer_id", "contact_name", "contact_email", "requester", "about_type", "about_id"}
SUBJECT = {"provider": "local", "subject": "Deposit missing"}
# Set by the server at each write: they differ from the default, but not because the request says so.
OURS = {"id", "key", "created_at", "updated_at", "submitted_at", "delivery"}


def hostile(field: models.Field[Any, Any], stranger: User) -> Any:
    """Return a value that the column would take and that nothing of ours would choose."""
    match field:
        case models.ForeignKey():
            return stranger.pk
        case models.UUIDField():
            return "11111111-1111-1111-1111-111111111111"
        case models.DateTimeField():
            return "2001-02-03T04:05:06Z"
        case models.JSONField():
            return ["hostile"] if field.name == "tags" else {"hostile": 1}
        case models.BigAutoField() | models.BigIntegerField():
            return 987654
        case models.EmailField():
            return "hostile@example.com"
        case models.FileField():
            return "../../hostile.txt"
    return field.choices[-1][0] if field.choices else "hostile"


def fields_of(model: type[models.Model]) -> list[Any]:
    return [*model._meta.concrete_fields]


def payload(field: Any, stranger: User) -> dict[str, Any]:
    value = hostile(field, stranger)
    return {field.name: value, field.attname: value}


def assert_untouched(row: models.Model, field: Any, stranger: User) -> None:
    row.refresh_from_db()
    value, wanted = getattr(row, field.attname), hostile(field, stranger)
    assert str(value) not in (str(wanted), "2001-02-03 04:05:06+00:00"), field.name
    if field.name not in OURS | {"requester", "ticket", "created_by", *SUBJECT}:
        fresh = type(row)()
        default = getattr(fresh, field.attname)
        assert (value or "") == (default or ""), field.name


def as_json(pk: Any) -> Any:
    return pk if isinstance(pk, int) else str(pk)


class TestMassAssignment:
    @pytest.mark.fault(81)
    @pytest.mark.parametrize("field", [f for f in fields_of(Ticket) if f.name not in CUSTOMERS], ids=str)
    @pytest.mark.parametrize("draft", [True, False])
    def test_a_customer_sets_nothing_else(
        self, field: Any, draft: bool, as_customer: APIClient, other: User, customer: User
    ) -> None:
        answer = as_customer.post("/api/tickets/", {**payload(field, other), **SUBJECT, "draft": draft}, format="json")
        assert answer.status_code == 201, answer.content
        ticket = Ticket.objects.get()
        assert (ticket.requester, ticket.delivery) == (customer, "draft" if draft else "queued")
        assert_untouched(ticket, field, other)
        if draft:
            edited = as_customer.patch(f"/api/tickets/{ticket.key}/", payload(field, other), format="json")
            assert edited.status_code == 200
            assert_untouched(ticket, field, other)
            assert Ticket.objects.get().delivery == "draft"

    @pytest.mark.fault(81)
    @pytest.mark.parametrize("field", [f for f in fields_of(Ticket) if f.name not in AGENTS], ids=str)
    def test_an_agent_sets_nothing_else(self, field: Any, as_agent: APIClient, other: User, agent: User) -> None:
        answer = as_agent.post("/api/tickets/", {**payload(field, other), **SUBJECT, "draft": True}, format="json")
        assert answer.status_code == 201, answer.content
        ticket = Ticket.objects.get()
        assert ticket.requester == agent
        assert_untouched(ticket, field, other)
        assert as_agent.patch(f"/api/tickets/{ticket.key}/", payload(field, other), format="json").status_code == 200
        assert_untouched(ticket, field, other)

    @pytest.mark.fault(80, 81)
    @pytest.mark.parametrize("field", [f for f in fields_of(Comment) if f.name != "body"], ids=str)
    def test_a_comment_says_its_text_only(
        self, field: Any, as_customer: APIClient, customer: User, other: User, delivered: Callable[..., Ticket]
    ) -> None:
        ticket, foreign = delivered(), delivered("R-2", requester=other)
        hostile_data = {**payload(field, other), **({"ticket": str(foreign.key)} if field.name == "ticket" else {})}
        url = f"/api/tickets/{ticket.key}/comments/"
        assert as_customer.post(url, {**hostile_data, "body": "Hello"}, format="json").status_code == 201
        comment = Comment.objects.get()
        assert (comment.ticket, comment.created_by, comment.delivery) == (ticket, customer, "queued")
        assert_untouched(comment, field, other)

    @pytest.mark.fault(80, 81)
    @pytest.mark.parametrize("field", [f for f in fields_of(Attachment) if f.name not in ("file", "name")], ids=str)
    def test_a_file_brings_its_bytes_only(
        self, field: Any, as_customer: APIClient, customer: User, other: User, delivered: Callable[..., Ticket]
    ) -> None:
        ticket = delivered()
        data = {name: str(value) for name, value in payload(field, other).items()}
        if field.name == "comment":
            foreign = Comment.objects.bulk_create([Comment(ticket=delivered("R-2", requester=other), body="Hi")])[0]
            data = {"comment": str(foreign.key), "comment_id": str(foreign.pk)}
        upload = SimpleUploadedFile("receipt.txt", b"paid", content_type="text/html")
        answer = as_customer.post(f"/api/tickets/{ticket.key}/attachments/", {**data, "file": upload})
        assert answer.status_code == 201, answer.content
        file = Attachment.objects.get()
        assert (file.ticket, file.created_by, file.comment, file.delivery) == (ticket, customer, None, "queued")
        assert (file.content_type, file.size, file.direction, file.state) == ("text/plain", 4, "out", "stored")
        assert "hostile" not in f"{file.file.name} {file.remote_id} {file.remote_url} {file.error} {file.sha256}"


class TestRelations:
    """Ids in the body resolve inside what the user may see, and move nothing."""

    @pytest.mark.fault(80)
    def test_a_draft_stays_its_requesters(
        self, as_customer: APIClient, customer: User, other: User, stored: Any
    ) -> None:
        draft = stored(delivery="draft")
        data = {"requester": other.pk, "requester_id": other.pk, "about": "auth.permission:1", "customer_id": "C-2"}
        assert as_customer.patch(f"/api/tickets/{draft.key}/", data, format="json").status_code == 200
        draft.refresh_from_db()
        assert (draft.requester, draft.about_type, draft.about_id, draft.customer_id) == (customer, None, "", "")

    @pytest.mark.fault(80)
    def test_an_agent_names_only_what_they_may_view(self, as_agent: APIClient) -> None:
        permission = Permission.objects.order_by("pk").last()
        data = {**SUBJECT, "about": f"auth.permission:{permission.pk}"}
        unseen = as_agent.post("/api/tickets/", data, format="json")
        nothing = {**data, "about": f"auth.permission:{permission.pk + 1}"}
        missing = as_agent.post("/api/tickets/", nothing, format="json")
        assert (unseen.status_code, unseen.json()) == (400, {"about": ["There is no such object."]})
        assert unseen.content == missing.content
        assert not Ticket.objects.exists()
        seeing = client_of(User.objects.create_superuser("root"))
        assert seeing.post("/api/tickets/", data, format="json").json()["about"] == data["about"]
        assert Ticket.objects.get().about == permission

    @pytest.mark.parametrize(
        "about",
        ["", "auth.group", "auth.group:", "auth.group:x", "no.such:1", "auth:1", "a.b.c:1", 7, [], "é.x:1"],
    )
    def test_what_a_ticket_is_about_is_an_object_or_nothing(self, as_agent: APIClient, about: Any) -> None:
        answer = as_agent.post("/api/tickets/", {**SUBJECT, "about": about}, format="json")
        assert answer.status_code == (201 if about == "" else 400)

    @pytest.mark.parametrize("requester", [10**30, "x", None, True, {}, -1])
    def test_a_requester_is_an_active_user(self, as_agent: APIClient, requester: Any, other: User) -> None:
        assert as_agent.post("/api/tickets/", {**SUBJECT, "requester": requester}, format="json").status_code == 400
        User.objects.filter(pk=other.pk).update(is_active=False)
        assert as_agent.post("/api/tickets/", {**SUBJECT, "requester": other.pk}, format="json").status_code == 400

    def test_an_agent_raises_a_ticket_for_somebody(self, as_agent: APIClient, other: User, as_other: APIClient) -> None:
        values = {"requester": as_json(other.pk), "customer_id": "C-1", "contact_email": "bob@example.com"}
        answer = as_agent.post("/api/tickets/", {**SUBJECT, **values}, format="json")
        assert {name: answer.json()[name] for name in values} == values
        assert as_other.get(f"/api/tickets/{answer.json()['key']}/").json()["contact_email"] == "bob@example.com"

    @pytest.mark.fault(80)
    def test_settling_finds_only_what_belongs_to_the_ticket(self, as_agent: APIClient, delivered: Any) -> None:
        ticket, foreign = delivered(), delivered("R-2")
        comment = Comment.objects.bulk_create([Comment(ticket=foreign, body="Hi", delivery="uncertain")])[0]
        url = f"/api/tickets/{ticket.key}/settle/"
        for key in (comment.key, foreign.key, uuid.uuid4()):
            answer = as_agent.post(url, {"item": str(key), "send_again": True}, format="json")
            assert (answer.status_code, answer.json()) == (400, {"item": ["This ticket has no such item."]})
        comment.refresh_from_db()
        assert comment.delivery == "uncertain"


def test_an_agent_without_the_permission_to_add_raises_nothing() -> None:
    viewer = client_of(staff("viewer", "view_ticket"))
    assert viewer.post("/api/tickets/", SUBJECT, format="json").status_code == 403
    assert not Ticket.objects.exists()
