from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from django_support_tickets.exceptions import Ambiguous, NotSent, ProviderError, Refused
from django_support_tickets.records import Download
from django_support_tickets.transport import Response
from django_support_tickets.transport.foreign import ForeignFiles, next_url


def before_sending(error: ProviderError) -> ProviderError:
    """Return how a failed step before the request itself (a token, a file that nothing uses yet) counts for it.

    The request has not left, so nothing about it is ambiguous.
    """
    if not isinstance(error, Ambiguous):
        return error
    return NotSent(
        f"a step before it failed: {error.cause}",
        alias=error.alias,
        operation=error.operation,
        key=error.key,
        status=error.status,
        code=error.code,
        reason=error.reason,
        request_id=error.request_id,
    )


def redirected(response: Response, follow: ForeignFiles, stack: ExitStack, *, limit: int) -> Download:
    """Return the file to which an answer leads; raise Ambiguous if it leads to none, as that refuses nothing."""
    url = next_url(response.url, response.headers["Location"])
    try:
        return stack.enter_context(follow.fetch(url, limit=limit))
    except ProviderError as error:
        lasting = error.is_lasting or isinstance(error, Refused)
        facts: dict[str, Any] = {"alias": error.alias, "operation": error.operation}
        failure = Ambiguous(error.cause, status=error.status or response.status_code, is_lasting=lasting, **facts)
    raise failure
