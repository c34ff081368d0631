from __future__ import annotations

import base64
import hashlib
import io
import json
import pickle
import traceback
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
from django_support_tickets.providers.verifik import VerifikProvider
from django_support_tickets.providers.verifik_lists import Search, to_listing
from django_support_tickets.providers.verifik_records import (
    Base64Body,
    expiry_of,
    key_tag,
    to_app_payload,
    to_html,
    to_payload,
    to_record,
    to_thread,
)
from django_support_tickets.records import (
    ABSENT,
    AuthorType,
    BodyFormat,
    CommentDraft,
    FileDraft,
    Status,
    TicketDraft,
    TicketRef,
    normalised_text,
    text_of_html,
)
from django_support_tickets.testing.sandbox import Fault, LedgerEntry, Sandbox
from django_support_tickets.transport import Part

KEY = "5d9c9f0e-6f0a-4a0e-9d3c-1b2f3a4b5c6d"
OTHER_KEY = "11111111-2222-4333-8444-555555555555"
MARK = "[ref 5d9c9f0e6f0a]"
CANARY = "c4n4ry"

# The example of docs.verifik.co, /resources/retrieve-a-support-ticket.
DESCRIPTION = "Having trouble integrating the biometric validation API. Getting 401 errors when trying to authenticate."
DOCS: dict[str, Any] = {
    "_id": "support_ticket_123456789",
    "title": "API Integration Issue",
    "description": DESCRIPTION,
    "status": "in_progress",
    "priority": "high",
    "category": "technical",
    "client": "client_123456789",
    "assignedTo": "agent_123456789",
    "threads": [
        {
            "author": "client_123456789",
            "message": DESCRIPTION,
            "timestamp": "2024-01-15T10:30:00Z",
            "type": "user",
        },
        {
            "author": "agent_123456789",
            "message": "I've reviewed your API key and it appears to be valid. "
            "Let me check the logs and get back to you.",
            "timestamp": "2024-01-15T11:00:00Z",
            "type": "agent",
        },
    ],
    "attachments": [
        {
            "filename": "error_logs.txt",
            "url": "https://storage.verifik.co/attachments/error_logs.txt",
            "size": 1024,
            "type": "text/plain",
        }
    ],
    "tags": ["api", "authentication", "biometric"],
    "resolution": None,
    "createdAt": "2024-01-15T10:30:00Z",
    "updatedAt": "2024-01-15T11:00:00Z",
    "resolvedAt": None,
}
# The shape of /resources/support-tickets/support-ticket-api and support-ticket.types.ts of the web app.
FILE = {
    "_id": "64b7f0c2a1b2c3d4e5f60789",
    "name": "shot.png",
    "url": "https://cdn.example.com/shot.png",
    "size": 12,
    "type": "image/png",
    "source": "support-ticket",
    "preview": None,
    "metadata": {},
}
APP: dict[str, Any] = {
    "_id": "64b7f0c2a1b2c3d4e5f60718",
    "number": 1042,
    "title": f"Login fails {MARK}",
    "subject": None,
    "status": "pending",
    "category": "integration",
    "api": None,
    "client": {"_id": "64b7f0c2a1b2c3d4e5f60700", "name": "Acme", "email": "ops@acme.example"},
    "assignee": None,
    "issueUrl": None,
    "threads": [
        {
            "_id": "64b7f0c2a1b2c3d4e5f60720",
            "message": "<p>It fails.</p><p>Since Monday.</p>",
            "client": {"_id": "64b7f0c2a1b2c3d4e5f60700", "name": "Acme"},
            "superAdmin": None,
            "supportTicket": "64b7f0c2a1b2c3d4e5f60718",
            "seenAt": None,
            "attachments": [FILE],
            "createdAt": "2024-01-15T10:30:00.000Z",
            "updatedAt": "2024-01-15T10:30:00.000Z",
        },
        {
            "_id": "64b7f0c2a1b2c3d4e5f60721",
            "message": "<p>We look &amp; answer.</p>",
            "client": None,
            "superAdmin": {"_id": "64b7f0c2a1b2c3d4e5f60701", "name": "Ana"},
            "supportTicket": "64b7f0c2a1b2c3d4e5f60718",
            "seenAt": None,
            "attachments": [],
            "createdAt": "2024-01-15T11:00:00.000Z",
            "updatedAt": "2024-01-15T11:00:00.000Z",
        },
    ],
    "createdAt": "2024-01-15T10:30:00.000Z",
    "updatedAt": "2024-01-15T11:00:00.000Z",
}
THREE_DAYS = timedelta(days=3).total_seconds()

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def a_draft(**fields: Any) -> TicketDraft:
    known = {"key": KEY, "subject": "Login fails", "description": "It fails.\n\n2 < 3", "category": "billing"}
    return TicketDraft(**{**known, "priority": "high", **fields})


def a_file(content: bytes = b"\x89PNG bytes", **fields: Any) -> FileDraft:
    known = {
        "key": OTHER_KEY,
        "name": "shot.png",
        "content_type": "image/png",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "open": lambda: io.BytesIO(content),
    }
    return FileDraft(**{**known, **fields})


def a_token(claims: Any) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{part}.c2ln"


def requests_of(sandbox: Sandbox, operation: str) -> list[LedgerEntry]:
    return [entry for entry in sandbox.verifik.ledger if entry.operation == operation]


def build(sandbox: Sandbox, **options: Any) -> VerifikProvider:
    return VerifikProvider("verifik", **{**sandbox.verifik.options(), "rate": None, **options})


@pytest.fixture
def docs(sandbox: Sandbox) -> VerifikProvider:
    return build(sandbox)


@pytest.fixture
def app(sandbox: Sandbox) -> VerifikProvider:
    sandbox.verifik.dialect = "app"
    return build(sandbox)


@pytest.fixture(params=["docs", "app"])
def either(request: pytest.FixtureRequest) -> VerifikProvider:
    provider: VerifikProvider = request.getfixturevalue(request.param)
    return provider


