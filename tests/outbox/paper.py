"""A vendor on paper: a provider without HTTP whose every answer a test may script."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Unpack

from django_support_tickets.exceptions import AccessDenied, Busy, NotSent, Refused
from django_support_tickets.providers.base import CommonOptions, Provider
from django_support_tickets.records import (
    AttachmentRecord,
    AttachmentRules,
    AuthorType,
    Capabilities,
    CommentDraft,
    CommentRecord,
    FileDraft,
    Found,
    Status,
    TicketDraft,
    TicketRecord,
    TicketRef,
)

FULL = Capabilities(
    can_find=True,
    can_comment=True,
    can_close=True,
    attachments=AttachmentRules(moments=frozenset({"create", "after", "comment"})),
)
#: Seconds that a vendor is given at least before it is searched, and twice before something is sent again.
PATIENCE = 50.0
#: What happens at a call: an error is raised; a function is asked for the answer, before or after the vendor acts.
Step = Exception | Callable[..., Any] | None


@dataclass
class Desk:
    """What the vendor has, what it was asked, and what it will answer."""

    capabilities: Capabilities = FULL
    tickets: dict[str, TicketRecord] = field(default_factory=dict)
    drafts: dict[str, TicketDraft] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    files: list[tuple[str, bytes]] = field(default_factory=list)
    #: The names of the files that came with or for each ticket.
    arrived: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    script: dict[str, deque[Step]] = field(default_factory=lambda: defaultdict(deque))
    finds: list[TicketDraft] = field(default_factory=list)
    #: Seconds that have passed, and after how many more a search shows what is new.
    clock: float = 0.0
    lag: float = 0.0
    shown_from: dict[str, float] = field(default_factory=dict)
    postponed: list[tuple[float, Callable[[], Any]]] = field(default_factory=list)
    #: When the last answer about each key was lost, and what was asked again before the vendor can have settled.
    lost_at: dict[str, float] = field(default_factory=dict)
    too_early: list[str] = field(default_factory=list)

    def at(self, operation: str, *steps: Step) -> None:
        """Let the next calls of an operation go this way; None is the usual way."""
        self.script[operation].extend(steps)

    def lose_answer(self, operation: str, error: Exception) -> None:
        """Let the vendor do what it is asked next, and the answer be lost."""

        def act_and_fail(act: Callable[[], Any]) -> Any:
            act()
            raise error

        self.at(operation, act_and_fail)

    def postpone(self, operation: str, error: Exception, *, seconds: float) -> None:
        """Let the vendor do what it is asked next only when so many seconds have passed, and the answer be lost."""

        def fail_and_act_later(act: Callable[[], Any]) -> Any:
            self.postponed.append((self.clock + seconds, act))
            raise error

        self.at(operation, fail_and_act_later)

    def advance(self, seconds: float) -> None:
        """Let time pass, in which the vendor does what it has put off."""
        until = self.clock + seconds
        for moment, act in sorted(self.postponed, key=lambda one: one[0]):
            if moment <= until:
                self.clock = moment
                act()
        self.postponed = [one for one in self.postponed if one[0] > until]
        self.clock = until

    def shown(self) -> list[TicketRecord]:
        """Return the tickets that a search shows by now."""
        return [record for key, record in self.tickets.items() if self.shown_from.get(key, 0) <= self.clock]

    def meet(self, operation: str, act: Callable[[], Any], *, key: str = "") -> Any:
        self.calls.append(operation)
        since = self.clock - self.lost_at.get(key, -inf)
        if since < (PATIENCE if operation == "find" else 2 * PATIENCE):
            self.too_early.append(f"{operation} of {key} {since:.0f} s after its answer was lost")
        step = self.script[operation].popleft() if self.script[operation] else None
        try:
            if isinstance(step, Exception):
                raise step
            return act() if step is None else step(act)
        except Exception as error:
            if key and operation != "find" and _may_have_arrived(error):
                self.lost_at[key] = self.clock
            raise


def _may_have_arrived(error: Exception) -> bool:
    return not isinstance(error, (NotSent, AccessDenied, Refused, Busy)) or getattr(error, "status", None) == 503


#: The one desk of all tests; `reset_desk` makes it new.
desk = Desk()


def reset_desk() -> Desk:
    desk.__init__()  # type: ignore[misc]
    return desk


class PaperProvider(Provider):
    """Keep everything on the desk."""

    def __init__(self, alias: str, **common: Unpack[CommonOptions]) -> None:
        super().__init__(alias, **common)
        self.capabilities = desk.capabilities

    def get(self, ref: TicketRef) -> TicketRecord:
        record: TicketRecord = desk.meet("get", lambda: desk.tickets[ref.remote_id])
        return record

    def create(self, draft: TicketDraft) -> TicketRecord:
        def act() -> TicketRecord:
            remote_id = f"R{len(desk.tickets) + 1}"
            record = TicketRecord(
                remote_id=remote_id,
                key=draft.key,
                status=Status.OPEN,
                remote_status="open",
                comments=(),
                attachments=(),
            )
            self._read(remote_id, draft.files)
            desk.drafts[remote_id] = draft
            desk.tickets[remote_id] = record
            desk.shown_from[remote_id] = desk.clock + desk.lag
            return record

        record: TicketRecord = desk.meet("create", act, key=draft.key)
        return record

    def find(self, draft: TicketDraft) -> Found:
        desk.finds.append(draft)
        found: Found = desk.meet(
            "find",
            lambda: Found(records=tuple(record for record in desk.shown() if record.key == draft.key), complete=True),
            key=draft.key,
        )
        return found

    def add_comment(self, ref: TicketRef, draft: CommentDraft) -> CommentRecord:
        def act() -> CommentRecord:
            ticket = desk.tickets[ref.remote_id]
            comments = ticket.comments or ()
            comment = CommentRecord(remote_id=f"C{len(comments) + 1}", author_type=AuthorType.CUSTOMER, body=draft.body)
            desk.tickets[ref.remote_id] = replace(ticket, comments=(*comments, comment))
            self._read(ref.remote_id, draft.files)
            return comment

        comment: CommentRecord = desk.meet("comment", act, key=draft.key)
        return comment

    def upload(self, ref: TicketRef, file: FileDraft) -> AttachmentRecord:
        def act() -> AttachmentRecord:
            ticket = desk.tickets[ref.remote_id]
            files = ticket.attachments or ()
            record = AttachmentRecord(remote_id=f"F{len(files) + 1}", name=file.name, size=file.size)
            desk.tickets[ref.remote_id] = replace(ticket, attachments=(*files, record))
            self._read(ref.remote_id, (file,))
            return record

        record: AttachmentRecord = desk.meet("upload", act, key=file.key)
        return record

    def close(self, ref: TicketRef) -> TicketRecord:
        def act() -> TicketRecord:
            record = replace(desk.tickets[ref.remote_id], status=Status.CLOSED, remote_status="closed")
            desk.tickets[ref.remote_id] = record
            return record

        record: TicketRecord = desk.meet("close", act, key=ref.remote_id)
        return record

    @staticmethod
    def _read(remote_id: str, files: tuple[FileDraft, ...]) -> None:
        for file in files:
            desk.arrived[remote_id].append(file.name)
            with file.open() as stream:
                desk.files.append((file.name, stream.read()))
