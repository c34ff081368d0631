"""Requests as nobody should send them: a 4xx that says why, never a 5xx, and nothing stored."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from django_support_tickets.models import Attachment, Comment, Ticket

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

URL = "/api/tickets/"
ODD = {
    "NUL": b'{"subject": "a\\u0000b"}',
    "NUL in a name": b'{"subject": "a", "a\\u0000b": 1}',
    "NUL in options": b'{"subject": "a", "options": {"a": "\\u0000"}}',
    "NUL in a tag": b'{"subject": "a", "tags": ["\\u0000"]}',
    "raw NUL": b'{"subject": "a\x00b"}',
    "lone surrogate": b'{"subject": "a\\ud800b"}',
    "lone low surrogate": b'{"subject": "\\udc00\\ud800"}',
    "NaN": b'{"subject": "a", "options": {"a": NaN}}',
    "Infinity": b'{"subject": "a", "options": {"a": -Infinity}}',
    "number out of range": b'{"subject": "a", "options": {"a": 1e999}}',
    "5,000 digits": b'{"subject": "a", "options": {"a": ' + b"7" * 5000 + b"}}",
    "5,000 digits as subject": b'{"subject": ' + b"7" * 5000 + b"}",
    "200,000 brackets": b"[" * 200_000,
    "200,000 closed brackets": b'{"options": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"subject": "a", "options": ' + b'{"a":' * 100 + b"1" + b"}" * 101,
    "duplicate names": b'{"subject": "a", "subject": "b"}',
    "invalid UTF-8": b'{"subject": "\xff"}',
    "byte order mark": b'\xef\xbb\xbf{"subject": "a"}',
    "UTF-16": '{"subject": "a"}'.encode("utf-16"),
    "list": b'[{"subject": "a"}]',
    "text": b'"subject"',
    "null": b"null",
    "cut": b'{"subject": "a',
    "nothing": b" ",
    "HTML": b"<html></html>",
}


@pytest.mark.fault(43)
@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_odd_json_is_a_400(as_customer: APIClient, delivered: Any, body: bytes) -> None:
    ticket = delivered()
    for path in (URL, f"{URL}{ticket.key}/comments/"):
        answer = as_customer.generic("POST", path, body, content_type="application/json")
        assert answer.status_code == 400, answer.content
        assert set(answer.json()) == {"detail"}
    assert (Ticket.objects.count(), Comment.objects.count()) == (1, 0)


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    ("said", "stored"),
    [
        (b"\\ud83d\\ude00", "\N{GRINNING FACE}"),
        (b"a\\\\u0000b", "a\\u0000b"),
        ("\N{REPLACEMENT CHARACTER}".encode(), "\N{REPLACEMENT CHARACTER}"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}x".encode(), "\N{RIGHT-TO-LEFT OVERRIDE}x"),
        (b"123", "123"),
    ],
)
def test_what_only_looks_odd_is_taken(as_customer: APIClient, said: bytes, stored: str) -> None:
    body = b'{"provider": "local", "subject": "%s"}' % said
    answer = as_customer.generic("POST", URL, body, content_type="application/json; charset=utf-8")
    assert answer.status_code == 201, answer.content
    assert (answer.json()["subject"], Ticket.objects.get().subject) == (stored, stored)


VALUES = [None, True, 7, 1.5, "", " ", [], ["a"], {}, {"a": 1}, [[]], [None], 10**40, "x" * 600]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_any_value_in_any_field_is_taken_or_complained_of(as_agent: APIClient, value: Any) -> None:
    names = ["provider", "subject", "description", "priority", "category", "tags", "options", "files", "draft"]
    for name in [*names, "customer_id", "contact_name", "contact_email", "requester", "about"]:
        answer = as_agent.post(URL, {"provider": "local", "subject": "Hello", name: value}, format="json")
        assert answer.status_code in (201, 400), (name, answer.content)
        if answer.status_code == 400:
            assert list(answer.json()) == [name], answer.content


class TestForms:
    def test_fields_and_files_in_one_request(self, as_customer: APIClient) -> None:
        files = [SimpleUploadedFile("receipt.txt", b"paid"), SimpleUploadedFile("../log.txt", b"12:00")]
        data = {"provider": "local", "subject": "Hello", "tags": ["a", "b"], "draft": "true", "files": files}
        answer = as_customer.post(URL, {**data, "options": "{}"})
        assert answer.status_code == 201, answer.content
        ticket = Ticket.objects.get()
        assert (ticket.tags, ticket.delivery, ticket.options) == (["a", "b"], "draft", {})
        assert [(file.name, file.size) for file in ticket.attachments.all()] == [("receipt.txt", 4), ("log.txt", 5)]

    @pytest.mark.fault(43)
    @pytest.mark.parametrize(
        "options", ["NaN", '{"a": NaN}', "[" * 100_000, '{"a": "\\u0000"}', "7" * 5000, "[]", "x", '{"a": 1, "a": 2}']
    )
    def test_options_are_strict_json_there_too(self, as_customer: APIClient, options: str) -> None:
        answer = as_customer.post(URL, {"provider": "local", "subject": "Hello", "options": options})
        assert (answer.status_code, list(answer.json())) == (400, ["options"])

    @pytest.mark.fault(43)
    def test_a_nul_in_a_field_is_a_400(self, as_customer: APIClient) -> None:
        answer = as_customer.post(URL, {"provider": "local", "subject": "a\0b"})
        assert (answer.status_code, list(answer.json())) == (400, ["subject"])

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("multipart/form-data", b"x"),
            ("multipart/form-data; boundary=é", b"x"),
            ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data"),
            ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'),
            (
                "multipart/form-data; boundary=x",
                b'--x\r\nContent-Disposition: form-data; name="a"\r\n'
                b"Content-Transfer-Encoding: base64\r\n\r\n!\r\n--x--",
            ),
        ],
    )
    def test_a_form_that_cannot_be_read_is_a_400(self, as_customer: APIClient, content_type: str, body: bytes) -> None:
        answer = as_customer.generic("POST", URL, body, content_type=content_type)
        assert answer.status_code == 400, answer.content
        assert answer.headers["Content-Type"] == "application/json"

    def test_too_many_fields_or_files_are_a_400(self, as_customer: APIClient, settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = settings.DATA_UPLOAD_MAX_NUMBER_FILES = 2
        many = {"provider": "local", "subject": "Hello", "tags": ["a", "b"]}
        assert as_customer.post(URL, many).status_code == 400
        files = [SimpleUploadedFile(f"{number}.txt", b"x") for number in range(3)]
        assert as_customer.post(URL, {"files": files}).status_code == 400

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "nonsense"])
    def test_other_content_types_are_a_415(self, as_customer: APIClient, kind: str) -> None:
        assert as_customer.generic("POST", URL, b"subject=a", content_type=kind).status_code == 415


@pytest.mark.fault(43)
@pytest.mark.parametrize("charset", ["unicode_escape", "utf-7", "utf-16", "latin-1", "nonsense", ""])
@pytest.mark.parametrize("query", ["", "?search=a\\ud800%2B2AA-", "?category=\\ud800"])
def test_another_charset_is_a_415(as_customer: APIClient, charset: str, query: str) -> None:
    """By some of them a query or a form can say a lone surrogate, which no database stores."""
    form = b'--x\r\nContent-Disposition: form-data; name="subject"\r\n\r\na\\ud800b+2AA-\r\n--x--\r\n'
    posted = as_customer.generic("POST", URL + query, form, f"multipart/form-data; boundary=x; charset={charset}")
    assert posted.status_code == 415, posted.content
    assert as_customer.generic("GET", URL + query, b"", f"text/plain; charset={charset}").status_code == 415


class TestSize:
    def test_a_body_over_the_limit_is_a_413(self, as_customer: APIClient, settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 200
        body = {"provider": "local", "subject": "Hello", "description": "x" * 200}
        for form in ("json", "multipart"):
            assert as_customer.post(URL, body, format=form).status_code == 413
        assert as_customer.post(URL, {**body, "description": "x"}, format="json").status_code == 201

    def test_a_site_may_have_no_limit(self, as_customer: APIClient, settings: Any) -> None:
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None
        body = {"provider": "local", "subject": "Hello", "description": "x" * 3_000_000}
        assert as_customer.post(URL, body, format="json").status_code == 201


@pytest.mark.parametrize(
    "query",
    [
        "cursor=x",
        "cursor=é",
        "cursor=cD1ub25zZW5zZQ==",  # p=nonsense
        "cursor=cD0wMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAw",  # p=0001-01-01T00:00:00+14:00
        "cursor=bz0tMQ==",  # o=-1
        "cursor=cj14",  # r=x
        "search=%00",
        "search=%ff%fe",
        "search=" + "x" * 5000,
        "provider=%00",
        "status=nonsense",
        "status=open&status=%00",
        "delivery=%F0%9F%98%80",
        "created_after=nonsense",
        "created_after=0001-01-01T00:00:00%2B14:00",
        "created_before=9999-12-31T23:59:59-14:00",
        "updated_after=2024-02-30",
        "ordering=raw",
        "ordering=requester__password",
        "ordering=-created_at,id",
        "ordering=%00",
        "page_size=-1",
        "page_size=" + "9" * 5000,
        "about=%00",
        "about=auth.user:%00",
        "requester=" + "9" * 40,
        "requester=x",
        "format=xml",
    ],
)
def test_odd_queries_are_no_500(as_agent: APIClient, stored: Any, query: str) -> None:
    stored()
    assert as_agent.get(f"{URL}?{query}").status_code in (200, 400, 404)


@pytest.mark.parametrize("header", ["", " ", "x" * 256, "é", "a b", "a\tb"])
def test_an_odd_idempotency_key_is_a_400(as_customer: APIClient, delivered: Any, header: str) -> None:
    part, file = f"{URL}{delivered().key}/", SimpleUploadedFile("receipt.txt", b"paid")
    for path, data, form in (
        (URL, {"provider": "local", "subject": "Hello"}, "json"),
        (f"{part}comments/", {"body": "Any news?"}, "json"),
        (f"{part}attachments/", {"file": file}, "multipart"),
    ):
        answer = as_customer.post(path, data, format=form, HTTP_IDEMPOTENCY_KEY=header)
        assert answer.status_code == 400, path
        assert set(answer.json()) == {"detail"}
    assert (Ticket.objects.count(), Comment.objects.count(), Attachment.objects.count()) == (1, 0, 0)
