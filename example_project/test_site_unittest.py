"""The same with unittest, as `manage.py test` runs it."""

from __future__ import annotations

from django.test import TransactionTestCase, override_settings
from django.urls import reverse

from django_support_tickets.models import Ticket
from django_support_tickets.outbox.push import push
from django_support_tickets.sync import pull
from django_support_tickets.testing.sandbox import Fault, Sandbox

RIPIO = "django_support_tickets.providers.ripio.RipioProvider"


class RipioTests(TransactionTestCase):
    sandbox: Sandbox

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.sandbox = Sandbox().start()
        cls.addClassCleanup(cls.sandbox.stop)

    def setUp(self) -> None:
        self.sandbox.reset()
        self.ripio = self.sandbox.ripio
        accounts = {"ripio": {"BACKEND": RIPIO, "OPTIONS": self.ripio.options()}}
        settings = override_settings(SUPPORT_TICKETS_PROVIDERS=accounts)
        settings.enable()
        self.addCleanup(settings.disable)
        self.ticket = Ticket.objects.create(
            provider="ripio", customer_id=self.ripio.CUSTOMER, subject="Deposit missing", description="Since Monday."
        )

    def test_a_lost_answer_is_not_sent_twice(self) -> None:
        self.ripio.fail_next("create", Fault.RESET_AFTER_COMMIT)
        push("ripio")
        self.ticket.refresh_from_db()
        self.assertEqual(self.ticket.delivery, "uncertain")
        self.assertEqual(len(self.ripio.tickets), 1)

    def test_a_webhook_brings_the_number(self) -> None:
        push("ripio")
        self.ticket.refresh_from_db()
        self.ripio.register(self.ticket.remote_id)
        headers, body = self.ripio.sign(self.ripio.event(self.ticket.remote_id))
        url = reverse("support_tickets:webhook", args=["ripio"])
        answer = self.client.post(url, body, content_type="application/json", headers=headers)
        self.assertEqual(answer.status_code, 200)
        pull("ripio")
        self.ticket.refresh_from_db()
        self.assertEqual(self.ticket.reference, "SUP-1")
