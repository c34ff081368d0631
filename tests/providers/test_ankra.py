from __future__ import annotations

import contextlib
import hashlib
import io
import json
import pickle
import traceback
import uuid
from collections.abc import Iterator
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
)
from django_support_tickets.providers.ankra import AnkraProvider
from django_support_tickets.providers.ankra_records import content_type_of, to_page, to_payload, to_record
from django_support_tickets.records import (
    ABSENT,
    AttachmentRecord,
    AuthorType,
    BodyFormat,
    CommentDraft,
    FileDraft,
    Probe,
    Status,
    TicketDraft,
    TicketRecord,
    TicketRef,
)
from django_support_tickets.testing.sandbox import Fault, LedgerEntry, Sandbox

KEY = "5d9c9f0e-6f0a-4a0e-9d3c-1b2f3a4b5c6d"
UNKNOWN_ID = "11111111-2222-4333-8444-555555555555"
ELSEWHERE = "22222222-2222-4333-8444-555555555555"
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 100
JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 100
WEBP = b"RIFF\x0a\x0b\x0c\x0dWEBPVP8 "
GIF = b"GIF89a" + b"\x00" * 10

# The example of docs.ankra.ai/api-reference/support-api/get-ticket-endpoint, which leaves the enumerations out.
EXAMPLE_ID = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
EXAMPLE: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "organisation_id": EXAMPLE_ID,
    "subject": "<string>",
    "description": "<string>",
    "created_at": "2023-11-07T05:31:56Z",
    "updated_at": "2023-11-07T05:31:56Z",
    "cluster_id": EXAMPLE_ID,
    "cluster_name": "<string>",
    "ai_summary": "<string>",
    "is_tracked_by_team": False,
    "comments": [
        {"id": EXAMPLE_ID, "author_label": "<string>", "body": "<string>", "created_at": "2023-11-07T05:31:56Z"}
    ],
    "attachments": [
        {
            "id": EXAMPLE_ID,
            "filename": "<string>",
            "content_type": "<string>",
            "size_bytes": 123,
            "created_at": "2023-11-07T05:31:56Z",
        }
    ],
}
EXAMPLE_TIME = datetime(2023, 11, 7, 5, 31, 56, tzinfo=UTC)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def provider(sandbox: Sandbox) -> AnkraProvider:
    return build(sandbox)


def build(sandbox: Sandbox, **options: Any) -> AnkraProvider:
    return AnkraProvider("ankra", **{**sandbox.ankra.options(), "rate": None, **options})


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
    known: dict[str, Any] = {"key": KEY, "subject": "Cluster is down", "description": "Since Monday.\n\nNode 3."}
    return TicketDraft(**{**known, **fields})


def a_file(content: bytes = PNG, name: str = "shot.png", content_type: str = "image/png") -> FileDraft:
    return FileDraft(
        key=KEY,
        name=name,
        content_type=content_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        open=lambda: io.BytesIO(content),
    )


def a_reference(remote_id: str) -> TicketRef:
    return TicketRef(remote_id=remote_id)


def requests_of(sandbox: Sandbox, operation: str) -> list[LedgerEntry]:
    return [entry for entry in sandbox.ankra.ledger if entry.operation == operation]


def sent_in(entry: LedgerEntry) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(entry.body)
    return body


def walked(provider: AnkraProvider) -> list[TicketRecord]:
    records: list[TicketRecord] = []
    cursor: str | None = None
    while True:
        page = provider.list_changed("", cursor)
        records += page.records
        if (cursor := page.next_cursor) is None:
            return records


