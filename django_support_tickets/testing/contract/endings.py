from __future__ import annotations

from collections.abc import Sequence

import pytest

from django_support_tickets.exceptions import AccessDenied, Ambiguous
from django_support_tickets.records import TicketRecord
from django_support_tickets.testing.contract.faults import (
    CONNECTION_CASES,
    CONTENT_CASES,
    Case,
    check_case,
    check_slow_cases,
    check_unreachable,
    error_of,
    names_of,
    run,
)
from django_support_tickets.testing.contract.subject import ContractSubject
from django_support_tickets.testing.sandbox import Fault

NO_CONNECTION = {
    "refused": "http://127.0.0.1:1",
    "unknown-name": f"https://{'x' * 64}.invalid",
    "no-tls": "https://127.0.0.1:{port}",
}


class FaultContract:
    """Each fault of the vendor ends in exactly the outcome that the table says."""

    @names_of(CONNECTION_CASES)
    def test_a_fault_of_the_connection(self, subject: ContractSubject, case: Case) -> None:
        _assert_none(check_case(subject, case))

    @names_of(CONTENT_CASES)
    def test_a_fault_of_the_content(self, subject: ContractSubject, case: Case) -> None:
        _assert_none(check_case(subject, case))

    def test_the_deadline_is_kept(self, subject: ContractSubject) -> None:
        _assert_none(check_slow_cases(subject))

    @pytest.mark.parametrize("how", NO_CONNECTION)
    def test_a_vendor_that_cannot_be_reached_got_nothing(self, subject: ContractSubject, how: str) -> None:
        subject.need_vendor()
        port = str(subject.options["base_url"]).split("/")[2].rpartition(":")[2]
        only = frozenset({"create"}) if how == "no-tls" else None  # a handshake that nobody answers takes its time
        _assert_none(check_unreachable(subject, NO_CONNECTION[how].format(port=port), only=only))

    def test_one_401_is_met_by_a_new_token_or_denies_the_account(self, subject: ContractSubject) -> None:
        vendor = subject.need_vendor()
        subject.raise_ticket()
        vendor.fail_next(subject.vendor_operation("create"), Fault.UNAUTHORIZED)
        ended = run(subject, "create", lambda p: p.create(subject.new_draft()), subject.provider)
        assert isinstance(ended.result, TicketRecord) or type(ended.error) is AccessDenied
        assert len(ended.writes) <= 2

    @pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 415, 422])
    def test_a_refusal_that_is_not_understood_proves_nothing(self, subject: ContractSubject, status: int) -> None:
        page, html = b"<html>A proxy speaks.</html>", [("Content-Type", "text/html")]
        subject.need_vendor().fail_next(
            subject.vendor_operation("create"), Fault.ANSWER, status=status, body=page, headers=html
        )
        subject_error = error_of(lambda: subject.provider.create(subject.new_draft()))
        assert type(subject_error) is Ambiguous


def _assert_none(complaints: Sequence[str]) -> None:
    assert not complaints, "\n".join(complaints)
