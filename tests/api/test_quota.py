from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.db.models import F
from rest_framework.test import APIClient

from django_support_tickets.models import Attachment, Comment, OutboxEntry, Ticket, TicketEvent

User = get_user_model()

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

URL = "/api/tickets/"
ANKRA = "django_support_tickets.providers.ankra.AnkraProvider"
HELLO = {"provider": "local", "subject": "Deposit missing"}


@pytest.fixture(autouse=True)
def quota(settings: Any, accounts: None) -> None:
    settings.SUPPORT_TICKETS_QUOTA = {"hour": 2, "day": 3}


def later(**passed: float) -> None:
    """Let time pass by making everything older."""
    for model in (Ticket, Comment, Attachment):
        rows: Any = model._default_manager
        ago = timedelta(**passed)
        rows.update(created_at=F("created_at") - ago, submitted_at=F("submitted_at") - ago)
    TicketEvent.objects.update(at=F("at") - timedelta(**passed))


def raise_one(client: APIClient, **values: Any) -> Any:
    return client.post(URL, {**HELLO, **values}, format="json")


@pytest.mark.fault(85)
class TestTickets:
    def test_one_too_many_is_a_429_and_leaves_nothing(self, as_customer: APIClient) -> None:
        assert [raise_one(as_customer).status_code for _ in range(3)] == [201, 201, 429]
        assert Ticket.objects.count() == OutboxEntry.objects.count() == 2

    def test_retry_after_is_true(self, as_customer: APIClient) -> None:
        raise_one(as_customer)
        later(minutes=20)
        raise_one(as_customer)
        wait = int(raise_one(as_customer).headers["Retry-After"])
        assert 40 * 60 - 30 <= wait <= 40 * 60
        later(seconds=wait - 5)
        assert raise_one(as_customer).status_code == 429
        later(seconds=6)
        assert raise_one(as_customer).status_code == 201

    def test_a_day_counts_too(self, as_customer: APIClient) -> None:
        for _ in range(3):
            assert raise_one(as_customer).status_code == 201
            later(hours=2)
        answer = raise_one(as_customer)
        assert answer.status_code == 429
        assert 17 * 3600 < int(answer.headers["Retry-After"]) <= 18 * 3600

    def test_forwarding_headers_do_not_matter(self, as_customer: APIClient) -> None:
        statuses = [
            as_customer.post(URL, HELLO, format="json", headers={"X-Forwarded-For": f"10.0.0.{number}"}).status_code
            for number in range(3)
        ]
        assert statuses == [201, 201, 429]

    @pytest.mark.fault(93)
    def test_what_cannot_be_counted_is_not_raised(self, as_customer: APIClient) -> None:
        def unreadable(execute: Any, sql: str, *arguments: Any) -> Any:
            if "COALESCE" in sql and "counted_at" in sql:
                raise OperationalError("the disk cannot be read")
            return execute(sql, *arguments)

        as_customer.raise_request_exception = False
        with connection.execute_wrapper(unreadable):
            assert raise_one(as_customer).status_code == 500
        assert not Ticket.objects.exists()
        assert not OutboxEntry.objects.exists()
        assert raise_one(as_customer).status_code == 201

    def test_others_have_their_own(self, as_customer: APIClient, as_other: APIClient) -> None:
        assert [raise_one(client).status_code for client in (as_customer, as_customer, as_other)] == [201] * 3

    def test_drafts_count_when_made_and_when_submitted(self, as_customer: APIClient) -> None:
        drafts = [raise_one(as_customer, draft=True).json()["key"] for _ in range(2)]
        assert raise_one(as_customer, draft=True).status_code == 429
        later(hours=2)
        drafts.append(raise_one(as_customer, draft=True).json()["key"])
        later(hours=23)
        answers = [as_customer.post(f"{URL}{key}/submit/").status_code for key in drafts]
        assert answers == [200, 200, 429]
        assert Ticket.objects.filter(delivery="draft").count() == 1

    def test_a_draft_that_is_deleted_counts_on(self, as_customer: APIClient, as_agent: APIClient) -> None:
        for client in (as_customer, as_agent, as_customer):
            key = raise_one(as_customer, draft=True).json()["key"]
            assert client.delete(f"{URL}{key}/").status_code == 204
            later(minutes=50)
        later(hours=1)
        answer = raise_one(as_customer)
        assert answer.status_code == 429
        assert 20 * 3600 < int(answer.headers["Retry-After"]) <= 20.5 * 3600
        later(hours=23)
        deleted = raise_one(as_customer, draft=True).json()["key"]
        assert as_customer.delete(f"{URL}{deleted}/").status_code == 204
        assert TicketEvent.objects.filter(ticket=None).count() == 1  # the others count no more, and are gone

    def test_a_refused_ticket_counts_each_time_that_it_is_submitted(self, as_customer: APIClient) -> None:
        key, answers = raise_one(as_customer).json()["key"], []
        for hours in (2, 2, 2, 19):  # when the first one is a day old, there is room for one more
            later(hours=hours)
            Ticket.objects.filter(delivery="queued").update(delivery="refused")
            answers.append(as_customer.post(f"{URL}{key}/submit/"))
        assert [answer.status_code for answer in answers] == [200, 200, 429, 200]
        assert 17 * 3600 < int(answers[2].headers["Retry-After"]) <= 18 * 3600
        assert TicketEvent.objects.filter(kind="submitted").count() == 4

    def test_a_refused_ticket_over_the_quota_stays_refused(self, as_customer: APIClient) -> None:
        key = raise_one(as_customer).json()["key"]
        raise_one(as_customer)
        Ticket.objects.filter(key=key).update(delivery="refused", delivery_error="no e-mail")
        assert as_customer.post(f"{URL}{key}/submit/").status_code == 429
        ticket = Ticket.objects.get(key=key)
        assert (ticket.delivery, ticket.delivery_error) == ("refused", "no e-mail")

    def test_it_is_the_requesters_whoever_raises(self, as_agent: APIClient, customer: User) -> None:
        answers = [raise_one(as_agent, requester=customer.pk).status_code for _ in range(3)]
        assert answers == [201, 201, 429]
        assert raise_one(as_agent).status_code == 201

    def test_none_is_no_limit_and_zero_is_nothing(self, as_customer: APIClient, settings: Any) -> None:
        settings.SUPPORT_TICKETS_QUOTA = None
        assert [raise_one(as_customer).status_code for _ in range(5)] == [201] * 5
        settings.SUPPORT_TICKETS_QUOTA = {"hour": 0}
        answer = raise_one(as_customer)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3600")


