from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from math import inf
from types import TracebackType
from typing import Any, Self, TypedDict

from django.core.checks import CheckMessage

from django_support_tickets.exceptions import InvalidProvider, NotSent
from django_support_tickets.records import (
    AttachmentRecord,
    Capabilities,
    CommentDraft,
    CommentRecord,
    Download,
    FileDraft,
    Found,
    Page,
    Probe,
    TicketDraft,
    TicketRecord,
    TicketRef,
    WebhookEvent,
)

UNREADABLE = "an option given as a callable could not be read"
Secrets = str | bytes | Sequence[str | bytes]


class CommonOptions(TypedDict, total=False):
    """The OPTIONS that every provider understands, with the defaults of `Provider.__init__`."""

    timeout: tuple[float, float]
    deadline: float
    upload_deadline: float
    settle_seconds: float | None
    rate: float | None
    max_response_bytes: int
    proxies: Mapping[str, str] | None
    verify: bool | str
    reference: bool
    import_unknown: bool
    mirror_attachments: bool
    attachment_hosts: Sequence[str]
    webhook_secrets: Secrets | Callable[[], Secrets]
    webhook_tolerance: float | None


def _text_of(value: Any) -> str:
    # In a frame of its own: reports of an error show the local variables of its frames.
    with contextlib.suppress(Exception):
        found = value() if callable(value) else value
        if isinstance(found, str):
            return found.strip()
    return ""


def _secrets_of(value: Any) -> tuple[str | bytes, ...] | None:
    """Return the secrets of an option without blank ones, None if it cannot be read.

    The keys of a dictionary are none: who guesses them could sign.
    """
    with contextlib.suppress(Exception):
        found = (value() if callable(value) else value) or ()
        listed = (found,) if isinstance(found, (str, bytes)) else found
        if isinstance(listed, (list, tuple, set, frozenset)):
            return tuple(secret for secret in listed if isinstance(secret, (str, bytes)) and secret.strip())
    return None