class TestReadingDocs:
    def test_example_of_retrieve(self) -> None:
        record = to_record(DOCS)
        assert (record.remote_id, record.customer_id) == ("support_ticket_123456789", "client_123456789")
        assert (record.status, record.remote_status) == (Status.IN_PROGRESS, "in_progress")
        assert (record.priority, record.category) == ("high", "technical")
        assert record.tags == ("api", "authentication", "biometric")
        assert (record.subject, record.description) == ("API Integration Issue", DESCRIPTION)
        assert (record.resolution, record.resolved_at, record.reference) == ("", None, ABSENT)
        assert record.created_at == datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
        assert record.updated_at == record.last_comment_at == datetime(2024, 1, 15, 11, tzinfo=UTC)

    def test_copy_of_the_description_is_no_comment(self) -> None:
        record = to_record(DOCS)
        assert record.comments is not ABSENT
        [comment] = record.comments
        assert (comment.author_type, comment.author_name) == (AuthorType.AGENT, "agent_123456789")
        assert (comment.remote_id, comment.body_format) == ("", BodyFormat.TEXT)
        assert comment.body.startswith("I've reviewed your API key")

    def test_first_thread_that_says_something_else_is_a_comment(self) -> None:
        [_, answer] = DOCS["threads"]
        assert len(to_record({**DOCS, "threads": [answer]}).comments or ()) == 1
        without = {name: value for name, value in DOCS.items() if name != "description"}
        assert len(to_record(without).comments or ()) == 1

    def test_file_hangs_on_the_ticket_and_keeps_its_address(self) -> None:
        record = to_record(DOCS)
        assert record.attachments is not ABSENT
        [file] = record.attachments
        assert (file.name, file.size, file.content_type) == ("error_logs.txt", 1024, "text/plain")
        assert file.remote_url == "https://storage.verifik.co/attachments/error_logs.txt"
        assert (file.remote_id, file.comment_id) == ("", "")

    def test_raw_is_without_lists(self) -> None:
        names = {name for name, value in DOCS.items() if not isinstance(value, list)}
        assert to_record(DOCS).raw.keys() == names

    def test_key_stands_in_a_tag(self) -> None:
        record = to_record({**DOCS, "tags": ["api", key_tag(KEY), "key:other"]})
        assert (record.key, record.tags) == (KEY, ("api", "key:other"))
        assert to_record(DOCS).key == ""

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ("open", Status.OPEN),
            ("pending", Status.WAITING),
            ("in_progress", Status.IN_PROGRESS),
            ("resolved", Status.RESOLVED),
            ("closed", Status.CLOSED),
        ],
    )
    def test_every_status(self, status: str, expected: Status) -> None:
        record = to_record({**DOCS, "status": status})
        assert (record.status, record.remote_status) == (expected, status)

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("user", AuthorType.CUSTOMER),
            ("agent", AuthorType.AGENT),
            ("system", AuthorType.SYSTEM),
            ("robot", AuthorType.UNKNOWN),
            (None, AuthorType.UNKNOWN),
        ],
    )
    def test_every_thread_type(self, kind: Any, expected: AuthorType) -> None:
        thread = {"author": "x", "message": "Other", "timestamp": "2024-01-15T10:30:00Z", "type": kind}
        record = to_record({**DOCS, "threads": [thread]})
        assert [comment.author_type for comment in record.comments or ()] == [expected]

    def test_early_overview_names(self) -> None:
        record = to_record({"id": "t-1", "subject": "Help", "user": {"id": "u"}, "resolvedAt": None})
        assert (record.remote_id, record.subject, record.resolved_at) == ("t-1", "Help", None)


class TestReadingApp:
    def test_ticket(self) -> None:
        record = to_record(APP)
        assert (record.remote_id, record.reference) == ("64b7f0c2a1b2c3d4e5f60718", "1042")
        assert (record.customer_id, record.contact_name) == ("64b7f0c2a1b2c3d4e5f60700", "Acme")
        assert record.contact_email == "ops@acme.example"
        assert (record.status, record.remote_status, record.category) == (Status.OPEN, "pending", "integration")
        assert (record.priority, record.tags, record.key, record.resolution) == (ABSENT,) * 4
        assert record.subject == "Login fails"
        assert record.created_at == datetime(2024, 1, 15, 10, 30, tzinfo=UTC)

    def test_first_thread_is_the_description(self) -> None:
        record = to_record(APP)
        assert record.description == "It fails.\nSince Monday."
        assert record.comments is not ABSENT
        [comment] = record.comments
        assert (comment.remote_id, comment.author_type) == ("64b7f0c2a1b2c3d4e5f60721", AuthorType.AGENT)
        assert (comment.author_name, comment.body_format) == ("Ana", BodyFormat.HTML)
        assert comment.body == "<p>We look &amp; answer.</p>"

    def test_files_hang_on_the_ticket_or_on_their_comment(self) -> None:
        second = {**APP["threads"][1], "attachments": [{**FILE, "_id": "f-2"}]}
        record = to_record({**APP, "threads": [APP["threads"][0], second]})
        assert record.attachments is not ABSENT
        assert [(file.remote_id, file.comment_id) for file in record.attachments] == [
            (FILE["_id"], ""),
            ("f-2", "64b7f0c2a1b2c3d4e5f60721"),
        ]
        assert record.attachments[0].name == "shot.png"

    def test_ids_instead_of_objects_are_not_loaded(self) -> None:
        record = to_record({**APP, "threads": ["64b7f0c2a1b2c3d4e5f60720"]})
        assert {record.comments, record.description, record.attachments, record.last_comment_at} == {ABSENT}
        threads = [{**thread, "attachments": ["f-1"]} for thread in APP["threads"]]
        record = to_record({**APP, "threads": threads})
        assert record.attachments is ABSENT
        assert len(record.comments or ()) == 1

    def test_null_threads_are_none(self) -> None:
        assert to_record({**APP, "threads": None}).comments == ()

    def test_newest_first_is_read_as_well(self) -> None:
        record = to_record({**APP, "threads": APP["threads"][::-1]})
        assert record.description == "It fails.\nSince Monday."

    def test_api_that_takes_plain_text_gives_plain_text(self) -> None:
        record = to_record(APP, html_messages=False)
        assert [comment.body_format for comment in record.comments or ()] == [BodyFormat.TEXT]

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ("pending", Status.OPEN),
            ("progress", Status.IN_PROGRESS),
            ("resolved", Status.RESOLVED),
            ("cancelled", Status.CLOSED),
            ("closed", Status.CLOSED),
            ("in_progress", Status.IN_PROGRESS),
        ],
    )
    def test_every_status(self, status: str, expected: Status) -> None:
        assert to_record({**APP, "status": status}, assumed="docs").status == expected

    def test_object_of_both_dialects_is_read_as_assumed(self) -> None:
        ambiguous = {"_id": "t-1", "title": "T", "status": "pending"}
        assert to_record(ambiguous, assumed="docs").status == Status.WAITING
        assert to_record(ambiguous, assumed="app").status == Status.OPEN


