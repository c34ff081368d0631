from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django_support_tickets.exceptions import RemoteNotFound
from django_support_tickets.providers import Provider
from django_support_tickets.records import Capabilities, Page, Status, TicketDraft, TicketRecord, TicketRef

BACKEND = "tests.sync.scripted.ScriptedProvider"


@dataclass
class Desk:
    """A vendor in memory: its tickets, what it was asked, and what it is told to answer instead."""

    tickets: dict[str, TicketRecord] = field(default_factory=dict)
    # Answered first, one per call: an exception to raise, a record to return, or a function to call.
    script: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    pages: Callable[[str, str | None], Page] | None = None
    listed: list[tuple[str, str | None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, ref: TicketRef) -> TicketRecord:
        with self.lock:
            self.asked.append(ref.remote_id)
            step = self.script.pop(0) if self.script else None
        if isinstance(step, BaseException):
            raise step
        if callable(step):
            return step(ref)
        if step is not None:
            return step
        if ref.remote_id not in self.tickets:
            raise RemoteNotFound("the vendor does not know it", alias="desk", operation="get", status=404)
        return self.tickets[ref.remote_id]

    def page(self, scope: str, cursor: str | None) -> Page:
        with self.lock:
            self.listed.append((scope, cursor))
        if self.pages is not None:
            return self.pages(scope, cursor)
        return Page(records=tuple(self.tickets.values()))


DESK = Desk()


class ScriptedProvider(Provider):
    """Ask DESK instead of a vendor."""

    def __init__(self, alias: str, *, capabilities: Capabilities | None = None, **common: Any) -> None:
        super().__init__(alias, **common)
        self.capabilities = capabilities or Capabilities(status_map={"open": Status.OPEN})

    def get(self, ref: TicketRef) -> TicketRecord:
        return DESK.get(ref)

    def create(self, draft: TicketDraft) -> TicketRecord:
        raise NotImplementedError

    def list_changed(self, scope: str, cursor: str | None) -> Page:
        return DESK.page(scope, cursor)
