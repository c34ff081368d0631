"""What happens next with a ticket, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_support_tickets.admin.wording import exactly, explain, fetching, sending, when
from django_support_tickets.models import Delivery, EpochNow, OutboxEntry, ProviderState, Ticket, moment_of
from django_support_tickets.models.pauses import paused
from django_support_tickets.records import Capabilities


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence about what happens next; `level` is info, good, warning or error."""

    level: str
    text: str
    details: tuple[str, ...] = ()


@dataclass(slots=True)
class Sending:
    """What the outbox and the account say about a ticket."""

    entry: OutboxEntry | None
    #: The database's clock, in epoch milliseconds; 0 where nothing is queued.
    now: int
    pause: ProviderState | None

    @classmethod
    def of(cls, ticket: Ticket, *, using: str) -> Sending:
        """Read it, in two queries."""
        entry = OutboxEntry.objects.using(using).filter(ticket=ticket).annotate(now=EpochNow()).first()
        return cls(entry, getattr(entry, "now", 0), paused(ticket.provider, using=using))

    @property
    def is_held(self) -> bool:
        """Return whether a worker has it now."""
        return bool(self.entry and self.entry.leased_until and self.entry.leased_until > self.now)


def outlook(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> list[Notice]:
    """Return what happens next, the most urgent first."""
    return [
        *_about_account(ticket, sending_, capabilities),
        *_about_delivery(ticket),
        *_about_closing(ticket),
        *_about_outbox(ticket, sending_),
        *_about_news(ticket, capabilities),
    ]


def pause_sentence(state: ProviderState) -> str:
    """Return until when and why an account is paused."""
    until = moment_of(state.paused_until)
    facts = {
        "account": state.provider,
        "until": exactly(until) if until else "–",
        "why": state.get_pause_display() or _("unknown"),
    }
    return _("Account %(account)s is paused until %(until)s: %(why)s.") % facts


def _about_account(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> Iterator[Notice]:
    if capabilities is None:
        message = _(
            "Account %(account)s cannot be used: it is not (or wrongly) configured. Nothing is sent or fetched."
        )
        yield Notice("error", message % {"account": ticket.provider})
    if sending_.pause is not None and (sending_.entry is not None or ticket.next_poll_at is not None):
        yield Notice("warning", pause_sentence(sending_.pause), _details(sending_.pause.pause_detail))


def _about_delivery(ticket: Ticket) -> Iterator[Notice]:
    match ticket.delivery:
        case Delivery.DRAFT:
            yield Notice("info", _("This is a draft: nothing is sent until it is submitted."))
        case Delivery.REFUSED:
            text = _("The vendor has not got this ticket, and nothing more is tried until somebody edits it.")
            yield Notice("error", text, _details(ticket.delivery_error))
        case Delivery.UNCERTAIN:
            text = _(
                "Nobody can tell whether the vendor has got this ticket. Look at the vendor's own desk, then settle it "
                "here: say that it is there, or have it sent again."
            )
            yield Notice("error", text, _details(ticket.delivery_error))
    if ticket.missing_since is not None:
        text = _("The vendor does not show this ticket any more, since %(since)s. Nothing was deleted here.")
        yield Notice("warning", text % {"since": exactly(ticket.missing_since)})


def _about_closing(ticket: Ticket) -> Iterator[Notice]:
    match ticket.close_delivery:
        case Delivery.QUEUED:
            yield Notice("info", _("It is to be closed at the vendor."))
        case Delivery.REFUSED:
            yield Notice("error", _("The vendor has refused to close it."))
        case Delivery.UNCERTAIN:
            yield Notice("error", _("Nobody can tell whether the vendor has closed it: look there, then settle it."))


def _about_outbox(ticket: Ticket, sending_: Sending) -> Iterator[Notice]:
    entry = sending_.entry
    if entry is None:
        return
    if ticket.delivery in (Delivery.REFUSED, Delivery.UNCERTAIN):
        yield Notice("info", _("What was written after it waits until that is settled."))
        return
    yield Notice("info", _next_attempt(entry, sending_), _details(entry.last_error))


def _next_attempt(entry: OutboxEntry, sending_: Sending) -> str:
    due = moment_of(entry.not_before) if entry.not_before > sending_.now else None
    facts: dict[str, Any] = {"what": item_name(entry.item), "when": when(due) if due else "", "count": entry.attempts}
    if sending_.is_held:
        return _("%(what)s: it is being sent right now.") % facts
    if entry.may_be_at_the_vendor:
        facts["when"] = facts["when"] or _("with the next run")
        return (
            _("%(what)s: the answer was lost. It is looked for at the vendor %(when)s, before anything is repeated.")
            % facts
        )
    if due:
        sentence = ngettext(
            "%(what)s will be sent %(when)s, after %(count)d attempt.",
            "%(what)s will be sent %(when)s, after %(count)d attempts.",
            entry.attempts,
        )
        return sentence % facts
    return " ".join((_("%(what)s is due.") % facts, sending()))


def item_name(item: str) -> str:
    """Return what is being sent, at the beginning of a sentence."""
    names = {
        OutboxEntry.Item.COMMENT: _("A comment"),
        OutboxEntry.Item.UPLOAD: _("A file"),
        OutboxEntry.Item.CLOSE: _("The closing"),
        OutboxEntry.Item.CREATE: _("The ticket"),
    }
    return names.get(OutboxEntry.Item(item), "") if item else _("What is queued")


def _about_news(ticket: Ticket, capabilities: Capabilities | None) -> Iterator[Notice]:
    if not ticket.remote_id or capabilities is None:
        return
    if ticket.next_poll_at is None:
        yield Notice("info", _("No more news is expected from the vendor, so it is not asked any more."))
    elif ticket.next_poll_at <= timezone.now():
        yield Notice("info", " ".join((_("Its news is due."), fetching())))
    else:
        yield Notice("info", _("Its news is fetched %(when)s.") % {"when": when(ticket.next_poll_at)})


def _details(error: str) -> tuple[str, ...]:
    explanation = explain(error)
    if explanation is None:
        return ()
    return tuple(filter(None, (str(explanation), explanation.reference)))
