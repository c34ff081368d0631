from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import re
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pytest

from django_support_tickets.providers.base import Provider
from django_support_tickets.records import ABSENT, CommentDraft, FileDraft, TicketDraft, TicketRef
from django_support_tickets.testing.sandbox import Fault

# The smallest PNG there is: one pixel.
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)
SECRET_OPTION = re.compile(r"secret|token|password|credential|key", re.IGNORECASE)
_numbers = itertools.count(1)


class LedgerEntry(Protocol):
    """One request as the fake vendor saw it; `committed` says whether it changed the vendor's state."""

    @property
    def operation(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def committed(self) -> bool: ...


class FakeVendor(Protocol):
    """What a contract test needs of a fake vendor that speaks real HTTP.

    `fail_next` makes it commit a fault at the next `times` requests of an operation ("*": any; times None: until
    `clear_failures`). `ledger` holds the requests so far, `tickets` what the vendor has stored, by remote id. `change`
    sets fields of a stored ticket as the vendor's staff might, `delete` removes one. `VendorSandbox` has all of it.
    """

    @property
    def ledger(self) -> Sequence[LedgerEntry]: ...
    @property
    def tickets(self) -> Mapping[str, Any]: ...
    def fail_next(self, operation: str, fault: Fault, *, times: int | None = 1, **details: Any) -> None: ...
    def clear_failures(self) -> None: ...
    def change(self, remote_id: str, **fields: Any) -> Any: ...
    def delete(self, remote_id: str) -> None: ...


@dataclasses.dataclass(kw_only=True)
class ContractSubject:
    """A provider to certify: its class, OPTIONS that work, a valid draft and the fake vendor they lead to.

    `draft` is a template: key, description and `sent_at` are set anew for every ticket. `refused` is a draft that the
    vendor documents to refuse. `webhook` returns headers and body of a genuine webhook about a remote id. A provider
    without HTTP has no `vendor`; what needs one is skipped.
    """

    backend: type[Provider]
    options: Mapping[str, Any] = dataclasses.field(repr=False)  # pytest shows the subject of a test that fails
    draft: TicketDraft
    vendor: FakeVendor | None = None
    alias: str = "contract"
    refused: TicketDraft | None = None
    webhook: Callable[[str], tuple[Mapping[str, str], bytes]] | None = None
    # What the vendor calls the request that decides an operation of the provider, where its name is another.
    vendor_operations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # The field of the vendor's ticket in which its status stands.
    status_field: str = "status"

    @property
    def provider(self) -> Provider:
        """Return a new provider with these options."""
        return self.build()

    def build(self, **changes: Any) -> Provider:
        """Return a new provider whose options differ by `changes`; no rate limit slows the tests down."""
        return self.backend(self.alias, **{"rate": None, **self.options, **changes})

    def need_vendor(self) -> FakeVendor:
        """Return the fake vendor; skip the test where there is none."""
        if self.vendor is None:
            pytest.skip("This provider has no fake vendor to fail.")
        return self.vendor

    def new_draft(self, **changes: Any) -> TicketDraft:
        """Return a valid draft with a key of its own, the same ones in every run."""
        number = next(_numbers)
        key = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.alias} {number}")
        description = f"What happened, number {number}.\nAsk canary.person@example.com."
        return dataclasses.replace(self.draft, **{"key": str(key), "description": description, **changes})

    def new_comment(self, body: str = "") -> CommentDraft:
        """Return a comment with a key of its own, and a text that no other has."""
        number = next(_numbers)
        key = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.alias} {number}")
        return CommentDraft(key=str(key), body=body or f"An answer, number {number}, by canary.person@example.com.")

    def raise_ticket(self, **changes: Any) -> tuple[TicketRef, TicketDraft]:
        """Raise a ticket at the vendor; return how it is named there and what was sent."""
        draft = self.new_draft(**changes)
        record = self.provider.create(draft)
        return TicketRef(remote_id=record.remote_id, customer_id=draft.customer_id), draft

    @property
    def scope(self) -> str:
        """The scope in which the tickets of `draft` are listed."""
        return self.draft.customer_id if self.provider.capabilities.lists_by_customer else ""

    def secrets(self) -> tuple[str, ...]:
        """Return the texts among the options that must never be shown."""
        found = (value for name, value in self.options.items() if SECRET_OPTION.search(name))
        texts = itertools.chain.from_iterable([value] if isinstance(value, str) else value or () for value in found)
        return tuple(text for text in texts if isinstance(text, str) and len(text) >= 8)

    def vendor_operation(self, operation: str) -> str:
        """Return under which name the vendor is told to fail at an operation."""
        return self.vendor_operations.get(operation) or {"find": "list", "probe": "*"}.get(operation, operation)

    def operations(self, only: Collection[str] | None = None) -> dict[str, Callable[[Provider], Any]]:
        """Return what the provider declares, or some of it, ready to be called; a ticket is raised for it."""
        provider, capabilities = self.provider, self.provider.capabilities
        ref, draft = self.raise_ticket()
        attachments = capabilities.attachments
        calls: dict[str, tuple[bool, Callable[[Provider], Any]]] = {
            "get": (True, lambda p: p.get(ref)),
            "create": (True, lambda p: p.create(self.new_draft())),
            "list": (capabilities.can_list, lambda p: p.list_changed(self.scope, None)),
            "find": (capabilities.can_find, lambda p: p.find(draft)),
            "comment": (capabilities.can_comment, lambda p: p.add_comment(ref, self.new_comment())),
            "upload": (bool(attachments and "after" in attachments.moments), lambda p: p.upload(ref, picture())),
            "probe": (self.backend.probe is not Provider.probe, lambda p: p.probe()),
            "close": (capabilities.can_close, lambda p: p.close(ref)),
        }
        declared = {name: call for name, (is_declared, call) in calls.items() if is_declared}
        if "upload" in declared and self.backend.download is not Provider.download and (not only or "download" in only):
            declared["download"] = self._download(provider, ref)
        return {name: call for name, call in declared.items() if not only or name in only}

    def _download(self, provider: Provider, ref: TicketRef) -> Callable[[Provider], bytes]:
        provider.upload(ref, picture())
        attachments = provider.get(ref).attachments
        if attachments is ABSENT or not attachments:
            raise AssertionError("a file that was uploaded is not among the ticket's attachments")
        return lambda p: read_all(p.download(ref, attachments[0]))


def read_all(download: AbstractContextManager[Any]) -> bytes:
    """Return the whole content of a download."""
    with download as opened:
        return b"".join(opened.chunks)


def picture(content: bytes = PICTURE, *, stored: bytes | None = None) -> FileDraft:
    """Return a PNG file; `stored` is what is read of it where that differs from what was recorded."""
    return FileDraft(
        key=str(uuid.uuid5(uuid.NAMESPACE_OID, f"file {next(_numbers)}")),
        name="screen shot.png",
        content_type="image/png",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        open=lambda: io.BytesIO(content if stored is None else stored),
    )