class TestReading:
    def test_example_of_the_documentation(self) -> None:
        record = to_record(EXAMPLE)
        assert record.remote_id == EXAMPLE_ID
        assert (record.subject, record.description, record.key) == ("<string>", "<string>", "")
        assert (record.created_at, record.updated_at, record.last_comment_at) == (EXAMPLE_TIME,) * 3
        assert (record.status, record.remote_status, record.category) == (ABSENT, ABSENT, ABSENT)
        assert (record.priority, record.reference) == (ABSENT, ABSENT)

    def test_comment_and_attachment_of_the_example(self) -> None:
        record = to_record(EXAMPLE)
        assert record.comments and record.attachments
        (comment,), (attachment,) = record.comments, record.attachments
        assert (comment.remote_id, comment.body, comment.author_name) == (EXAMPLE_ID, "<string>", "<string>")
        assert (comment.author_type, comment.body_format) == (AuthorType.UNKNOWN, BodyFormat.MARKDOWN)
        assert comment.sent_at == EXAMPLE_TIME
        assert (attachment.remote_id, attachment.name, attachment.content_type) == (EXAMPLE_ID, "<string>", "<string>")
        assert (attachment.size, attachment.created_at, attachment.remote_url) == (123, EXAMPLE_TIME, "")

    def test_conversation_is_oldest_first(self) -> None:
        moments = ["2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"]
        rows = [{"id": moment[:10], "created_at": moment} for moment in moments]
        record = to_record({**EXAMPLE, "comments": rows, "attachments": rows})
        assert record.comments and record.attachments
        assert [comment.remote_id for comment in record.comments] == ["2026-01-01", "2026-01-02", "2026-01-03"]
        assert [file.remote_id for file in record.attachments] == ["2026-01-01", "2026-01-02", "2026-01-03"]

    def test_raw_is_the_object_without_its_lists(self) -> None:
        raw = to_record(EXAMPLE).raw
        assert set(EXAMPLE) - set(raw) == {"comments", "attachments"}
        assert raw["ai_summary"] == "<string>"

    @pytest.mark.parametrize(
        ("remote", "status"),
        [
            ("pending_review", Status.PENDING),
            ("open", Status.OPEN),
            ("triaging", Status.IN_PROGRESS),
            ("in_progress", Status.IN_PROGRESS),
            ("waiting_customer", Status.WAITING),
            ("resolved", Status.RESOLVED),
            ("closed", Status.CLOSED),
        ],
    )
    def test_every_documented_status(self, remote: str, status: Status) -> None:
        record = to_record({**EXAMPLE, "status": remote})
        assert (record.status, record.remote_status) == (status, remote)

    @pytest.mark.fault(41)
    @pytest.mark.parametrize(("status", "verbatim"), [("Open", "Open"), ("parked", "parked"), (7, "7"), (None, "")])
    def test_unknown_status_is_kept_verbatim(self, status: Any, verbatim: str) -> None:
        record = to_record({**EXAMPLE, "status": status, "severity": "extreme", "category": "odd"})
        assert (record.status, record.remote_status) == (Status.UNKNOWN, verbatim)
        assert (record.priority, record.category) == ("extreme", "odd")

    @pytest.mark.fault(42)
    def test_null_is_empty_and_missing_is_not_loaded(self) -> None:
        empty = to_record({**EXAMPLE, "comments": None, "attachments": None, "severity": None, "updated_at": None})
        assert (empty.comments, empty.attachments, empty.priority, empty.updated_at) == ((), (), "", None)
        assert empty.last_comment_at is None
        row = to_record({"id": EXAMPLE_ID, "status": "open"})
        assert (row.comments, row.attachments, row.description, row.key) == (ABSENT,) * 4
        assert (row.updated_at, row.last_comment_at) == (ABSENT, ABSENT)

    @pytest.mark.fault(44)
    @pytest.mark.parametrize(
        ("moment", "read"),
        [
            ("2023-11-07T05:31:56.789Z", EXAMPLE_TIME + timedelta(milliseconds=789)),
            ("2023-11-07T07:31:56+02:00", EXAMPLE_TIME),
            ("2023-11-07T05:31:56", EXAMPLE_TIME),
            (1699335116, EXAMPLE_TIME),
            ("0001-01-01T00:00:00Z", None),
            ("9999-12-31T23:59:59-12:00", None),
            ("yesterday", None),
        ],
    )
    def test_times_of_any_kind(self, moment: Any, read: datetime | None) -> None:
        assert to_record({**EXAMPLE, "updated_at": moment}).updated_at == read

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("customer", AuthorType.CUSTOMER),
            ("ankra_team", AuthorType.AGENT),
            ("AI", AuthorType.AI),
            ("system", AuthorType.SYSTEM),
            ("robot", AuthorType.UNKNOWN),
            (None, AuthorType.UNKNOWN),
        ],
    )
    def test_kinds_of_author(self, name: Any, kind: AuthorType) -> None:
        comments = to_record({**EXAMPLE, "comments": [{"author_type": name}]}).comments
        assert comments and comments[0].author_type == kind

    def test_ticket_number_is_the_reference(self) -> None:
        assert to_record({**EXAMPLE, "ticket_number": 17}).reference == "17"

    def test_reference_line_is_taken_out_and_read(self) -> None:
        draft = a_draft()
        description = to_payload(draft, has_reference=True)["description"]
        assert description == f"{draft.description}\n\nReference: {KEY}"
        record = to_record({**EXAMPLE, "description": description})
        assert (record.key, record.description) == (KEY, draft.description)

    @pytest.mark.parametrize("change", [str.upper, lambda text: text.replace("\n", "\r\n") + "\r\n\r\nTriaged."])
    def test_reference_line_survives_what_the_vendor_does_to_the_text(self, change: Any) -> None:
        description = change(f"It is down.\n\nReference: {KEY}").replace("REFERENCE", "Reference")
        assert to_record({**EXAMPLE, "description": description}).key == KEY

    @pytest.mark.fault(42, 43)
    @given(data=JSON | st.fixed_dictionaries({}, optional=dict.fromkeys([*EXAMPLE, "status", "severity"], JSON)))
    def test_never_raises(self, data: Any) -> None:
        record = to_record(data)
        assert not any(isinstance(value, list) for value in record.raw.values())
        to_page(data, 1)

    @pytest.mark.fault(42)
    @given(rows=st.lists(JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(EXAMPLE["attachments"][0], JSON))))
    def test_never_raises_on_comments_and_attachments(self, rows: list[Any]) -> None:
        record = to_record({**EXAMPLE, "comments": rows, "attachments": rows})
        assert record.comments is not ABSENT and record.attachments is not ABSENT
        assert len(record.comments) == len(record.attachments) == len(rows)


