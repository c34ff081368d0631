"""Answers that are wrong in themselves: their status, their headers or their JSON."""

from __future__ import annotations

import contextlib
import functools
import json
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from django_support_tickets.testing.sandbox.faults import Details, Fault
from django_support_tickets.testing.sandbox.transmission import Answer
from django_support_tickets.testing.sandbox.wsgi import Headers, Reply, VendorSandbox

LOGIN_PAGE = (
    b"<!doctype html><html><head><title>Sign in</title></head><body>"
    b"<form method=post action=/login><input name=user><input name=password type=password></form>"
    b"</body></html>"
)
HTML: tuple[str, str] = ("Content-Type", "text/html; charset=utf-8")
JSON: tuple[str, str] = ("Content-Type", "application/json")
_MARK = "@@placeholder@@"

Distort = Callable[[VendorSandbox, Answer, Details], Answer]


def distort(vendor: VendorSandbox, answer: Answer | None, fault: Fault, details: Details) -> Answer:
    """Return the answer as the fault leaves it; `answer` is None where the vendor did not run."""
    change = _DISTORTIONS.get(fault)
    answer = answer or from_reply(vendor.failure(details.status or 503))
    return change(vendor, answer, details) if change else answer


def from_reply(reply: Reply) -> Answer:
    return Answer(reply.status, list(reply.headers), reply.body)


def _headers(details: Details) -> Headers:
    given = details.headers
    extra = list(given.items()) if isinstance(given, dict) else list(given)
    if details.retry_after is not None:
        extra.append(("Retry-After", details.retry_after))
    return extra


def _with_content_type(headers: Headers, content_type: str) -> Headers:
    return [*(pair for pair in headers if pair[0].lower() != "content-type"), ("Content-Type", content_type)]


# Instead of the vendor's answer.


