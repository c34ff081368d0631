"""Certify the provider: the whole contract, and what is particular to Acme."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acme import AcmeProvider
from acme_sandbox import AcmeSandbox

from django_support_tickets.records import TicketDraft, TicketRef
from django_support_tickets.testing.contract import ContractSubject, ProviderContract
from django_support_tickets.testing.sandbox import serving


@pytest.fixture(scope="module")
def running_acme() -> Iterator[AcmeSandbox]:
    with serving(AcmeSandbox) as vendor:
        yield vendor


@pytest.fixture
def acme(running_acme: AcmeSandbox) -> AcmeSandbox:
    running_acme.reset()
    return running_acme


class TestAcme(ProviderContract):
    @pytest.fixture
    def subject(self, acme: AcmeSandbox) -> ContractSubject:
        return ContractSubject(
            backend=AcmeProvider,
            options=acme.options(),
            draft=TicketDraft(key="", subject="Payout is late", contact_email="ada@example.com"),
            vendor=acme,
            refused=TicketDraft(key="", subject="x" * 121, contact_email="ada@example.com"),
            webhook=acme.sign,
            status_field="state",
        )


def test_an_answer_of_acme_is_an_agents(acme: AcmeSandbox) -> None:
    provider = AcmeProvider("acme", **acme.options())
    remote_id = provider.create(
        TicketDraft(key="9c1f6a3e-2b5d-4c7a-8f10-3d2e1c0b9a87", subject="Payout", contact_email="ada@example.com")
    ).remote_id
    acme.change(remote_id, messages=[{"id": "m-1", "by": "acme", "text": "Done.", "at": "2026-01-02T03:04:05Z"}])
    (comment,) = provider.get(TicketRef(remote_id=remote_id)).comments
    assert (comment.author_type, comment.body) == ("agent", "Done.")