class TestReadingOdd:
    @pytest.mark.fault(41)
    @pytest.mark.parametrize(("status", "verbatim"), [("Open", "Open"), ("nova", "nova"), (3, "3"), (None, "")])
    def test_unknown_status_is_kept_verbatim(self, status: Any, verbatim: str) -> None:
        for ticket in (DOCS, APP):
            record = to_record({**ticket, "status": status})
            assert (record.status, record.remote_status) == (Status.UNKNOWN, verbatim)

    @pytest.mark.fault(42)
    def test_missing_and_null_fields(self) -> None:
        bare = to_record({"_id": "t-1"})
        assert {bare.status, bare.subject, bare.comments, bare.attachments, bare.tags, bare.updated_at} == {ABSENT}
        empty = to_record({"_id": "t-1", "threads": None, "attachments": None, "tags": None, "updatedAt": None})
        assert (empty.comments, empty.attachments, empty.tags, empty.updated_at) == ((), (), (), None)

    @pytest.mark.fault(36)
    @pytest.mark.parametrize("remote_id", ["../../B", "x?y=1", "a/b", "a\nb", "", None, 5, "x" * 9000, ["a"], True])
    def test_id_that_could_be_a_path_is_none(self, remote_id: Any) -> None:
        assert to_record({**DOCS, "_id": remote_id}).remote_id == ""

    @pytest.mark.fault(49)
    @pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//host/x", "file:///etc", None, 5])
    def test_address_that_is_no_link_is_dropped(self, url: Any) -> None:
        record = to_record({**DOCS, "attachments": [{"filename": "a", "url": url}]})
        assert [file.remote_url for file in record.attachments or ()] == [""]

    @given(ticket=JSON)
    def test_never_raises(self, ticket: Any) -> None:
        to_record(ticket)
        to_listing(ticket, number=1)

    @given(value=JSON)
    def test_never_raises_for_a_known_field(self, value: Any) -> None:
        for ticket in (DOCS, APP):
            for name in ticket:
                to_record({**ticket, name: value})
            for name in (*DOCS["threads"][0], *APP["threads"][0]):
                to_record({**ticket, "threads": [{name: value}, value]})
            for name in (*DOCS["attachments"][0], *FILE):
                to_record({**ticket, "attachments": [{name: value}, value]})

    @pytest.mark.fault(28, 49)
    @pytest.mark.parametrize(
        "markup",
        [
            "<![foo[bar",
            "<![\x00",
            "<!-- x",
            "<script>a",
            "<" * 200_000,
            "<!--" * 50_000,
            "<a " * 50_000,
            "<a href='" * 30_000,
        ],
        ids=range(8),
    )
    def test_hostile_markup_is_read_at_once(self, markup: str) -> None:
        text_of_html(markup)
        assert to_record({**APP, "threads": [{"_id": "x", "message": markup}]}).remote_id

    @pytest.mark.fault(49)
    def test_text_of_markup(self) -> None:
        markup = (
            "<style>x{}</style><p onclick='x'>One &lt; two</p><ul><li>three<script>alert(1)</script></li></ul><br>four"
        )
        assert text_of_html(markup) == "One < two\nthree\nfour"


class TestPayload:
    def test_docs(self) -> None:
        assert to_payload(a_draft(tags=("api",)), tag=key_tag(KEY)) == {
            "title": "Login fails",
            "description": "It fails.\n\n2 < 3",
            "priority": "high",
            "category": "billing",
            "tags": ["api", f"key:{KEY}"],
        }
        assert to_payload(a_draft())["tags"] == []

    def test_app(self) -> None:
        draft = a_draft(options={"subject": "S", "api": "A", "other": 1})
        thread = to_thread(draft.description, ["f-1"], html_messages=True)
        assert to_app_payload(draft, thread, mark=MARK) == {
            "title": f"Login fails {MARK}",
            "category": "billing",
            "threads": [{"message": "<p>It fails.</p><p></p><p>2 &lt; 3</p>", "attachments": ["f-1"]}],
            "subject": "S",
            "api": "A",
        }
        assert to_app_payload(a_draft(), thread)["title"] == "Login fails"

    def test_plain_text_by_option(self) -> None:
        assert to_thread("2 < 3", [], html_messages=False)["message"] == "2 < 3"

    @given(text=st.text())
    def test_text_survives_html(self, text: str) -> None:
        sent = to_thread(text, [], html_messages=True)["message"]
        assert normalised_text(sent, BodyFormat.HTML) == normalised_text(
            to_thread(text, [], html_messages=False)["message"]
        )

    def test_markup_in_a_text_stays_text(self) -> None:
        assert to_html("<script>'\"&") == "<p>&lt;script&gt;&#x27;&quot;&amp;</p>"


class TestToken:
    def test_expiry(self) -> None:
        assert expiry_of(a_token({"exp": 1767323045})) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    @pytest.mark.parametrize(
        "token",
        [
            "",
            "opaque",
            "a.b.c",
            "a.\xff.c",
            "a..c",
            a_token([]),
            a_token({}),
            a_token({"exp": "soon"}),
            a_token({"exp": 1e30}),
        ],
    )
    def test_none_where_the_token_does_not_say_it(self, token: str) -> None:
        assert expiry_of(token) is None

    @pytest.mark.parametrize(("days", "warned"), [(30, False), (6, True), (-1, True)])
    def test_probe_warns_within_a_week(self, sandbox: Sandbox, days: int, warned: bool) -> None:
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
        token = a_token({"exp": int(expires.timestamp())})
        sandbox.verifik.tokens.revive(token)
        probe = build(sandbox, token=lambda: token).probe()
        assert (probe.token_expires_at, bool(probe.warnings)) == (expires, warned)

    def test_probe_lists_one_row(self, sandbox: Sandbox, either: VerifikProvider) -> None:
        assert either.probe().token_expires_at is not None
        [entry] = requests_of(sandbox, "list")
        assert entry.path == "/v2/support-tickets?page=1&limit=1&perPage=1"


class TestOptions:
    def test_defaults(self) -> None:
        provider = VerifikProvider("verifik", token="t")
        assert (provider.base_url, provider.rate) == ("https://api.verifik.co", 1.0)
        assert (provider.timeout, provider.max_response_bytes) == ((5.0, 30.0), 10 * 1024 * 1024)
        assert provider.attachment_hosts == ("storage.verifik.co",)

    @pytest.mark.parametrize(
        "options",
        [
            {"token": ""},
            {"token": None},
            {"write_dialect": "auto"},
            {"message_format": "markdown"},
            {"close_status": "closed"},
            {"auth_scheme": "Bearer: x"},
            {"path_prefix": "v2"},
            {"path_prefix": "/v2/../v1"},
            {"path_prefix": "/v2/"},
            {"path_prefix": None},
            {"expiration_days": 0},
        ],
    )
    def test_nonsense_is_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidProvider, match="Provider 'verifik': "):
            VerifikProvider("verifik", **{"token": "t", **options})

    def test_building_and_checking_calls_nothing(self) -> None:
        def explode() -> str:
            raise AssertionError("called")

        assert VerifikProvider("verifik", token=explode, base_url=explode).check() == []

    def test_capabilities_of_docs(self) -> None:
        capabilities = VerifikProvider("verifik", token="t").capabilities
        assert capabilities.can_list and capabilities.can_find
        assert not capabilities.can_comment and capabilities.no_comment_reason
        assert not capabilities.can_close and capabilities.attachments is None
        assert capabilities.required_fields == {"description", "category", "priority"}
        assert not VerifikProvider("verifik", token="t", reference=False).capabilities.can_find

    def test_capabilities_of_app(self) -> None:
        provider = VerifikProvider("verifik", token="t", write_dialect="app")
        capabilities = provider.capabilities
        assert capabilities.can_comment and capabilities.can_close and capabilities.can_find
        assert capabilities.attachments is not None and capabilities.attachments.max_count == 10
        assert capabilities.subject_max == 200 - len(f" {MARK}")
        assert capabilities.priorities == ()
        assert provider.deadline_of("create") == 120
        without = VerifikProvider("verifik", token="t", write_dialect="app", reference=False)
        assert without.capabilities.subject_max == 200

    def test_longest_search_fits_its_deadline(self) -> None:
        assert VerifikProvider("verifik", token="t").deadline_of("find") >= 200
        assert VerifikProvider("verifik", token="t", rate=None).deadline_of("find") == 120

    def test_bare_token(self, sandbox: Sandbox) -> None:
        build(sandbox, auth_scheme="").probe()
        assert requests_of(sandbox, "list")[0].headers["authorization"] == sandbox.verifik.token


