from __future__ import annotations

import dataclasses
import hashlib
import hmac
import inspect
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from django_support_tickets.exceptions import Ambiguous, ProviderError, Refused
from django_support_tickets.providers.http import dict_of, id_of
from django_support_tickets.records import (
    ABSENT,
    AttachmentRecord,
    Capabilities,
    CommentDraft,
    CommentRecord,
    Download,
    FileDraft,
    Found,
    Page,
    Status,
    TicketDraft,
    TicketRecord,
    TicketRef,
    WebhookEvent,
)
from django_support_tickets.testing.contract import ContractSubject, ProviderContract
from django_support_tickets.testing.contract.faults import CONNECTION_CASES, Case, check_case
from django_support_tickets.testing.sandbox import serving
from django_support_tickets.transport import Answer, forget_accounts, json_body
from tests.testing.desk import DeskProvider, DeskSandbox, to_record


@pytest.fixture(scope="module")
def running_desk() -> Iterator[DeskSandbox]:
    with serving(DeskSandbox, seed=7) as vendor:
        yield vendor


@pytest.fixture
def desk(running_desk: DeskSandbox) -> DeskSandbox:
    running_desk.reset()
    forget_accounts()
    return running_desk


def subject_of(backend: type[DeskProvider], vendor: DeskSandbox) -> ContractSubject:
    contact = {"contact_name": "Ada Canary", "contact_email": "canary.contact@example.com"}
    return ContractSubject(
        backend=backend,
        options=vendor.options(),
        draft=TicketDraft(key="", subject="Late payout", **contact),
        vendor=vendor,
        refused=TicketDraft(key="", subject="x" * 81, description="d"),
        webhook=vendor.sign,
    )


class TestDesk(ProviderContract):
    """A right provider keeps the contract."""

    @pytest.fixture
    def subject(self, desk: DeskSandbox) -> ContractSubject:
        return subject_of(DeskProvider, desk)


ONLY_CREATE_AND_GET = Capabilities(no_comment_reason="None.", status_map=DeskProvider.capabilities.status_map)


class Undeclared(DeskProvider):
    """Has methods that its capabilities do not name."""

    capabilities = ONLY_CREATE_AND_GET


class SwallowsOptions(DeskProvider):
    """Takes any option, so that a typing mistake is never seen."""

    def __init__(self, alias: str, **options: Any) -> None:
        known = {name: value for name, value in options.items() if name != "tokn"}
        super().__init__(alias, **known)


class TalksInInit(DeskProvider):
    """Asks the vendor while it is built."""

    def __init__(self, alias: str, **options: Any) -> None:
        super().__init__(alias, **options)
        self._rows("list", page="1")


class TalksInCheck(DeskProvider):
    """Asks the vendor while it is checked."""

    def check(self) -> list[Any]:
        self.probe()
        return super().check()


class TrustsTheId(DeskProvider):
    """Takes whatever the vendor gives for an id."""

    def _ticket(self, answer: Answer) -> TicketRecord:
        return to_record({**dict_of(answer.json()), "id": "unknown"})


class BelievesLoginPages(DeskProvider):
    """Takes any 2xx for success."""

    def create(self, draft: TicketDraft) -> TicketRecord:
        body = json_body({"subject": draft.subject, "text": draft.description, "key": draft.key})
        answer = self.call("create", "POST", "tickets", body=body, key=draft.key)
        return TicketRecord(remote_id=id_of(dict_of(answer.json_or_none()).get("id")) or draft.key)


class RetriesWrites(DeskProvider):
    """Sends a lost create again."""

    def create(self, draft: TicketDraft) -> TicketRecord:
        try:
            return super().create(draft)
        except ProviderError:
            return super().create(draft)


class ForgetsTheKey(DeskProvider):
    """Sends no key, so that nothing is found again."""

    def create(self, draft: TicketDraft) -> TicketRecord:
        body = json_body({"subject": draft.subject, "text": draft.description, "key": ""})
        return self._ticket(self.call("create", "POST", "tickets", body=body, key=draft.key))


class FindsOthers(DeskProvider):
    """Takes every ticket with the same text for ours."""

    def find(self, draft: TicketDraft) -> Found:
        rows, _ = self._rows("find", page="1")
        records = tuple(map(to_record, rows))
        return Found(records=tuple(r for r in records if r.description == draft.description), complete=True)


