"""Certify a provider: subclass `ProviderContract` with one fixture, `subject`, and run it by pytest.

class TestAcme(ProviderContract):
    @pytest.fixture
    def subject(self, acme: AcmeSandbox) -> ContractSubject:
        return ContractSubject(
            backend=AcmeProvider,
            options=acme.options(),
            draft=TicketDraft(key="", subject="Payout is late", contact_email="ada@example.com"),
            vendor=acme,
        )
"""

from __future__ import annotations

import pytest

from django_support_tickets.testing.contract.endings import FaultContract
from django_support_tickets.testing.contract.secrets import SecrecyContract
from django_support_tickets.testing.contract.shape import ShapeContract
from django_support_tickets.testing.contract.subject import ContractSubject, FakeVendor, picture
from django_support_tickets.testing.contract.tickets import ConversationContract, SearchContract, TicketContract
from django_support_tickets.testing.contract.webhooks import WebhookContract

__all__ = ["ContractSubject", "FakeVendor", "ProviderContract", "picture"]


class ProviderContract(
    ShapeContract,
    TicketContract,
    SearchContract,
    ConversationContract,
    FaultContract,
    SecrecyContract,
    WebhookContract,
):
    """All that a provider must keep; a subclass gives the fixture `subject`."""

    @pytest.fixture
    def subject(self) -> ContractSubject:
        raise NotImplementedError("A subclass of ProviderContract needs a fixture `subject`.")