@pytest.mark.fault(85)
class TestMessages:
    def test_comments(self, as_customer: APIClient, delivered: Any) -> None:
        url = f"{URL}{delivered().key}/comments/"
        statuses = [as_customer.post(url, {"body": "Hello"}, format="json").status_code for _ in range(21)]
        assert statuses == [201] * 20 + [429]
        assert Comment.objects.count() == 20

    def test_a_request_that_comes_again_counts_once(self, as_customer: APIClient, delivered: Any) -> None:
        url, settings = f"{URL}{delivered().key}/comments/", {"format": "json", "headers": {"Idempotency-Key": "one"}}
        statuses = {as_customer.post(url, {"body": "Hello"}, **settings).status_code for _ in range(25)}
        assert statuses == {201}
        assert Comment.objects.count() == 1
        assert as_customer.post(url, {"body": "Hello"}, format="json").status_code == 201

    def test_files_with_comments_count_as_all_others(self, as_customer: APIClient, delivered: Any) -> None:
        ticket = delivered()
        rows = (Attachment(ticket=ticket, name="a.txt", created_by=ticket.requester) for _ in range(20))
        Attachment.objects.bulk_create(rows)
        values = {"body": "Hello", "files": SimpleUploadedFile("a.txt", b"x")}
        assert as_customer.post(f"{URL}{ticket.key}/comments/", values).status_code == 429
        assert not Comment.objects.exists()

    def test_closings(self, as_customer: APIClient, as_other: APIClient, delivered: Any, other: User) -> None:
        """Each is a call of the vendor, which may refuse it again and again."""
        url, statuses = f"{URL}{delivered().key}/close/", []
        for _ in range(21):
            Ticket.objects.update(close_delivery="refused")
            statuses.append(as_customer.post(url).status_code)
        assert statuses == [202] * 20 + [429]
        assert Ticket.objects.get().close_delivery == "refused"
        assert as_other.post(f"{URL}{delivered('R-2', requester=other).key}/close/").status_code == 202

    def test_files(self, as_customer: APIClient, delivered: Any) -> None:
        ticket, before = delivered(), stored_files()
        rows = (Attachment(ticket=ticket, name="a.txt", created_by=ticket.requester) for _ in range(20))
        Attachment.objects.bulk_create(rows)
        for path, name in ((f"{URL}{ticket.key}/attachments/", "file"), (URL, "files")):
            answer = as_customer.post(path, {**HELLO, name: SimpleUploadedFile("a.txt", b"x")})
            assert answer.status_code == 429
        assert Ticket.objects.count() == 1
        assert stored_files() == before
        Attachment.objects.filter(pk=Attachment.objects.first().pk).delete()  # type: ignore[union-attr]
        two = [SimpleUploadedFile(f"{number}.txt", b"x") for number in range(2)]
        assert as_customer.post(URL, {**HELLO, "files": two}).status_code == 429
        assert as_customer.post(URL, {**HELLO, "files": [SimpleUploadedFile("a.txt", b"x")]}).status_code == 201

    def test_files_of_drafts_that_were_deleted_count_on(self, as_customer: APIClient, as_other: APIClient) -> None:
        for client in (as_customer, as_customer, as_other):
            files = [SimpleUploadedFile(f"{number}.txt", b"x") for number in range(10)]
            key = client.post(URL, {**HELLO, "draft": True, "files": files}).json()["key"]
            assert client.delete(f"{URL}{key}/").status_code == 204
        later(hours=1, minutes=1)
        key, statuses = raise_one(as_customer, draft=True).json()["key"], []
        for _ in range(11):
            file = SimpleUploadedFile("a.txt", b"x")
            statuses.append(as_customer.post(f"{URL}{key}/attachments/", {"file": file}).status_code)
        assert statuses == [201] * 10 + [429]

    def test_what_is_deleted_leaves_nothing_where_there_is_no_quota(
        self, as_customer: APIClient, settings: Any
    ) -> None:
        settings.SUPPORT_TICKETS_QUOTA = None
        key = raise_one(as_customer, draft=True).json()["key"]
        assert as_customer.delete(f"{URL}{key}/").status_code == 204
        assert not TicketEvent.objects.exists()

    def test_files_of_which_one_is_too_many_are_not_stored_first(
        self, as_customer: APIClient, delivered: Any, settings: Any
    ) -> None:
        """What is refused after a scan would be scanned again and again, and never counted."""
        options = {"token": "t", "organisation_id": "3c90c3cc-0d44-4b50-8888-8dd25736052a", "max_files": 2}
        settings.SUPPORT_TICKETS_PROVIDERS = {"ankra": {"BACKEND": ANKRA, "OPTIONS": options}}
        ticket, before = delivered(provider="ankra"), stored_files()
        Attachment.objects.bulk_create([Attachment(ticket=ticket, name="a.txt")])
        files = [SimpleUploadedFile(f"{number}.png", b"\x89PNG\r\n\x1a\n") for number in range(2)]
        answer = as_customer.post(f"{URL}{ticket.key}/comments/", {"body": "Hello", "files": files})
        assert (answer.status_code, list(answer.json())) == (400, ["files"])
        assert stored_files() == before

    def test_more_files_at_once_than_ever(self, as_customer: APIClient, settings: Any) -> None:
        settings.SUPPORT_TICKETS_QUOTA = {"hour": 1}
        files = [SimpleUploadedFile(f"{number}.txt", b"x") for number in range(11)]
        assert as_customer.post(URL, {**HELLO, "files": files}).status_code == 429

    def test_a_ticket_too_many_stores_no_file(self, as_customer: APIClient, settings: Any) -> None:
        settings.SUPPORT_TICKETS_QUOTA = {"hour": 0}
        before = stored_files()
        assert as_customer.post(URL, {**HELLO, "files": [SimpleUploadedFile("a.txt", b"x")]}).status_code == 429
        assert stored_files() == before


def stored_files() -> list[list[str]]:
    storage = storages["support_tickets"]
    return [storage.listdir(folder)[1] for folder in storage.listdir("")[0]]