class AlwaysComplete(DeskProvider):
    """Calls a search complete that could not judge a row."""

    def find(self, draft: TicketDraft) -> Found:
        rows, _ = self._rows("find", page="1", key=draft.key)
        return Found(records=tuple(r for r in map(to_record, rows) if r.key == draft.key), complete=True)


class EndlessWalk(DeskProvider):
    """Never ends its list."""

    def list_changed(self, scope: str, cursor: str | None) -> Page:
        page = super().list_changed(scope, cursor)
        return Page(records=page.records, next_cursor=page.next_cursor or "1")


class FirstPageOnly(DeskProvider):
    """Shows the first page of a list for the whole."""

    def list_changed(self, scope: str, cursor: str | None) -> Page:
        return Page(records=super().list_changed(scope, cursor).records)


class EmptyPageForAnyAnswer(DeskProvider):
    """Takes a list that it does not understand for an empty one."""

    def list_changed(self, scope: str, cursor: str | None) -> Page:
        answer = self.call("list", "GET", "tickets", params=(("page", cursor or "1"),))
        page = dict_of(answer.json_or_none())
        next_page = page.get("next")
        return Page(records=tuple(map(to_record, page.get("items", []))), next_cursor=next_page and str(next_page))


class LosesText(DeskProvider):
    """Sends text without its lines and accents."""

    def create(self, draft: TicketDraft) -> TicketRecord:
        text = draft.description.encode("ascii", "ignore").decode()
        body = json_body({"subject": draft.subject, "text": text, "key": draft.key})
        return self._ticket(self.call("create", "POST", "tickets", body=body, key=draft.key))


class StripsMarkupOfComments(DeskProvider):
    """Sends comments as if they were HTML."""

    def add_comment(self, ref: TicketRef, draft: CommentDraft) -> CommentRecord:
        return super().add_comment(ref, CommentDraft(key=draft.key, body=draft.body.replace("<b>", "")))


class PastesIds(DeskProvider):
    """Pastes remote ids into paths as they are."""

    def _path(self, operation: str, ref: TicketRef) -> str:
        return f"tickets/{ref.remote_id}"


class GuessesStatuses(DeskProvider):
    """Takes an unknown status for an open ticket."""

    def get(self, ref: TicketRef) -> TicketRecord:
        answer = self.call("get", "GET", self._path("get", ref))
        record, ticket = self._ticket(answer), dict_of(answer.json())
        status = Status.CLOSED if ticket.get("status") == "closed" else Status.OPEN
        return TicketRecord(remote_id=record.remote_id, status=status, remote_status=record.remote_status)


class CrashesOnNull(DeskProvider):
    """Reads fields as if they were always there."""

    def _ticket(self, answer: Answer) -> TicketRecord:
        record = super()._ticket(answer)
        answer.json()["subject"].strip()
        return record


class ShowsTheToken(DeskProvider):
    """Keeps the token in a local variable while it calls."""

    def create(self, draft: TicketDraft) -> TicketRecord:
        token = self._token
        record = super().create(draft)
        return record if token else record


class ShowsTheText(DeskProvider):
    """Keeps the payload in a local variable while it calls."""

    def create(self, draft: TicketDraft) -> TicketRecord:
        payload = {"subject": draft.subject, "text": draft.description, "key": draft.key}
        return self._ticket(self.call("create", "POST", "tickets", body=json_body(payload), key=draft.key))


class ShowsItself(DeskProvider):
    """Shows its token in `repr()`."""

    def __repr__(self) -> str:
        return f"<DeskProvider {vars(self)}>"


class UsesItsOwnHttp(DeskProvider):
    """Calls requests itself, which knows no outcome."""

    def get(self, ref: TicketRef) -> TicketRecord:
        headers = {"Authorization": f"Bearer {self._token}"}
        response = requests.get(f"{self.base_url}/{self._path('get', ref)}", headers=headers, timeout=5)
        return to_record(response.json())


