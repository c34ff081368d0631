from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pytest

from django_support_tickets.exceptions import ProviderError
from django_support_tickets.testing.contract.faults import error_of
from django_support_tickets.testing.contract.subject import ContractSubject
from django_support_tickets.testing.sandbox import Fault

PERSON = "canary.person@example.com"
PRIVATE = "c4n4ry private words"
OURS = Path(__file__).parent

ENDINGS: dict[str, tuple[Fault, dict[str, object]]] = {
    "lost": (Fault.RESET_AFTER_COMMIT, {}),
    "cut": (Fault.CUT_BODY, {}),
    "late": (Fault.DELAY, {"seconds": 1.0}),
    "busy": (Fault.RATE_LIMITED, {}),
    "denied": (Fault.UNAUTHORIZED, {"times": None}),
    "broken": (Fault.SERVER_ERROR, {"status": 500}),
    "redirected": (Fault.REDIRECT, {"location": f"https://{PERSON}/"}),
    "page": (Fault.HTML_PAGE, {"body": f"<html>{PERSON} {PRIVATE}</html>"}),
    "no-object": (Fault.ANSWER, {"status": 200, "body": f'["{PERSON}", "{PRIVATE}"]'}),
    "echo": (Fault.ANSWER, {"status": 400, "body": f'{{"message": "no {PERSON}", "detail": "no {PERSON}"}}'}),
    "nan": (Fault.JSON_NAN, {}),
}


class SecrecyContract:
    """No secret and no personal data in an error, in its traceback with local variables, or in a log."""

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_an_error_shows_no_secret_and_no_person(self, subject: ContractSubject, ending: str) -> None:
        vendor, (fault, details) = subject.need_vendor(), ENDINGS[ending]
        provider = subject.build(deadline=0.2, upload_deadline=0.2) if ending == "late" else subject.provider
        draft = subject.new_draft(subject=PRIVATE, description=f"{PRIVATE} {PERSON}")
        subject.raise_ticket()  # the account has its token: what fails is the call itself
        vendor.fail_next(subject.vendor_operation("create"), fault, **details)  # type: ignore[arg-type]
        with logged() as lines:
            error = error_of(lambda: provider.create(draft))
        self._check(subject, error, lines, private=(PERSON, PRIVATE, *_private_of(subject)))

    def test_nor_does_a_failed_comment_or_search(self, subject: ContractSubject) -> None:
        vendor, provider = subject.need_vendor(), subject.provider
        draft = subject.new_draft(subject=PRIVATE, description=f"{PRIVATE} {PERSON}")
        record = provider.create(draft)
        calls = subject.operations(("comment", "find", "upload", "close"))
        if provider.capabilities.can_find:
            calls["find"] = lambda p: p.find(draft)
        for name, call in calls.items():
            vendor.fail_next(subject.vendor_operation(name), Fault.SERVER_ERROR, status=500)
            with logged() as lines:
                error = error_of(lambda call=call: call(provider))  # type: ignore[misc]
            vendor.clear_failures()
            self._check(subject, error, lines, private=(PERSON, PRIVATE, *_private_of(subject)))
        assert record.remote_id

    def test_nor_does_a_token_that_cannot_be_had(self, subject: ContractSubject) -> None:
        subject.need_vendor()
        unreachable = subject.build(base_url="http://127.0.0.1:1")
        draft = subject.new_draft(subject=PRIVATE)
        with logged() as lines:
            error = error_of(lambda: unreachable.create(draft))
        self._check(subject, error, lines, private=(PERSON, PRIVATE, *_private_of(subject)))

    def test_a_provider_shows_no_secret(self, subject: ContractSubject) -> None:
        shown = repr(subject.provider) + str(subject.provider)
        assert not [secret for secret in subject.secrets() if secret in shown]

    def test_what_a_provider_takes_and_returns_shows_no_text(self, subject: ContractSubject) -> None:
        ref, draft = subject.raise_ticket(description=f"{PRIVATE} {PERSON}")
        record = subject.provider.get(ref)
        assert PERSON not in f"{ref!r}{draft!r}{record!r}"

    @staticmethod
    def _check(subject: ContractSubject, error: ProviderError, lines: list[str], *, private: tuple[str, ...]) -> None:
        shown = {
            "str()": str(error),
            "repr()": repr(error),
            "pickle": repr(pickle.dumps(error)),
            "the traceback with local variables": traceback_of(error),
            "the log": "\n".join(lines),
        }
        for secret in (*subject.secrets(), *private):
            for where, text in shown.items():
                assert secret not in text, f"{where} shows {secret!r}:\n{text}"
        assert error.alias == subject.alias
        assert error.operation


def _private_of(subject: ContractSubject) -> tuple[str, ...]:
    draft = subject.draft
    return tuple(text for text in (draft.contact_email, draft.contact_name) if text)


def traceback_of(error: BaseException) -> str:
    """Return the traceback as a crash reporter shows it, with the local variables of all frames but the contract's."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and Path(trace.tb_frame.f_code.co_filename).parent == OURS:
        trace = trace.tb_next
    report = traceback.TracebackException(type(error), error, trace, capture_locals=True)
    return "".join(report.format())


@contextmanager
def logged() -> Iterator[list[str]]:
    """Yield what is logged inside the block at any level, with its arguments."""
    lines: list[str] = []

    class Keeper(logging.Handler):
        """Keep each line as it is written."""

        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    root, keeper = logging.getLogger(), Keeper(level=logging.DEBUG)
    level = root.level
    root.addHandler(keeper)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(keeper)
        root.setLevel(level)
