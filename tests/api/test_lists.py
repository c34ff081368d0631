from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries
from rest_framework.test import APIClient

from django_support_tickets.models import Attachment, Comment, Ticket, TicketEvent

User = get_user_model()

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

URL = "/api/tickets/"
NOON = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)


@pytest.fixture
def many(customer: User) -> Callable[..., list[Ticket]]:
    """Store tickets, one a minute, the last of them the newest."""

    def make(count: int, **values: Any) -> list[Ticket]:
        values = {"provider": "local", "requester": customer, "delivery": "delivered", "status": "open", **values}
        return Ticket.objects.bulk_create(
            Ticket(
                subject=f"Ticket {number}",
                remote_id=str(uuid.uuid4()),
                reference=f"SUP-{number}",
                created_at=NOON + timedelta(minutes=number),
                **values,
            )
            for number in range(count)
        )

    return make


def subjects(client: APIClient, query: str = "") -> list[str]:
    answer = client.get(URL + query)
    assert answer.status_code == 200, answer.content
    return [row["subject"] for row in answer.json()["results"]]


class TestPages:
    def test_newest_first_and_every_ticket_once(self, as_customer: APIClient, many: Any) -> None:
        many(7)
        Ticket.objects.filter(subject__in=["Ticket 2", "Ticket 3", "Ticket 4"]).update(created_at=NOON)
        seen, link = [], f"{URL}?page_size=2"
        while link:
            page = as_customer.get(link).json()
            seen += [row["subject"] for row in page["results"]]
            link = page["next"]
        assert seen == [f"Ticket {number}" for number in (6, 5, 1, 4, 3, 2, 0)]

    def test_back_again(self, as_customer: APIClient, many: Any) -> None:
        many(5)
        first = as_customer.get(f"{URL}?page_size=2").json()
        second = as_customer.get(first["next"]).json()
        assert as_customer.get(second["previous"]).json()["results"] == first["results"]

    def test_the_size_of_a_page_is_bounded(self, as_customer: APIClient, many: Any) -> None:
        many(210)
        assert len(subjects(as_customer)) == 50
        assert len(subjects(as_customer, "?page_size=500")) == 200
        assert len(subjects(as_customer, "?page_size=0")) == 50

    def test_times_without_zone(self, as_customer: APIClient, customer: User, settings: Any) -> None:
        settings.USE_TZ = False
        Ticket.objects.bulk_create(
            Ticket(provider="local", subject=str(number), requester=customer, created_at=timezone.now())
            for number in range(3)
        )
        page = as_customer.get(f"{URL}?page_size=2").json()
        assert [row["subject"] for row in as_customer.get(page["next"]).json()["results"]] == ["0"]


class TestFilters:
    def test_choices_may_be_repeated(self, as_customer: APIClient, many: Any) -> None:
        many(3)
        Ticket.objects.filter(subject="Ticket 0").update(status="closed")
        Ticket.objects.filter(subject="Ticket 1").update(status="waiting", delivery="uncertain", category="card")
        assert subjects(as_customer, "?status=closed") == ["Ticket 0"]
        assert subjects(as_customer, "?status=closed&status=waiting") == ["Ticket 1", "Ticket 0"]
        assert subjects(as_customer, "?delivery=uncertain") == ["Ticket 1"]
        assert subjects(as_customer, "?category=card&provider=local") == ["Ticket 1"]
        assert subjects(as_customer, "?provider=desk") == []
        assert as_customer.get(f"{URL}?status=nonsense").json().keys() == {"status"}

    def test_times(self, as_customer: APIClient, many: Any) -> None:
        many(4)
        since = quote((NOON + timedelta(minutes=1)).isoformat())
        until = quote((NOON + timedelta(minutes=3)).isoformat())
        assert subjects(as_customer, f"?created_after={since}&created_before={until}") == ["Ticket 2", "Ticket 1"]
        Ticket.objects.filter(subject="Ticket 0").update(updated_at=NOON - timedelta(days=1))
        assert subjects(as_customer, f"?updated_before={quote(NOON.isoformat())}") == ["Ticket 0"]
        assert len(subjects(as_customer, f"?updated_after={quote(NOON.isoformat())}")) == 3

    def test_some_are_for_agents(self, as_customer: APIClient, as_agent: APIClient, many: Any, customer: User) -> None:
        tickets = many(2)
        kind = ContentType.objects.get_for_model(User)
        Ticket.objects.filter(pk=tickets[0].pk).update(
            about_type=kind, about_id="7", customer_id="C-1", contact_email="a@example.com"
        )
        for query in (f"about={User._meta.label_lower}:7", "customer_id=C-1", "contact_email=a@example.com"):
            assert subjects(as_agent, f"?{query}") == ["Ticket 0"]
            assert len(subjects(as_customer, f"?{query}")) == 2
        assert len(subjects(as_agent, f"?requester={customer.pk}")) == 2
        for query in (
            f"about={User._meta.label_lower}:8",
            "about=no.such:1",
            "about=x",
            "requester=0",
            "requester=x",
        ):
            assert subjects(as_agent, f"?{query}") == []