class IgnoresTheDeadline(DeskProvider):
    """Allows every call as much time as it likes, whatever its options say."""

    capabilities = ONLY_CREATE_AND_GET

    @property
    def transport(self) -> Any:
        return super().transport.__class__(alias=self.alias, base_url=self.base_url, deadline=1.7)

    def deadline_of(self, operation: str) -> float:
        return 1.7


class RefusesTooMuch(DeskProvider):
    """Takes any 4xx for a refusal, whoever said it."""

    def error_for(self, answer: Answer) -> ProviderError:
        error = super().error_for(answer)
        return Refused("no", **answer.facts) if 400 <= answer.status < 500 and answer.status != 429 else error


class RefusesFiles(DeskProvider):
    """Takes a file that did not come whole for one that the vendor refuses."""

    @contextmanager
    def download(self, ref: TicketRef, attachment: AttachmentRecord) -> Iterator[Download]:
        try:
            with super().download(ref, attachment) as download:
                yield download
        except Ambiguous as error:
            raise Refused(error.cause) from None


class AcceptsUnsigned(DeskProvider):
    """Accepts a webhook without a signature."""

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvent:
        given = {name.lower() for name in headers}
        return super().parse_webhook(headers, body) if "x-signature" in given else self.to_event(body)


class ComparesPrefixes(DeskProvider):
    """Compares only the first half of a signature."""

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvent:
        given = {name.lower(): value for name, value in headers.items()}.get("x-signature", "")
        digests = [hmac.new(secret.encode(), body, "sha256").hexdigest() for secret in self.webhook_secrets()]
        whole = next((digest for digest in digests if digest[:32] == given[:32]), "")
        return super().parse_webhook({"X-Signature": whole}, body)


class CrashesOnOddSignatures(DeskProvider):
    """Decodes the signature without thinking."""

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvent:
        bytes.fromhex({name.lower(): value for name, value in headers.items()}.get("x-signature", ""))
        return super().parse_webhook(headers, body)


class OneIdentityForAll(DeskProvider):
    """Gives every webhook the same identity."""

    def to_event(self, body: bytes) -> WebhookEvent:
        event = super().to_event(body)
        return WebhookEvent(identity=event.event_type, event_type=event.event_type, remote_id=event.remote_id)


class SendsWhatItFinds(DeskProvider):
    """Does not check the file that it sends."""

    def upload(self, ref: TicketRef, file: FileDraft) -> Any:
        with file.open() as stream:
            found = stream.read()
        sha256 = hashlib.sha256(found).hexdigest()
        changed = FileDraft(key=file.key, name=file.name, size=len(found), sha256=sha256, open=file.open)
        return super().upload(ref, changed)


class NoFileInGet(DeskProvider):
    """Loses uploaded files when it reads the ticket."""

    def get(self, ref: TicketRef) -> TicketRecord:
        record = super().get(ref)
        return TicketRecord(remote_id=record.remote_id, comments=record.comments, attachments=())


class ClosesNothing(DeskProvider):
    """Says that it has closed a ticket that it has only read."""

    def close(self, ref: TicketRef) -> TicketRecord:
        return TicketRecord(remote_id=self.get(ref).remote_id, status=Status.CLOSED)


class NoNotFound(DeskProvider):
    """Returns an empty record for a ticket that is not there."""

    def get(self, ref: TicketRef) -> TicketRecord:
        try:
            return super().get(ref)
        except Refused:
            return TicketRecord(remote_id=ref.remote_id, status=ABSENT)


