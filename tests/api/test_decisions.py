"""Close, refresh and settle: asked for here, done by push and pull."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from rest_framework.test import APIClient

from django_support_tickets.models import Attachment, Comment, OutboxEntry, Ticket, TicketEvent
from django_support_tickets.outbox.push import push

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

User = get_user_model()
URL = "/api/tickets/"


class TestClosing:
    def test_it_is_queued_and_noted(self, as_customer: APIClient, customer: Any, delivered: Any) -> None:
        url = f"{URL}{delivered().key}/close/"
        answer = as_customer.post(url)
        assert (answer.status_code, answer.json()["closing"]) == (202, "queued")
        assert "on its way" in answer.json()["closing_text"]
        event = TicketEvent.objects.get()
        assert (event.source, event.actor, event.changes["item"]) == ("api", customer, "close")
        assert as_customer.post(url).status_code == 409
        assert push("local").delivered == 1
        assert as_customer.get(f"{URL}{Ticket.objects.get().key}/").json()["status"] == "closed"
        assert as_customer.post(url).json() == {"detail": "The ticket is closed already."}

    def test_not_where_the_vendor_has_no_close(self, as_customer: APIClient, delivered: Any) -> None:
        answer = as_customer.post(f"{URL}{delivered(provider='desk').key}/close/")
        assert answer.status_code == 409
        assert not OutboxEntry.objects.exists()

    @pytest.mark.parametrize("delivery", ["draft", "refused", "uncertain"])
    def test_not_what_is_not_at_the_vendor(self, as_customer: APIClient, stored: Any, delivery: str) -> None:
        assert as_customer.post(f"{URL}{stored(delivery=delivery).key}/close/").status_code == 409


class TestRefreshing:
    def test_it_makes_the_ticket_due_and_calls_nobody(self, as_customer: APIClient, delivered: Any) -> None:
        ticket = delivered(provider="desk")  # whose every call raises
        answer = as_customer.post(f"{URL}{ticket.key}/refresh/")
        assert answer.status_code == 202
        assert list(Ticket.objects.due("desk", now=timezone.now() + timedelta(seconds=5))) == [ticket]

    def test_it_is_throttled_per_ticket(self, as_customer: APIClient, delivered: Any) -> None:
        later = timezone.now() + timedelta(hours=1)
        ticket = delivered(synced_at=timezone.now() - timedelta(seconds=20), next_poll_at=later)
        answer = as_customer.post(f"{URL}{ticket.key}/refresh/")
        assert answer.status_code == 429
        assert 30 <= int(answer.headers["Retry-After"]) <= 41
        assert Ticket.objects.get().next_poll_at == later
        Ticket.objects.update(synced_at=timezone.now() - timedelta(seconds=61))
        assert as_customer.post(f"{URL}{ticket.key}/refresh/").status_code == 202
        assert Ticket.objects.get().next_poll_at < later

    def test_one_that_is_due_already_stays_so(self, as_customer: APIClient, delivered: Any) -> None:
        due = timezone.now() - timedelta(minutes=5)
        ticket = delivered(next_poll_at=due)
        assert as_customer.post(f"{URL}{ticket.key}/refresh/").status_code == 202
        assert Ticket.objects.get().next_poll_at == due

    def test_not_what_is_not_at_the_vendor(self, as_customer: APIClient, stored: Any) -> None:
        assert as_customer.post(f"{URL}{stored(delivery='queued').key}/refresh/").status_code == 409


class TestSettling:
    def settle(self, client: APIClient, ticket: Ticket, **data: Any) -> Any:
        return client.post(f"{URL}{ticket.key}/settle/", data, format="json")

    def test_a_ticket_exists(self, as_agent: APIClient, agent: Any, stored: Any) -> None:
        ticket = stored(delivery="uncertain")
        answer = self.settle(as_agent, ticket, exists="R-7")
        assert (answer.status_code, answer.json()["delivery"], answer.json()["remote_id"]) == (200, "delivered", "R-7")
        event = TicketEvent.objects.get()
        assert (event.kind, event.source, event.actor) == ("settled", "api", agent)
        assert self.settle(as_agent, ticket, exists="R-7").status_code == 409

    def test_a_ticket_is_sent_again(self, as_agent: APIClient, stored: Any) -> None:
        ticket = stored(delivery="uncertain")
        assert self.settle(as_agent, ticket, send_again=True).json()["delivery"] == "queued"
        assert push("local").delivered == 1

    def test_a_comment_and_a_file(self, as_agent: APIClient, delivered: Any) -> None:
        ticket = delivered()
        comment = Comment.objects.bulk_create([Comment(ticket=ticket, body="Hi", delivery="uncertain")])[0]
        file = Attachment.objects.bulk_create([Attachment(ticket=ticket, name="a.txt", delivery="uncertain")])[0]
        assert self.settle(as_agent, ticket, item=str(comment.key), exists="").status_code == 200
        assert self.settle(as_agent, ticket, item=str(file.key), exists="F-1").status_code == 200
        comment.refresh_from_db()
        file.refresh_from_db()
        assert (comment.delivery, comment.remote_id) == ("delivered", None)
        assert (file.delivery, file.remote_id) == ("delivered", "F-1")

    @pytest.mark.parametrize(
        ("data", "field"),
        [
            ({}, "exists"),
            ({"send_again": False}, "exists"),
            ({"exists": "R-1", "send_again": True}, "exists"),
            ({"exists": "../../B"}, "exists"),
            ({"exists": ""}, "exists"),
            ({"exists": "x" * 256}, "exists"),
            ({"send_again": True, "item": "x"}, "item"),
        ],
    )
    def test_an_odd_decision_is_a_400(self, as_agent: APIClient, stored: Any, data: Any, field: str) -> None:
        answer = self.settle(as_agent, stored(delivery="uncertain"), **data)
        assert (answer.status_code, list(answer.json())) == (400, [field])
        assert Ticket.objects.get().delivery == "uncertain"

    def test_two_tickets_are_not_one(self, as_agent: APIClient, stored: Any, delivered: Any) -> None:
        delivered("R-7")
        assert self.settle(as_agent, stored(delivery="uncertain"), exists="R-7").json().keys() == {"exists"}


class TestConversation:
    def test_a_comment_with_its_file(self, as_customer: APIClient, customer: Any, delivered: Any) -> None:
        ticket = delivered()
        files = [SimpleUploadedFile("log.txt", b"12:00")]
        answer = as_customer.post(f"{URL}{ticket.key}/comments/", {"body": " Any news? ", "files": files})
        assert answer.status_code == 201, answer.content
        comment = Comment.objects.get()
        assert (comment.body, comment.delivery, comment.created_by) == ("Any news?", "queued", customer)
        assert comment.attachments.get().name == "log.txt"
        listed = as_customer.get(f"{URL}{ticket.key}/attachments/").json()["results"]
        assert listed[0]["comment"] == answer.json()["key"]
        event = TicketEvent.objects.get()
        assert (event.kind, event.source, event.actor, event.changes["item"]) == (
            "submitted",
            "api",
            customer,
            "comment",
        )
        assert push("local").delivered >= 1
        comment.refresh_from_db()
        assert comment.delivery == "delivered"

    def test_not_where_the_vendor_takes_none(self, as_customer: APIClient, delivered: Any) -> None:
        answer = as_customer.post(f"{URL}{delivered(provider='desk').key}/comments/", {"body": "Hello"}, format="json")
        assert (answer.status_code, answer.json()) == (400, {"body": ["The desk answers by e-mail."]})
        assert not Comment.objects.exists()

    @pytest.mark.parametrize("body", ["", "  ", None, [], {}])
    def test_a_comment_has_a_text(self, as_customer: APIClient, delivered: Any, body: Any) -> None:
        answer = as_customer.post(f"{URL}{delivered().key}/comments/", {"body": body}, format="json")
        assert (answer.status_code, list(answer.json())) == (400, ["body"])

    @pytest.mark.parametrize("delivery", ["draft", "refused", "uncertain"])
    def test_not_before_the_ticket_is_submitted(self, as_customer: APIClient, stored: Any, delivery: str) -> None:
        url = f"{URL}{stored(delivery=delivery).key}/comments/"
        assert as_customer.post(url, {"body": "Hello"}, format="json").status_code == 400
        assert not Comment.objects.exists()

    def test_a_file_by_itself(self, as_customer: APIClient, customer: Any, delivered: Any) -> None:
        ticket = delivered()
        url = f"{URL}{ticket.key}/attachments/"
        answer = as_customer.post(url, {"file": SimpleUploadedFile("../log.txt", b"12:00")})
        assert (answer.status_code, answer.json()["name"], answer.json()["size"]) == (201, "log.txt", 5)
        content = as_customer.get(f"{url}{answer.json()['key']}/content/")
        assert b"".join(content.streaming_content) == b"12:00"
        assert content.headers["Content-Disposition"].startswith("attachment")
        assert content.headers["X-Content-Type-Options"] == "nosniff"
        assert content.headers["Cache-Control"] == "private, no-store"
        event = TicketEvent.objects.get()
        assert (event.source, event.actor, event.changes["item"]) == ("api", customer, "upload")

    def test_a_file_is_served_whatever_the_client_accepts(self, as_customer: APIClient, delivered: Any) -> None:
        url = f"{URL}{delivered().key}/attachments/"
        key = as_customer.post(url, {"file": SimpleUploadedFile("a.txt", b"x")}).json()["key"]
        assert as_customer.get(f"{url}{key}/content/", headers={"accept": "image/png"}).status_code == 200

    @pytest.mark.parametrize(
        ("values", "status"),
        [
            ({"state": "remote"}, 409),
            ({"state": "quarantined"}, 409),
            ({"state": "expired"}, 410),
            ({"state": "stored"}, 404),
        ],
    )
    def test_a_file_that_is_not_here(
        self, as_customer: APIClient, delivered: Any, values: dict[str, str], status: int
    ) -> None:
        ticket = delivered()
        file = Attachment.objects.bulk_create([Attachment(ticket=ticket, name="a.txt", **values)])[0]
        answer = as_customer.get(f"{URL}{ticket.key}/attachments/{file.key}/content/")
        assert (answer.status_code, list(answer.json())) == (status, ["detail"])

    @pytest.mark.fault(22)
    def test_a_file_that_the_vendor_would_not_take(self, as_agent: APIClient, stored: Any) -> None:
        for ticket in (stored(provider="desk", delivery="draft"), stored(provider="desk", delivery="queued")):
            answer = as_agent.post(
                f"{URL}{ticket.key}/attachments/", {"file": SimpleUploadedFile("a.txt", b"x" * 1001)}
            )
            assert (answer.status_code, list(answer.json())) == (400, ["file"])
        assert not Attachment.objects.exists()

    def test_a_file_too_late(self, as_agent: APIClient, delivered: Any) -> None:
        url = f"{URL}{delivered(provider='desk').key}/attachments/"
        answer = as_agent.post(url, {"file": SimpleUploadedFile("a.txt", b"x")})
        assert (answer.status_code, list(answer.json())) == (400, ["file"])

    @pytest.mark.parametrize("data", [{}, {"file": "text"}, {"file": ""}])
    def test_a_file_is_a_file(self, as_customer: APIClient, delivered: Any, data: dict[str, str]) -> None:
        answer = as_customer.post(f"{URL}{delivered().key}/attachments/", data)
        assert (answer.status_code, list(answer.json())) == (400, ["file"])
