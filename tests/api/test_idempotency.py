from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.request import Request
from rest_framework.test import APIClient, APIRequestFactory

from django_support_tickets.api.idempotency import intention_of
from django_support_tickets.models import Attachment, OutboxEntry, Ticket, TicketEvent

User = get_user_model()

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

URL = "/api/tickets/"
HELLO: dict[str, Any] = {"provider": "local", "subject": "Deposit missing"}


def post(client: APIClient, data: dict[str, Any], key: str = "once", form: str = "json") -> Any:
    return client.post(URL, data, format=form, headers={"Idempotency-Key": key})


def receipt(content: bytes = b"paid", name: str = "receipt.txt") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


@pytest.mark.fault(13)
class TestOneAfterTheOther:
    def test_the_same_request_is_the_same_ticket(self, as_customer: APIClient) -> None:
        first, second = post(as_customer, HELLO), post(as_customer, HELLO)
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.content == second.content
        assert first.headers["Location"] == second.headers["Location"]
        assert Ticket.objects.count() == OutboxEntry.objects.count() == TicketEvent.objects.count() == 1

    def test_the_order_of_fields_does_not_matter(self, as_customer: APIClient) -> None:
        assert post(as_customer, HELLO).content == post(as_customer, dict(reversed(HELLO.items()))).content

    @pytest.mark.parametrize(
        "change", [{"subject": "Other"}, {"priority": "high"}, {"draft": True}, {"tags": ["a"]}, {"unknown": 1}]
    )
    def test_another_body_is_a_422(self, as_customer: APIClient, change: dict[str, Any]) -> None:
        post(as_customer, HELLO)
        assert post(as_customer, {**HELLO, **change}).status_code == 422
        assert Ticket.objects.count() == 1

    def test_files_count_by_their_bytes(self, as_customer: APIClient) -> None:
        first = post(as_customer, {**HELLO, "files": [receipt()]}, form="multipart")
        assert first.status_code == 201
        assert post(as_customer, {**HELLO, "files": [receipt()]}, form="multipart").content == first.content
        for files in ([receipt(b"due")], [receipt(name="other.txt")], [receipt(), receipt()], []):
            assert post(as_customer, {**HELLO, "files": files}, form="multipart").status_code == 422
        assert Attachment.objects.count() == 1

    def test_keys_of_others_are_independent(self, as_customer: APIClient, as_other: APIClient) -> None:
        mine, theirs = post(as_customer, HELLO), post(as_other, {**HELLO, "subject": "Other"})
        assert (mine.status_code, theirs.status_code) == (201, 201)
        assert mine.json()["key"] != theirs.json()["key"]

    def test_no_user_and_header_look_like_another(self, as_customer: APIClient, customer: User) -> None:
        """A primary key may be any text: "1" with "2:x" is not "1:2" with "x"."""
        requests = []
        for pk, header in (("1", "2:x"), ("1:2", "x")):
            request = Request(APIRequestFactory().post(URL, headers={"Idempotency-Key": header}))
            request._full_data, request._user = HELLO, User(pk=pk)
            requests.append(request)
        first, second = (intention_of(request) for request in requests)
        assert first is not None
        assert second is not None
        assert first.key != second.key

    def test_another_key_is_another_ticket(self, as_customer: APIClient) -> None:
        assert post(as_customer, HELLO).json()["key"] != post(as_customer, HELLO, key="twice").json()["key"]

    def test_a_refused_request_leaves_its_key_free(self, as_customer: APIClient) -> None:
        assert post(as_customer, {**HELLO, "subject": ""}).status_code == 400
        assert post(as_customer, HELLO).status_code == 201

    def test_it_is_answered_also_when_it_could_not_be_raised_any_more(
        self, as_customer: APIClient, settings: Any
    ) -> None:
        first = post(as_customer, HELLO)
        settings.SUPPORT_TICKETS_QUOTA = {"hour": 1}
        settings.SUPPORT_TICKETS_PROVIDERS = {"new": settings.SUPPORT_TICKETS_PROVIDERS["local"]}
        assert post(as_customer, HELLO).content == first.content

    def test_a_ticket_that_is_somebody_elses_by_now_is_not_shown(self, as_customer: APIClient, other: User) -> None:
        post(as_customer, HELLO)
        Ticket.objects.update(requester=other)
        assert post(as_customer, HELLO).status_code == 404