WRONG: dict[type[DeskProvider], str] = {
    Undeclared: "test_capabilities_agree_with_the_methods",
    SwallowsOptions: "test_an_unknown_option_is_refused",
    TalksInInit: "test_building_and_checking_does_nothing",
    TalksInCheck: "test_building_and_checking_does_nothing",
    TrustsTheId: "test_create_returns_a_record_of_the_one_ticket_made",
    BelievesLoginPages: "test_a_fault_of_the_content",
    RetriesWrites: "test_a_fault_of_the_connection",
    ForgetsTheKey: "test_a_create_whose_answer_was_lost_is_found",
    FindsOthers: "test_a_create_that_was_never_made_is_not_found",
    AlwaysComplete: "test_a_search_that_cannot_judge_a_row_is_not_complete",
    EndlessWalk: "test_a_walk_shows_every_ticket_and_ends",
    FirstPageOnly: "test_a_walk_shows_every_ticket_and_ends",
    EmptyPageForAnyAnswer: "test_a_fault_of_the_content",
    LosesText: "test_text_and_key_come_back_as_they_were_sent",
    StripsMarkupOfComments: "test_a_comment_comes_back_as_it_was_sent",
    PastesIds: "test_an_id_that_could_mean_another_path_is_refused_unsent",
    GuessesStatuses: "test_every_declared_status_is_mapped_and_an_unknown_one_kept",
    CrashesOnNull: "test_a_fault_of_the_content",
    ShowsTheToken: "test_an_error_shows_no_secret_and_no_person",
    ShowsTheText: "test_an_error_shows_no_secret_and_no_person",
    ShowsItself: "test_a_provider_shows_no_secret",
    UsesItsOwnHttp: "test_a_fault_of_the_connection",
    IgnoresTheDeadline: "test_the_deadline_is_kept",
    RefusesTooMuch: "test_a_refusal_that_is_not_understood_proves_nothing",
    RefusesFiles: "test_a_fault_of_the_connection",
    AcceptsUnsigned: "test_missing_and_odd_headers_are_refused",
    ComparesPrefixes: "test_every_flipped_bit_of_a_signed_header_is_refused",
    CrashesOnOddSignatures: "test_missing_and_odd_headers_are_refused",
    OneIdentityForAll: "test_the_same_webhook_has_the_same_identity_and_another_one_another",
    SendsWhatItFinds: "test_a_file_that_has_changed_never_arrives",
    NoFileInGet: "test_an_uploaded_file_is_kept_and_comes_back",
    ClosesNothing: "test_a_closed_ticket_is_closed_at_the_vendor",
    NoNotFound: "test_a_ticket_that_the_vendor_does_not_know",
}


@pytest.mark.parametrize(("backend", "name"), WRONG.items(), ids=[backend.__name__ for backend in WRONG])
def test_a_wrong_provider_fails_the_test_named_after_its_mistake(
    backend: type[DeskProvider], name: str, desk: DeskSandbox
) -> None:
    assert fails(backend, name, desk)


@pytest.mark.parametrize("case", CONNECTION_CASES, ids=[case.name for case in CONNECTION_CASES])
def test_a_file_may_be_refused_for_no_fault_of_the_connection(case: Case, desk: DeskSandbox) -> None:
    case = dataclasses.replace(case, operations=frozenset({"download"}))
    assert check_case(subject_of(DeskProvider, desk), case) == []
    is_harmless = case.name.startswith(("429", "503 for", "401"))
    assert bool(check_case(subject_of(RefusesFiles, desk), case)) is not is_harmless


def fails(backend: type[DeskProvider], name: str, desk: DeskSandbox) -> bool:
    """Return whether one of the cases of a contract test fails for a provider."""
    test = getattr(ProviderContract(), name)
    for arguments in cases_of(test):
        desk.reset()
        try:
            test(subject=subject_of(backend, desk), **arguments)
        except (Exception, pytest.fail.Exception):
            return True
    return False


def cases_of(test: Any) -> Iterator[dict[str, Any]]:
    """Yield the arguments with which pytest would call a test."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    assert all("," not in mark.args[0] for mark in marks)
    for values in itertools.product(*(mark.args[1] for mark in marks)):
        yield dict(zip((mark.args[0] for mark in marks), values, strict=True))


def test_every_test_of_the_contract_can_be_run_by_hand() -> None:
    tests = [value for name, value in inspect.getmembers(ProviderContract) if name.startswith("test_")]
    assert len(tests) >= 35
    assert set(WRONG.values()) <= {test.__name__ for test in tests}
    for test in tests:
        named = {mark.args[0] for mark in getattr(test, "pytestmark", [])}
        assert set(inspect.signature(test).parameters) == {"self", "subject", *named}


def test_a_subject_shows_no_secret(desk: DeskSandbox) -> None:
    """pytest shows it beside every failing test, also of one that talks to the real vendor."""
    subject = subject_of(DeskProvider, desk)
    assert len(subject.secrets()) >= 2
    assert not [secret for secret in subject.secrets() if secret in repr(subject)]
