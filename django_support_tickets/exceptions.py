from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_support_tickets.vocabulary import one_line


class InvalidProvider(ImproperlyConfigured):
    """An alias, BACKEND or OPTIONS of SUPPORT_TICKETS_PROVIDERS cannot be used."""


class WebhookRejected(Exception):
    """A webhook is not the vendor's or cannot be read; `status` is the HTTP answer, the text names the reason."""

    def __init__(self, reason: str, *, status: int = 401) -> None:
        super().__init__(reason)
        self.status = status


class ProviderError(Exception):
    """One call to a vendor did not end in a record.

    `str()` and `repr()` name account, operation, ticket key, HTTP status, the vendor's code and request id, and
    nothing else. `reason` holds the vendor's own words for people who may see the ticket: it never enters a log.
    `is_ours`: the fault is on this side, such as a stored file that is gone, and tells nothing of the vendor.
    `is_lasting`: the same call would end the same, as for a file that is too large. It is a hint for who fetches files
    and no proof: whether a write is repeated, the class alone decides.
    """

    def __init__(
        self,
        cause: str,
        *,
        alias: str = "",
        operation: str = "",
        key: str = "",
        status: int | None = None,
        code: str = "",
        reason: str = "",
        request_id: str = "",
        retry_after: float | None = None,
        is_ours: bool = False,
        is_lasting: bool = False,
    ) -> None:
        super().__init__(cause)
        # A provider of the project's own may pass on what its vendor says.
        self.cause = one_line(cause)
        self.alias = alias
        self.operation = operation
        self.key = key
        self.status = status
        self.code = one_line(code)
        self.reason = reason
        self.request_id = one_line(request_id)
        self.retry_after = retry_after
        self.is_ours = is_ours
        self.is_lasting = is_lasting

    def __str__(self) -> str:
        facts = {
            "status": self.status,
            "code": self.code,
            "key": self.key,
            "request id": self.request_id,
        }
        known = ", ".join(f"{name} {value}" for name, value in facts.items() if value)
        return f"{self.alias or 'provider'} {self.operation}: {self.cause}" + (f" ({known})" if known else "")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __reduce__(self) -> tuple[Any, ...]:
        state = {**self.__dict__, "reason": ""}
        return (type(self), (self.cause,), state)

    def sentence(self) -> str:
        """Return the cause and the vendor's own words, for staff."""
        return f"{self.cause}: {self.reason}" if self.reason else self.cause


class NotSent(ProviderError):
    """No byte of the request can have reached the vendor; sending it again is safe."""


class Busy(ProviderError):
    """The vendor asks for less; `retry_after` is the wait in seconds, None where it names none."""


class AccessDenied(ProviderError):
    """The account itself is refused: its credentials, or a feature that the vendor has not enabled."""


class Refused(ProviderError):
    """The vendor has proved that it rejects this request; repeating it unchanged is useless."""


class RemoteNotFound(Refused):
    """The vendor does not know the remote id."""


class Ambiguous(ProviderError):
    """The request may have taken effect: its answer was lost, cut, late or not understood."""
