"""What a webhook does, and where the door is."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_support_tickets.exceptions import NotSent, WebhookRejected
from django_support_tickets.models import ProviderState, Ticket, TicketEvent, WebhookDelivery
from django_support_tickets.records import WebhookEvent
from tests.webhooks import cases
from tests.webhooks.cases import (
    MOOV_ID,
    RIPIO_BODY,
    RIPIO_HEADERS,
    RIPIO_ID,
    RIPIO_SECRET,
    VECTORS,
    deliver,
    everything,
    is_due,
    ripio_signed,
)

pytestmark = pytest.mark.django_db

woken: list[Any] = []


def take_note(alias: str, ticket_id: int | None, using: str) -> None:
    """Be a project's dispatcher."""
    woken.append((alias, ticket_id, using, connection.in_atomic_block, WebhookDelivery.objects.count()))


class TestAccepted:
    @pytest.mark.parametrize(("alias", "remote_id"), [("ripio", RIPIO_ID), ("moov", MOOV_ID)])
    def test_the_vector_of_the_sheet_makes_its_ticket_due(self, client: Client, alias: str, remote_id: str) -> None:
        ticket = cases.ticket(alias, remote_id, customer_id="acct-1")
        headers, body = VECTORS[alias]
        answer = client.post(cases.address(alias), body, content_type="application/json", headers=headers)
        assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
        delivery = WebhookDelivery.objects.get()
        assert (delivery.provider, delivery.remote_id) == (alias, remote_id)
        assert is_due(ticket)

    @pytest.mark.parametrize("name", ["Http-X-Wh-Signature-256", "X-Wh-Signature-256"])
    def test_both_names_of_ripios_header(self, client: Client, name: str) -> None:
        headers = {name: cases.RIPIO_SIGNATURE}
        answer = client.post(cases.address("ripio"), RIPIO_BODY, content_type="application/json", headers=headers)
        assert answer.status_code == 200

    @pytest.mark.fault(55)
    def test_the_identity_is_what_was_signed(self) -> None:
        deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        deliver("moov", *VECTORS["moov"])
        body_digest = hashlib.sha256(RIPIO_BODY).hexdigest()
        identities = dict(WebhookDelivery.objects.values_list("provider", "identity"))
        assert identities["ripio"] == hashlib.sha256(body_digest.encode()).hexdigest()
        assert identities["moov"] == hashlib.sha256(b"nonce-1").hexdigest()

    def test_nothing_of_the_body_is_kept_or_believed(self) -> None:
        ticket = cases.ticket("ripio", RIPIO_ID)
        before = Ticket.objects.filter(pk=ticket.pk).values().get()
        deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        after = Ticket.objects.filter(pk=ticket.pk).values().get()
        assert {name for name in after if after[name] != before[name]} == {"next_poll_at"}
        assert not TicketEvent.objects.exists()
        kept = WebhookDelivery.objects.values().get()
        assert set(kept) == {"id", "provider", "identity", "event_type", "remote_id", "received_at"}

    def test_other_tickets_and_other_accounts_stay_as_they_are(self) -> None:
        others = [cases.ticket("ripio", cases.NOWHERE), cases.ticket("moov", RIPIO_ID)]
        deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        assert not any(map(is_due, others))

    def test_a_ticket_that_is_never_polled_becomes_due(self) -> None:
        ticket = cases.ticket("ripio", RIPIO_ID, next_poll_at=None, synced_at=None)
        deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        assert is_due(ticket)

    def test_a_ticket_that_is_due_already_shows_that_there_is_news(self) -> None:
        """A pull that is just fetching it would otherwise take its own answer for the last word."""
        due_at = timezone.now() - timedelta(minutes=1)
        ticket = cases.ticket("ripio", RIPIO_ID, next_poll_at=due_at)
        deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        assert is_due(ticket)
        assert ticket.next_poll_at is not None and ticket.next_poll_at > due_at

    @pytest.mark.fault(65)
    @pytest.mark.parametrize(
        ("alias", "headers_and_body", "event_type"),
        [
            ("ripio", cases.ripio_signed(b'{"eventType":"KYC.APPROVED"}'), "KYC.APPROVED"),
            ("ripio", cases.ripio_signed(b'{"eventType":"' + b"x" * 100 + b'"}'), "x" * 64),
            ("ripio", cases.ripio_signed(b"{}"), ""),
            ("moov", cases.moov_signed(b'{"type":"event.test","data":null}'), "event.test"),
            ("moov", cases.moov_signed(b'{"type":"event.test","data":{"ping":true}}'), "event.test"),
            ("moov", cases.moov_signed(b'{"type":"balance.updated","data":{}}'), "balance.updated"),
        ],
    )
    def test_an_unknown_event_is_stored_by_its_type(self, alias: str, headers_and_body: Any, event_type: str) -> None:
        ticket = cases.ticket(alias, RIPIO_ID)
        assert deliver(alias, *headers_and_body).status_code == 200
        assert WebhookDelivery.objects.filter(provider=alias, event_type=event_type, remote_id="").count() == 1
        assert not is_due(ticket)

    def test_no_vendor_is_called_and_the_queries_are_few(self) -> None:
        cases.ticket("ripio", RIPIO_ID)
        new, copy, unknown = (CaptureQueriesContext(connection) for _ in range(3))
        with new:
            deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        with copy:
            deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        with unknown:
            deliver("moov", *VECTORS["moov"])
        at_once = connection.vendor == "postgresql"
        assert [len(statements(one)) for one in (new, copy, unknown)] == ([1, 1, 3] if at_once else [3, 1, 5])

    def test_the_pull_is_asked_for_once_the_news_is_committed(self, settings: Any, transactional_db: None) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = f"{__name__}.take_note"
        cases.ticket("ripio", RIPIO_ID)
        woken.clear()
        deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        assert woken == [("ripio", None, "default", False, 1)]
        deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        deliver("moov", *VECTORS["moov"])
        assert len(woken) == 1

    def test_a_dispatcher_that_fails_changes_nothing(self, settings: Any, transactional_db: None) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = "tests.webhooks.nowhere"
        ticket = cases.ticket("ripio", RIPIO_ID)
        assert deliver("ripio", RIPIO_HEADERS, RIPIO_BODY).status_code == 200
        assert is_due(ticket)


