from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_support_tickets.admin.paginators import SQLITE_MAX, EstimatingPaginator, estimated_rows
from django_support_tickets.admin.searching import HITS_MAX
from django_support_tickets.models import Delivery, OutboxEntry, Ticket
from django_support_tickets.records import Status
from tests.admin.conftest import text_of, url

Make = Callable[..., Any]


def found(client: Client, **query: str) -> set[str]:
    """Return the subjects that the list shows for a query."""
    answer = client.get(url("changelist"), query)
    assert answer.status_code == 200
    return {ticket.subject for ticket in answer.context["cl"].result_list}


class TestLabels:
    def test_the_vendors_side_is_shown_where_the_vendor_has_the_ticket(self, client: Client, make_ticket: Make) -> None:
        make_ticket(status=Status.WAITING)
        assert ">Waiting for us</span>" in text_of(client.get(url("changelist")))

    def test_our_side_is_shown_until_then(self, client: Client, make_ticket: Make) -> None:
        make_ticket(delivery=Delivery.UNCERTAIN)
        page = text_of(client.get(url("changelist")))
        assert ">Uncertain</span>" in page
        assert ">Pending</span>" not in page

    def test_what_is_unusual_has_a_label_of_its_own(self, client: Client, make_ticket: Make) -> None:
        make_ticket(close_delivery=Delivery.REFUSED, missing_since=timezone.now())
        page = text_of(client.get(url("changelist")))
        assert "closing: refused" in page
        assert "missing at the vendor" in page

    @pytest.mark.fault(49)
    def test_text_of_others_is_escaped(self, client: Client, make_ticket: Make) -> None:
        make_ticket(subject="<svg onload=alert(1)>", reference="<b>1</b>")
        page = text_of(client.get(url("changelist")))
        assert "<svg onload" not in page
        assert "<b>1</b>" not in page
        assert "&lt;svg onload=alert(1)&gt;" in page

    def test_a_ticket_without_a_subject_can_be_opened(self, client: Client, make_ticket: Make) -> None:
        make_ticket(subject="")
        assert "(no subject)" in text_of(client.get(url("changelist")))

    def test_age_and_last_answer_are_distances(self, client: Client, make_ticket: Make) -> None:
        now = timezone.now()
        make_ticket(created_at=now - timedelta(hours=3), last_comment_at=now - timedelta(minutes=8))
        page = text_of(client.get(url("changelist"))).replace("\xa0", " ")
        assert ">3 hours</time>" in page
        assert ">8 minutes</time>" in page


class TestFilters:
    def test_the_choices_are_fixed(self, client: Client, accounts: None, make_ticket: Make) -> None:
        make_ticket(provider="gone")
        with CaptureQueriesContext(connection) as queries:
            page = text_of(client.get(url("changelist")))
        assert not [query for query in queries if "DISTINCT" in query["sql"]]
        assert "?account=moov" in page
        assert "?account=gone" not in page

    @pytest.mark.parametrize(
        ("query", "subjects"),
        [
            ({"account": "moov"}, {"moov"}),
            ({"status": "waiting"}, {"waiting"}),
            ({"delivery": "refused"}, {"refused"}),
            ({"attention": "us"}, {"waiting"}),
            ({"attention": "missing"}, {"missing"}),
            ({"attention": "person"}, {"refused", "failed", "comment"}),
        ],
    )
    def test_they_find_what_they_say(
        self, client: Client, accounts: None, make_ticket: Make, make_comment: Make, query: Any, subjects: set[str]
    ) -> None:
        make_ticket(subject="plain")
        make_ticket(subject="moov", provider="moov")
        make_ticket(subject="waiting", status=Status.WAITING)
        make_ticket(subject="refused", delivery=Delivery.REFUSED)
        make_ticket(subject="failed", status=Status.FAILED)
        make_ticket(subject="missing", missing_since=timezone.now())
        make_comment(make_ticket(subject="comment"), delivery=Delivery.UNCERTAIN)
        assert found(client, **query) == subjects