class TestCreateInDocs:
    def test_ticket_is_made_and_returned(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        record = docs.create(a_draft(tags=("api",)))
        ticket = sandbox.verifik.tickets[record.remote_id]
        assert (ticket["title"], ticket["description"]) == ("Login fails", "It fails.\n\n2 < 3")
        assert ticket["tags"] == ["api", f"key:{KEY}"]
        assert (record.key, record.tags, record.status) == (KEY, ("api",), Status.OPEN)
        assert (record.comments, record.attachments) == ((), ())
        [entry] = requests_of(sandbox, "create")
        assert (entry.method, entry.path) == ("POST", "/v2/support-tickets")

    def test_201_is_as_good(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        sandbox.verifik.create_status = 201
        assert docs.create(a_draft()).remote_id in sandbox.verifik.tickets

    def test_bare_object_is_read_as_well(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        sandbox.verifik.fail_next("create", Fault.ANSWER, body=json.dumps(DOCS))
        assert docs.create(a_draft()).remote_id == DOCS["_id"]

    def test_without_reference_no_tag_is_added(self, sandbox: Sandbox) -> None:
        record = build(sandbox, reference=False).create(a_draft())
        assert sandbox.verifik.tickets[record.remote_id]["tags"] == []


class TestCreateInApp:
    def test_ticket_is_made_and_returned(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        record = app.create(a_draft())
        ticket = sandbox.verifik.tickets[record.remote_id]
        assert ticket["title"] == f"Login fails {MARK}"
        assert [thread["message"] for thread in ticket["threads"]] == ["<p>It fails.</p><p></p><p>2 &lt; 3</p>"]
        assert (record.subject, record.status, record.reference) == ("Login fails", Status.OPEN, str(ticket["number"]))
        assert record.comments is ABSENT
        [entry] = requests_of(sandbox, "create")
        assert entry.path == "/v2/support-tickets/insert"

    def test_files_go_first(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        contents = [b"", b"1", b"12", b"123", bytes(range(256)) * 3000]
        files = [a_file(content, name=f"{len(content)}.png") for content in contents]
        record = app.create(a_draft(files=tuple(files)))
        assert [entry.operation for entry in sandbox.verifik.ledger] == ["upload"] * 5 + ["create"]
        loaded = app.get(TicketRef(remote_id=record.remote_id))
        assert loaded.attachments is not ABSENT
        assert [(file.name, file.size) for file in loaded.attachments] == [
            (f"{len(content)}.png", len(content)) for content in contents
        ]
        assert {file.comment_id for file in loaded.attachments} == {""}
        hosted = [sandbox.verifik.files._by_id[file.remote_id].content for file in loaded.attachments]
        assert hosted == contents

    def test_upload_is_json(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        app.create(a_draft(files=(a_file(b"12", name='a "quoted" é.png'),)))
        [entry] = requests_of(sandbox, "upload")
        assert (entry.path, entry.headers["content-type"]) == ("/v2/attachments", "application/json")
        assert json.loads(entry.body) == {
            "file": "data:image/png;base64,MTI=",
            "name": 'a "quoted" é.png',
            "size": 2,
            "type": "image/png",
            "source": "support-ticket",
            "metadata": {},
            "expirationDays": 1,
        }
        assert int(entry.headers["content-length"]) == entry.body_size

    def test_expiration_can_be_left_out(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        build(sandbox, expiration_days=None).create(a_draft(files=(a_file(),)))
        [entry] = requests_of(sandbox, "upload")
        assert "expirationDays" not in json.loads(entry.body)

    @pytest.mark.fault(20)
    @pytest.mark.parametrize(
        ("fault", "details", "expected"),
        [
            (Fault.RESET_AFTER_COMMIT, {}, NotSent),
            (Fault.SERVER_ERROR, {}, NotSent),
            (Fault.WITHOUT_ID, {}, NotSent),
            (Fault.HTML_PAGE, {}, NotSent),
            (Fault.RATE_LIMITED, {}, Busy),
            (Fault.ANSWER, {"status": 413, "body": '{"code": "PayloadTooLarge", "message": "big"}'}, Refused),
            (Fault.ANSWER, {"status": 403, "body": '{"code": "Forbidden", "message": "expired_token"}'}, AccessDenied),
        ],
    )
    def test_failed_upload_is_one_before_the_ticket(
        self, sandbox: Sandbox, app: VerifikProvider, fault: Fault, details: dict[str, Any], expected: type[Exception]
    ) -> None:
        sandbox.verifik.fail_next("upload", fault, **details)
        with pytest.raises(expected):
            app.create(a_draft(files=(a_file(),)))
        assert requests_of(sandbox, "create") == []

    @pytest.mark.fault(21, 74)
    @pytest.mark.parametrize("fields", [{"size": 3}, {"size": 300}, {"sha256": "0" * 64}, {"open": lambda: 1 / 0}])
    def test_file_that_is_not_as_recorded_is_not_sent(
        self, sandbox: Sandbox, app: VerifikProvider, fields: dict[str, Any]
    ) -> None:
        with pytest.raises(NotSent):
            app.create(a_draft(files=(a_file(**fields),)))
        assert not any(entry.committed for entry in sandbox.verifik.ledger)

    @pytest.mark.parametrize(
        "options",
        [{}, {"subject": "S"}, {"api": "A"}, {"subject": "S" * 401, "api": "A"}, {"subject": None, "api": "A"}],
    )
    def test_smart_check_needs_subject_and_api(
        self, sandbox: Sandbox, app: VerifikProvider, options: dict[str, Any]
    ) -> None:
        with pytest.raises(Refused, match="smartCheck"):
            app.create(a_draft(category="smartCheck", options=options))
        assert sandbox.verifik.ledger == []

    def test_smart_check(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        record = app.create(a_draft(category="smartCheck", options={"subject": "S", "api": "A"}))
        ticket = sandbox.verifik.tickets[record.remote_id]
        assert (ticket["subject"], ticket["api"]) == ("S", "A")


class TestBody:
    def body(self, content: bytes, **fields: Any) -> Base64Body:
        part = Part(
            name="file",
            filename="a.png",
            content_type="image/png",
            size=len(content),
            sha256="",
            open=lambda: io.BytesIO(content),
        )
        return Base64Body(part, expiration_days=1)

    @pytest.mark.parametrize("size", [0, 1, 2, 3, 262_143, 262_144, 262_145, 1_000_000])
    def test_length_is_exact_and_the_body_can_be_sent_again(self, size: int) -> None:
        content = bytes(index % 251 for index in range(size))
        body = self.body(content)
        first, second = b"".join(body), b"".join(body)
        assert first == second
        assert len(first) == len(body)
        assert base64.b64decode(json.loads(first)["file"].partition(",")[2], validate=True) == content

    @pytest.mark.fault(40)
    def test_file_is_never_whole_in_memory(self) -> None:
        assert max(map(len, self.body(b"x" * 5_000_000))) < 1_000_000


class TestLostAnswers:
    @pytest.mark.fault(5, 7, 8, 29, 30, 43)
    @pytest.mark.parametrize(
        ("fault", "details"),
        [
            (Fault.RESET_AFTER_COMMIT, {}),
            (Fault.RESET_IN_ANSWER, {}),
            (Fault.CUT_BODY, {}),
            (Fault.CUT_CHUNKED, {}),
            (Fault.REDIRECT, {"status": 303}),
            (Fault.REDIRECT, {"status": 307}),
            (Fault.HTML_PAGE, {}),
            (Fault.HTML_PAGE, {"status": 403}),
            (Fault.SERVER_ERROR, {"status": 500}),
            (Fault.SERVER_ERROR_AFTER_COMMIT, {"status": 504}),
            (Fault.WITHOUT_ID, {}),
            (Fault.NULL_ID, {}),
            (Fault.EMPTY_ID, {}),
            (Fault.NUMBER_ID, {}),
            (Fault.LONG_ID, {}),
            (Fault.LIST_INSTEAD_OF_OBJECT, {}),
            (Fault.NO_CONTENT, {}),
            (Fault.EMPTY_BODY, {}),
            (Fault.JSON_DEEP, {}),
            (Fault.JSON_DUPLICATE_KEYS, {}),
            (Fault.JSON_BOM, {}),
            (Fault.JSON_INVALID_UTF8, {}),
            (Fault.ANSWER, {"status": 200, "body": '{"success": true}'}),
            (Fault.ANSWER, {"status": 200, "body": '{"success": true, "data": [{"_id": "t-1"}]}'}),
            (Fault.ANSWER, {"status": 409, "body": '{"code": "Conflict", "message": "conflict"}'}),
        ],
    )
    def test_create_is_ambiguous(
        self, sandbox: Sandbox, either: VerifikProvider, fault: Fault, details: dict[str, Any]
    ) -> None:
        sandbox.verifik.fail_next("create", fault, **details)
        with pytest.raises(Ambiguous):
            either.create(a_draft())
        assert len(requests_of(sandbox, "create")) == 1

    @pytest.mark.parametrize(
        "body",
        [
            '{"success": false, "error": "No title", "code": "TITLE_REQUIRED"}',
            '{"error": "No title", "message": "TITLE_REQUIRED"}',
            '{"code": "TITLE_REQUIRED", "message": "No title"}',
        ],
    )
    def test_failure_with_a_status_of_success_is_ambiguous_and_told(
        self, sandbox: Sandbox, either: VerifikProvider, body: str
    ) -> None:
        sandbox.verifik.fail_next("create", Fault.ANSWER, status=200, body=body)
        with pytest.raises(Ambiguous) as caught:
            either.create(a_draft())
        assert (caught.value.code, caught.value.reason) == ("TITLE_REQUIRED", "No title")

    @pytest.mark.fault(41, 42)
    @pytest.mark.parametrize("fault", [Fault.UNKNOWN_ENUM, Fault.MISSING_FIELDS, Fault.NULL_FIELDS])
    def test_odd_fields_do_not_lose_the_id(self, sandbox: Sandbox, either: VerifikProvider, fault: Fault) -> None:
        sandbox.verifik.fail_next("create", fault)
        assert either.create(a_draft()).remote_id in sandbox.verifik.tickets


class TestErrors:
    @pytest.mark.fault(19)
    def test_refusal_of_docs(self, docs: VerifikProvider) -> None:
        with pytest.raises(Refused) as caught:
            docs.create(a_draft(priority="critical"))
        assert (caught.value.status, caught.value.code) == (400, "INVALID_PRIORITY")
        assert caught.value.reason == "Invalid priority"

    @pytest.mark.fault(19)
    def test_refusal_of_app(self, app: VerifikProvider) -> None:
        with pytest.raises(Refused) as caught:
            app.create(a_draft(category="technical"))
        assert (caught.value.code, caught.value.reason) == ("BadRequest", "category is not valid")

    def test_refusal_of_the_list(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        body = '{"success": false, "error": "Invalid page", "code": "INVALID_PARAMETERS"}'
        sandbox.verifik.fail_next("list", Fault.ANSWER, status=400, body=body)
        with pytest.raises(Refused) as caught:
            docs.list_changed("", None)
        assert (caught.value.code, caught.value.reason) == ("INVALID_PARAMETERS", "Invalid page")

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ('{"error": "Text", "message": "SOME_CODE"}', ("SOME_CODE", "Text")),
            ('{"success": false, "error": "Text", "code": "SOME_CODE"}', ("SOME_CODE", "Text")),
            ('{"success": false, "code": "SOME_CODE"}', ("SOME_CODE", "")),
            ('{"code": "NotFound", "message": "text", "signature": {}}', ("NotFound", "text")),
            ('{"error": "Text", "message": "more text"}', ("", "Text")),
            ('{"message": "Forbidden"}', None),
            ('{"message": "SOME_CODE"}', None),
            ('{"error": "Text"}', None),
            ('{"code": "X"}', None),
            ("{}", None),
            ("[]", None),
            ("null", None),
        ],
    )
    def test_error_shapes(self, docs: VerifikProvider, body: str, expected: tuple[str, str] | None) -> None:
        assert docs.read_error(json.loads(body)) == expected

    @pytest.mark.parametrize(
        ("status", "message"),
        [(403, "expired_token"), (403, "jwt expired"), (401, "Unauthorized"), (401, "invalid_token"), (401, "")],
    )
    def test_bad_token_denies_the_account(
        self, sandbox: Sandbox, either: VerifikProvider, status: int, message: str
    ) -> None:
        body = json.dumps({"code": "Forbidden", "message": message})
        sandbox.verifik.fail_next("create", Fault.ANSWER, status=status, body=body)
        with pytest.raises(AccessDenied):
            either.create(a_draft())

    def test_expired_token_is_not_renewed(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        sandbox.verifik.expire_tokens()
        with pytest.raises(AccessDenied) as caught:
            docs.create(a_draft())
        assert caught.value.code == "Forbidden"
        assert [entry.operation for entry in sandbox.verifik.ledger] == ["create"]

    def test_new_token_of_a_callable_is_used_at_once(self, sandbox: Sandbox) -> None:
        provider = build(sandbox, token=lambda: sandbox.verifik.token)
        sandbox.verifik.expire_tokens()
        with pytest.raises(AccessDenied):
            provider.create(a_draft())
        sandbox.verifik.renew_token()
        assert provider.create(a_draft()).remote_id

    @pytest.mark.fault(19)
    def test_other_403_is_about_the_request(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        body = '{"code": "Forbidden", "message": "not your ticket"}'
        sandbox.verifik.fail_next("get", Fault.ANSWER, status=403, body=body)
        with pytest.raises(Refused):
            docs.get(TicketRef(remote_id="t-1"))

    @pytest.mark.fault(31)
    def test_too_many_requests(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        sandbox.verifik.fail_next("create", Fault.RATE_LIMITED, retry_after="7")
        with pytest.raises(Busy) as caught:
            docs.create(a_draft())
        assert caught.value.retry_after == 7.0

    @pytest.mark.fault(37, 87)
    def test_errors_carry_no_secret_and_no_text(self, sandbox: Sandbox) -> None:
        sandbox.verifik.dialect = "app"
        token = a_token({"sub": CANARY, "exp": 1})
        provider = build(sandbox, token=token)
        draft = a_draft(description=CANARY, subject=CANARY, files=(a_file(name=f"{CANARY}.png"),))
        with pytest.raises(ProviderError) as caught:
            provider.create(draft)
        frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
        ours = [repr(frame.f_locals) for frame in frames if "django_support_tickets" in frame.f_code.co_filename]
        shown = "".join([*traceback.format_exception(caught.value), repr(caught.value), repr(provider), *ours])
        assert ours and CANARY not in shown and token not in shown
        assert token.encode() not in pickle.dumps(caught.value)


class TestGet:
    def test_docs(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        created = docs.create(a_draft())
        sandbox.verifik.reply(created.remote_id, "We look into it.")
        record = docs.get(TicketRef(remote_id=created.remote_id))
        assert record.description == "It fails.\n\n2 < 3"
        assert [(comment.body, comment.author_type) for comment in record.comments or ()] == [
            ("We look into it.", AuthorType.AGENT)
        ]
        [entry] = requests_of(sandbox, "get")
        assert "?" not in entry.path

    def test_app(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        created = app.create(a_draft())
        file = sandbox.verifik.add_file("log.png", b"x", "image/png")
        sandbox.verifik.reply(created.remote_id, "<p>We look.</p>", attachments=[file])
        record = app.get(TicketRef(remote_id=created.remote_id))
        assert normalised_text(str(record.description)) == "It fails. 2 < 3"
        assert record.comments is not ABSENT and record.attachments is not ABSENT
        [comment] = record.comments
        assert (comment.body, comment.author_name) == ("<p>We look.</p>", "Sandbox Agent")
        assert [(file.name, file.comment_id) for file in record.attachments] == [("log.png", comment.remote_id)]
        assert record.attachments[0].remote_url == file["url"]

    def test_other_dialect_than_expected_is_asked_again_for_its_threads(self, sandbox: Sandbox) -> None:
        provider = build(sandbox)
        sandbox.verifik.dialect = "app"
        remote_id = sandbox.verifik.add_ticket(description="<p>Text</p>")
        sandbox.verifik.reply(remote_id, "<p>Answer</p>")
        record = provider.get(TicketRef(remote_id=remote_id))
        assert [comment.body for comment in record.comments or ()] == ["<p>Answer</p>"]
        assert ["populates" in entry.path for entry in requests_of(sandbox, "get")] == [False, True]

    def test_docs_is_read_though_app_is_expected(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        sandbox.verifik.dialect = "docs"
        remote_id = sandbox.verifik.add_ticket(description="Text", status="pending")
        sandbox.verifik.reply(remote_id, "Answer")
        record = app.get(TicketRef(remote_id=remote_id))
        assert (record.status, record.description) == (Status.WAITING, "Text")
        assert [comment.body_format for comment in record.comments or ()] == [BodyFormat.TEXT]

    @pytest.mark.fault(48)
    def test_missing_ticket(self, either: VerifikProvider) -> None:
        with pytest.raises(RemoteNotFound) as caught:
            either.get(TicketRef(remote_id="support_ticket_1"))
        assert caught.value.code in ("SUPPORT_TICKET_NOT_FOUND", "NotFound")

    @pytest.mark.fault(38)
    def test_another_ticket_in_the_answer(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        sandbox.verifik.fail_next("get", Fault.ANSWER, body=json.dumps({"success": True, "data": DOCS}))
        with pytest.raises(Ambiguous, match="another ticket"):
            docs.get(TicketRef(remote_id="t-1"))

    @pytest.mark.fault(36)
    @pytest.mark.parametrize("remote_id", ["../attachments", "a/b", "x?y=1", ""])
    def test_ids_that_could_be_paths_are_never_sent(
        self, sandbox: Sandbox, docs: VerifikProvider, remote_id: str
    ) -> None:
        with pytest.raises(Refused):
            docs.get(TicketRef(remote_id=remote_id))
        assert sandbox.verifik.ledger == []

    def test_large_conversation_fits(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        remote_id = sandbox.verifik.add_ticket(description="Text")
        for _ in range(30):
            sandbox.verifik.reply(remote_id, "x" * 100_000)
        assert len(docs.get(TicketRef(remote_id=remote_id)).comments or ()) == 30


class TestCommentAndClose:
    def test_comment(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        ref = TicketRef(remote_id=app.create(a_draft()).remote_id)
        comment = app.add_comment(ref, CommentDraft(key=OTHER_KEY, body="a < b\nc"))
        assert (comment.body, comment.body_format) == ("<p>a &lt; b</p><p>c</p>", BodyFormat.HTML)
        assert (comment.author_type, comment.sent_at is not None) == (AuthorType.CUSTOMER, True)
        [shown] = app.get(ref).comments or ()
        assert (shown.remote_id, shown.body) == (comment.remote_id, comment.body)
        assert normalised_text(shown.body, shown.body_format) == "a < b c"

    def test_comment_with_files(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        ref = TicketRef(remote_id=app.create(a_draft()).remote_id)
        comment = app.add_comment(ref, CommentDraft(key=OTHER_KEY, body="See.", files=(a_file(), a_file(name="b.png"))))
        files = app.get(ref).attachments
        assert files is not ABSENT
        assert [(file.name, file.comment_id) for file in files] == [
            ("shot.png", comment.remote_id),
            ("b.png", comment.remote_id),
        ]

    def test_plain_text(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        provider = build(sandbox, message_format="text")
        ref = TicketRef(remote_id=provider.create(a_draft()).remote_id)
        provider.add_comment(ref, CommentDraft(key=OTHER_KEY, body="a < b"))
        assert [(c.body, c.body_format) for c in provider.get(ref).comments or ()] == [("a < b", BodyFormat.TEXT)]

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            (Fault.RESET_AFTER_COMMIT, Ambiguous),
            (Fault.WITHOUT_ID, Ambiguous),
            (Fault.SERVER_ERROR, Ambiguous),
            (Fault.RATE_LIMITED, Busy),
        ],
    )
    def test_lost_comment(
        self, sandbox: Sandbox, app: VerifikProvider, fault: Fault, expected: type[Exception]
    ) -> None:
        ref = TicketRef(remote_id=sandbox.verifik.add_ticket())
        sandbox.verifik.fail_next("comment", fault)
        with pytest.raises(expected):
            app.add_comment(ref, CommentDraft(key=OTHER_KEY, body="Hello"))

    def test_comment_on_a_missing_ticket(self, app: VerifikProvider) -> None:
        with pytest.raises(RemoteNotFound):
            app.add_comment(TicketRef(remote_id="t-1"), CommentDraft(key=OTHER_KEY, body="Hello"))

    @pytest.mark.parametrize(("status", "expected"), [("resolved", Status.RESOLVED), ("cancelled", Status.CLOSED)])
    def test_close(self, sandbox: Sandbox, app: VerifikProvider, status: Any, expected: Status) -> None:
        remote_id = sandbox.verifik.add_ticket()
        record = build(sandbox, close_status=status).close(TicketRef(remote_id=remote_id))
        assert (record.status, record.remote_status) == (expected, status)
        [entry] = requests_of(sandbox, "close")
        assert (entry.method, json.loads(entry.body)) == ("PUT", {"status": status})

    def test_close_counts_though_the_look_afterwards_fails(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        remote_id = sandbox.verifik.add_ticket()
        sandbox.verifik.fail_next("get", Fault.SERVER_ERROR)
        record = app.close(TicketRef(remote_id=remote_id))
        assert (record.remote_id, record.status) == (remote_id, ABSENT)

    @pytest.mark.parametrize(
        ("fault", "details"),
        [
            (Fault.RESET_AFTER_COMMIT, {}),
            (Fault.HTML_PAGE, {}),
            (Fault.ANSWER, {"body": '{"success": false, "error": "No", "code": "NO"}'}),
        ],
    )
    def test_lost_close(self, sandbox: Sandbox, app: VerifikProvider, fault: Fault, details: dict[str, Any]) -> None:
        remote_id = sandbox.verifik.add_ticket()
        sandbox.verifik.fail_next("close", fault, **details)
        with pytest.raises(Ambiguous):
            app.close(TicketRef(remote_id=remote_id))

    def test_empty_answer_to_close_is_looked_at(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        remote_id = sandbox.verifik.add_ticket()
        sandbox.verifik.fail_next("close", Fault.NO_CONTENT)
        assert app.close(TicketRef(remote_id=remote_id)).status == Status.RESOLVED


class TestList:
    def walk(self, provider: VerifikProvider) -> list[str]:
        ids, cursor = [], None
        while True:
            page = provider.list_changed("", cursor)
            ids += [record.remote_id for record in page.records]
            cursor = page.next_cursor
            if cursor is None:
                return ids

    @pytest.mark.parametrize("parameter", ["limit", "perPage"])
    def test_all_pages(self, sandbox: Sandbox, either: VerifikProvider, parameter: str) -> None:
        sandbox.verifik.page_size_parameter = parameter
        made = [sandbox.verifik.add_ticket() for _ in range(120)]
        assert sorted(self.walk(either)) == sorted(made)
        paths = [entry.path for entry in requests_of(sandbox, "list")]
        assert paths == [f"/v2/support-tickets?page={page}&limit=50&perPage=50" for page in (1, 2, 3)]

    def test_page_size_that_is_not_honoured(self, sandbox: Sandbox, either: VerifikProvider) -> None:
        sandbox.verifik.page_size_parameter = "other"
        made = [sandbox.verifik.add_ticket() for _ in range(45)]
        assert sorted(self.walk(either)) == sorted(made)

    def test_rows_are_partial(self, sandbox: Sandbox, either: VerifikProvider) -> None:
        either.create(a_draft())
        page = either.list_changed("", None)
        [record] = page.records
        assert (record.comments, record.attachments, page.total) == (ABSENT, ABSENT, 1)
        assert record.subject == "Login fails"

    def test_empty(self, sandbox: Sandbox, either: VerifikProvider) -> None:
        page = either.list_changed("", None)
        assert (page.records, page.next_cursor) == ((), None)

    def test_404_is_empty_only_with_its_code(self, sandbox: Sandbox, either: VerifikProvider) -> None:
        body = '{"error": "No such route", "message": "ROUTE_NOT_FOUND"}'
        sandbox.verifik.fail_next("list", Fault.ANSWER, status=404, body=body)
        with pytest.raises(RemoteNotFound):
            either.list_changed("", None)

    @pytest.mark.fault(29)
    @pytest.mark.parametrize(
        "body",
        [
            '{"data": [], "pagination": {"page": 1, "limit": 50, "total": 7, "pages": 1}}',
            '{"data": [], "page": 1, "limit": 50, "total": 70, "pages": 2}',
            '{"data": {}}',
            "[]",
            '{"success": false, "error": "No", "code": "NO"}',
        ],
    )
    def test_page_that_contradicts_itself(self, sandbox: Sandbox, docs: VerifikProvider, body: str) -> None:
        sandbox.verifik.fail_next("list", Fault.ANSWER, body=body)
        with pytest.raises(Ambiguous):
            docs.list_changed("", None)

    def test_same_rows_on_every_page(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        rows = {"data": [{"_id": "t-1"}, {"_id": "t-2"}]}
        sandbox.verifik.fail_next("list", Fault.ANSWER, body=json.dumps(rows), times=2)
        assert self.walk(docs) == ["t-1", "t-2"]
        body = json.dumps({**rows, "pagination": {"pages": 9}})
        sandbox.verifik.fail_next("list", Fault.ANSWER, body=body, times=2)
        with pytest.raises(Ambiguous, match="contradicts itself"):
            self.walk(docs)

    def test_endless_list_is_never_a_complete_walk(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        for number in range(200):
            body = json.dumps({"data": [{"_id": f"t-{number}"}], "pagination": {"pages": 9999}})
            sandbox.verifik.fail_next("list", Fault.ANSWER, body=body)
        with pytest.raises(Ambiguous, match="200 pages"):
            self.walk(docs)

    def test_foreign_cursor_starts_again(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        docs.list_changed("", "nonsense")
        assert "page=1&" in requests_of(sandbox, "list")[0].path

    def test_rows_with_threads(self, sandbox: Sandbox, app: VerifikProvider) -> None:
        sandbox.verifik.rows_carry_threads = True
        remote_id = sandbox.verifik.add_ticket(description="<p>Text</p>")
        sandbox.verifik.reply(remote_id, "<p>Answer</p>")
        [record] = app.list_changed("", None).records
        assert [comment.body for comment in record.comments or ()] == ["<p>Answer</p>"]
        assert record.attachments == ()

    def test_one_scope(self, docs: VerifikProvider) -> None:
        assert docs.scopes(["client_1"]) == ("",)


class TestFind:
    def lose(self, sandbox: Sandbox, provider: VerifikProvider) -> TicketDraft:
        sandbox.verifik.fail_next("create", Fault.RESET_AFTER_COMMIT)
        with pytest.raises(Ambiguous):
            provider.create(a_draft())
        return a_draft(sent_at=datetime.now(UTC))

    @pytest.mark.fault(5)
    def test_lost_ticket_is_found(self, sandbox: Sandbox, either: VerifikProvider) -> None:
        sandbox.verifik.add_ticket("Login fails")
        draft = self.lose(sandbox, either)
        found = either.find(draft)
        assert found.complete
        [record] = found.records
        assert sandbox.verifik.tickets[record.remote_id]["title"].startswith("Login fails")
        assert record.subject == "Login fails"

    def test_empty_account(self, either: VerifikProvider) -> None:
        found = either.find(a_draft(sent_at=datetime.now(UTC)))
        assert (found.records, found.complete) == ((), True)

    def test_same_title_is_no_match(self, sandbox: Sandbox, either: VerifikProvider) -> None:
        sandbox.verifik.add_ticket("Login fails", tags=[key_tag(OTHER_KEY)])
        sandbox.verifik.add_ticket("Login fails [ref 111111112222]")
        found = either.find(a_draft(sent_at=datetime.now(UTC)))
        assert (found.records, found.complete) == ((), True)

    def test_both_copies_are_told(self, sandbox: Sandbox, either: VerifikProvider) -> None:
        made = {either.create(a_draft()).remote_id for _ in range(2)}
        found = either.find(a_draft(sent_at=datetime.now(UTC)))
        assert {record.remote_id for record in found.records} == made

    def test_search_ends_with_rows_that_are_older(self, sandbox: Sandbox, either: VerifikProvider) -> None:
        sandbox.clock.advance(-3 * THREE_DAYS)
        for _ in range(120):
            sandbox.verifik.add_ticket()
            sandbox.clock.advance(60)
        sandbox.clock.reset()
        draft = self.lose(sandbox, either)
        found = either.find(draft)
        assert (len(found.records), found.complete) == (1, True)
        assert len(requests_of(sandbox, "list")) == 1

    def test_order_that_is_not_kept_needs_every_page(self, sandbox: Sandbox, either: VerifikProvider) -> None:
        draft = self.lose(sandbox, either)
        for number in range(120):
            sandbox.clock.advance(-THREE_DAYS * (1 + number % 7))
            sandbox.verifik.add_ticket()
            sandbox.clock.reset()
        if either.write_dialect == "app":
            for page in self.shuffled_pages(sandbox):
                sandbox.verifik.fail_next("list", Fault.ANSWER, body=page)
        found = either.find(draft)
        assert (len(found.records), found.complete) == (1, True)
        assert len(requests_of(sandbox, "list")) == 3

    def shuffled_pages(self, sandbox: Sandbox) -> Iterator[str]:
        """Show the rows as if the sort were not honoured."""
        rows = [
            {name: ticket[name] for name in ("_id", "number", "title", "status", "createdAt", "updatedAt")}
            for ticket in reversed(sandbox.verifik.tickets.values())
        ]
        for start in (0, 50, 100):
            yield json.dumps(
                {"data": rows[start : start + 50], "page": start // 50 + 1, "pages": 3, "total": len(rows)}
            )

    @pytest.mark.fault(50)
    def test_vendors_clock_may_be_behind(self, sandbox: Sandbox, either: VerifikProvider) -> None:
        sandbox.clock.advance(-10_000)
        self.lose(sandbox, either)
        for _ in range(3):
            sandbox.verifik.add_ticket()
        found = either.find(a_draft(sent_at=datetime.now(UTC)))
        assert (len(found.records), found.complete) == (1, True)

    @pytest.mark.fault(10)
    @pytest.mark.parametrize("fault", [Fault.WITHOUT_ID, Fault.MISSING_FIELDS, Fault.NULL_FIELDS])
    def test_row_that_cannot_be_judged_makes_it_incomplete(
        self, sandbox: Sandbox, either: VerifikProvider, fault: Fault
    ) -> None:
        draft = self.lose(sandbox, either)
        sandbox.verifik.fail_next("list", fault)
        found = either.find(draft)
        assert (found.records, found.complete) == ((), False)

    @pytest.mark.fault(10, 29)
    @pytest.mark.parametrize(
        "body",
        [
            '{"data": []}',
            '{"data": [], "total": 7, "page": 1, "pages": 1}',
            '{"data": [{"_id": "t-1", "title": "T", "tags": []}], "total": 7, "page": 1, "pages": 1}',
            '{"data": [{"_id": "t-1", "title": "T", "tags": []}], "page": 1, "pages": 1}',
        ],
    )
    def test_list_that_hides_rows_makes_it_incomplete(
        self, sandbox: Sandbox, either: VerifikProvider, body: str
    ) -> None:
        sandbox.verifik.fail_next("list", Fault.ANSWER, body=body)
        assert not either.find(a_draft(sent_at=datetime.now(UTC))).complete

    def test_page_that_is_not_honoured(self, sandbox: Sandbox, either: VerifikProvider) -> None:
        rows = [{"_id": "t-1", "title": "T", "tags": []}]
        body = json.dumps({"data": rows, "page": 1, "pages": 5, "total": 5})
        sandbox.verifik.fail_next("list", Fault.ANSWER, body=body, times=2)
        assert not either.find(a_draft()).complete
        assert len(requests_of(sandbox, "list")) == 2

    def test_endless_list_makes_it_incomplete(self, sandbox: Sandbox, docs: VerifikProvider) -> None:
        for number in range(200):
            body = json.dumps({"data": [{"_id": f"t-{number}", "tags": []}], "pages": 9999, "total": 9999})
            sandbox.verifik.fail_next("list", Fault.ANSWER, body=body)
        assert not docs.find(a_draft()).complete
        assert len(requests_of(sandbox, "list")) == 200

    def test_dialect_that_shows_no_tags_makes_it_incomplete(self, sandbox: Sandbox) -> None:
        provider = build(sandbox)
        sandbox.verifik.dialect = "app"
        sandbox.verifik.add_ticket("Something else")
        assert provider.find(a_draft()).complete
        sandbox.verifik.add_ticket("Login  fails")
        assert not provider.find(a_draft()).complete


class TestSearch:
    def listing(self, *times: str | None, total: int | None = 99) -> Any:
        rows = [{"_id": f"t-{time}", "title": "T", "updatedAt": time} for time in times]
        return to_listing({"data": rows, "total": total}, number=1)

    def search(self, *times: str | None, since: datetime | None = datetime(2026, 1, 2, tzinfo=UTC)) -> bool:
        search = Search(a_draft(), dialect="app", since=since)
        search.add(self.listing(*times))
        return search.is_past() and search.is_complete()

    def test_falling_times_prove_the_order(self) -> None:
        assert self.search("2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z")

    @pytest.mark.parametrize(
        "times",
        [
            ("2026-01-01T00:00:00Z",),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"),
            ("2026-01-03T00:00:00Z", None, "2026-01-01T00:00:00Z"),
            ("2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z"),
            (),
        ],
    )
    def test_everything_else_does_not(self, times: tuple[str | None, ...]) -> None:
        assert not self.search(*times)

    def test_nothing_is_past_without_a_time(self) -> None:
        assert not self.search("2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z", since=None)
