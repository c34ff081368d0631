"""Whatever the site around it has switched on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.test import Client, RequestFactory
from django.utils import timezone

from django_support_tickets.models import WebhookDelivery
from django_support_tickets.webhooks import receive
from tests.webhooks import cases, served
from tests.webhooks.cases import RIPIO_BODY, RIPIO_HEADERS, RIPIO_ID, is_due

asked, released, done = threading.Event(), threading.Event(), threading.Event()


def take_time(alias: str, ticket_id: int | None, using: str) -> None:
    """Be a dispatcher whose broker does not answer."""
    asked.set()
    released.wait(60)
    done.set()


LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


def post(client: Client, alias: str = "ripio") -> int:
    headers, body = cases.VECTORS[alias]
    return client.post(cases.address(alias), body, content_type="application/json", headers=headers).status_code


@pytest.fixture
def atomic_requests() -> Iterator[None]:
    """Switch ATOMIC_REQUESTS on for every database."""
    before = {using: connections[using].settings_dict["ATOMIC_REQUESTS"] for using in connections}
    for using in connections:
        connections[using].settings_dict["ATOMIC_REQUESTS"] = True
    yield
    for using, value in before.items():
        connections[using].settings_dict["ATOMIC_REQUESTS"] = value


class Failing(logging.Handler):
    """A site's log handler that raises as soon as something has been committed."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "event", "") == "webhook.accepted":
            raise RuntimeError("the log is full")


@pytest.fixture
def failing_log() -> Iterator[None]:
    handler, logger = Failing(), logging.getLogger("django_support_tickets.webhooks")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.django_db(transaction=True)
class TestTransactions:
    @pytest.mark.fault(60)
    def test_what_fails_after_the_commit_changes_no_answer(self, atomic_requests: None, failing_log: None) -> None:
        ticket = cases.ticket("ripio", RIPIO_ID)
        headers, body = cases.VECTORS["ripio"]
        request = RequestFactory().post(cases.address("ripio"), body, content_type="application/json", headers=headers)
        answer = WSGIHandler().get_response(request)
        assert answer.status_code == 200
        assert WebhookDelivery.objects.count() == 1
        assert is_due(ticket)
        with pytest.raises(RuntimeError, match="the log is full"):
            cases.leave(answer)

    @pytest.mark.fault(60)
    def test_a_dispatcher_that_takes_its_time_delays_no_answer(self, settings: Any, live_server: Any) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = f"{__name__}.take_time"
        ticket = cases.ticket("ripio", RIPIO_ID)
        for event in (asked, released, done):
            event.clear()
        try:
            assert served.post(live_server.thread.port, cases.address("ripio"), *cases.VECTORS["ripio"]) == 200
            assert not done.is_set()
            assert is_due(ticket)
            assert asked.wait(60)
        finally:
            released.set()

    @pytest.mark.fault(60)
    def test_what_was_answered_is_committed(self, atomic_requests: None) -> None:
        ticket = cases.ticket("ripio", RIPIO_ID)
        assert post(Client()) == post(Client()) == 200
        assert WebhookDelivery.objects.count() == 1
        assert is_due(ticket)

    @pytest.mark.fault(60)
    def test_no_database_is_left_out(self) -> None:
        exempt: set[str] = receive._non_atomic_requests  # type: ignore[attr-defined]
        assert set(connections) <= exempt


@pytest.mark.django_db
class TestDoors:
    @pytest.mark.fault(62)
    @pytest.mark.parametrize("alias", ["ripio", "moov"])
    def test_neither_a_login_nor_a_csrf_token_is_asked_for(self, settings: Any, alias: str) -> None:
        settings.MIDDLEWARE = [*dict.fromkeys([*settings.MIDDLEWARE, LOGIN_REQUIRED])]
        assert post(Client(enforce_csrf_checks=True), alias) == 200
        assert WebhookDelivery.objects.count() == 1

    @pytest.mark.fault(62)
    def test_the_sites_defaults_for_its_api_do_not_matter(self, settings: Any) -> None:
        settings.REST_FRAMEWORK = {
            "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.TokenAuthentication"],
            "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
            "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
            "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
            "DEFAULT_THROTTLE_RATES": {"anon": "1/day"},
        }
        for _ in range(3):
            headers, body = cases.ripio_signed(cases.ripio_event())
            answer = Client().post(
                cases.address("ripio"), body, content_type="application/octet-stream", headers=headers
            )
            assert answer.status_code == 200

    @pytest.mark.fault(62)
    @pytest.mark.parametrize(
        "content_type", ["application/json; charset=utf-16", "text/plain", "", "application/xml", "é"]
    )
    def test_the_content_type_does_not_matter(self, content_type: str) -> None:
        answer = Client().generic("POST", cases.address("ripio"), RIPIO_BODY, content_type, headers=RIPIO_HEADERS)
        assert answer.status_code == 200


@pytest.mark.django_db
class TestTime:
    @pytest.mark.fault(44)
    @pytest.mark.parametrize("zone", ["America/Chicago", "Asia/Kolkata", "UTC"])
    @pytest.mark.parametrize("use_tz", [True, False])
    def test_now_is_now_in_every_zone(self, settings: Any, zone: str, use_tz: bool) -> None:
        settings.USE_TZ, settings.TIME_ZONE = use_tz, zone
        fetched_at = timezone.now()
        idle, busy = cases.ticket("ripio", RIPIO_ID), cases.ticket("moov", cases.MOOV_ID, synced_at=fetched_at)
        assert post(Client(), "ripio") == post(Client(), "moov") == 200
        assert is_due(idle)
        assert cases.waits_for_its_interval(busy, fetched_at)
        age = timezone.now() - WebhookDelivery.objects.latest("received_at").received_at
        assert timedelta(0) <= age < timedelta(minutes=1)
