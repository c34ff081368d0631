"""Webhooks, pushes and pulls in any order end in the vendor's state; the sandbox sends over real HTTP."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, connections
from django.utils import timezone

from django_support_tickets.models import Delivery, Ticket, WebhookDelivery
from django_support_tickets.outbox.push import push
from django_support_tickets.records import TicketRecord
from django_support_tickets.sync import pull
from django_support_tickets.testing.sandbox import Sandbox
from tests.webhooks import cases
from tests.webhooks.cases import RIPIO_ID, EarlyRipio, deliver, is_due, ripio_event, ripio_signed

HISTORIES = int(os.environ.get("TEST_WEBHOOK_HISTORIES", "10"))


@pytest.fixture
def vendors(settings: Any, sandbox: Sandbox) -> Sandbox:
    """The accounts of the site are those of the sandbox."""
    backends = {"ripio": "ripio.RipioProvider", "moov": "moov.MoovProvider"}
    settings.SUPPORT_TICKETS_PROVIDERS = {
        alias: {"BACKEND": f"django_support_tickets.providers.{path}", "OPTIONS": sandbox.options()[alias]}
        for alias, path in backends.items()
    }
    return sandbox


def raised(alias: str, customer_id: str) -> Ticket:
    contact = {"contact_name": "Ada", "contact_email": "ada@example.com"}
    texts = {"subject": "Deposit missing", "description": "Since Monday."}
    return Ticket.objects.create(provider=alias, customer_id=customer_id, **contact, **texts)


def an_hour_later() -> None:
    """Let the last fetch of every ticket be an hour ago, and no scheduled one be due."""
    now = timezone.now()
    Ticket.objects.update(synced_at=now - timedelta(hours=1))
    Ticket.objects.filter(next_poll_at__gt=now).update(next_poll_at=now + timedelta(hours=1))


class TestWebhookBeforeItsPush:
    @pytest.fixture
    def early(self, settings: Any, vendors: Sandbox) -> Sandbox:
        options = vendors.options()["ripio"]
        backend = f"{EarlyRipio.__module__}.{EarlyRipio.__name__}"
        settings.SUPPORT_TICKETS_PROVIDERS = {"ripio": {"BACKEND": backend, "OPTIONS": options}}
        return vendors

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.fault(64)
    def test_becomes_a_hint_when_the_push_stores_the_id(self, early: Sandbox) -> None:
        seen: list[Any] = []

        def meanwhile(record: TicketRecord) -> None:
            early.ripio.register(record.remote_id)
            answer = deliver("ripio", *early.ripio.sign(early.ripio.event(record.remote_id)))
            seen.append((answer.status_code, Ticket.objects.get().remote_id))

        EarlyRipio.meanwhile = staticmethod(meanwhile)
        ticket = raised("ripio", early.ripio.CUSTOMER)
        assert push("ripio").delivered == 1
        assert seen == [(200, None)]
        assert is_due(ticket)
        pull("ripio")
        ticket.refresh_from_db()
        assert (ticket.status, ticket.reference) == ("open", "SUP-1")

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.fault(64)
    def test_a_failed_one_too(self, early: Sandbox) -> None:
        def meanwhile(record: TicketRecord) -> None:
            early.ripio.fail(record.remote_id)
            deliver("ripio", *early.ripio.sign(early.ripio.event(record.remote_id)))

        EarlyRipio.meanwhile = staticmethod(meanwhile)
        ticket = raised("ripio", early.ripio.CUSTOMER)
        push("ripio")
        pull("ripio")
        ticket.refresh_from_db()
        assert (ticket.delivery, ticket.status) == (Delivery.DELIVERED, "failed")

    @pytest.mark.django_db
    @pytest.mark.race
    @pytest.mark.fault(64)
    def test_the_id_that_is_stored_while_the_delivery_is_being_stored(self) -> None:
        """The webhook does not see the id yet and the push does not see the webhook yet: one of them looks again."""
        ticket = cases.ticket("ripio", None, delivery="queued")
        statements: list[str] = []

        def push_commits_after_the_first_look(execute: Callable[..., Any], sql: str, *details: Any) -> Any:
            result = execute(sql, *details)
            statements.append(sql)
            if "next_poll_at" in sql and sum("next_poll_at" in known for known in statements) == 1:
                assert not is_due(ticket)
                Ticket.objects.filter(pk=ticket.pk).update(remote_id=RIPIO_ID, delivery="delivered")
            return result

        with connection.execute_wrapper(push_commits_after_the_first_look):
            assert deliver("ripio", *ripio_signed(ripio_event())).status_code == 200
        assert is_due(ticket)

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.fault(64, 91)
    def test_the_second_look_is_repeated_when_the_connection_is_lost(self) -> None:
        ticket = cases.ticket("ripio", None, delivery="queued")
        looks: list[str] = []

        def push_commits_and_the_connection_is_lost(execute: Callable[..., Any], sql: str, *details: Any) -> Any:
            if "next_poll_at" in sql:
                looks.append(sql)
                if len(looks) == 2:
                    Ticket.objects.filter(pk=ticket.pk).update(remote_id=RIPIO_ID, delivery="delivered")
                    raise OperationalError("gone")
            return execute(sql, *details)

        with connection.execute_wrapper(push_commits_and_the_connection_is_lost):
            assert deliver("ripio", *ripio_signed(ripio_event())).status_code == 200
        assert len(looks) == 3
        assert is_due(ticket)

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.fault(91, 93)
    @pytest.mark.parametrize(("word", "good", "tries"), [("webhookdelivery", 0, 2), ("next_poll_at", 1, 3)])
    def test_a_database_that_is_down_is_asked_twice_before_the_vendor_is_told(
        self, word: str, good: int, tries: int
    ) -> None:
        """It then sends again, and does not wait for what may take its time."""
        asked: list[str] = []

        def fail(execute: Callable[..., Any], sql: str, *details: Any) -> Any:
            asked.extend([sql] * (word in sql))
            if word in sql and len(asked) > good:
                raise OperationalError("gone")
            return execute(sql, *details)

        with connection.execute_wrapper(fail), pytest.raises(OperationalError):
            deliver("ripio", cases.RIPIO_HEADERS, cases.RIPIO_BODY)
        assert len(asked) == tries
        assert deliver("ripio", cases.RIPIO_HEADERS, cases.RIPIO_BODY).status_code == 200
        assert WebhookDelivery.objects.count() == 1

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.fault(64)
    def test_a_database_that_fails_after_the_commit_costs_the_hint_only(self, vendors: Sandbox, caplog: Any) -> None:
        ticket = raised("ripio", vendors.ripio.CUSTOMER)

        def fail(execute: Callable[..., Any], sql: str, *details: Any) -> Any:
            if sql.startswith("UPDATE") and "webhookdelivery" in sql and "delivered_at" not in sql:
                raise DatabaseError("SENSITIVE")
            return execute(sql, *details)

        with connection.execute_wrapper(fail):
            assert push("ripio").delivered == 1
        ticket.refresh_from_db()
        assert (ticket.delivery, ticket.next_poll_at is None) == (Delivery.DELIVERED, False)
        assert "no hint: DatabaseError" in caplog.text
        assert "SENSITIVE" not in caplog.text

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.race
    @pytest.mark.fault(64)
    @pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
    def test_the_delivery_that_is_stored_while_the_id_is_being_stored(self, vendors: Sandbox) -> None:
        """The push has looked for webhooks and is not committed yet: neither can see the other."""
        ticket = raised("ripio", vendors.ripio.CUSTOMER)
        threads: list[threading.Thread] = []

        def deliver_before_the_commit(execute: Callable[..., Any], sql: str, *details: Any) -> Any:
            result = execute(sql, *details)
            if sql.startswith("UPDATE") and "delivered_at" in sql and not threads:
                (remote_id,) = vendors.ripio.tickets
                vendors.ripio.register(remote_id)
                webhook = vendors.ripio.sign(vendors.ripio.event(remote_id))
                threads.append(threading.Thread(target=over_another_connection, args=webhook))
                threads[0].start()
                threads[0].join(0.5)  # MariaDB lets it wait for the push's commit
            return result

        with connection.execute_wrapper(deliver_before_the_commit):
            assert push("ripio").delivered == 1
        threads[0].join()
        assert WebhookDelivery.objects.get().remote_id
        assert is_due(ticket)


def over_another_connection(headers: dict[str, str], body: bytes) -> None:
    try:
        deliver("ripio", headers, body)
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
class TestHistories:
    @pytest.mark.fault(46, 64)
    def test_one_webhook_is_all_it_takes(self, live_server: Any, vendors: Sandbox) -> None:
        vendors.ripio.webhook_url = live_server.url + cases.address("ripio")
        ticket = raised("ripio", vendors.ripio.CUSTOMER)
        push("ripio")
        an_hour_later()
        assert pull("ripio").fetched == 0
        ticket.refresh_from_db()
        vendors.ripio.register(str(ticket.remote_id))
        assert vendors.ripio.deliver_webhooks(duplicate=3) == [200, 200, 200]
        assert pull("ripio").fetched == 1
        ticket.refresh_from_db()
        assert (ticket.status, ticket.reference) == ("open", "SUP-1")
        assert WebhookDelivery.objects.count() == 1

    @pytest.mark.fault(46)
    def test_lost_doubled_and_disordered_webhooks_end_in_the_vendors_state(
        self, live_server: Any, vendors: Sandbox
    ) -> None:
        """`P12`: what a webhook has told is fetched at once, what was lost comes with the next poll."""
        vendors.moov.webhook_url = live_server.url + cases.address("moov")
        for seed in range(HISTORIES):
            dice = random.Random(seed)
            Ticket.objects.all().delete()
            ticket = raised("moov", "acct-1")
            push("moov")
            ticket.refresh_from_db()
            for _ in range(dice.randint(1, 5)):
                step(dice, vendors, str(ticket.remote_id))
            if not send_the_rest(dice, vendors):
                Ticket.objects.update(next_poll_at=timezone.now() - timedelta(minutes=1))
            pull("moov")
            ticket.refresh_from_db()
            assert seen(ticket) == true(vendors, str(ticket.remote_id)), seed


def step(dice: random.Random, vendors: Sandbox, remote_id: str) -> None:
    """Let the vendor change something, send something, or let the site look."""
    match dice.choice(("reply", "status", "send", "pull")):
        case "reply":
            vendors.moov.reply(remote_id, f"Answer {dice.random()}")
        case "status":
            vendors.moov.set_status(remote_id, dice.choice(("new", "in-progress", "on-hold", "closed")))
        case "send":
            an_hour_later()
            statuses = vendors.moov.deliver_webhooks(duplicate=dice.randint(1, 2), reverse=dice.random() < 0.5)
            assert set(statuses) <= {200}
        case "pull":
            pull("moov")


def send_the_rest(dice: random.Random, vendors: Sandbox) -> bool:
    """Deliver what the vendor has not sent yet, or lose some of it; return whether nothing was lost."""
    lost = dice.choice((0, 0, dice.randint(0, len(vendors.moov.outgoing))))
    an_hour_later()
    vendors.moov.deliver_webhooks(drop=lost, reverse=dice.random() < 0.5)
    return lost == 0


def seen(ticket: Ticket) -> tuple[str, list[str]]:
    return ticket.remote_status, sorted(ticket.comments.values_list("body", flat=True))


def true(vendors: Sandbox, remote_id: str) -> tuple[str, list[str]]:
    stored = vendors.moov.tickets[remote_id]
    return stored["status"], sorted(message["body"] for message in stored["messages"][1:])
