"""F8: answers of the vendors, mutated by a seeded draw, read by the pure functions of each provider.

The examples are the vendors' own (their documentation pages); SUPPORT_TICKETS_FUZZ sets how many mutations are tried
for each provider and operation.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from django_support_tickets.exceptions import ProviderError, WebhookRejected
from django_support_tickets.merge import cleaning
from django_support_tickets.providers import ankra_records, moov_records, ripio, verifik_records
from django_support_tickets.providers.ankra import AnkraProvider
from django_support_tickets.providers.http import HttpProvider
from django_support_tickets.providers.moov import MoovProvider
from django_support_tickets.providers.ripio import RipioProvider
from django_support_tickets.providers.verifik import VerifikProvider
from django_support_tickets.providers.verifik_lists import to_listing
from django_support_tickets.records import ABSENT, AuthorType, BodyFormat, Page, Status, TicketRecord
from django_support_tickets.transport import ID_PATTERN, Answer, Request, parse_json

COUNT = int(os.environ.get("SUPPORT_TICKETS_FUZZ", "100"))
UUID = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
TIME = "2026-01-02T03:04:05.678Z"

RIPIO = {"ticketId": UUID, "status": "CREATED", "issueKey": "SUP-1234"}
RIPIO_TOKEN = {"accessToken": "t", "expiresIn": 36000, "tokenType": "Bearer", "scope": "read write"}
MOOV = {
    "ticketID": UUID,
    "number": 7,
    "title": "Late payout",
    "contact": {"email": "a@example.com", "name": "Ada"},
    "foreignID": UUID,
    "author": "Ada",
    "status": "in-progress",
    "createdOn": TIME,
    "updatedOn": TIME,
    "latestMessageOn": TIME,
    "closedOn": None,
}
MOOV_MESSAGES = [{"author": "Ada", "body": "Late.", "sentOn": TIME}, {"author": "Moov", "body": "Yes.", "sentOn": TIME}]
MOOV_EVENT = {
    "eventID": UUID,
    "type": "ticket.updated",
    "data": {"accountID": UUID, "ticketID": UUID},
    "createdOn": TIME,
}
THREAD = {"author": "client_1", "type": "user", "message": "Late.", "at": TIME, "attachments": []}
FILE = {"filename": "a.png", "url": "https://storage.verifik.co/a.png", "size": 7, "type": "image/png"}
VERIFIK_DOCS = {
    "_id": "674de8df21c72be3cc42b8a7",
    "title": "Late payout",
    "description": "Late.",
    "status": "open",
    "priority": "high",
    "category": "technical",
    "client": "client_1",
    "assignedTo": None,
    "tags": ["a", f"key:{UUID}"],
    "attachments": [FILE],
    "threads": [THREAD, {**THREAD, "type": "agent"}],
    "resolution": None,
    "resolvedAt": None,
    "createdAt": TIME,
    "updatedAt": TIME,
}
APP_THREAD = {"_id": "674de8df21c72be3cc42b8a8", "message": "<p>Late.</p>", "attachments": [FILE], "createdAt": TIME}
VERIFIK_APP = {
    "_id": "674de8df21c72be3cc42b8a7",
    "number": 12,
    "title": f"Late payout [ref {UUID[:8]}]",
    "status": "progress",
    "category": "billing",
    "client": {"_id": "674de8df21c72be3cc42b8a9", "name": "Ada", "email": "a@example.com"},
    "assignee": None,
    "threads": [APP_THREAD, {**APP_THREAD, "superAdmin": {"name": "Agent"}}],
    "createdAt": TIME,
    "updatedAt": TIME,
}
COMMENT = {"id": UUID, "author_type": "ankra_team", "author_label": "Agent", "body": "**Yes**", "created_at": TIME}
ATTACHMENT = {"id": UUID, "filename": "a.png", "content_type": "image/png", "size_bytes": 7, "created_at": TIME}
ANKRA = {
    "id": UUID,
    "organisation_id": UUID,
    "ticket_number": "SUP-7",
    "subject": "Late payout",
    "description": f"Late.\n\nReference: {UUID}",
    "status": "waiting_customer",
    "category": "technical",
    "severity": "high",
    "created_at": TIME,
    "updated_at": TIME,
    "comments": [COMMENT],
    "attachments": [ATTACHMENT],
}
PAGINATION = {"total_pages": 1, "total_count": 1, "page": 1}
ERRORS: list[Any] = [
    {"code": 20061, "type": "X", "detail": {"message": "no", "code": "x"}, "status": 403},
    {"error": "invalid_client"},
    {"title": "is required", "contact": {"email": "must be valid"}},
    {"code": "NotFound", "message": "not found"},
    {"success": False, "error": "no", "code": "BAD"},
    {"detail": [{"loc": ["body", "subject"], "msg": "too long", "type": "x"}], "permission": "p"},
]

Read = Callable[[Any], Any]

READERS: dict[str, tuple[Any, Read]] = {
    "ripio-get": (RIPIO, ripio.to_record),
    "ripio-token": (RIPIO_TOKEN, lambda data: ripio.to_token(data, started=0.0, leeway=60.0)),
    "moov-get": ([MOOV, MOOV_MESSAGES], lambda data: moov_records.to_record(*_pair(data), customer_id="a")),
    "moov-list": (MOOV, moov_records.to_record),
    "verifik-docs-get": (VERIFIK_DOCS, verifik_records.to_record),
    "verifik-app-get": (VERIFIK_APP, lambda data: verifik_records.to_record(data, assumed="app")),
    "verifik-list": (
        {"data": [VERIFIK_DOCS], "total": 1, "page": 1, "pages": 1, "limit": 20},
        lambda data: to_listing(data, number=1),
    ),
    "verifik-comment": (
        APP_THREAD,
        lambda data: verifik_records.to_comment(data if isinstance(data, dict) else {}, body_format=BodyFormat.HTML),
    ),
    "ankra-get": (ANKRA, ankra_records.to_record),
    "ankra-list": ({"result": [ANKRA], "pagination": PAGINATION}, lambda data: ankra_records.to_page(data, 1)[0]),
}
PROVIDERS: dict[str, HttpProvider] = {
    "ripio": RipioProvider("fuzz", base_url="http://localhost", client_id="a", client_secret="b"),
    "moov": MoovProvider("fuzz", base_url="http://localhost", token="t"),
    "verifik": VerifikProvider("fuzz", base_url="http://localhost", token="t"),
    "ankra": AnkraProvider("fuzz", base_url="http://localhost", token="t", organisation_id=UUID),
}

ODD_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    10**30,
    1e308,
    0.1,
    "",
    " ",
    "x" * 70_000,
    "\ufffd\u202e\u0007",
    "😀",
    "javascript:alert(1)",
    "<svg onload=alert(1)>",
    "../../B",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59+14:00",
    "2026-13-45",
    "NaN",
    [],
    [None],
    [[]],
    {},
    {"": None},
    {"_id": {"$oid": "x"}},
]


def _pair(data: Any) -> tuple[Any, Any]:
    return (data[0], data[1]) if isinstance(data, list) and len(data) == 2 else (data, None)


def mutated(value: Any, draw: random.Random) -> Any:
    """Return the value with one to four changes, as strict JSON lets it arrive."""
    result = copy.deepcopy(value)
    for _ in range(draw.randint(1, 4)):
        result = changed(result, draw)
    return parse_json(json.dumps(result).encode())


def changed(value: Any, draw: random.Random) -> Any:
    """Return the value with one change somewhere in it."""
    if not isinstance(value, (dict, list)) or not value or draw.random() < 0.15:
        return draw.choice([*ODD_VALUES, [value], {"value": value}, str(value), [value] * 50])
    key = draw.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if draw.random() < 0.2:
        del value[key]
    elif isinstance(value, dict) and draw.random() < 0.15:
        value[draw.choice(["Status", "extra", "id ", "x" * 300])] = value.pop(key)
    else:
        value[key] = changed(value[key], draw)
    return value


def complain(result: Any) -> None:
    """Fail if what a function made of an answer is not fit to be stored."""
    match result:
        case TicketRecord():
            complain_about_record(result)
        case Page():
            for record in result.records:
                assert ID_PATTERN.fullmatch(record.remote_id)
                complain(record)
        case _ if is_dataclass(result):
            for field in fields(result):
                complain(getattr(result, field.name))
        case datetime():
            assert result.tzinfo is UTC
            assert 1970 <= result.year < 9999
        case str():
            assert not any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in result)


def complain_about_record(record: TicketRecord) -> None:
    assert record.remote_id == "" or ID_PATTERN.fullmatch(record.remote_id)
    assert record.status is ABSENT or isinstance(record.status, Status)
    assert all(isinstance(comment.author_type, AuthorType) for comment in record.comments or ())
    for item in (*(record.comments or ()), *(record.attachments or ()), *(record.tags or ())):
        complain(item)
    for field in fields(record):
        if field.name not in ("raw", "comments", "attachments"):
            complain(getattr(record, field.name))
    assert len(json.dumps(cleaning.raw(record.raw), ensure_ascii=False).encode()) <= cleaning.RAW_LIMIT


@pytest.mark.fault(41, 42, 43, 44, 45, 49)
@pytest.mark.parametrize("name", READERS)
def test_a_mutated_answer_is_read_without_an_error(name: str) -> None:
    example, read = READERS[name]
    complain(read(example))
    for number in range(COUNT):
        answer = mutated(example, random.Random(f"{name} {number}"))
        try:
            complain(read(answer))
        except Exception as error:
            raise AssertionError(f"seed {name!r} {number}: {json.dumps(answer)[:2000]}") from error


@pytest.mark.fault(41, 42, 43)
@pytest.mark.parametrize("name", PROVIDERS)
def test_a_mutated_error_is_one_of_ours(name: str) -> None:
    provider = PROVIDERS[name]
    for number in range(COUNT):
        draw = random.Random(f"{name} error {number}")
        request = Request(operation="create", method=draw.choice(["GET", "POST"]), path="x")
        status = draw.choice([302, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503])
        content = json.dumps(mutated(draw.choice(ERRORS), draw)).encode()
        if draw.random() < 0.2:
            content = draw.randbytes(draw.randrange(40))
        headers = {"retry-after": draw.choice(["", "5", "soon"])}
        answer = Answer(request=request, alias="fuzz", status=status, headers=headers, content=content)
        error = provider.error_for(answer)
        assert isinstance(error, ProviderError), f"seed {name!r} {number}"
        assert len(str(error)) < 1000
        provider.needs_new_token(answer)


@pytest.mark.fault(43, 53)
def test_a_mutated_event_of_moov_is_a_hint_or_refused() -> None:
    for number in range(COUNT):
        draw = random.Random(f"moov event {number}")
        body = json.dumps(mutated(MOOV_EVENT, draw)).encode()
        try:
            event = moov_records.to_event(body, nonce="n")
        except WebhookRejected as error:
            assert error.status == 400
            continue
        assert event.remote_id == "" or ID_PATTERN.fullmatch(event.remote_id)
        assert event.customer_id == "" or ID_PATTERN.fullmatch(event.customer_id)


def test_the_same_seed_makes_the_same_mutation() -> None:
    first, second = (mutated(ANKRA, random.Random("seed")) for _ in range(2))
    assert first == second
    assert any(mutated(ANKRA, random.Random(number)) != ANKRA for number in range(3))