def statements(captured: CaptureQueriesContext) -> list[str]:
    """Return the statements without those that begin or end a transaction."""
    words = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    return [query["sql"] for query in captured.captured_queries if not query["sql"].startswith(words)]


class TestAddress:
    @pytest.mark.fault(63)
    def test_both_spellings_take_the_post(self, client: Client) -> None:
        address = reverse("support_tickets:webhook", args=["ripio"])
        assert address == "/support-tickets/webhooks/ripio/"
        for path in (address, address.rstrip("/")):
            headers, body = cases.ripio_signed(cases.ripio_event())
            assert client.post(path, body, content_type="application/json", headers=headers).status_code == 200
        assert WebhookDelivery.objects.count() == 2

    @pytest.mark.fault(63)
    @pytest.mark.parametrize("path", ["/support-tickets/webhooks/ripio/", "/support-tickets/webhooks/ripio"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_probe_is_answered_and_does_nothing(self, client: Client, path: str, method: str) -> None:
        with CaptureQueriesContext(connection) as captured:
            answer = client.generic(method, path, RIPIO_BODY, headers=RIPIO_HEADERS)
        assert (answer.status_code, answer.content) == (200, b"")
        assert not captured.captured_queries

    @pytest.mark.fault(62, 63)
    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "POSTS"])
    def test_only_post_does_anything(self, client: Client, method: str) -> None:
        answer = client.generic(method, cases.address("ripio"), RIPIO_BODY, headers=RIPIO_HEADERS)
        assert answer.status_code == 405
        assert answer.headers["Allow"] == "GET, HEAD, POST"
        assert everything() == [[], []]

    @pytest.mark.parametrize("alias", ["nobody", "local", "RIPIO", "..", "%00"])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_an_account_without_webhooks_is_not_there(self, client: Client, alias: str, method: str) -> None:
        answer = client.generic(method, cases.address(alias), RIPIO_BODY, headers=RIPIO_HEADERS)
        assert (answer.status_code, answer.content) == (404, b"")
        assert not ProviderState.objects.exists()