def _fail(default: int) -> Distort:
    def fail(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
        failed = from_reply(vendor.failure(details.status or default))
        if details.body:
            failed.body = _bytes(details.body)
        failed.headers = [*failed.headers, *vendor.common_headers(), *_headers(details)]
        return failed

    return fail


def _bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _redirect(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    location = details.location or f"{vendor.base_url}/elsewhere"
    return Answer(details.status or 302, [("Location", location), *_headers(details)], _bytes(details.body))


def _html_page(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    return Answer(details.status or 200, [HTML, *_headers(details)], _bytes(details.body) or LOGIN_PAGE)


def _scripted(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    return Answer(details.status or 200, _headers(details) or [JSON], _bytes(details.body))


# Around the vendor's answer.


def _wrong_content_type(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    answer.headers = _with_content_type(answer.headers, details.content_type or "text/html; charset=utf-8")
    return answer


@functools.lru_cache(maxsize=4)
def bomb(size: int) -> bytes:
    """Return gzip bytes that unpack to a JSON object of about this many bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b" " * 65536
    packed = [packer.compress(b'{"padding": "')]
    packed += [packer.compress(block) for _ in range(size // len(block))]
    return b"".join([*packed, packer.compress(b'"}'), packer.flush()])


def _gzip_bomb(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    headers = [*answer.headers, ("Content-Encoding", "gzip")]
    return Answer(answer.status, headers, bomb(details.size or 50_000_000))


def _big_body(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    answer.padding = details.size or 20_000_000
    return answer


def _big_header(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    answer.headers = [*answer.headers, ("X-Padding", "x" * (details.size or 70_000))]
    return answer


def _many_headers(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    answer.headers = [
        *answer.headers,
        *((f"X-Padding-{number}", "x") for number in range(details.count or 1000)),
    ]
    return answer


def _no_content(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    return Answer(204, [pair for pair in answer.headers if pair[0].lower() != "content-type"])


def _empty_body(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    return Answer(answer.status, answer.headers)


# Inside the vendor's JSON.


def _edited(
    edit: Callable[[VendorSandbox, dict[str, Any], Details], None],
    finish: Callable[[bytes], bytes] = bytes,
) -> Distort:
    def change(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
        if answer.status >= 300:
            return answer
        with contextlib.suppress(ValueError):
            payload = json.loads(answer.body)
            for record in vendor.records(payload):
                if isinstance(record, dict):
                    edit(vendor, record, details)
            answer.body = finish(json.dumps(payload).encode())
        return answer

    return change


def _set_id(value: Any) -> Distort:
    def edit(vendor: VendorSandbox, record: dict[str, Any], details: Details) -> None:
        record[vendor.id_key] = value

    return _edited(edit)


def _drop_id(vendor: VendorSandbox, record: dict[str, Any], details: Details) -> None:
    record.pop(vendor.id_key, None)


def _unknown_enum(vendor: VendorSandbox, record: dict[str, Any], details: Details) -> None:
    for field in details.fields or ("status",):
        record[field] = "escalated_to_moon" if details.value is None else details.value


def _missing_fields(vendor: VendorSandbox, record: dict[str, Any], details: Details) -> None:
    for field in details.fields or _all_but_id(vendor, record):
        record.pop(field, None)


def _null_fields(vendor: VendorSandbox, record: dict[str, Any], details: Details) -> None:
    for field in details.fields or _all_but_id(vendor, record):
        record[field] = None


def _all_but_id(vendor: VendorSandbox, record: dict[str, Any]) -> Iterable[str]:
    return [field for field in record if field != vendor.id_key]


def _set_text(value: str) -> Callable[[VendorSandbox, dict[str, Any], Details], None]:
    def edit(vendor: VendorSandbox, record: dict[str, Any], details: Details) -> None:
        for field in (vendor.text_key, "body", "message", "description"):
            if field in record:
                record[field] = value

    return edit


def _set_number(value: Any) -> Callable[[VendorSandbox, dict[str, Any], Details], None]:
    def edit(vendor: VendorSandbox, record: dict[str, Any], details: Details) -> None:
        record[vendor.number_key] = value

    return edit


def _replace_mark(text: bytes) -> Callable[[bytes], bytes]:
    def finish(body: bytes) -> bytes:
        return body.replace(_MARK.encode(), text)

    return finish


def _long_number(body: bytes) -> bytes:
    return body.replace(b'"%s"' % _MARK.encode(), b"9" * 5000)


def _list_instead(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    answer.body = b"[" + answer.body + b"]"
    return answer


def _deep(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    answer.body = b"[" * (details.count or 200_000)
    return answer


def _bom(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    answer.body = b"\xef\xbb\xbf" + answer.body
    return answer


def _duplicate_keys(vendor: VendorSandbox, answer: Answer, details: Details) -> Answer:
    """Say the first key of every record a second time, with another value."""

    def twice(vendor: VendorSandbox, record: dict[str, Any], details: Details) -> None:
        record[_MARK] = "second"

    _edited(twice, lambda body: body.replace(_MARK.encode(), vendor.id_key.encode()))(vendor, answer, details)
    return answer


_DISTORTIONS: dict[Fault, Distort] = {
    Fault.REDIRECT: _redirect,
    Fault.HTML_PAGE: _html_page,
    Fault.RATE_LIMITED: _fail(429),
    Fault.UNAUTHORIZED: _fail(401),
    Fault.SERVER_ERROR: _fail(503),
    Fault.SERVER_ERROR_AFTER_COMMIT: _fail(502),
    Fault.ANSWER: _scripted,
    Fault.WRONG_CONTENT_TYPE: _wrong_content_type,
    Fault.GZIP_BOMB: _gzip_bomb,
    Fault.BIG_BODY: _big_body,
    Fault.BIG_HEADER: _big_header,
    Fault.MANY_HEADERS: _many_headers,
    Fault.NO_CONTENT: _no_content,
    Fault.EMPTY_BODY: _empty_body,
    Fault.WITHOUT_ID: _edited(_drop_id),
    Fault.NULL_ID: _set_id(None),
    Fault.EMPTY_ID: _set_id(""),
    Fault.NUMBER_ID: _set_id(12345),
    Fault.LONG_ID: _set_id("x" * 9_000),
    Fault.LIST_INSTEAD_OF_OBJECT: _list_instead,
    Fault.UNKNOWN_ENUM: _edited(_unknown_enum),
    Fault.MISSING_FIELDS: _edited(_missing_fields),
    Fault.NULL_FIELDS: _edited(_null_fields),
    Fault.JSON_NUL: _edited(_set_text("before\x00after")),
    Fault.JSON_SURROGATE: _edited(_set_text("before\ud800after")),
    Fault.JSON_NAN: _edited(_set_number(float("nan"))),
    Fault.JSON_DEEP: _deep,
    Fault.JSON_LONG_NUMBER: _edited(_set_number(_MARK), _long_number),
    Fault.JSON_DUPLICATE_KEYS: _duplicate_keys,
    Fault.JSON_BOM: _bom,
    Fault.JSON_INVALID_UTF8: _edited(_set_text(_MARK), _replace_mark(b"\xff\xfe")),
}