class Provider(ABC):
    """One configured account at one vendor: takes drafts, returns records, never sees a model.

    Instances are light and made for each use; building one does no I/O and calls no callable option. Every method that
    talks to the vendor either returns or raises one of NotSent, Busy, AccessDenied, Refused, Ambiguous. Subclasses
    must define `get`, `create` and `capabilities`; a method whose capability is not declared is never called.
    """

    #: What this vendor can do; set it on the instance where options decide.
    capabilities: Capabilities = Capabilities()

    def __init__(
        self,
        alias: str,
        *,
        timeout: tuple[float, float] = (5.0, 15.0),
        deadline: float = 30.0,
        upload_deadline: float = 120.0,
        settle_seconds: float | None = None,
        rate: float | None = None,
        max_response_bytes: int = 2_000_000,
        proxies: Mapping[str, str] | None = None,
        verify: bool | str = True,
        reference: bool = True,
        import_unknown: bool = False,
        mirror_attachments: bool = False,
        attachment_hosts: Sequence[str] = (),
        webhook_secrets: Secrets | Callable[[], Secrets] = (),
        webhook_tolerance: float | None = None,
    ) -> None:
        self.alias = alias
        self.timeout = timeout
        self.deadline = deadline
        self.upload_deadline = upload_deadline
        self.rate = rate
        self.max_response_bytes = max_response_bytes
        self.proxies = proxies
        self.verify = verify
        self.reference = reference
        self.import_unknown = import_unknown
        self.mirror_attachments = mirror_attachments
        self.attachment_hosts = tuple(attachment_hosts)
        self._settle_seconds = settle_seconds
        self._webhook_secrets = webhook_secrets
        self.webhook_tolerance = webhook_tolerance
        self._refuse_nonsense()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep nothing: what outlives an instance (pool, token) belongs to the account."""
        return

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.alias!r}>"

    @abstractmethod
    def get(self, ref: TicketRef) -> TicketRecord:
        """Return the ticket with its comments and files; raise RemoteNotFound if the vendor does not know it."""

    @abstractmethod
    def create(self, draft: TicketDraft) -> TicketRecord:
        """Raise the ticket at the vendor, with its files, and return it; raise Ambiguous if it may exist."""

    def list_changed(self, scope: str, cursor: str | None) -> Page:
        """Return one page of the tickets of `scope`; `cursor` None starts a walk. Needs `can_list`."""
        raise NotImplementedError

    def scopes(self, customer_ids: Sequence[str]) -> tuple[str, ...]:
        """Return the scopes to walk; `customer_ids` are those of the tickets that are not settled."""
        return tuple(dict.fromkeys(customer_ids)) if self.capabilities.lists_by_customer else ("",)

    def find(self, draft: TicketDraft) -> Found:
        """Return the tickets that `draft` has become; `complete` only if all candidates were seen. Needs `can_find`."""
        raise NotImplementedError

    def add_comment(self, ref: TicketRef, draft: CommentDraft) -> CommentRecord:
        """Add a comment, with its files, and return it. Needs `can_comment`."""
        raise NotImplementedError

    def close(self, ref: TicketRef) -> TicketRecord:
        """Close the ticket and return it. Needs `can_close`."""
        raise NotImplementedError

    def upload(self, ref: TicketRef, file: FileDraft) -> AttachmentRecord:
        """Add a file to an existing ticket and return it. Needs the moment "after" in the attachment rules."""
        raise NotImplementedError

    def download(self, ref: TicketRef, attachment: AttachmentRecord) -> AbstractContextManager[Download]:
        """Return a context manager of the file's bytes, read while it is open."""
        raise NotImplementedError

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvent:
        """Return the verified event; raise WebhookRejected for anything else. Needs `has_webhooks`."""
        raise NotImplementedError

    def sign_webhook(self, secret: str | bytes) -> tuple[Mapping[str, str], bytes]:
        """Return the headers and the body of a webhook about no ticket, signed with `secret`; each call, another one.

        Optional: with it `support_tickets_doctor` tries the way of a genuine webhook. `parse_webhook` returns an event
        without a remote id for it, so that what arrives has no effect.
        """
        raise NotImplementedError

    def check(self) -> list[CheckMessage]:
        """Return warnings about the options; no network, no query, no callable option is called."""
        return []

    def probe(self) -> Probe:
        """Ask the vendor something harmless to learn whether the account works."""
        return Probe()

    @property
    def settle_seconds(self) -> float:
        """How long a request whose answer was lost may still take effect; twice the longest deadline by default."""
        if self._settle_seconds is not None:
            return self._settle_seconds
        operations = ("create", "comment", "close", *(("upload",) if self.capabilities.attachments else ()))
        return 2 * max(map(self.deadline_of, operations))

    def deadline_of(self, operation: str) -> float:
        """Return how many seconds a whole operation may take: create, comment, upload, close, get, list, find."""
        return self.upload_deadline if operation in ("upload", "find") else self.deadline

    def resolve(self, name: str, value: str | Callable[[], str]) -> str:
        """Return the text of the option `name`, without blanks around it.

        One given as a callable (a secret manager) is called now. Raise NotSent, which names the option, if it raises or
        returns no text: nothing can have been sent without it.
        """
        if text := _text_of(value):
            return text
        raise NotSent(f"{UNREADABLE}: {name}", alias=self.alias)

    def webhook_secrets(self) -> tuple[str | bytes, ...]:
        """Return the secrets that are valid now, without blank ones; raise NotSent if they cannot be read."""
        secrets = _secrets_of(self._webhook_secrets)
        if secrets is None:
            raise NotSent(f"{UNREADABLE}: webhook_secrets", alias=self.alias)
        return secrets

    def invalid(self, complaint: str) -> InvalidProvider:
        """Return the error for a wrong option, naming this account."""
        return InvalidProvider(f"Provider {self.alias!r}: {complaint}")

    def _refuse_nonsense(self) -> None:
        for name in ("deadline", "upload_deadline", "max_response_bytes"):
            self._refuse_unless_positive(name, getattr(self, name))
        for name, value in (("settle_seconds", self._settle_seconds), ("rate", self.rate)):
            if value is not None:
                self._refuse_unless_positive(name, value)
        if not isinstance(self.timeout, (tuple, list)) or len(self.timeout) != 2:
            raise self.invalid("timeout must be two numbers of seconds (connect, read)")
        for value in self.timeout:
            self._refuse_unless_positive("timeout", value)

    def _refuse_unless_text(self, name: str, value: Any) -> None:
        """Refuse a required text that is missing; its value, which may be a secret, is not named."""
        if not callable(value) and not (isinstance(value, str) and value.strip()):
            raise self.invalid(f"{name} must be a text that is not empty, or a callable that returns one")

    def _refuse_unless_positive(self, name: str, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < inf:
            raise self.invalid(f"{name} must be a positive number, not {value!r}")
