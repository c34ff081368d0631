from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from django_support_tickets.models import Comment, Delivery, Ticket
from django_support_tickets.outbox.push import push

pytestmark = pytest.mark.django_db
FORM = {"provider": "local", "subject": "Deposit missing", "description": "Since noon.", "tags": "", "options": ""}


@pytest.fixture
def agent(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("agent"))
    return client


class TestRaising:
    def test_a_ticket_with_a_file_is_queued(self, agent: Client) -> None:
        file = SimpleUploadedFile("receipt.png", b"\x89PNG\r\n\x1a\n0000")
        answer = agent.post(reverse("admin:support_tickets_ticket_add"), {**FORM, "uploads": [file]})
        assert answer.status_code == 302, answer.content.decode()
        ticket = Ticket.objects.get()
        assert (ticket.delivery, ticket.requester) == (Delivery.QUEUED, User.objects.get())
        assert [file.name for file in ticket.attachments.all()] == ["receipt.png"]
        assert push("local").delivered == 1
        assert ticket.attachments.get().delivery == Delivery.DELIVERED

    def test_a_draft_is_not_sent(self, agent: Client) -> None:
        agent.post(reverse("admin:support_tickets_ticket_add"), {**FORM, "as_draft": "on"})
        assert Ticket.objects.get().delivery == Delivery.DRAFT
        assert push("local").delivered == 0

    def test_what_the_vendor_would_refuse_is_said_in_the_form(self, agent: Client, settings: object) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {  # type: ignore[attr-defined]
            "moov": {
                "BACKEND": "django_support_tickets.providers.moov.MoovProvider",
                "OPTIONS": {"public_key": "a", "secret_key": "b"},
            }
        }
        answer = agent.post(reverse("admin:support_tickets_ticket_add"), {**FORM, "provider": "moov"})
        assert answer.status_code == 200
        assert {"customer_id", "contact_email"} <= set(answer.context["adminform"].form.errors)
        assert not Ticket.objects.exists()


class TestReading:
    def test_the_list_and_a_ticket_show_what_there_is(self, agent: Client) -> None:
        ticket = Ticket.objects.create(subject="<b>Card</b> blocked")
        push("local")
        Comment.objects.create(ticket=ticket, body="<script>alert(1)</script>")
        assert "&lt;b&gt;Card" in agent.get(reverse("admin:support_tickets_ticket_changelist")).content.decode()
        page = agent.get(reverse("admin:support_tickets_ticket_change", args=[ticket.pk])).content.decode()
        assert str(ticket.key) in page
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert(1)" not in page