class TestSearch:
    def test_a_key_a_reference_or_words(self, as_customer: APIClient, many: Any) -> None:
        tickets = many(12)
        assert subjects(as_customer, f"?search={tickets[3].key}") == ["Ticket 3"]
        assert subjects(as_customer, f"?search={uuid.uuid4()}") == []
        assert subjects(as_customer, "?search=SUP-1") == ["Ticket 11", "Ticket 10", "Ticket 1"]
        assert subjects(as_customer, "?search=Ticket 7") == ["Ticket 7"]
        assert subjects(as_customer, "?search=nothing") == []


class TestOrdering:
    def test_the_allowed_ones(self, as_customer: APIClient, many: Any) -> None:
        many(3)
        Ticket.objects.filter(subject="Ticket 1").update(updated_at=NOON - timedelta(days=1))
        assert subjects(as_customer, "?ordering=created_at") == ["Ticket 0", "Ticket 1", "Ticket 2"]
        assert subjects(as_customer, "?ordering=-created_at") == ["Ticket 2", "Ticket 1", "Ticket 0"]
        assert subjects(as_customer, "?ordering=updated_at")[0] == "Ticket 1"
        assert subjects(as_customer, "?ordering=-updated_at")[-1] == "Ticket 1"

    @pytest.mark.parametrize("name", ["raw", "subject", "requester__password", "-digest", "pk", "created_at,id"])
    def test_others_are_a_400(self, as_customer: APIClient, name: str) -> None:
        answer = as_customer.get(f"{URL}?ordering={name}")
        assert (answer.status_code, list(answer.json())) == (400, ["ordering"])


class TestQueries:
    """As many for a page of fifty as for a page of two."""

    @pytest.fixture(autouse=True)
    def warm(self, db: None) -> None:
        ContentType.objects.get_for_model(User)

    def fill(self, tickets: list[Ticket]) -> None:
        kind = ContentType.objects.get_for_model(User)
        Ticket.objects.update(about_type=kind, about_id="1")
        comments = Comment.objects.bulk_create(Comment(ticket=ticket, body="Hi") for ticket in tickets for _ in "12")
        Attachment.objects.bulk_create(Attachment(ticket=one.ticket, comment=one, name="a.txt") for one in comments)

    @pytest.mark.parametrize("count", [2, 50])
    def test_a_list_of_a_customer_takes_one(
        self, as_customer: APIClient, many: Any, count: int, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        self.fill(many(count))
        with django_assert_num_queries(1):
            rows = as_customer.get(URL).json()["results"]
        assert {(row["comments_count"], row["attachments_count"]) for row in rows} == {(2, 2)}

    @pytest.mark.parametrize("count", [2, 50])
    def test_a_list_of_an_agent_takes_two_more_for_the_permissions(
        self, as_agent: APIClient, many: Any, count: int, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        self.fill(many(count))
        with django_assert_num_queries(3):
            assert len(as_agent.get(URL).json()["results"]) == count

    def test_a_single_ticket_takes_one(
        self,
        as_customer: APIClient,
        as_agent: APIClient,
        many: Any,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        self.fill(many(2))
        url = f"{URL}{Ticket.objects.first().key}/"  # type: ignore[union-attr]
        with django_assert_num_queries(1):
            as_customer.get(url)
        with django_assert_num_queries(1 + 2):
            as_agent.get(url)

    @pytest.mark.parametrize("part", ["comments", "attachments", "events"])
    @pytest.mark.parametrize("count", [2, 40])
    def test_a_part_of_it_takes_two(
        self,
        as_customer: APIClient,
        as_agent: APIClient,
        agent: User,
        many: Any,
        part: str,
        count: int,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        (ticket,) = many(1)
        self.fill([ticket] * (count // 2))
        TicketEvent.objects.bulk_create(
            TicketEvent(ticket=ticket, kind="changed", source="pull", actor=agent) for _ in range(count)
        )
        url = f"{URL}{ticket.key}/{part}/"
        with django_assert_num_queries(2):
            assert len(as_customer.get(url).json()["results"]) == count
        with django_assert_num_queries(2 + 2):
            as_agent.get(url)

    def test_raising_takes_as_many_with_a_long_list_behind(
        self, as_customer: APIClient, many: Any, settings: Any
    ) -> None:
        settings.SUPPORT_TICKETS_QUOTA = {"hour": 1000, "day": 1000}
        counts = []
        for _ in "12":
            with CaptureQueriesContext(connection) as queries:
                as_customer.post(URL, {"provider": "local", "subject": "Hello"}, format="json")
            counts.append(len(queries))
            many(100)
        assert counts[0] == counts[1]


def test_counts_are_those_of_the_ticket(as_customer: APIClient, many: Any) -> None:
    first, second = many(2)
    Comment.objects.bulk_create(Comment(ticket=first, body="Hi") for _ in range(3))
    Attachment.objects.bulk_create([Attachment(ticket=second, name="a.txt")])
    rows = as_customer.get(URL).json()["results"]
    assert [(row["comments_count"], row["attachments_count"]) for row in rows] == [(0, 1), (3, 0)]
