from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest

from django_support_tickets.exceptions import WebhookRejected

#: A larger body is refused before it is read, in bytes.
BODY_MAX = 256_000


def read_body(request: HttpRequest) -> bytes:
    """Return the body; raise WebhookRejected if it is larger than BODY_MAX, cut or already consumed."""
    announced, body = _announced_length(request), bytearray()
    read = request.read if announced is not None else _reader_of_chunks(request)
    try:
        # One byte more than may be there shows a body that is larger than announced, or announced nowhere.
        while len(body) <= BODY_MAX and (chunk := read(BODY_MAX + 1 - len(body))):
            body += chunk
    except Exception as error:  # each server has its own for a client that goes away or sends bad chunks
        raise WebhookRejected("the body cannot be read", status=400) from error
    if len(body) > BODY_MAX:
        raise WebhookRejected("the body is too large", status=413)
    if announced is not None and len(body) != announced:
        raise WebhookRejected("the body is not as long as announced", status=400)
    return bytes(body)


def _announced_length(request: HttpRequest) -> int | None:
    """Return Content-Length, None where there is none; raise WebhookRejected for a wrong or too large one."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length:
        return None
    if not (length.isascii() and length.isdigit()):
        raise WebhookRejected("the content length is not a number", status=400)
    if len(length) > 12 or int(length) > BODY_MAX:
        raise WebhookRejected("the body is too large", status=413)
    return int(length)


def _reader_of_chunks(request: HttpRequest) -> Callable[[int], bytes]:
    """Return what reads a body without Content-Length.

    A WSGI server that marks its stream as ended has put the chunks together; Django takes the body for empty.
    """
    environ = getattr(request, "environ", {})
    return environ["wsgi.input"].read if environ.get("wsgi.input_terminated") else request.read
