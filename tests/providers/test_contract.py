from __future__ import annotations

import uuid

import pytest

from django_support_tickets.providers.ankra import AnkraProvider
from django_support_tickets.providers.local import LocalProvider
from django_support_tickets.providers.moov import MoovProvider
from django_support_tickets.providers.ripio import RipioProvider
from django_support_tickets.providers.verifik import VerifikProvider
from django_support_tickets.records import TicketDraft
from django_support_tickets.testing.contract import ContractSubject, ProviderContract
from django_support_tickets.testing.sandbox import Sandbox

pytestmark = pytest.mark.fault(5, 7, 8, 19, 21, 25, 26, 28, 29, 30, 31, 32, 36, 37, 41, 42, 43, 51, 52, 58, 87)


KEY = str(uuid.UUID(int=1))


class TestLocal(ProviderContract):
    @pytest.fixture
    def subject(self) -> ContractSubject:
        return ContractSubject(backend=LocalProvider, options={}, draft=TicketDraft(key="", subject="Late payout"))


class TestRipio(ProviderContract):
    @pytest.fixture
    def subject(self, sandbox: Sandbox) -> ContractSubject:
        vendor = sandbox.ripio
        draft = TicketDraft(key="", customer_id=vendor.CUSTOMER, subject="Late payout")
        return ContractSubject(
            backend=RipioProvider,
            options=vendor.options(),
            draft=draft,
            vendor=vendor,
            refused=TicketDraft(key="", customer_id=vendor.CUSTOMER_WITHOUT_EMAIL, subject="s", description="d"),
            webhook=lambda remote_id: vendor.sign(vendor.event(remote_id) | {"eventType": "SUPPORT_TICKET.CREATED"}),
        )


class TestMoov(ProviderContract):
    @pytest.fixture
    def subject(self, sandbox: Sandbox) -> ContractSubject:
        vendor = sandbox.moov
        contact = {"contact_name": "Ada Canary", "contact_email": "canary.contact@example.com"}
        draft = TicketDraft(key="", customer_id=vendor.accounts[0], subject="Late payout", **contact)
        refused = TicketDraft(key=KEY, customer_id=vendor.accounts[0], subject="s", description="d")
        return ContractSubject(
            backend=MoovProvider,
            options=vendor.options(),
            draft=draft,
            vendor=vendor,
            refused=refused,
            webhook=lambda remote_id: vendor.sign(vendor.event("ticket.updated", remote_id)),
        )


class TestVerifikDocs(ProviderContract):
    @pytest.fixture
    def subject(self, sandbox: Sandbox) -> ContractSubject:
        sandbox.verifik.dialect = "docs"
        draft = TicketDraft(key="", subject="Late payout", category="technical", priority="high", tags=("a",))
        refused = TicketDraft(key="", subject="s", description="d", category="nonsense", priority="high")
        vendor = sandbox.verifik
        return ContractSubject(
            backend=VerifikProvider, options=vendor.options(), draft=draft, vendor=vendor, refused=refused
        )


class TestVerifikApp(ProviderContract):
    @pytest.fixture
    def subject(self, sandbox: Sandbox) -> ContractSubject:
        sandbox.verifik.dialect = "app"
        # The web app counts what is typed, before it becomes HTML; what the server counts is not documented.
        sandbox.verifik.message_max = 25_000
        draft = TicketDraft(key="", subject="Late payout", category="billing")
        refused = TicketDraft(key="", subject="s", description="d", category="nonsense")
        vendor = sandbox.verifik
        return ContractSubject(
            backend=VerifikProvider, options=vendor.options(), draft=draft, vendor=vendor, refused=refused
        )


class TestAnkra(ProviderContract):
    @pytest.fixture
    def subject(self, sandbox: Sandbox) -> ContractSubject:
        vendor = sandbox.ankra
        return ContractSubject(
            backend=AnkraProvider,
            options={**vendor.options(), "page_size": 2},
            draft=TicketDraft(key="", subject="Late payout", category="technical", priority="high"),
            vendor=vendor,
            refused=TicketDraft(key=KEY, subject="x" * 300, description="d"),
        )
