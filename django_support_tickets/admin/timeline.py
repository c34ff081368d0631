"""A ticket's conversation: what was said, sent and changed, by whom and when, the oldest first.

Everything is plain text here and is escaped by the template: what a vendor or a customer wrote is never markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_support_tickets.admin.badges import delivery_badge
from django_support_tickets.admin.wording import Explanation, explain
from django_support_tickets.models import (
    Attachment,
    Comment,
    Delivery,
    OutboxEntry,
    Submission,
    Ticket,
    TicketEvent,
)
from django_support_tickets.records import AuthorType, BodyFormat, Status, text_of_html

#: Of comments, files and events, so many of the newest are shown at once.
SHOWN = 200
Kind = TicketEvent.Kind
#: What the comment or file itself shows.
REDUNDANT = (Kind.COMMENTED, Kind.ATTACHED)
DECISIONS: dict[str, str] = {
    Delivery.UNCERTAIN: "settle",
    Delivery.QUEUED: "cancel",
    Delivery.DRAFT: "submit",
    Delivery.REFUSED: "submit",
}
#: What is shown otherwise, or means nothing to people.
UNSAID = frozenset({"reason", "key", "item", "comments", "attachments"})
#: What an event says beside the columns that have changed.
LABELS = {
    "found_twin": gettext_lazy("found twin"),
    "raised_as": gettext_lazy("raised as"),
    "raised_from": gettext_lazy("raised from"),
    "remote_ids": gettext_lazy("remote ids"),
    "send_again": gettext_lazy("send again"),
}
#: Of these, only what concerns the whole ticket.
OF_ITEMS = (Kind.DELIVERED, Kind.SUBMITTED)


@dataclass(frozen=True, slots=True)
class FileLine:
    """A file and what can be done with it."""

    file: Attachment
    badge: SafeString | str
    problem: Explanation | None
    decision: str = ""

    @property
    def is_there(self) -> bool:
        """Return whether it can be handed out."""
        return self.file.state == Attachment.State.STORED and bool(self.file.file)

    @property
    def can_be_fetched(self) -> bool:
        """Return whether it lies at the vendor only; one that has expired may have a new address by now."""
        kinds = (Attachment.State.REMOTE, Attachment.State.FAILED, Attachment.State.EXPIRED)
        return self.file.direction == Attachment.Direction.IN and self.file.state in kinds and not self.file.file

    @property
    def can_be_scanned(self) -> bool:
        """Return whether it came from the vendor and its scanner has not cleared it."""
        is_from_vendor = self.file.direction == Attachment.Direction.IN
        return is_from_vendor and self.file.state == Attachment.State.QUARANTINED and bool(self.file.file)


@dataclass(slots=True)
class Entry:
    """One thing in a conversation; `kind` is message, file or event, `side` is ours, theirs or nobody."""

    at: datetime
    kind: str
    side: str
    who: str
    title: str = ""
    text: str = ""
    badge: SafeString | str = ""
    problem: Explanation | None = None
    files: list[FileLine] = field(default_factory=list)
    item: Submission | None = None
    #: What a person can decide about the item, see `decision_about`.
    decision: str = ""
    #: The key of another ticket that this leads to.
    other: str = ""


@dataclass(slots=True)
class Timeline:
    """The entries, and whether older ones are left out."""

    entries: list[Entry]
    is_cut: bool


def timeline_of(ticket: Ticket, *, using: str, shown: int = SHOWN) -> Timeline:
    """Return a ticket's conversation, in three queries."""
    comments, cut_comments = _newest(ticket.comments.using(using).select_related("created_by"), shown)
    files, cut_files = _newest(ticket.attachments.using(using).select_related("created_by"), shown)
    events, cut_events = _newest(ticket.events.using(using).select_related("actor"), shown)
    by_comment: dict[int | None, list[Attachment]] = {}
    known = {comment.pk for comment in comments}
    for file in files:
        owner = file.comment_id if file.comment_id in known else None
        by_comment.setdefault(owner, []).append(file)
    first, later = _with_ticket(ticket, by_comment.get(None, []))
    entries = [_opening(ticket, first)]
    entries += [_message(comment, by_comment.get(comment.pk, [])) for comment in comments]
    entries += [_file(file) for file in later]
    entries += [_event(event) for event in events if _is_news(event)]
    # Stable: what happened at one moment stays in the order message, file, event.
    entries[1:] = sorted(entries[1:], key=lambda entry: entry.at)
    return Timeline(entries, cut_comments or cut_files or cut_events)


def _newest(rows: QuerySet[Any], shown: int) -> tuple[list[Any], bool]:
    found = list(rows.order_by("-pk")[: shown + 1])
    return found[:shown][::-1], len(found) > shown


def _with_ticket(ticket: Ticket, files: Iterable[Attachment]) -> tuple[list[Attachment], list[Attachment]]:
    """Return the files that were there from the beginning, and those that came later."""
    first: list[Attachment] = []
    later: list[Attachment] = []
    for file in files:
        since = ticket.submitted_at
        at_first = file.direction == Attachment.Direction.OUT and (since is None or file.created_at <= since)
        (first if at_first else later).append(file)
    return first, later