class TestSearch:
    @pytest.mark.parametrize(
        "term", ["SUP-77", "sup-77", "SUP-7", "remote-77", "ana@exam", "ANA@EXAMPLE.COM", " SUP-77 ", "cust-1", "Lost"]
    )
    def test_a_ticket_is_found_by_what_names_it(self, client: Client, make_ticket: Make, term: str) -> None:
        make_ticket(
            subject="Lost card",
            reference="SUP-77",
            remote_id="remote-77",
            contact_email="ana@example.com",
            customer_id="cust-1",
        )
        make_ticket(subject="Deposit", reference="XSUP-77", contact_email="b@example.com")
        assert found(client, q=term) == {"Lost card"}

    def test_it_is_found_by_its_key(self, client: Client, make_ticket: Make) -> None:
        ticket = make_ticket(subject="Mine")
        make_ticket()
        assert found(client, q=str(ticket.key)) == {"Mine"}
        assert found(client, q=ticket.key.hex.upper()) == {"Mine"}

    def test_words_are_looked_for_only_if_nothing_is_named(self, client: Client, make_ticket: Make) -> None:
        make_ticket(subject="First", reference="A-1")
        make_ticket(subject="About A-1")
        assert found(client, q="A-1") == {"First"}
        assert found(client, q="about") == {"About A-1"}
        assert found(client, q="nothing of this") == set()

    def test_it_keeps_to_the_filters(self, client: Client, make_ticket: Make) -> None:
        make_ticket(subject="First", reference="A-1")
        assert found(client, q="A-1", delivery="draft") == set()

    def test_wildcards_are_letters(self, client: Client, make_ticket: Make) -> None:
        make_ticket(subject="100% wrong", reference="A_1")
        make_ticket(subject="Right", reference="AB1")
        assert found(client, q="A_") == {"100% wrong"}
        assert found(client, q="0%") == {"100% wrong"}

    def test_a_beginning_of_very_many_is_not_listed_one_by_one(self, client: Client) -> None:
        rows = (Ticket(subject="T", reference=f"SUP-{number}", delivery="draft") for number in range(HITS_MAX + 2))
        Ticket.objects.bulk_create(rows)
        answer = client.get(url("changelist"), {"q": "SUP-"})
        assert answer.context["cl"].result_count == HITS_MAX + 2


class TestCost:
    def test_queries_do_not_grow_with_the_rows(self, client: Client, agent: Any, make_ticket: Make) -> None:
        make_ticket(requester=agent)
        with CaptureQueriesContext(connection) as one:
            client.get(url("changelist"))
        for _number in range(20):
            make_ticket(requester=agent)
        with CaptureQueriesContext(connection) as many:
            client.get(url("changelist"))
        assert len(many) == len(one)

    def test_long_columns_stay_in_the_database(self, client: Client, make_ticket: Make) -> None:
        make_ticket(description="Very long.", raw={"a": 1})
        with CaptureQueriesContext(connection) as queries:
            client.get(url("changelist"))
        rows = [query["sql"] for query in queries if '"support_tickets_ticket"' in query["sql"].replace("`", '"')]
        assert rows
        assert not [sql for sql in rows if "description" in sql or "raw" in sql.replace("`", '"').split('"')]

    def test_a_small_table_is_counted(self, make_ticket: Make) -> None:
        make_ticket()
        rows = Ticket.objects.order_by("pk")
        assert EstimatingPaginator(rows, 10).count == 1
        assert EstimatingPaginator(rows.filter(subject="x"), 10).count == 0
        assert estimated_rows(rows) >= 0
        assert SQLITE_MAX > 10_000

    def test_a_large_table_is_not_counted(self, make_ticket: Make) -> None:
        if connection.vendor != "postgresql":
            pytest.skip("only PostgreSQL's statistics can be written to")
        make_ticket(subject="one")
        rows = Ticket.objects.order_by("pk")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE pg_class SET reltuples = 1e6 WHERE relname = %s", [Ticket._meta.db_table])
        with CaptureQueriesContext(connection) as queries:
            assert EstimatingPaginator(rows, 10).count == 1_000_000
        assert len(queries) == 1
        assert EstimatingPaginator(rows.filter(subject="one"), 10).count == 1


@pytest.mark.parametrize("query", [{"o": "1"}, {"p": "99"}, {"subject__contains": "x"}, {"q": "\0"}])
def test_odd_queries_do_no_harm(client: Client, make_ticket: Make, query: dict[str, str]) -> None:
    make_ticket()
    assert client.get(url("changelist"), query).status_code in (200, 302, 400)


def test_the_setting_for_scopes_is_kept_everywhere(
    client: Client, staff: Callable[..., Client], make_ticket: Make, settings: Any
) -> None:
    settings.SUPPORT_TICKETS_TICKET_SCOPE = "tests.admin.test_list.only_moov"
    mine, other = make_ticket(subject="mine", provider="moov"), make_ticket(subject="other")
    OutboxEntry.objects.create(ticket=other, provider="local")
    assert found(client) == {"mine"}
    assert client.get(url("change", mine.pk)).status_code == 200
    assert client.get(url("change", other.pk)).status_code == 302
    assert client.post(url("sync", other.pk)).status_code == 404
    outbox = text_of(client.get("/admin/support_tickets/outboxentry/"))
    assert str(other.key) not in outbox


def only_moov(user: Any) -> Any:
    """Return what the scope of this test allows."""
    return Ticket.objects.filter(provider="moov")