class TestBrokenConfiguration:
    def test_an_option_that_is_wrong_is_no_fault_of_the_vendor(self, settings: Any, caplog: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {
            "custom": {"BACKEND": "tests.webhooks.cases.CustomProvider", "OPTIONS": {"required": "broken"}}
        }
        assert deliver("custom", {}, b"{}").status_code == 503
        assert "Provider 'custom': required is broken" in caplog.text

    def test_a_class_that_cannot_be_built_is_no_fault_of_the_vendor(self, settings: Any, caplog: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {
            "custom": {"BACKEND": "tests.webhooks.cases.CustomProvider", "OPTIONS": {"required": "nonsense"}}
        }
        assert deliver("custom", {}, b"{}").status_code == 503
        assert "Provider 'custom': building it raised ValueError" in caplog.text
        assert "SENSITIVE" not in caplog.text

    def test_a_secret_manager_that_is_down_is_no_fault_of_the_vendor(self, settings: Any) -> None:
        def secrets() -> list[str]:
            raise ConnectionError("vault")

        settings.SUPPORT_TICKETS_PROVIDERS = cases.accounts(webhook_secrets=secrets)
        for alias in VECTORS:
            assert deliver(alias, *VECTORS[alias]).status_code == 503
        assert everything() == [[], []]

    @pytest.mark.fault(58)
    @pytest.mark.parametrize("gives", [{"current": RIPIO_SECRET}, 5, True])
    @pytest.mark.parametrize("is_called", [True, False])
    def test_secrets_that_are_no_list_are_none_nor_are_the_keys_of_a_dictionary(
        self, settings: Any, gives: Any, is_called: bool
    ) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = cases.accounts(webhook_secrets=(lambda: gives) if is_called else gives)
        for secret in ("current", RIPIO_SECRET):
            assert deliver("ripio", *ripio_signed(RIPIO_BODY, secret=secret)).status_code == 503
        assert everything() == [[], []]

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (ImproperlyConfigured("SECRET of /etc"), "ImproperlyConfigured"),
            (NotSent("no secret"), "provider : no secret"),
        ],
    )
    def test_a_users_provider_may_say_so(
        self, parse_by: Callable[..., None], caplog: Any, error: Exception, said: str
    ) -> None:
        def parse(headers: Any, body: bytes) -> WebhookEvent:
            raise error

        parse_by(parse)
        assert deliver("custom", {}, b"{}").status_code == 503
        assert caplog.messages[0] == f"webhook refused: {said} (1 in all)"