def _opening(ticket: Ticket, files: Iterable[Attachment]) -> Entry:
    is_ours = ticket.origin == Ticket.Origin.HERE
    who = str(ticket.requester) if ticket.requester else ticket.contact_name or ticket.contact_email
    return Entry(
        at=ticket.submitted_at or ticket.remote_created_at or ticket.created_at,
        kind="message",
        side="ours" if is_ours else "theirs",
        who=who or (_("Somebody here") if is_ours else _("Somebody at the vendor")),
        title=_("Ticket") if is_ours else _("Ticket, raised at the vendor"),
        text=ticket.description,
        files=[_file_line(file, travels=ticket.delivery != Delivery.DELIVERED) for file in files],
    )


def _message(comment: Comment, files: Iterable[Attachment]) -> Entry:
    is_ours = comment.created_by_id is not None or comment.author_type == AuthorType.CUSTOMER
    name = str(comment.created_by) if comment.created_by else comment.author_name
    is_html = comment.body_format == BodyFormat.HTML
    return Entry(
        at=comment.sent_at or comment.created_at,
        kind="message",
        side="ours" if is_ours else "theirs",
        who=name or comment.get_author_type_display(),
        title=comment.get_author_type_display(),
        text=text_of_html(comment.body) if is_html else comment.body,
        badge=_unless_delivered(comment),
        problem=explain(comment.delivery_error),
        files=[_file_line(file) for file in files],
        item=comment,
        decision=decision_about(comment),
    )


def _file(file: Attachment) -> Entry:
    is_ours = file.direction == Attachment.Direction.OUT
    who = str(file.created_by) if file.created_by else (_("Somebody here") if is_ours else _("Vendor"))
    side = "ours" if is_ours else "theirs"
    return Entry(at=file.created_at, kind="file", side=side, who=who, title=_("File"), files=[_file_line(file)])


def _file_line(file: Attachment, *, travels: bool = False) -> FileLine:
    """Return a file; one that `travels` with a ticket that has not arrived shares its fate and needs no label."""
    problem = explain(file.error or file.delivery_error)
    if travels and file.delivery in (Delivery.QUEUED, Delivery.DRAFT):
        return FileLine(file, "", problem)
    return FileLine(file, _unless_delivered(file), problem, decision_about(file))


def _unless_delivered(item: Submission) -> SafeString | str:
    return "" if item.delivery == Delivery.DELIVERED else delivery_badge(item.delivery)


def decision_about(item: Submission) -> str:
    """Return what a person can decide about a comment or file of ours: "settle", "cancel", "submit" or ""."""
    return DECISIONS.get(item.delivery, "")


def _is_news(event: TicketEvent) -> bool:
    if event.kind in REDUNDANT:
        return False
    return event.kind not in OF_ITEMS or event.changes.get("item", "create") in ("create", "close")


def _event(event: TicketEvent) -> Entry:
    return Entry(
        at=event.at,
        kind="event",
        side="nobody",
        who=str(event.actor) if event.actor else _doer(event),
        title=_event_title(event),
        text="\n".join(_lines(event)),
        problem=explain(str(event.changes.get("reason", ""))),
        other=str(event.changes.get("raised_as") or event.changes.get("raised_from") or ""),
    )


def _doer(event: TicketEvent) -> str:
    """Return who did what no person of ours did, in an agent's words."""
    if event.source == TicketEvent.Source.PULL:
        return _("News from the vendor")
    if event.source == TicketEvent.Source.PUSH:
        return _("Sending")
    return str(event.get_source_display())


def _event_title(event: TicketEvent) -> str:
    item = event.changes.get("item", OutboxEntry.Item.CREATE)
    if item == OutboxEntry.Item.CREATE or item not in OutboxEntry.Item.values:
        return str(event.get_kind_display())
    return f"{OutboxEntry.Item(item).label}: {event.get_kind_display()}"


def _lines(event: TicketEvent) -> Iterator[str]:
    for name, change in event.changes.items():
        if name in UNSAID:
            continue
        label = field_label(name)
        if isinstance(change, list) and len(change) == 2:
            old, new = (_shown(name, value) for value in change)
            yield _("%(field)s: %(old)s → %(new)s") % {"field": label, "old": old, "new": new}
        else:
            yield _("%(field)s: %(value)s") % {"field": label, "value": _shown(name, change)}


def field_label(name: str) -> str:
    """Return a column's name for people; a name that is no column stays as it is."""
    try:
        label = str(getattr(Ticket._meta.get_field(name), "verbose_name", name))
    except FieldDoesNotExist:
        label = str(LABELS.get(name, name.replace("_", " ")))
    return label[:1].upper() + label[1:]


def _shown(name: str, value: Any) -> str:
    if name == "status" and value in Status.values:
        return str(Status(value).label)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if value == "changed":  # of a long text
        return _("changed")
    return "–" if value in (None, "") else str(value)