class TestOptions:
    def test_default_address(self) -> None:
        provider = AnkraProvider("ankra", token="t", organisation_id=EXAMPLE_ID)
        assert provider.base_url == "https://platform.ankra.app"
        assert (provider.rate, provider.timeout) == (2.0, (5.0, 120.0))
        assert (provider.deadline_of("create"), provider.deadline_of("upload")) == (120.0, 120.0)
        assert (provider.deadline_of("find"), provider.deadline_of("get")) == (120.0, 30.0)

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"token": ""}, "token"),
            ({"organisation_id": "acme"}, "organisation_id"),
            ({"organisation_id": None}, "organisation_id"),
            ({"page_size": 0}, "page_size"),
            ({"base_url": "http://ankra.test"}, "base_url"),
            ({"author_types": {"bot": "machine"}}, "author_types"),
        ],
    )
    def test_wrong_option_is_named(self, options: dict[str, Any], named: str) -> None:
        with pytest.raises(InvalidProvider, match=named):
            AnkraProvider("ankra", **{"token": "t", "organisation_id": EXAMPLE_ID, **options})

    def test_a_token_in_the_place_of_the_organisation_is_not_shown(self) -> None:
        with pytest.raises(InvalidProvider) as caught:
            AnkraProvider("ankra", token=EXAMPLE_ID, organisation_id="canary-token")
        assert "canary" not in str(caught.value)

    def test_page_size_is_never_above_the_known_maximum(self) -> None:
        assert AnkraProvider("ankra", token="t", organisation_id=EXAMPLE_ID, page_size=500).page_size == 100

    def test_author_types_are_an_option(self, sandbox: Sandbox) -> None:
        provider = build(sandbox, author_types={"bot": "ai"})
        remote_id = sandbox.ankra.add_ticket()
        sandbox.ankra.reply(remote_id, "Hello", author_type="bot")
        comments = provider.get(a_reference(remote_id)).comments
        assert comments and comments[0].author_type == AuthorType.AI

    def test_without_a_reference_nothing_can_be_found(self, sandbox: Sandbox) -> None:
        provider = build(sandbox, reference=False)
        assert not provider.capabilities.can_find
        assert provider.capabilities.description_max == 10_000
        provider.create(a_draft())
        assert sent_in(requests_of(sandbox, "create")[0])["description"] == a_draft().description

    @pytest.mark.fault(22)
    def test_the_longest_text_fits_with_its_reference(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        known = provider.capabilities
        assert known.subject_max and known.description_max
        provider.create(a_draft(subject="s" * known.subject_max, description="d" * known.description_max))
        assert len(sent_in(requests_of(sandbox, "create")[0])["description"]) == 10_000

    def test_token_may_be_a_callable_and_is_called_at_use(self, sandbox: Sandbox) -> None:
        calls: list[str] = []

        def token() -> str:
            calls.append("token")
            return sandbox.ankra.token + "\n"

        provider = build(sandbox, token=token)
        assert calls == []
        provider.probe()
        assert calls == ["token"]


class TestCreate:
    def test_returns_the_ticket(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        record = provider.create(a_draft())
        assert list(sandbox.ankra.tickets) == [record.remote_id]
        assert (record.status, record.remote_status) == (Status.OPEN, "open")
        assert (record.key, record.description) == (KEY, a_draft().description)

    def test_sends_the_documented_fields(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        options = {"cluster_id": EXAMPLE_ID}
        provider.create(a_draft(subject="Down\n again", priority="high", category="billing", options=options))
        (entry,) = requests_of(sandbox, "create")
        assert sent_in(entry) == {
            "subject": "Down again",
            "description": f"{a_draft().description}\n\nReference: {KEY}",
            "source": "api",
            "acknowledged": False,
            "category": "billing",
            "severity": "high",
            "cluster_id": EXAMPLE_ID,
        }
        assert entry.headers["x-ankra-organisation-id"] == sandbox.ankra.organisation_id

    def test_leaves_out_what_is_not_said(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        record = provider.create(a_draft())
        sent = sent_in(requests_of(sandbox, "create")[0])
        assert set(sent) == {"subject", "description", "source", "acknowledged"}
        assert (record.priority, record.category) == ("", "technical")

    @pytest.mark.fault(19)
    def test_flagged_ticket_needs_an_acknowledgement(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        sandbox.ankra.flag_next_review(["Too little detail."])
        with pytest.raises(Refused) as caught:
            provider.create(a_draft())
        assert (caught.value.status, caught.value.code) == (409, "needs_acknowledgement")
        assert "Too little detail." in caught.value.reason
        assert sandbox.ankra.tickets == {}

    @pytest.mark.parametrize(("value", "is_through"), [(True, True), ("yes", False), (1, False), (False, False)])
    def test_only_a_true_acknowledgement_counts(
        self, sandbox: Sandbox, provider: AnkraProvider, value: Any, is_through: bool
    ) -> None:
        sandbox.ankra.flag_next_review()
        with contextlib.nullcontext() if is_through else pytest.raises(Refused):
            provider.create(a_draft(options={"acknowledged": value}))
        assert bool(sandbox.ankra.tickets) is is_through

    @pytest.mark.fault(19)
    @pytest.mark.parametrize("status", [400, 403, 404, 413, 415, 422])
    def test_proved_rejection_is_refused(self, sandbox: Sandbox, provider: AnkraProvider, status: int) -> None:
        sandbox.ankra.fail_next("create", Fault.ANSWER, status=status, body=json.dumps({"detail": "No."}))
        with pytest.raises(Refused) as caught:
            provider.create(a_draft())
        assert (caught.value.status, caught.value.reason, caught.value.key) == (status, "No.", KEY)

    def test_validation_errors_name_their_field(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        with pytest.raises(Refused) as caught:
            provider.create(a_draft(category="weather"))
        assert caught.value.status == 422
        assert caught.value.reason.startswith("body.category: Input should be one of")

    @pytest.mark.parametrize(
        ("body", "code", "reason"),
        [
            ({"detail": "permission_denied", "permission": "x:y"}, "permission_denied", "permission_denied (x:y)"),
            ({"detail": {"msg": "No."}, "error_code": "E1", "payload": {}}, "E1", "No."),
            ({"error_code": 5}, "5", ""),
            ({"detail": [{"loc": ["body"], "msg": "a"}, "b", None]}, "", "body: a; b"),
            ({"detail": None}, "", ""),
        ],
    )
    def test_error_bodies_of_any_shape(
        self, sandbox: Sandbox, provider: AnkraProvider, body: dict[str, Any], code: str, reason: str
    ) -> None:
        sandbox.ankra.fail_next("create", Fault.ANSWER, status=400, body=json.dumps(body))
        with pytest.raises(Refused) as caught:
            provider.create(a_draft())
        assert (caught.value.code, caught.value.reason) == (code, reason)

    @pytest.mark.fault(30)
    @pytest.mark.parametrize("body", ["", "<html>", "[]", "{}", '"no"', '{"message": "no Route matched"}'])
    def test_error_that_is_not_ankras_proves_nothing(
        self, sandbox: Sandbox, provider: AnkraProvider, body: str
    ) -> None:
        sandbox.ankra.fail_next("create", Fault.ANSWER, status=400, body=body)
        with pytest.raises(Ambiguous):
            provider.create(a_draft())

    @pytest.mark.fault(34)
    def test_refused_token_denies_the_account(self, sandbox: Sandbox) -> None:
        with pytest.raises(AccessDenied):
            build(sandbox, token="revoked").create(a_draft())
        assert len(requests_of(sandbox, "create")) == 1

    def test_organisation_of_others_is_refused(self, sandbox: Sandbox) -> None:
        with pytest.raises(Refused) as caught:
            build(sandbox, organisation_id=ELSEWHERE).create(a_draft())
        assert caught.value.status == 403

    def test_ticket_made_in_another_organisation_is_ambiguous(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        body = json.dumps({**EXAMPLE, "organisation_id": ELSEWHERE})
        sandbox.ankra.fail_next("create", Fault.ANSWER, status=201, body=body)
        with pytest.raises(Ambiguous, match="another organisation"):
            provider.create(a_draft())

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
    def test_success_without_an_id_is_ambiguous(self, sandbox: Sandbox, provider: AnkraProvider, fault: Fault) -> None:
        sandbox.ankra.fail_next("create", fault)
        with pytest.raises(Ambiguous):
            provider.create(a_draft())

    @pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.SERVER_ERROR])
    def test_busy_vendor_says_how_long(self, sandbox: Sandbox, provider: AnkraProvider, fault: Fault) -> None:
        sandbox.ankra.fail_next("create", fault, retry_after="7")
        with pytest.raises(Busy) as caught:
            provider.create(a_draft())
        assert caught.value.retry_after == 7

    @pytest.mark.fault(7)
    def test_redirect_is_ambiguous(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        sandbox.ankra.fail_next("create", Fault.REDIRECT, status=303)
        with pytest.raises(Ambiguous, match="redirects"):
            provider.create(a_draft())


class TestGet:
    def test_returns_the_whole_ticket(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        remote_id = provider.create(a_draft()).remote_id
        sandbox.ankra.reply(remote_id, "We look into it.")
        sandbox.ankra.set_status(remote_id, "waiting_customer")
        record = provider.get(a_reference(remote_id))
        assert (record.status, record.key) == (Status.WAITING, KEY)
        assert record.comments and record.comments[0].author_type == AuthorType.AGENT
        assert record.last_comment_at == record.comments[0].sent_at

    @pytest.mark.fault(48)
    def test_unknown_ticket_is_not_found(self, provider: AnkraProvider) -> None:
        with pytest.raises(RemoteNotFound):
            provider.get(a_reference(UNKNOWN_ID))

    @pytest.mark.fault(36)
    @pytest.mark.parametrize("remote_id", ["../../B", "x?y=1", "a/b", "a\nb", "", "x" * 10_000])
    def test_id_that_could_mean_another_path_is_not_sent(
        self, sandbox: Sandbox, provider: AnkraProvider, remote_id: str
    ) -> None:
        with pytest.raises(Refused):
            provider.get(a_reference(remote_id))
        assert sandbox.ankra.ledger == []

    @pytest.mark.parametrize(
        ("body", "cause"),
        [
            ({**EXAMPLE, "organisation_id": ELSEWHERE}, "another organisation"),
            ({**EXAMPLE, "organisation_id": 5}, "another organisation"),
            ({**EXAMPLE, "id": ELSEWHERE}, "another ticket"),
        ],
    )
    def test_ticket_of_somebody_else_is_not_taken(
        self, sandbox: Sandbox, provider: AnkraProvider, body: dict[str, Any], cause: str
    ) -> None:
        sandbox.ankra.fail_next("get", Fault.ANSWER, body=json.dumps(body))
        with pytest.raises(Ambiguous, match=cause):
            provider.get(a_reference(EXAMPLE_ID))

    @pytest.mark.fault(41, 42)
    @pytest.mark.parametrize("fault", [Fault.UNKNOWN_ENUM, Fault.NULL_FIELDS, Fault.MISSING_FIELDS])
    def test_odd_fields_are_read(self, sandbox: Sandbox, provider: AnkraProvider, fault: Fault) -> None:
        remote_id = provider.create(a_draft()).remote_id
        sandbox.ankra.fail_next("get", fault)
        assert provider.get(a_reference(remote_id)).status in (Status.UNKNOWN, ABSENT)


class TestList:
    @pytest.mark.fault(50)
    def test_walk_sees_every_ticket_and_the_first_page_again(self, sandbox: Sandbox) -> None:
        known = [sandbox.ankra.add_ticket(f"Ticket {number}") for number in range(7)]
        provider = build(sandbox, page_size=3)
        seen = [record.remote_id for record in walked(provider)]
        assert set(seen) == set(known)
        assert seen[:3] == seen[-3:]
        assert len(requests_of(sandbox, "list")) == 4
        assert provider.scopes(["somebody"]) == ("",)

    def test_rows_are_partial(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        sandbox.ankra.add_ticket("Seen", status="resolved")
        page = provider.list_changed("", None)
        (row,) = page.records
        assert (row.remote_status, page.total) == ("resolved", 1)
        assert (row.subject, row.description, row.comments, row.attachments, row.key) == (ABSENT,) * 5
        assert row.created_at and row.updated_at

    def test_no_tickets_are_one_empty_page(self, provider: AnkraProvider) -> None:
        assert walked(provider) == []

    def test_unknown_cursor_starts_again(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        sandbox.ankra.add_ticket()
        assert len(provider.list_changed("", "rubbish").records) == 1

    def test_ticket_listed_twice_counts_once(self) -> None:
        pagination = {"total_pages": 1, "total_count": 2}
        page, is_whole = to_page({"result": [EXAMPLE, EXAMPLE], "pagination": pagination}, 1)
        assert page is not None and len(page.records) == 1 and is_whole

    @pytest.mark.fault(42)
    def test_row_without_an_id_is_left_out_and_told(self) -> None:
        rows = [EXAMPLE, None, {"id": "../x"}]
        page, is_whole = to_page({"result": rows, "pagination": {"total_pages": 1}}, 1)
        assert page is not None and len(page.records) == 1 and not is_whole

    @pytest.mark.fault(29)
    @pytest.mark.parametrize(
        "body",
        [
            {"data": []},
            {"result": []},
            {"result": None, "pagination": {"total_pages": 0}},
            {"result": [], "pagination": {"total_pages": 3, "total_count": 120}},
            {"result": [], "pagination": {"total_pages": "many"}},
            {"result": [], "pagination": []},
            [],
        ],
    )
    def test_page_that_contradicts_itself_is_no_empty_list(
        self, sandbox: Sandbox, provider: AnkraProvider, body: Any
    ) -> None:
        sandbox.ankra.fail_next("list", Fault.ANSWER, body=json.dumps(body))
        with pytest.raises(Ambiguous, match="no page"):
            provider.list_changed("", None)


class TestFind:
    def sent(self, **fields: Any) -> TicketDraft:
        return a_draft(sent_at=datetime.now(UTC), **fields)

    @pytest.mark.fault(5)
    @pytest.mark.parametrize("fault", [Fault.RESET_AFTER_COMMIT, Fault.SERVER_ERROR_AFTER_COMMIT, Fault.CUT_BODY])
    def test_lost_create_is_found_again(self, sandbox: Sandbox, provider: AnkraProvider, fault: Fault) -> None:
        draft = self.sent(subject="100% & more?")
        sandbox.ankra.fail_next("create", fault)
        with pytest.raises(Ambiguous):
            provider.create(draft)
        found = provider.find(draft)
        assert [record.remote_id for record in found.records] == list(sandbox.ankra.tickets)
        assert found.complete

    def test_ticket_that_is_not_there_is_proved_absent(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        draft = self.sent()
        provider.create(a_draft(key=UNKNOWN_ID))
        sandbox.ankra.add_ticket(draft.subject, description="Reference: none")
        found = provider.find(draft)
        assert (found.records, found.complete) == ((), True)

    def test_both_of_a_doubled_ticket_are_found(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        draft = self.sent()
        provider.create(draft)
        provider.create(draft)
        assert len(provider.find(draft).records) == 2

    def test_older_tickets_are_not_looked_at(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        draft = self.sent()
        for age, name in ((3600, "old"), (200, "skewed")):
            moment = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
            sandbox.ankra.add_ticket(draft.subject, description=name, created_at=moment)
        assert provider.find(draft).complete
        assert len(requests_of(sandbox, "get")) == 1

    def test_without_a_mark_all_are_looked_at(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        provider.create(a_draft())
        assert len(provider.find(a_draft()).records) == 1

    def test_every_page_is_read_and_the_first_one_again(self, sandbox: Sandbox) -> None:
        provider, draft = build(sandbox, page_size=2), self.sent()
        made = provider.create(draft)
        for _ in range(4):
            sandbox.ankra.add_ticket(draft.subject, description="Another one")
        sandbox.ankra.add_ticket("Something else")
        found = provider.find(draft)
        assert [record.remote_id for record in found.records] == [made.remote_id]
        assert found.complete
        pages = [entry.path.partition("page=")[2][0] for entry in requests_of(sandbox, "list")]
        assert pages == ["1", "2", "3", "1"]

    @pytest.mark.fault(10)
    def test_candidate_that_is_refused_makes_it_incomplete(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        draft = self.sent()
        sandbox.ankra.add_ticket(draft.subject, description="Another one")
        sandbox.ankra.fail_next("get", Fault.ANSWER, status=404, body='{"detail": "Ticket not found"}')
        found = provider.find(draft)
        assert (found.records, found.complete) == ((), False)

    @pytest.mark.fault(10)
    @pytest.mark.parametrize("fault", [Fault.MISSING_FIELDS, Fault.NULL_FIELDS])
    def test_candidate_without_its_text_makes_it_incomplete(
        self, sandbox: Sandbox, provider: AnkraProvider, fault: Fault
    ) -> None:
        draft = self.sent()
        provider.create(draft)
        sandbox.ankra.fail_next("get", fault, fields=["description"])
        assert not provider.find(draft).complete

    @pytest.mark.fault(10)
    def test_row_without_an_id_makes_it_incomplete(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        draft = self.sent()
        provider.create(draft)
        sandbox.ankra.fail_next("list", Fault.WITHOUT_ID)
        assert not provider.find(draft).complete

    @pytest.mark.fault(10)
    @pytest.mark.parametrize("operation", ["list", "get"])
    @pytest.mark.parametrize(
        ("fault", "outcome"), [(Fault.SERVER_ERROR, Ambiguous), (Fault.RATE_LIMITED, Busy), (Fault.CUT_BODY, Ambiguous)]
    )
    def test_passing_trouble_is_raised_and_proves_nothing(
        self, sandbox: Sandbox, provider: AnkraProvider, operation: str, fault: Fault, outcome: type[ProviderError]
    ) -> None:
        draft = self.sent()
        sandbox.ankra.add_ticket(draft.subject, description="Another one")
        sandbox.ankra.fail_next(operation, fault)
        with pytest.raises(outcome):
            provider.find(draft)


class TestComment:
    def test_returns_our_comment(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        remote_id = provider.create(a_draft()).remote_id
        sandbox.ankra.reply(remote_id, "Any news?")
        sandbox.ankra.set_status(remote_id, "waiting_customer")
        comment = provider.add_comment(a_reference(remote_id), CommentDraft(key=KEY, body="Any  *news*?\n"))
        assert comment.remote_id == sandbox.ankra.tickets[remote_id]["comments"][-1]["id"]
        assert (comment.author_type, comment.body_format) == (AuthorType.CUSTOMER, BodyFormat.MARKDOWN)
        assert sandbox.ankra.tickets[remote_id]["status"] == "in_progress"

    def test_of_equal_comments_the_newest_is_ours(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        remote_id = provider.create(a_draft()).remote_id
        ids = [
            provider.add_comment(a_reference(remote_id), CommentDraft(key=str(uuid.uuid4()), body="Ping")).remote_id
            for _ in range(3)
        ]
        assert ids == [comment["id"] for comment in sandbox.ankra.tickets[remote_id]["comments"]]

    @pytest.mark.parametrize("fault", [Fault.NO_CONTENT, Fault.EMPTY_BODY])
    def test_empty_answer_is_read_again(self, sandbox: Sandbox, provider: AnkraProvider, fault: Fault) -> None:
        remote_id = provider.create(a_draft()).remote_id
        sandbox.ankra.fail_next("comment", fault)
        comment = provider.add_comment(a_reference(remote_id), CommentDraft(key=KEY, body="Ping"))
        assert comment.body == "Ping"
        assert len(requests_of(sandbox, "comment")) == 1

    @pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.RESET_BEFORE, Fault.UNAUTHORIZED, Fault.SERVER_ERROR])
    def test_empty_answer_that_cannot_be_read_again_is_ambiguous(
        self, sandbox: Sandbox, provider: AnkraProvider, fault: Fault
    ) -> None:
        remote_id = provider.create(a_draft()).remote_id
        sandbox.ankra.fail_next("comment", Fault.NO_CONTENT)
        sandbox.ankra.fail_next("get", fault)
        with pytest.raises(Ambiguous):
            provider.add_comment(a_reference(remote_id), CommentDraft(key=KEY, body="Ping"))

    def test_answer_without_our_comment_is_ambiguous(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        remote_id = provider.create(a_draft()).remote_id
        sandbox.ankra.fail_next("comment", Fault.MISSING_FIELDS, fields=["comments"])
        with pytest.raises(Ambiguous, match="comment is not in it"):
            provider.add_comment(a_reference(remote_id), CommentDraft(key=KEY, body="Ping"))

    def test_refused_comment_is_told(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        remote_id = sandbox.ankra.add_ticket(status="closed")
        with setting(sandbox.ankra, comment_after_close_status=409), pytest.raises(Refused) as caught:
            provider.add_comment(a_reference(remote_id), CommentDraft(key=KEY, body="Ping"))
        assert (caught.value.code, caught.value.reason) == ("", "The ticket is closed.")


class TestClose:
    def test_closes(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        remote_id = provider.create(a_draft()).remote_id
        assert provider.close(a_reference(remote_id)).status == Status.CLOSED
        assert requests_of(sandbox, "close")[0].body == b""

    @pytest.mark.parametrize("status", [None, 400, 409, 422])
    def test_closing_twice_is_no_error(self, sandbox: Sandbox, provider: AnkraProvider, status: int | None) -> None:
        remote_id = sandbox.ankra.add_ticket(status="closed")
        with setting(sandbox.ankra, close_twice_status=status):
            assert provider.close(a_reference(remote_id)).status == Status.CLOSED

    def test_refusal_of_an_open_ticket_is_told(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        remote_id = sandbox.ankra.add_ticket()
        sandbox.ankra.fail_next("close", Fault.ANSWER, status=409, body='{"detail": "Not yet."}')
        with pytest.raises(Refused) as caught:
            provider.close(a_reference(remote_id))
        assert caught.value.reason == "Not yet."

    def test_unknown_ticket_is_not_found(self, provider: AnkraProvider) -> None:
        with pytest.raises(RemoteNotFound):
            provider.close(a_reference(UNKNOWN_ID))

    def test_empty_answer_is_read_again(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        remote_id = sandbox.ankra.add_ticket()
        sandbox.ankra.fail_next("close", Fault.NO_CONTENT)
        assert provider.close(a_reference(remote_id)).status == Status.CLOSED


class TestUpload:
    @pytest.mark.parametrize(
        ("content", "content_type"),
        [(PNG, "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp"), (GIF, "image/gif")],
    )
    @pytest.mark.parametrize("said", ["application/octet-stream", "image/png"])
    def test_first_bytes_decide_the_content_type(
        self, sandbox: Sandbox, provider: AnkraProvider, content: bytes, content_type: str, said: str
    ) -> None:
        remote_id = sandbox.ankra.add_ticket()
        attachment = provider.upload(a_reference(remote_id), a_file(content, "shot", said))
        (stored,) = sandbox.ankra.tickets[remote_id]["attachments"]
        assert (attachment.remote_id, attachment.content_type) == (stored["id"], content_type)
        assert (attachment.name, attachment.size) == ("shot", len(content))

    @pytest.mark.fault(70)
    @pytest.mark.parametrize(
        ("content", "content_type"),
        [(b"<svg onload=x>", "image/png"), (b"%PDF-1.7", "application/pdf"), (b"", "image/gif"), (b"x", "text/plain")],
    )
    def test_what_is_no_image_is_refused_here(
        self, sandbox: Sandbox, provider: AnkraProvider, content: bytes, content_type: str
    ) -> None:
        with pytest.raises(Refused) as caught:
            provider.upload(a_reference(UNKNOWN_ID), a_file(content, "shot.png", content_type))
        assert (caught.value.code, caught.value.key) == ("unsupported_type", KEY)
        assert sandbox.ankra.ledger == []

    def test_other_types_are_an_option(self, sandbox: Sandbox) -> None:
        provider = build(sandbox, allowed_content_types=["text/plain"])
        remote_id = sandbox.ankra.add_ticket()
        with setting(sandbox.ankra.files, content_types=("text/plain",)):
            assert provider.upload(a_reference(remote_id), a_file(b"log", "a.log", "text/plain")).name == "a.log"
        with pytest.raises(Refused):
            provider.upload(a_reference(remote_id), a_file(PNG))

    @pytest.mark.fault(74)
    def test_file_that_cannot_be_read_is_not_sent(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        def missing() -> Any:
            raise FileNotFoundError("gone")

        file = FileDraft(key=KEY, name="shot.png", content_type="image/png", size=5, open=missing)
        assert content_type_of(file) == "image/png"
        with pytest.raises(NotSent):
            provider.upload(a_reference(UNKNOWN_ID), file)

    @pytest.mark.fault(19)
    def test_vendors_refusal_is_told(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        remote_id = sandbox.ankra.add_ticket()
        for vendor, status in (({"content_types": ()}, 415), ({"max_bytes": 1}, 413), ({"max_files": 0}, 422)):
            with setting(sandbox.ankra.files, **vendor), pytest.raises(Refused) as caught:
                provider.upload(a_reference(remote_id), a_file())
            assert caught.value.status == status

    def test_of_equal_files_the_newest_is_ours(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        remote_id = sandbox.ankra.add_ticket()
        ids = [provider.upload(a_reference(remote_id), a_file()).remote_id for _ in range(2)]
        assert ids == [file["id"] for file in sandbox.ankra.tickets[remote_id]["attachments"]]

    def test_file_under_another_name_is_known_by_its_size(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        remote_id = sandbox.ankra.add_ticket()
        attachment = provider.upload(a_reference(remote_id), a_file(name='na"me\r\n.png'))
        assert attachment.size == len(PNG)

    def test_answer_without_our_file_is_ambiguous(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        remote_id = sandbox.ankra.add_ticket()
        sandbox.ankra.fail_next("upload", Fault.MISSING_FIELDS, fields=["attachments"])
        with pytest.raises(Ambiguous, match="file is not in it"):
            provider.upload(a_reference(remote_id), a_file())


class TestDownload:
    def uploaded(self, sandbox: Sandbox, provider: AnkraProvider) -> tuple[TicketRef, AttachmentRecord]:
        ref = a_reference(sandbox.ankra.add_ticket())
        return ref, provider.upload(ref, a_file())

    def test_yields_the_bytes(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        ref, attachment = self.uploaded(sandbox, provider)
        with provider.download(ref, attachment) as download:
            assert b"".join(download.chunks) == PNG
            assert (download.content_type, download.size) == ("image/png", len(PNG))
        (entry,) = requests_of(sandbox, "download")
        assert entry.headers["authorization"] == f"Bearer {sandbox.ankra.token}"
        assert entry.headers["x-ankra-organisation-id"] == sandbox.ankra.organisation_id

    @pytest.mark.fault(76)
    def test_more_bytes_than_announced_are_not_taken(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        ref, attachment = self.uploaded(sandbox, provider)
        short = AttachmentRecord(remote_id=attachment.remote_id, size=10)
        with provider.download(ref, short) as download, pytest.raises(Ambiguous, match="larger than 10") as caught:
            b"".join(download.chunks)
        assert caught.value.is_lasting
        unknown, capped = AttachmentRecord(remote_id=attachment.remote_id), build(sandbox, max_download_bytes=20)
        with capped.download(ref, unknown) as download, pytest.raises(Ambiguous, match="larger than 20"):
            b"".join(download.chunks)

    def test_json_where_an_image_was_listed_is_not_taken(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        ref, attachment = self.uploaded(sandbox, provider)
        with (
            setting(sandbox.ankra.files, download_style="json"),
            pytest.raises(Ambiguous, match="JSON"),
            provider.download(ref, attachment),
        ):
            pass

    @pytest.mark.fault(75)
    def test_a_redirect_is_followed_without_the_token(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        ref, attachment = self.uploaded(sandbox, provider)
        with setting(sandbox.ankra.files, download_style="redirect"), provider.download(ref, attachment) as download:
            assert b"".join(download.chunks) == PNG
        first, second = requests_of(sandbox, "download")
        assert "authorization" in first.headers
        assert not {"authorization", "x-ankra-organisation-id"} & set(second.headers)

    @pytest.mark.fault(75)
    @pytest.mark.parametrize(
        "location", ["https://storage.example/a", "http://127.0.0.1:1/", "//10.0.0.1/", "x:y", "https://[::1/", ""]
    )
    def test_a_redirect_elsewhere_is_not_followed_and_proves_nothing(
        self, sandbox: Sandbox, provider: AnkraProvider, location: str
    ) -> None:
        ref, attachment = self.uploaded(sandbox, provider)
        sandbox.ankra.fail_next("download", "answer", status=302, headers={"Location": location})
        with pytest.raises(Ambiguous) as caught, provider.download(ref, attachment):
            pass
        error = caught.value
        assert (error.alias, error.operation, error.status, error.is_lasting) == ("ankra", "download", 302, True)
        assert "storage.example" not in f"{error!r} {error.__context__!r}"
        assert len(requests_of(sandbox, "download")) == 1

    @pytest.mark.parametrize(
        ("fault", "details", "ending"),
        [
            (Fault.ANSWER, {"status": 403}, (403, True)),
            (Fault.ANSWER, {"status": 404}, (404, True)),
            (Fault.ANSWER, {"status": 302, "headers": {"Location": "https://storage.example/"}}, (302, True)),
            (Fault.ANSWER, {"body": PNG * 2}, (200, True)),
            (Fault.SERVER_ERROR, {}, (503, False)),
            (Fault.RESET_BEFORE, {}, (302, False)),
        ],
    )
    def test_a_redirect_that_leads_to_no_file_proves_nothing(
        self, sandbox: Sandbox, provider: AnkraProvider, fault: Fault, details: Any, ending: tuple[int, bool]
    ) -> None:
        ref, attachment = self.uploaded(sandbox, provider)
        sandbox.ankra.fail_next("download", Fault.REDIRECT, location=f"{sandbox.ankra.base_url}/files/a")
        sandbox.ankra.fail_next("download", fault, **details)
        with pytest.raises(Ambiguous) as caught, provider.download(ref, attachment) as download:
            b"".join(download.chunks)
        assert (caught.value.status, caught.value.is_lasting) == ending
        assert len(requests_of(sandbox, "download")) == 2

    def test_a_redirect_to_a_host_that_is_not_there_was_sent_all_the_same(self, sandbox: Sandbox) -> None:
        provider = build(sandbox, attachment_hosts=["storage.invalid"])
        ref, attachment = self.uploaded(sandbox, provider)
        sandbox.ankra.fail_next("download", "redirect", location="https://storage.invalid/a")
        with pytest.raises(Ambiguous, match="resolved") as caught, provider.download(ref, attachment):
            pass
        assert (caught.value.status, caught.value.is_lasting) == (302, False)

    def test_unknown_file_is_not_found(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        ref, _ = self.uploaded(sandbox, provider)
        with pytest.raises(RemoteNotFound), provider.download(ref, AttachmentRecord(remote_id=UNKNOWN_ID)):
            pass

    @pytest.mark.fault(36)
    @pytest.mark.parametrize("remote_id", ["../x", "", "a/b"])
    def test_id_of_a_file_cannot_climb(self, sandbox: Sandbox, provider: AnkraProvider, remote_id: str) -> None:
        with pytest.raises(Refused), provider.download(a_reference(UNKNOWN_ID), AttachmentRecord(remote_id=remote_id)):
            pass
        assert sandbox.ankra.ledger == []


class TestProbe:
    def test_works(self, sandbox: Sandbox, provider: AnkraProvider) -> None:
        assert provider.probe() == Probe()
        assert [entry.operation for entry in sandbox.ankra.ledger] == ["list"]

    def test_revoked_token_is_told(self, sandbox: Sandbox) -> None:
        with pytest.raises(AccessDenied):
            build(sandbox, token="revoked").probe()


class TestSecrets:
    @pytest.mark.fault(37, 87)
    @pytest.mark.parametrize(
        ("operation", "fault"),
        [
            ("create", Fault.RESET_AFTER_COMMIT),
            ("create", Fault.SERVER_ERROR),
            ("create", Fault.WITHOUT_ID),
            ("create", Fault.UNAUTHORIZED),
            ("list", Fault.SERVER_ERROR),
            ("list", Fault.LIST_INSTEAD_OF_OBJECT),
            ("comment", Fault.MISSING_FIELDS),
        ],
    )
    def test_error_carries_no_secret_and_no_personal_data(
        self, sandbox: Sandbox, provider: AnkraProvider, operation: str, fault: Fault
    ) -> None:
        canary = "canary@example.com"
        ticket, comment = a_draft(subject=canary, description=canary), CommentDraft(key=KEY, body=canary)
        ref = a_reference(sandbox.ankra.add_ticket(canary))
        sandbox.ankra.fail_next(operation, fault, times=None)
        with pytest.raises(ProviderError) as caught:
            match operation:
                case "create":
                    provider.create(ticket)
                case "list":
                    provider.find(ticket)
                case "comment":
                    provider.add_comment(ref, comment)
        shown = shown_by(caught.value, caught.tb)
        assert sandbox.ankra.token not in shown
        assert canary not in shown


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
