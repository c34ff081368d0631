"""A site with ATOMIC_REQUESTS: these views are in no transaction of the request's, and touch nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test import TestCase, override_settings
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import exception_handler

from django_support_tickets.models import Ticket
from tests.api.conftest import LOCAL

pytestmark = [pytest.mark.urls("tests.api.urls"), pytest.mark.fault(60)]

URL = "/api/tickets/"


def handle(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Be a site's own handler, which asks for a rollback as DRF's does."""
    response = exception_handler(exc, context)
    if response is not None:
        response.data["by"] = "the site"
    return response


@pytest.fixture(autouse=True)
def atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch ATOMIC_REQUESTS on."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)


class TestUsersTestCase(TestCase):
    """A project's own TestCase, whose tests run in one transaction each."""

    @override_settings(SUPPORT_TICKETS_PROVIDERS={"local": {"BACKEND": LOCAL}})
    def test_it_can_query_after_every_error(self) -> None:
        client, mine = APIClient(), Ticket.objects.create(provider="local", subject="Deposit missing")
        assert client.get(URL).status_code in (401, 403)
        client.force_authenticate(get_user_model().objects.create_user("ann"))
        assert client.post(URL, {"subject": ""}, format="json").status_code == 400
        assert client.get(f"{URL}{mine.key}/").status_code == 404
        assert client.post(URL, b"<a>", content_type="text/html").status_code == 415
        assert client.put(URL).status_code == 405
        assert Ticket.objects.get() == mine
        assert client.post(URL, {"subject": "Payout late"}, format="json").status_code == 201
        assert Ticket.objects.count() == 2


@pytest.mark.django_db(transaction=True)
class TestTransactionOfTheSites:
    @pytest.fixture
    def refused(self, as_customer: APIClient) -> Callable[[], Any]:
        def post() -> Any:
            answer = as_customer.post(URL, {"subject": ""}, format="json")
            assert answer.status_code == 400
            return answer

        return post

    def test_one_that_is_open_is_committed(self, refused: Callable[[], Any], stored: Callable[..., Ticket]) -> None:
        with transaction.atomic():
            stored()
            refused()
            assert Ticket.objects.count() == 1
        assert Ticket.objects.count() == 1

    def test_one_that_must_be_rolled_back_still_is(
        self, refused: Callable[[], Any], stored: Callable[..., Ticket]
    ) -> None:
        with transaction.atomic():
            stored()
            transaction.set_rollback(True)
            refused()
        assert Ticket.objects.count() == 0

    def test_a_handler_of_the_sites_is_asked_and_undoes_nothing_either(
        self, refused: Callable[[], Any], stored: Callable[..., Ticket], settings: Any
    ) -> None:
        settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": f"{__name__}.handle"}
        with transaction.atomic():
            stored()
            assert refused().json()["by"] == "the site"
        assert Ticket.objects.count() == 1
