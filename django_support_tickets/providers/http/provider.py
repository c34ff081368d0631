from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar, Unpack
from urllib.parse import urlsplit

from django.core import checks
from django.utils.translation import gettext as _

from django_support_tickets.exceptions import AccessDenied, Ambiguous, Busy, ProviderError, Refused, RemoteNotFound
from django_support_tickets.providers.base import CommonOptions, Provider
from django_support_tickets.providers.http.outcomes import before_sending, redirected
from django_support_tickets.records import Download
from django_support_tickets.transport import (
    Answer,
    Body,
    HeaderAuth,
    Request,
    Response,
    Transport,
    is_loopback,
    redact,
    total_deadline,
)
from django_support_tickets.transport.foreign import ForeignFiles

READS = frozenset({"GET", "HEAD"})
T = TypeVar("T")


class HttpProvider(Provider):
    """A provider that speaks HTTP with JSON answers.

    A subclass gives `authorization()`, reads its vendor's error bodies in `read_error()`, and calls the vendor by
    `call()`, which ends in an answer with a 2xx status or in one of the five errors.
    """

    #: Statuses whose documented answers have no body: an empty one is understood.
    bodiless_errors: frozenset[int] = frozenset()

    def __init__(self, alias: str, *, base_url: str | Callable[[], str], **common: Unpack[CommonOptions]) -> None:
        super().__init__(alias, **common)
        self._base_url = base_url
        if not callable(base_url):
            self._refuse_bad_url(base_url)

    @property
    def base_url(self) -> str:
        """Return the address without a slash at its end; raise NotSent if it is a callable that fails."""
        return self.resolve("base_url", self._base_url).rstrip("/")

    @property
    def transport(self) -> Transport:
        """Return what sends this account's requests; raise NotSent as `base_url` does."""
        return Transport(
            alias=self.alias,
            base_url=self.base_url,
            timeout=self.timeout,
            deadline=self.deadline,
            rate=self.rate,
            max_response_bytes=self.max_response_bytes,
            proxies=self.proxies,
            verify=self.verify,
        )

    def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: tuple[tuple[str, str], ...] = (),
        body: Body | None = None,
        key: str = "",
        deadline: float | None = None,
    ) -> Answer:
        """Return a 2xx answer; raise NotSent, Busy, AccessDenied, Refused or Ambiguous. `deadline` in seconds."""
        request = Request(
            operation=operation,
            method=method,
            path=path,
            params=params,
            headers=self.headers(),
            body=body,
            key=key,
            deadline=deadline or self.deadline_of(operation),
        )
        del params, body  # personal data, which the traceback of an error would show
        with total_deadline(request.deadline or self.deadline):
            answer = self._exchange(request)
        if answer.ok:
            return answer
        raise self.error_for(answer)

    @contextmanager
    def stream(
        self, operation: str, path: str, *, limit: int, follow: ForeignFiles | None = None
    ) -> Iterator[Download]:
        """Yield a file of this account while it arrives; raise as `call()` does, Ambiguous above `limit` bytes.

        A redirect is followed, without the token, only to where `follow` allows; that it leads to no file is Ambiguous.
        """
        seconds, headers = self.upload_deadline, self.headers()
        request = Request(operation=operation, method="GET", path=path, headers=headers, deadline=seconds)
        transport = self._obtained(request, lambda: self.transport)
        with ExitStack() as stack:
            with total_deadline(seconds):
                response = self._opened(transport, request, stack, redirects=follow is not None)
            if follow is None or not response.is_redirect:
                yield transport.download(request, response, limit=limit)
            else:
                yield redirected(response, follow, stack, limit=limit)

    def authorization(self) -> HeaderAuth:
        """Return what sets the Authorization header; a token that must be fetched is fetched here."""
        return HeaderAuth("")

    def renewed_authorization(self) -> HeaderAuth | None:
        """Return the authorization after the last one was refused; None where nothing can be renewed."""
        return None

    def needs_new_token(self, answer: Answer) -> bool:
        """Return whether the answer says that the token is no longer good."""
        return answer.status == 401

    def headers(self) -> Mapping[str, str]:
        """Return the vendor's own request headers, without secrets."""
        return {}

    def read_error(self, data: Any) -> tuple[str, str] | None:
        """Return the vendor's (code, message) from a parsed error body; None if it is none that it documents."""
        return None

    def is_bodiless(self, answer: Answer) -> bool:
        """Return whether this is an error that the vendor documents without a body, and comes as documented."""
        return answer.status in self.bodiless_errors and not answer.content.strip()

    def denies_account(self, answer: Answer, code: str) -> bool:
        """Return whether the answer refuses the account itself and not just this request."""
        return answer.status == 401

    def error_for(self, answer: Answer) -> ProviderError:
        """Return the outcome of an answer that is not 2xx; see the outcome table in the documentation."""
        code, reason = self._understood(answer) or ("", "")
        facts: dict[str, Any] = {**answer.facts, "code": redact(code, limit=100), "reason": redact(reason)}
        if self.denies_account(answer, code):
            return AccessDenied("the vendor refuses this account", **facts)
        if self._is_busy(answer):
            return Busy("the vendor asks to wait", retry_after=answer.retry_after(), **facts)
        if answer.status in self.capabilities.proves_rejection and self._understood(answer) is not None:
            if answer.status == 404:
                return RemoteNotFound("the vendor does not know it", **facts)
            return Refused("the vendor refuses it", **facts)
        if 300 <= answer.status < 400:
            return Ambiguous("the vendor redirects", **facts)
        return Ambiguous("the answer proves nothing", **facts)

    def not_understood(self, answer: Answer, what: str) -> Ambiguous:
        """Return the error for a 2xx answer that is not what the vendor documents."""
        return Ambiguous(f"the answer is not understood: {what}", **answer.facts)

    def check(self) -> list[checks.CheckMessage]:
        messages: list[checks.CheckMessage] = []
        if not callable(self._base_url) and self._base_url.startswith("http:") and not is_loopback(self._base_url):
            hint = _("Use the vendor's https address: credentials and tickets travel in clear text otherwise.")
            message = _("Provider %(alias)r: base_url is not https.") % {"alias": self.alias}
            messages.append(checks.Warning(message, hint=hint, id="support_tickets.W101"))
        if self.verify is False:
            hint = _("Name a file of certificates to trust instead.")
            message = _("Provider %(alias)r: verify is off.") % {"alias": self.alias}
            messages.append(checks.Warning(message, hint=hint, id="support_tickets.W102"))
        return messages

    def _exchange(self, request: Request) -> Answer:
        """Return the answer, whatever its status; a refused token is renewed once."""
        transport = self._obtained(request, lambda: self.transport)
        answer = transport.send(request, auth=self._obtained(request, self.authorization))
        renewed = self._renewed(request, answer)
        return answer if renewed is None else transport.send(request, auth=renewed)

    def _opened(self, transport: Transport, request: Request, stack: ExitStack, *, redirects: bool) -> Response:
        """Return a 2xx answer, or a redirect if `redirects`, with its body unread; a refused token is renewed once."""
        response = stack.enter_context(transport.open(request, auth=self._obtained(request, self.authorization)))
        if response.status_code // 100 not in (2, 3):
            answer = transport.answer(request, response)
            renewed = self._renewed(request, answer)
            if renewed is None:
                raise self.error_for(answer)
            response = stack.enter_context(transport.open(request, auth=renewed))
        if response.status_code // 100 != 2 and not (redirects and response.is_redirect):
            raise self.error_for(transport.answer(request, response))
        return response

    def _renewed(self, request: Request, answer: Answer) -> HeaderAuth | None:
        return self._obtained(request, self.renewed_authorization) if self.needs_new_token(answer) else None

    def _obtained(self, request: Request, obtain: Callable[[], T]) -> T:
        """Return what a request needs (a token, an address); where `obtain` fails, the request has not been sent."""
        try:
            return obtain()
        except ProviderError as error:
            failure = before_sending(error)
        failure.alias, failure.key = failure.alias or self.alias, failure.key or request.key
        failure.operation = failure.operation or request.operation
        raise failure

    def _understood(self, answer: Answer) -> tuple[str, str] | None:
        data = answer.json_or_none()
        error = None if data is None else self.read_error(data)
        return ("", "") if error is None and self.is_bodiless(answer) else error

    def _is_busy(self, answer: Answer) -> bool:
        if answer.status == 429:
            return True
        may_repeat = answer.request.method in READS or self.capabilities.can_find
        return answer.status == 503 and may_repeat and answer.retry_after() is not None

    def _refuse_bad_url(self, url: Any) -> None:
        try:
            parts = urlsplit(url) if isinstance(url, str) else None
        except ValueError:
            parts = None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise self.invalid("base_url must be an http(s) address")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise self.invalid("base_url must not contain a user, a query or a fragment")
