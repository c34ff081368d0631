from __future__ import annotations

import contextlib
import hashlib
import hmac
import io
import json
import pickle
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_support_tickets.exceptions import (
    AccessDenied,
    Ambiguous,
    Busy,
    InvalidProvider,
    NotSent,
    ProviderError,
    Refused,
    RemoteNotFound,
    WebhookRejected,
)
from django_support_tickets.providers.ripio import RipioProvider, lifetime_of, to_payload, to_record, to_token
from django_support_tickets.records import ABSENT, FileDraft, Probe, Status, TicketDraft, TicketRef
from django_support_tickets.testing.sandbox import Fault, LedgerEntry, RipioSandbox, Sandbox
from django_support_tickets.testing.sandbox.multipart import Part, read_parts

KEY = "5d9c9f0e-6f0a-4a0e-9d3c-1b2f3a4b5c6d"
UNKNOWN_ID = "11111111-2222-4333-8444-555555555555"

# The examples of docs.ripio.com, "Retrieve Support Ticket" and "Create Support Ticket".
RETRIEVED = {"ticketId": "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "status": "CREATED", "issueKey": "SUP-1234"}
CREATED = {"ticketId": "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "status": "PENDING", "issueKey": None}

# docs.ripio.com, /ramps-api/webhooks/introduction: computed by hand from the page's recipe.
VECTOR_SECRET = "test-webhook-secret"
VECTOR_BODY = (
    b'{"eventType":"SUPPORT_TICKET.CREATED","issueDatetime":"2026-01-02T03:04:05.000Z","supportTicket":'
    b'{"ticketId":"11111111-2222-4333-8444-555555555555","status":"CREATED","issueKey":"SUP-1"}}'
)
VECTOR_DIGEST = "66cb1f1ea4b0db25ea856b9c192bd7ec6489ebe769a7a3097ee41025c9397f88"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def provider(sandbox: Sandbox) -> RipioProvider:
    return RipioProvider("ripio", **sandbox.ripio.options())


@contextlib.contextmanager
def setting(vendor: Any, **values: Any) -> Iterator[None]:
    """Let the vendor behave otherwise where its documentation is silent."""
    before = {name: getattr(vendor, name) for name in values}
    for name, value in values.items():
        setattr(vendor, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(vendor, name, value)


def a_draft(**fields: Any) -> TicketDraft:
    known = {"customer_id": RipioSandbox.CUSTOMER, "subject": "Card declined", "description": "Since Monday."}
    return TicketDraft(key=KEY, **{**known, **fields})


def a_file(content: bytes, name: str = "shot.png", content_type: str = "image/png") -> FileDraft:
    return FileDraft(
        key=KEY,
        name=name,
        content_type=content_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        open=lambda: io.BytesIO(content),
    )


def requests_of(sandbox: Sandbox, operation: str) -> list[LedgerEntry]:
    return [entry for entry in sandbox.ripio.ledger if entry.operation == operation]


def parts_of(entry: LedgerEntry) -> list[Part]:
    return read_parts(io.BytesIO(entry.body), entry.headers["content-type"], keep=10_000)


def a_reference(remote_id: str) -> TicketRef:
    return TicketRef(remote_id=remote_id)


class TestReading:
    def test_example_of_retrieve(self) -> None:
        record = to_record(RETRIEVED)
        assert record.remote_id == RETRIEVED["ticketId"]
        assert (record.status, record.remote_status, record.reference) == (Status.OPEN, "CREATED", "SUP-1234")
        assert record.raw == RETRIEVED

    def test_example_of_create(self) -> None:
        record = to_record(CREATED)
        assert (record.status, record.remote_status, record.reference) == (Status.PENDING, "PENDING", "")

    def test_failed_ticket(self) -> None:
        assert to_record({**CREATED, "status": "FAILED"}).status == Status.FAILED

    @pytest.mark.fault(41)
    @pytest.mark.parametrize(
        ("status", "verbatim"),
        [("ESCALATED", "ESCALATED"), ("created", "created"), (5, "5"), (None, ""), ([], ""), ({}, ""), (True, "")],
    )
    def test_unknown_status_is_kept_verbatim(self, status: Any, verbatim: str) -> None:
        record = to_record({**RETRIEVED, "status": status})
        assert (record.status, record.remote_status) == (Status.UNKNOWN, verbatim)

    @pytest.mark.fault(42)
    def test_missing_fields_are_not_loaded_and_extra_ones_are_kept(self) -> None:
        record = to_record({"ticketId": UNKNOWN_ID, "severity": "high", "files": [1, 2]})
        assert (record.status, record.remote_status, record.reference) == (ABSENT, ABSENT, ABSENT)
        assert record.raw == {"ticketId": UNKNOWN_ID, "severity": "high"}

    @pytest.mark.fault(8, 36)
    @pytest.mark.parametrize("remote_id", [None, "", 7, True, [], {}, "x" * 9000, "../../B", "x?y=1", "SUP-1", "a\nb"])
    def test_unusable_id_is_no_id(self, remote_id: Any) -> None:
        assert to_record({**RETRIEVED, "ticketId": remote_id}).remote_id == ""

    @pytest.mark.fault(42, 43)
    @given(data=JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(RETRIEVED, JSON)))
    def test_never_raises(self, data: Any) -> None:
        record = to_record(data)
        assert record.status in (ABSENT, Status.UNKNOWN)

    def test_text_never_shows_in_a_repr(self) -> None:
        assert "Since Monday" not in repr(a_draft())


class TestCapabilities:
    def test_says_what_ripio_cannot_do(self, provider: RipioProvider) -> None:
        known = provider.capabilities
        assert not (known.can_list or known.can_find or known.can_comment or known.can_close)
        assert known.no_comment_reason == "Ripio answers the customer by email"
        assert known.has_webhooks

    def test_limits_are_the_documented_ones(self, provider: RipioProvider) -> None:
        known = provider.capabilities
        assert (known.subject_max, known.description_max) == (240, 5000)
        assert known.attachments is not None
        assert (known.attachments.max_count, known.attachments.max_bytes) == (5, 25_000_000)
        assert known.attachments.max_total_bytes == 50_000_000
        assert len(known.attachments.extensions) == 9
        assert known.attachments.moments == {"create"}

    def test_limits_are_options(self, sandbox: Sandbox) -> None:
        options = {**sandbox.ripio.options(), "summary_max": 10, "allowed_extensions": ["PDF"], "max_files": 1}
        known = RipioProvider("ripio", **options).capabilities
        assert known.attachments is not None
        assert (known.subject_max, known.attachments.max_count) == (10, 1)
        assert known.attachments.extensions == {"pdf"}

    def test_nothing_more_comes_once_a_ticket_is_registered(self, provider: RipioProvider) -> None:
        assert provider.capabilities.final_statuses == {Status.OPEN, Status.FAILED}

    @pytest.mark.parametrize("name", ["client_id", "client_secret"])
    @pytest.mark.parametrize("value", ["", "  ", None])
    def test_missing_credential_is_named_without_its_value(self, sandbox: Sandbox, name: str, value: Any) -> None:
        with pytest.raises(InvalidProvider, match=name):
            RipioProvider("ripio", **{**sandbox.ripio.options(), name: value})

    def test_files_make_a_create_slow(self, provider: RipioProvider) -> None:
        assert (provider.deadline_of("create"), provider.deadline_of("get")) == (120.0, 30.0)


class TestCreate:
    def test_returns_the_pending_ticket(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        record = provider.create(a_draft())
        assert list(sandbox.ripio.tickets) == [record.remote_id]
        assert (record.status, record.reference) == (Status.PENDING, "")

    def test_sends_the_documented_parts_and_no_more(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        provider.create(a_draft(subject="Card declined \U0001f4b3", description="Since\nMonday"))
        (entry,) = requests_of(sandbox, "create")
        sent = {part.name: part.text for part in parts_of(entry)}
        assert sent == {
            "customerId": sandbox.ripio.CUSTOMER,
            "summary": "Card declined \U0001f4b3",
            "description": "Since\nMonday",
        }
        assert entry.path == "/api/v1/supportTickets/"
        assert "idempotency-key" not in entry.headers

    def test_summary_is_one_line(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        with setting(sandbox.ripio, refuse_multiline_summary=True):
            provider.create(a_draft(subject="Card\r\ndeclined\u2028 again"))
        assert to_payload(a_draft(subject=" Card\n\ndeclined "))["summary"] == "Card declined"

    @pytest.mark.fault(43)
    def test_text_that_utf8_cannot_hold_is_sent_visibly_changed(self) -> None:
        assert to_payload(a_draft(description="a\ud800b"))["description"] == "a\ufffdb"

    def test_files_travel_with_the_ticket(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        contents = [b"first" * 1000, b"second"]
        draft = a_draft(files=(a_file(contents[0]), a_file(contents[1], 'na"me\n.pdf', "application/pdf")))
        record = provider.create(draft)
        stored = sandbox.ripio.tickets[record.remote_id]["files"]
        assert [file["sha256"] for file in stored] == [hashlib.sha256(content).hexdigest() for content in contents]
        assert [file["content_type"] for file in stored] == ["image/png", "application/pdf"]

    def test_name_of_the_file_part_is_an_option(self, sandbox: Sandbox) -> None:
        provider = RipioProvider("ripio", **sandbox.ripio.options(), file_field_name="files.items")
        with setting(sandbox.ripio, file_field_names=("files.items",)):
            provider.create(a_draft(files=(a_file(b"x"),)))

    @pytest.mark.fault(19)
    def test_customer_without_email_is_refused(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        with pytest.raises(Refused) as caught:
            provider.create(a_draft(customer_id=sandbox.ripio.CUSTOMER_WITHOUT_EMAIL))
        assert (caught.value.status, caught.value.code, caught.value.key) == (400, "20000", KEY)
        assert "email address" in caught.value.reason
        assert caught.value.request_id
        assert "email address" not in str(caught.value)

    @pytest.mark.fault(19)
    def test_feature_that_is_off_denies_the_account(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        with setting(sandbox.ripio, enabled=False), pytest.raises(AccessDenied) as caught:
            provider.create(a_draft())
        assert (caught.value.status, caught.value.code) == (403, "20061")
        assert len(requests_of(sandbox, "token")) <= 1
        assert len(requests_of(sandbox, "create")) == 1

    @pytest.mark.fault(19)
    @pytest.mark.parametrize("status", [400, 403, 404, 413, 415, 422])
    def test_proved_rejection_is_refused(self, sandbox: Sandbox, provider: RipioProvider, status: int) -> None:
        body = json.dumps({"code": 20099, "type": "SomeException", "detail": {"message": "No."}, "status": status})
        sandbox.ripio.fail_next("create", Fault.ANSWER, status=status, body=body)
        with pytest.raises(Refused) as caught:
            provider.create(a_draft())
        assert (caught.value.code, caught.value.reason) == ("20099", "No.")
        assert len(requests_of(sandbox, "create")) == 1

    @pytest.mark.parametrize(
        ("detail", "reason"),
        [
            ("No.", "No."),
            (["One", {"message": "Two"}], "One; Two"),
            ({"customerId": ["Wrong."], "summary": "Empty."}, "customerId: Wrong.; summary: Empty."),
            (None, "SomeException"),
            ({"message": "ask jane@example.com"}, "ask [e-mail]"),
        ],
    )
    def test_detail_of_any_shape_is_read(
        self, sandbox: Sandbox, provider: RipioProvider, detail: Any, reason: str
    ) -> None:
        body = json.dumps({"code": 20000, "type": "SomeException", "detail": detail})
        sandbox.ripio.fail_next("create", Fault.ANSWER, status=400, body=body)
        with pytest.raises(Refused) as caught:
            provider.create(a_draft())
        assert caught.value.reason == reason

    @pytest.mark.fault(5)
    @pytest.mark.parametrize(
        "fault",
        [Fault.RESET_AFTER_COMMIT, Fault.SERVER_ERROR_AFTER_COMMIT, Fault.CUT_BODY, Fault.RESET_IN_ANSWER],
    )
    def test_lost_answer_is_ambiguous_and_nothing_is_sent_again(
        self, sandbox: Sandbox, provider: RipioProvider, fault: Fault
    ) -> None:
        sandbox.ripio.fail_next("create", fault)
        with pytest.raises(Ambiguous):
            provider.create(a_draft())
        assert len(requests_of(sandbox, "create")) == 1
        assert len(sandbox.ripio.tickets) == 1

    @pytest.mark.fault(8)
    @pytest.mark.parametrize(
        "fault",
        [
            Fault.WITHOUT_ID,
            Fault.NULL_ID,
            Fault.EMPTY_ID,
            Fault.NUMBER_ID,
            Fault.LONG_ID,
            Fault.LIST_INSTEAD_OF_OBJECT,
            Fault.HTML_PAGE,
            Fault.NO_CONTENT,
            Fault.EMPTY_BODY,
        ],
    )
    def test_success_without_an_id_is_ambiguous(self, sandbox: Sandbox, provider: RipioProvider, fault: Fault) -> None:
        sandbox.ripio.fail_next("create", fault)
        with pytest.raises(Ambiguous):
            provider.create(a_draft())

    @pytest.mark.fault(7)
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirect_is_ambiguous_and_not_followed(
        self, sandbox: Sandbox, provider: RipioProvider, status: int
    ) -> None:
        sandbox.ripio.fail_next("create", Fault.REDIRECT, status=status)
        with pytest.raises(Ambiguous, match="redirects"):
            provider.create(a_draft())
        assert [entry.operation for entry in sandbox.ripio.ledger if entry.operation != "token"] == ["create"]

    def test_rate_limit_is_busy(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        sandbox.ripio.fail_next("create", Fault.RATE_LIMITED, retry_after="7")
        with pytest.raises(Busy) as caught:
            provider.create(a_draft())
        assert caught.value.retry_after == 7

    def test_unavailable_is_ambiguous_because_nothing_can_be_searched(
        self, sandbox: Sandbox, provider: RipioProvider
    ) -> None:
        sandbox.ripio.fail_next("create", Fault.SERVER_ERROR, retry_after="7")
        with pytest.raises(Ambiguous):
            provider.create(a_draft())

    @pytest.mark.fault(30)
    @pytest.mark.parametrize("body", ["<html>", "", "[]", '"no"'])
    def test_refusal_that_cannot_be_read_proves_nothing(
        self, sandbox: Sandbox, provider: RipioProvider, body: str
    ) -> None:
        sandbox.ripio.fail_next("create", Fault.ANSWER, status=400, body=body)
        with pytest.raises(Ambiguous):
            provider.create(a_draft())


class TestGet:
    def test_sees_the_registration(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        remote_id = provider.create(a_draft()).remote_id
        assert provider.get(a_reference(remote_id)).status == Status.PENDING
        key = sandbox.ripio.register(remote_id)
        record = provider.get(a_reference(remote_id))
        assert (record.status, record.remote_status, record.reference) == (Status.OPEN, "CREATED", key)

    def test_sees_the_failure(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        remote_id = provider.create(a_draft()).remote_id
        sandbox.ripio.fail(remote_id)
        assert provider.get(a_reference(remote_id)).status == Status.FAILED

    @pytest.mark.fault(48)
    def test_unknown_ticket_is_not_found(self, provider: RipioProvider) -> None:
        with pytest.raises(RemoteNotFound):
            provider.get(a_reference(UNKNOWN_ID))

    @pytest.mark.fault(36)
    @pytest.mark.parametrize("remote_id", ["../../B", "x?y=1", "a/b", "a\nb", "", "x" * 10_000])
    def test_id_that_could_mean_another_path_is_not_sent(
        self, sandbox: Sandbox, provider: RipioProvider, remote_id: str
    ) -> None:
        with pytest.raises(Refused):
            provider.get(a_reference(remote_id))
        assert sandbox.ripio.ledger == []

    def test_answer_about_another_ticket_is_not_taken(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        remote_id = provider.create(a_draft()).remote_id
        sandbox.ripio.fail_next("get", Fault.ANSWER, body=json.dumps(RETRIEVED))
        with pytest.raises(Ambiguous, match="another ticket"):
            provider.get(a_reference(remote_id))

    @pytest.mark.fault(41, 42)
    @pytest.mark.parametrize("fault", [Fault.UNKNOWN_ENUM, Fault.NULL_FIELDS, Fault.MISSING_FIELDS])
    def test_odd_fields_are_read(self, sandbox: Sandbox, provider: RipioProvider, fault: Fault) -> None:
        remote_id = provider.create(a_draft()).remote_id
        sandbox.ripio.fail_next("get", fault)
        assert provider.get(a_reference(remote_id)).status in (Status.UNKNOWN, ABSENT)


class TestToken:
    @pytest.mark.parametrize("style", ["camel", "snake"])
    def test_both_spellings_are_read_and_the_token_is_kept(self, sandbox: Sandbox, style: str) -> None:
        with setting(sandbox.ripio, token_style=style):
            for _ in range(3):
                RipioProvider("ripio", **sandbox.ripio.options()).create(a_draft())
        (entry,) = requests_of(sandbox, "token")
        assert entry.body == b"grant_type=client_credentials"
        assert entry.headers["content-type"] == "application/x-www-form-urlencoded"

    @pytest.mark.fault(34)
    def test_many_threads_renew_a_refused_token_once(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        remote_id = provider.create(a_draft()).remote_id
        sandbox.ripio.expire_tokens()
        with ThreadPoolExecutor(20) as pool:
            records = list(pool.map(lambda _: provider.get(a_reference(remote_id)), range(20)))
        assert len(records) == 20
        assert len(requests_of(sandbox, "token")) == 2
        assert len(requests_of(sandbox, "get")) <= 40

    @pytest.mark.fault(34)
    def test_many_threads_fetch_the_first_token_once(self, sandbox: Sandbox) -> None:
        remote_id = sandbox.ripio.add_ticket()

        def get(_: int) -> None:
            RipioProvider("ripio", **sandbox.ripio.options()).get(a_reference(remote_id))

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(get, range(20)))
        assert len(requests_of(sandbox, "token")) == 1
        assert len(requests_of(sandbox, "get")) == 20

    @pytest.mark.fault(21, 34)
    @pytest.mark.parametrize("status", [401, 403])
    def test_refused_token_is_renewed_and_the_whole_body_sent_again(
        self, sandbox: Sandbox, provider: RipioProvider, status: int
    ) -> None:
        content = b"picture" * 5000
        provider.create(a_draft())
        sandbox.ripio.expire_tokens()
        with setting(sandbox.ripio, unauthenticated_status=status):
            record = provider.create(a_draft(files=(a_file(content),)))
        (stored,) = sandbox.ripio.tickets[record.remote_id]["files"]
        assert stored["sha256"] == hashlib.sha256(content).hexdigest()
        assert len(requests_of(sandbox, "token")) == 2

    @pytest.mark.fault(34)
    @pytest.mark.parametrize("status", [401, 403])
    def test_token_refused_twice_denies_the_account(
        self, sandbox: Sandbox, provider: RipioProvider, status: int
    ) -> None:
        with setting(sandbox.ripio, unauthenticated_status=status):
            sandbox.ripio.fail_next("create", Fault.UNAUTHORIZED, times=None)
            with pytest.raises(AccessDenied):
                provider.create(a_draft())
        assert len(requests_of(sandbox, "create")) == 2
        assert sandbox.ripio.tickets == {}

    @pytest.mark.fault(19)
    def test_wrong_credentials_deny_the_account(self, sandbox: Sandbox) -> None:
        provider = RipioProvider("ripio", **{**sandbox.ripio.options(), "client_secret": "wrong"})
        with pytest.raises(AccessDenied) as caught:
            provider.create(a_draft())
        assert (caught.value.status, caught.value.code, caught.value.key) == (401, "invalid_client", KEY)
        assert requests_of(sandbox, "create") == []

    @pytest.mark.parametrize("status", [400, 403, 404, 418])
    def test_any_refusal_of_the_token_denies_the_account(
        self, sandbox: Sandbox, provider: RipioProvider, status: int
    ) -> None:
        sandbox.ripio.fail_next("token", Fault.ANSWER, status=status, body="<html>", headers={"X-A": "b"})
        with pytest.raises(AccessDenied):
            provider.create(a_draft())

    def test_rate_limit_of_the_token_is_busy(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        sandbox.ripio.fail_next("token", Fault.RATE_LIMITED, retry_after="9")
        with pytest.raises(Busy) as caught:
            provider.create(a_draft())
        assert caught.value.retry_after == 9

    @pytest.mark.fault(26, 34)
    @pytest.mark.parametrize(
        "fault",
        [
            Fault.SERVER_ERROR,
            Fault.RESET_BEFORE,
            Fault.RESET_AFTER_COMMIT,
            Fault.CUT_BODY,
            Fault.HTML_PAGE,
            Fault.NO_CONTENT,
            Fault.REDIRECT,
            Fault.LIST_INSTEAD_OF_OBJECT,
        ],
    )
    def test_failed_token_means_that_the_ticket_was_not_sent(
        self, sandbox: Sandbox, provider: RipioProvider, fault: Fault
    ) -> None:
        sandbox.ripio.fail_next("token", fault)
        with pytest.raises(NotSent):
            provider.create(a_draft())
        assert requests_of(sandbox, "create") == []
        provider.create(a_draft())

    def test_token_belongs_to_the_credentials(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        provider.create(a_draft())
        other = RipioProvider("ripio", **{**sandbox.ripio.options(), "client_secret": "wrong"})
        with pytest.raises(AccessDenied):
            other.create(a_draft())

    def test_credentials_may_be_callables_and_are_called_at_use(self, sandbox: Sandbox) -> None:
        calls: list[str] = []

        def secret() -> str:
            calls.append("secret")
            return sandbox.ripio.client_secret

        provider = RipioProvider("ripio", **{**sandbox.ripio.options(), "client_secret": secret})
        assert calls == []
        provider.create(a_draft())
        assert calls

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (36000, 36000.0),
            ("3600", 3600.0),
            (3600.5, 3600.5),
            (10**9, 300.0),
            (99_999_999, 36000.0),
            (None, 300.0),
            (0, 300.0),
            (-5, 300.0),
            ("soon", 300.0),
            ("nan", 300.0),
            ([], 300.0),
            (True, 300.0),
        ],
    )
    def test_lifetime(self, value: Any, seconds: float) -> None:
        assert lifetime_of(value) == seconds

    def test_token_is_renewed_before_it_ends(self) -> None:
        token = to_token({"accessToken": "t", "expiresIn": 600}, started=1000.0, leeway=60.0)
        assert token is not None
        assert token.expires_at == 1540.0
        short = to_token({"access_token": "t", "expires_in": 30}, started=1000.0, leeway=60.0)
        assert short is not None
        assert short.expires_at == 1015.0

    @pytest.mark.parametrize("answer", [None, [], {}, {"accessToken": ""}, {"accessToken": 5}, {"accessToken": None}])
    def test_answer_without_a_token(self, answer: Any) -> None:
        assert to_token(answer, started=0.0, leeway=60.0) is None


class TestProbe:
    def test_missing_ticket_proves_that_the_account_works(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        assert provider.probe() == Probe()
        assert sandbox.ripio.tickets == {}

    def test_feature_that_is_off_is_told(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        with setting(sandbox.ripio, enabled=False), pytest.raises(AccessDenied):
            provider.probe()


class TestSecrets:
    @pytest.mark.fault(37, 87)
    @pytest.mark.parametrize(
        ("operation", "fault"),
        [
            ("create", Fault.RESET_AFTER_COMMIT),
            ("create", Fault.SERVER_ERROR),
            ("create", Fault.WITHOUT_ID),
            ("create", Fault.UNAUTHORIZED),
            ("token", Fault.UNAUTHORIZED),
            ("token", Fault.RESET_BEFORE),
            ("token", Fault.HTML_PAGE),
        ],
    )
    def test_error_carries_no_secret_and_no_personal_data(
        self, sandbox: Sandbox, provider: RipioProvider, operation: str, fault: Fault
    ) -> None:
        if operation == "create":
            provider.probe()
        sandbox.ripio.fail_next(operation, fault, times=None)
        canary = "canary@example.com"
        draft = a_draft(subject=canary, description=canary, contact_email=canary)
        with pytest.raises(ProviderError) as caught:
            provider.create(draft)
        shown = shown_by(caught.value, caught.tb)
        tokens = {entry.headers["authorization"].split()[-1] for entry in sandbox.ripio.ledger}
        for secret in (sandbox.ripio.client_secret, canary, *tokens):
            assert secret not in shown

    @pytest.mark.fault(87)
    def test_repr_of_a_provider_has_no_option(self, provider: RipioProvider) -> None:
        assert repr(provider) == "<RipioProvider 'ripio'>"


def shown_by(error: BaseException, trace: Any) -> str:
    """Return what an error reporter can see of an exception: texts, and every local variable of our frames."""
    pieces = [str(error), repr(error), repr(pickle.loads(pickle.dumps(error)))]  # noqa: S301
    pieces += traceback.format_exception(error)
    while trace is not None:
        frame = trace.tb_frame
        if "/django_support_tickets/" in frame.f_code.co_filename:
            pieces += [repr(value) for value in frame.f_locals.values()]
        trace = trace.tb_next
    return "\n".join(pieces)


class TestWebhook:
    HEADER = "Http-X-Wh-Signature-256"

    def provider(self, **options: Any) -> RipioProvider:
        known = {"base_url": "https://ripio.test", "client_id": "id", "client_secret": "secret"}
        return RipioProvider("ripio", **{**known, "webhook_secrets": [VECTOR_SECRET], **options})

    def signed(self, sandbox: Sandbox, payload: Any, **signing: Any) -> tuple[dict[str, str], bytes]:
        return sandbox.ripio.sign(payload, secret=VECTOR_SECRET, **signing)

    @pytest.mark.parametrize("header", [HEADER, "X-Wh-Signature-256", HEADER.lower(), HEADER.upper()])
    @pytest.mark.parametrize("prefix", ["sha256=", "SHA256=", ""])
    def test_vector(self, header: str, prefix: str) -> None:
        event = self.provider().parse_webhook({header: prefix + VECTOR_DIGEST}, VECTOR_BODY)
        assert event.remote_id == UNKNOWN_ID
        assert event.event_type == "SUPPORT_TICKET.CREATED"
        assert event.identity == hashlib.sha256(VECTOR_BODY).hexdigest()

    def test_event_of_the_sandbox(self, sandbox: Sandbox, provider: RipioProvider) -> None:
        remote_id = provider.create(a_draft()).remote_id
        sandbox.ripio.register(remote_id)
        event = provider.parse_webhook(*sandbox.ripio.sign(sandbox.ripio.event(remote_id)))
        assert (event.event_type, event.remote_id) == ("SUPPORT_TICKET.CREATED", remote_id)

    def test_prefix_can_be_required(self) -> None:
        with pytest.raises(WebhookRejected):
            self.provider(require_sha256_prefix=True).parse_webhook({self.HEADER: VECTOR_DIGEST}, VECTOR_BODY)

    @pytest.mark.fault(51)
    @pytest.mark.parametrize(
        "value",
        [
            "",
            "sha256=",
            f"sha256={VECTOR_DIGEST},sha256={VECTOR_DIGEST}",
            f"sha512={VECTOR_DIGEST}",
            f"sha256={VECTOR_DIGEST[:-1]}",
            f"sha256={VECTOR_DIGEST}0",
            f"sha256={VECTOR_DIGEST.upper()}",
            "sha256=" + "z" * 64,
            "sha256=" + "0" * 64,
            f"sha256 = {VECTOR_DIGEST}",
        ],
    )
    def test_wrong_signature_is_rejected(self, value: str) -> None:
        with pytest.raises(WebhookRejected) as caught:
            self.provider().parse_webhook({self.HEADER: value}, VECTOR_BODY)
        assert caught.value.status == 401

    @pytest.mark.fault(51)
    def test_missing_signature_is_rejected(self) -> None:
        with pytest.raises(WebhookRejected):
            self.provider().parse_webhook({"Content-Type": "application/json"}, VECTOR_BODY)

    @pytest.mark.fault(51)
    def test_every_flipped_bit_is_rejected(self) -> None:
        provider, value = self.provider(), f"sha256={VECTOR_DIGEST}".encode()
        for position in range(8 * len(VECTOR_BODY)):
            with pytest.raises(WebhookRejected):
                provider.parse_webhook({self.HEADER: value.decode()}, flipped(VECTOR_BODY, position))
        for position in range(8 * len(value)):
            with pytest.raises(WebhookRejected):
                provider.parse_webhook({self.HEADER: flipped(value, position).decode("latin-1")}, VECTOR_BODY)

    @pytest.mark.fault(52)
    @pytest.mark.parametrize("value", ["sha256=é" + "0" * 63, "\xff\xfe", "sha256=" + "٣" * 64, "\udcff" * 64, "\x00"])
    def test_signature_that_is_not_ascii_is_rejected(self, value: str) -> None:
        with pytest.raises(WebhookRejected):
            self.provider().parse_webhook({self.HEADER: value}, VECTOR_BODY)

    @pytest.mark.fault(52)
    @pytest.mark.parametrize(
        "body",
        [b"", b"\xff\xfe", b"[]", b"null", b"7", b'{"a":NaN}', b"[" * 200_000, b'{"a":1,"a":2}', b"\xef\xbb\xbf{}"],
    )
    def test_signed_body_that_cannot_be_read_is_a_bad_request(self, sandbox: Sandbox, body: bytes) -> None:
        with pytest.raises(WebhookRejected) as caught:
            self.provider().parse_webhook(*self.signed(sandbox, body))
        assert caught.value.status == 400

    @pytest.mark.fault(36)
    @pytest.mark.parametrize("ticket", [None, [], {}, {"ticketId": "../../B"}, {"ticketId": 5}, {"ticketId": None}])
    def test_ticket_event_without_a_ticket_is_a_bad_request(self, sandbox: Sandbox, ticket: Any) -> None:
        payload = {"eventType": "SUPPORT_TICKET.FAILED", "supportTicket": ticket}
        with pytest.raises(WebhookRejected) as caught:
            self.provider().parse_webhook(*self.signed(sandbox, payload))
        assert caught.value.status == 400

    @pytest.mark.fault(65)
    @pytest.mark.parametrize("event_type", ["KYC.APPROVED", "ON-RAMP.CREATED", "", None, 5, "x" * 1000])
    def test_unknown_event_names_no_ticket(self, sandbox: Sandbox, event_type: Any) -> None:
        payload = {"eventType": event_type, "supportTicket": {"ticketId": UNKNOWN_ID}}
        event = self.provider().parse_webhook(*self.signed(sandbox, payload))
        assert event.remote_id == ""
        assert len(event.event_type) <= 64

    @pytest.mark.fault(54, 55)
    def test_identity_is_what_was_signed(self) -> None:
        provider = self.provider()
        first = provider.parse_webhook({self.HEADER: f"sha256={VECTOR_DIGEST}"}, VECTOR_BODY)
        again = provider.parse_webhook({"X-Wh-Signature-256": VECTOR_DIGEST, "X-Delivery": "2"}, VECTOR_BODY)
        assert first.identity == again.identity

    @pytest.mark.fault(58)
    def test_two_secrets_are_good_while_they_rotate(self) -> None:
        headers = {self.HEADER: f"sha256={VECTOR_DIGEST}"}
        self.provider(webhook_secrets=["new", VECTOR_SECRET]).parse_webhook(headers, VECTOR_BODY)
        self.provider(webhook_secrets=lambda: [VECTOR_SECRET]).parse_webhook(headers, VECTOR_BODY)
        with pytest.raises(WebhookRejected):
            self.provider(webhook_secrets=["new"]).parse_webhook(headers, VECTOR_BODY)

    @pytest.mark.fault(58)
    @pytest.mark.parametrize("secrets", [[], [""], ["  "], [None], None, "", lambda: []])
    def test_without_a_secret_everything_is_rejected(self, sandbox: Sandbox, secrets: Any) -> None:
        provider = self.provider(webhook_secrets=secrets)
        for key in ("", "None", VECTOR_SECRET):
            with pytest.raises(WebhookRejected):
                provider.parse_webhook(*sandbox.ripio.sign(VECTOR_BODY, secret=key))

    @pytest.mark.fault(54, 57)
    @pytest.mark.parametrize("timespec", ["seconds", "milliseconds", "microseconds"])
    @pytest.mark.parametrize(("shift", "is_good"), [(0, True), (-250, True), (250, True), (-400, False), (400, False)])
    def test_tolerance_counts_both_ways(self, sandbox: Sandbox, timespec: str, shift: int, is_good: bool) -> None:
        moment = (datetime.now(UTC) + timedelta(seconds=shift)).isoformat(timespec=timespec).replace("+00:00", "Z")
        headers, body = self.signed(sandbox, {"eventType": "KYC.APPROVED", "issueDatetime": moment})
        self.provider().parse_webhook(headers, body)
        with contextlib.nullcontext() if is_good else pytest.raises(WebhookRejected):
            self.provider(webhook_tolerance=300).parse_webhook(headers, body)

    @pytest.mark.parametrize("header", [HEADER, "X-Own-Signature"])
    def test_one_that_is_signed_here_is_about_no_ticket_and_not_too_old(self, header: str) -> None:
        options = {"webhook_tolerance": 60, "require_sha256_prefix": True, "signature_headers": [header]}
        provider = self.provider(**options)
        headers, body = provider.sign_webhook(VECTOR_SECRET)
        event = provider.parse_webhook(headers, body)
        assert (event.event_type, event.remote_id, list(headers)) == ("TEST", "", [header])

    @pytest.mark.fault(57)
    @pytest.mark.parametrize("moment", ["nan", "1e99", 1e99, "soon", "", None, [], "2026-99-99T00:00:00Z", -1])
    def test_with_a_tolerance_a_time_is_needed(self, sandbox: Sandbox, moment: Any) -> None:
        headers, body = self.signed(sandbox, {"eventType": "KYC.APPROVED", "issueDatetime": moment})
        with pytest.raises(WebhookRejected):
            self.provider(webhook_tolerance=300).parse_webhook(headers, body)

    @pytest.mark.fault(57)
    def test_tolerance_of_zero_is_not_off(self, sandbox: Sandbox) -> None:
        headers, body = self.signed(sandbox, {"eventType": "X", "issueDatetime": "2026-01-02T03:04:05Z"})
        with pytest.raises(WebhookRejected):
            self.provider(webhook_tolerance=0).parse_webhook(headers, body)

    @pytest.mark.fault(52)
    @given(value=st.text(), body=st.binary())
    def test_rubbish_is_rejected_and_nothing_else_happens(self, value: str, body: bytes) -> None:
        with pytest.raises(WebhookRejected):
            self.provider().parse_webhook({self.HEADER: value}, body)

    @pytest.mark.fault(52)
    @given(
        payload=st.fixed_dictionaries({}, optional={"eventType": JSON, "issueDatetime": JSON, "supportTicket": JSON})
    )
    def test_signed_rubbish_is_read_or_rejected(self, payload: dict[str, Any]) -> None:
        with contextlib.suppress(WebhookRejected):
            body = json.dumps(payload).encode()
            digest = hmac.new(VECTOR_SECRET.encode(), body, hashlib.sha256).hexdigest()
            self.provider().parse_webhook({self.HEADER: f"sha256={digest}"}, body)


def flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)
