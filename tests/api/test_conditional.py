from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from django_support_tickets.models import Comment, Ticket

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

URL = "/api/tickets/"


@pytest.fixture
def ticket(delivered: Any) -> Ticket:
    return delivered()


@pytest.mark.parametrize("part", ["", "{key}/", "{key}/comments/", "{key}/attachments/", "{key}/events/"])
def test_what_has_not_changed_is_a_304(as_customer: APIClient, ticket: Ticket, part: str) -> None:
    url = URL + part.format(key=ticket.key)
    first = as_customer.get(url)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Cookie"} <= set(first.headers["Vary"].replace(" ", "").split(","))
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = as_customer.get(url, headers={"If-None-Match": header})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag), header
    assert as_customer.get(url, headers={"If-None-Match": '"other"'}).content == first.content


def test_any_change_is_seen(as_customer: APIClient, ticket: Ticket) -> None:
    url = f"{URL}{ticket.key}/"
    tags = {as_customer.get(url).headers["ETag"]}
    Ticket.objects.update(status="closed")
    tags.add(as_customer.get(url).headers["ETag"])
    Comment.objects.bulk_create([Comment(ticket=ticket, body="Hello")])
    tags.add(as_customer.get(url).headers["ETag"])
    assert len(tags) == 3


def test_the_list_of_accounts_too(as_customer: APIClient) -> None:
    tag = as_customer.get("/api/providers/").headers["ETag"]
    assert as_customer.get("/api/providers/", headers={"If-None-Match": tag}).status_code == 304


def test_the_tag_of_one_user_says_nothing_to_another(
    as_customer: APIClient, as_agent: APIClient, as_other: APIClient, ticket: Ticket
) -> None:
    url = f"{URL}{ticket.key}/"
    tag = as_customer.get(url).headers["ETag"]
    assert as_agent.get(url, headers={"If-None-Match": tag}).status_code == 200
    assert as_other.get(url, headers={"If-None-Match": tag}).status_code == 404
    assert as_other.get(url, headers={"If-None-Match": "*"}).status_code == 404


def test_only_what_was_read_well_is_tagged(as_customer: APIClient, ticket: Ticket) -> None:
    assert "ETag" not in as_customer.get(f"{URL}{ticket.key}x/").headers
    created = as_customer.post(URL, {"provider": "local", "subject": "Hello"}, headers={"If-None-Match": "*"})
    assert created.status_code == 201
    assert "ETag" not in created.headers
    assert as_customer.head(URL).headers["ETag"] == as_customer.get(URL).headers["ETag"]
