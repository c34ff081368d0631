from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.request import Request
from rest_framework.test import APIClient, APIRequestFactory

from django_support_tickets.api.idempotency import intention_of
from django_support_tickets.models import Attachment, Comment, OutboxEntry, Ticket, TicketEvent

User = get_user_model()

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

URL = "/api/tickets/"
HELLO: dict[str, Any] = {"provider": "local", "subject": "Deposit missing"}


def post(client: APIClient, data: dict[str, Any], key: str = "once", form: str = "json", url: str = URL) -> Any:
    return client.post(url, data, format=form, headers={"Idempotency-Key": key})


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


@pytest.mark.fault(13)
class TestPartsOfATicket:
    """Comments and files: the key is good for one ticket."""

    MODELS = {"comments": Comment, "attachments": Attachment}

    def add(self, client: APIClient, ticket: Ticket, part: str, *, key: str = "once", **changes: Any) -> Any:
        said = {"comments": {"body": "Any news?"}, "attachments": {"file": receipt()}}[part]
        form = "multipart" if part == "attachments" or "files" in changes else "json"
        return post(client, {**said, **changes}, key, form, f"{URL}{ticket.key}/{part}/")

    @pytest.mark.parametrize("part", MODELS)
    def test_the_same_request_is_the_same_row(self, as_customer: APIClient, delivered: Any, part: str) -> None:
        ticket = delivered()
        first, second = (self.add(as_customer, ticket, part) for _ in range(2))
        assert (first.status_code, second.status_code) == (201, 201), first.content
        assert first.content == second.content
        assert self.MODELS[part].objects.count() == OutboxEntry.objects.count() == TicketEvent.objects.count() == 1
        assert as_customer.get(f"{URL}{ticket.key}/{part}/").json()["results"] == [first.json()]

    @pytest.mark.parametrize(
        ("part", "change"),
        [
            ("comments", {"body": "Any news? "}),
            ("comments", {"unknown": 1}),
            ("comments", {"files": [receipt()]}),
            ("attachments", {"file": receipt(b"due")}),
            ("attachments", {"file": receipt(name="other.txt")}),
            ("attachments", {"unknown": 1}),
        ],
    )
    def test_another_one_is_a_422(self, as_customer: APIClient, delivered: Any, part: str, change: Any) -> None:
        ticket = delivered()
        self.add(as_customer, ticket, part)
        answer = self.add(as_customer, ticket, part, **change)
        assert answer.status_code == 422
        assert answer.json() == {"detail": "This Idempotency-Key was used for another request."}
        assert self.MODELS[part].objects.count() == 1

    def test_the_files_of_a_comment_count_by_their_bytes(self, as_customer: APIClient, delivered: Any) -> None:
        ticket = delivered()
        first, second = (self.add(as_customer, ticket, "comments", files=[receipt()]) for _ in range(2))
        assert first.status_code == 201, first.content
        assert first.content == second.content
        for files in ([receipt(b"due")], [receipt(), receipt()], [receipt(name="other.txt")]):
            assert self.add(as_customer, ticket, "comments", files=files).status_code == 422
        assert (Comment.objects.count(), Attachment.objects.count()) == (1, 1)

    @pytest.mark.parametrize("part", MODELS)
    def test_another_user_and_another_ticket_are_independent(
        self, as_customer: APIClient, as_agent: APIClient, delivered: Any, part: str
    ) -> None:
        one, two = delivered(), delivered("R-2")
        answers = [
            self.add(as_customer, one, part),
            self.add(as_agent, one, part),
            self.add(as_customer, two, part),
            self.add(as_customer, one, part, key="twice"),
        ]
        assert [answer.status_code for answer in answers] == [201] * 4
        assert len({answer.json()["key"] for answer in answers}) == self.MODELS[part].objects.count() == 4

    def test_what_is_settled_by_its_key_has_one_of_its_own(self, as_customer: APIClient, delivered: Any) -> None:
        ticket = delivered()
        keys = {self.add(as_customer, ticket, part).json()["key"] for part in self.MODELS}
        assert len(keys) == 2

    @pytest.mark.parametrize("part", MODELS)
    def test_without_a_key_each_is_another(self, as_customer: APIClient, delivered: Any, part: str) -> None:
        ticket = delivered()
        url, said = f"{URL}{ticket.key}/{part}/", {"comments": {"body": "Any news?"}, "attachments": {}}[part]
        for _ in range(2):
            data = {"file": receipt()} if part == "attachments" else said
            assert as_customer.post(url, data, format="multipart").status_code == 201
        assert self.MODELS[part].objects.count() == 2

    def test_a_refused_request_leaves_its_key_free(self, as_customer: APIClient, delivered: Any) -> None:
        ticket = delivered()
        assert self.add(as_customer, ticket, "comments", body=" ").status_code == 400
        assert self.add(as_customer, ticket, "attachments", file=receipt(b"")).status_code == 400
        assert self.add(as_customer, ticket, "comments").status_code == 201
        assert self.add(as_customer, ticket, "attachments").status_code == 201

    @pytest.mark.parametrize("part", MODELS)
    def test_it_is_answered_also_when_it_could_not_be_added_any_more(
        self, as_customer: APIClient, delivered: Any, settings: Any, part: str
    ) -> None:
        ticket = delivered()
        first = self.add(as_customer, ticket, part)
        settings.SUPPORT_TICKETS_QUOTA = {"hour": 0}
        settings.SUPPORT_TICKETS_PROVIDERS = {"new": settings.SUPPORT_TICKETS_PROVIDERS["local"]}
        assert self.add(as_customer, ticket, part, key="twice").status_code in (400, 429)
        assert self.add(as_customer, ticket, part).content == first.content

    def test_what_is_said_counts_and_not_what_the_filters_leave_of_it(
        self, as_customer: APIClient, delivered: Any, settings: Any
    ) -> None:
        settings.SUPPORT_TICKETS_OUTGOING_FILTERS = ["django_support_tickets.outbox.filters.mask_account_numbers"]
        ticket, numbers = delivered(), ("4111 1111 1111 1111", "4012 8888 8888 1111")
        first, second, other = (
            self.add(as_customer, ticket, "comments", body=f"My card is {number}")
            for number in (numbers[0], numbers[0], numbers[1])
        )
        assert first.json()["body"] == "My card is ************1111"
        assert first.content == second.content
        assert other.status_code == 422

    @pytest.mark.parametrize("part", MODELS)
    def test_a_ticket_that_is_somebody_elses_by_now_is_not_there(
        self, as_customer: APIClient, other: User, delivered: Any, part: str
    ) -> None:
        ticket = delivered()
        self.add(as_customer, ticket, part)
        Ticket.objects.update(requester=other)
        assert self.add(as_customer, ticket, part).status_code == 404

    def test_a_file_is_added_to_a_draft_once(self, as_customer: APIClient, stored: Any) -> None:
        ticket = stored(delivery="draft")
        assert [self.add(as_customer, ticket, "attachments").status_code for _ in range(2)] == [201, 201]
        assert as_customer.post(f"{URL}{ticket.key}/submit/").status_code == 200
        assert self.add(as_customer, ticket, "attachments").status_code == 201
        assert Attachment.objects.count() == 1