class TestUsersProvider:
    def test_what_its_parse_webhook_returns_is_remembered(self, parse_by: Callable[..., None]) -> None:
        parse_by(lambda headers, body: WebhookEvent(identity=body.decode(), event_type="news", remote_id="T-1"))
        ticket = cases.ticket("custom", "T-1")
        assert deliver("custom", {}, b"one").status_code == 200
        assert is_due(ticket)
        assert WebhookDelivery.objects.get().event_type == "news"

    @pytest.mark.parametrize(
        "error", [KeyError("SENSITIVE"), TypeError("SENSITIVE"), RecursionError("SENSITIVE"), NotImplementedError()]
    )
    def test_any_exception_is_a_bad_request_and_its_text_is_not_logged(
        self, parse_by: Callable[..., None], caplog: Any, error: Exception
    ) -> None:
        def parse(headers: Any, body: bytes) -> WebhookEvent:
            raise error

        parse_by(parse)
        answer = deliver("custom", {}, b"SENSITIVE")
        assert (answer.status_code, answer.content) == (400, b"")
        assert type(error).__name__ in caplog.text
        assert "SENSITIVE" not in caplog.text

    @pytest.mark.parametrize(
        "event",
        [
            None,
            {},
            WebhookEvent(identity=""),
            WebhookEvent(identity=b"bytes"),  # type: ignore[arg-type]
            WebhookEvent(identity="1", event_type=None),  # type: ignore[arg-type]
            WebhookEvent(identity="1", remote_id=7),  # type: ignore[arg-type]
        ],
    )
    def test_what_is_no_event_is_a_bad_request(self, parse_by: Callable[..., None], event: Any) -> None:
        parse_by(lambda headers, body: event)
        assert deliver("custom", {}, b"").status_code == 400
        assert everything() == [[], []]

    def test_the_log_says_that_an_event_has_no_identity(self, parse_by: Callable[..., None], caplog: Any) -> None:
        parse_by(lambda headers, body: WebhookEvent(identity="", remote_id="T-1"))
        deliver("custom", {}, b"")
        assert caplog.messages == ["webhook refused: the provider gives the event no identity (1 in all)"]

    @pytest.mark.fault(43, 45)
    def test_texts_that_no_database_takes_are_stored_all_the_same(self, parse_by: Callable[..., None]) -> None:
        event = WebhookEvent(identity="\x00\ud800", event_type="a\x00" * 99, remote_id="i\x00", customer_id="\ud800")
        parse_by(lambda headers, body: event)
        assert deliver("custom", {}, b"").status_code == 200
        delivery = WebhookDelivery.objects.get()
        assert (delivery.event_type, delivery.remote_id) == ("a\ufffd" * 32, "i\ufffd")

    @pytest.mark.parametrize(("length", "known"), [(255, 255), (256, 0)])
    def test_an_id_that_is_too_long_is_not_cut_into_another(
        self, parse_by: Callable[..., None], length: int, known: int
    ) -> None:
        parse_by(lambda headers, body: WebhookEvent(identity="1", remote_id="x" * length))
        ticket = cases.ticket("custom", "x" * 255)
        assert deliver("custom", {}, b"").status_code == 200
        assert WebhookDelivery.objects.get().remote_id == "x" * known
        assert is_due(ticket) == bool(known)

    @pytest.mark.parametrize(
        ("status", "answered"),
        [(200, 400), (301, 400), (399, 400), (500, 400), (503, 400), ("403", 400), (None, 400), (403, 403), (499, 499)],
    )
    def test_a_refusal_is_always_a_4xx(
        self, parse_by: Callable[..., None], caplog: Any, status: Any, answered: int
    ) -> None:
        def parse(headers: Any, body: bytes) -> WebhookEvent:
            raise WebhookRejected("no", status=status)

        parse_by(parse)
        assert deliver("custom", {}, b"").status_code == answered
        assert caplog.messages == ["webhook refused: no (1 in all)"]

    @pytest.mark.fault(68)
    def test_a_log_line_is_one_line_and_the_answer_says_nothing(
        self, parse_by: Callable[..., None], caplog: Any
    ) -> None:
        def parse(headers: Any, body: bytes) -> WebhookEvent:
            raise WebhookRejected(body.decode())

        parse_by(parse)
        forged = "forged\r\nERROR root: \x1b[31mall is lost\u2028\x00"
        answer = deliver("custom", {}, forged.encode() + b"x" * 5000)
        assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (401, b"", "0")
        record = next(record for record in caplog.records if record.name == "django_support_tickets.webhooks")
        assert record.getMessage().isprintable()
        assert record.getMessage().count("x") == 200 - len(forged)
        assert (record.levelno, record.event, record.account) == (logging.WARNING, "webhook.refused", "custom")


class TestStored:
    def test_an_identity_is_unique_within_its_account(self) -> None:
        deliver("ripio", RIPIO_HEADERS, RIPIO_BODY)
        identity = WebhookDelivery.objects.get().identity
        WebhookDelivery.objects.create(provider="moov", identity=identity)
        with pytest.raises(IntegrityError), transaction.atomic():
            WebhookDelivery.objects.create(provider="ripio", identity=identity)
