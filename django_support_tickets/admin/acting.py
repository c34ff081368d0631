from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_support_tickets.admin.base import BaseTicketAdmin
from django_support_tickets.admin.forms import SettleForm
from django_support_tickets.admin.outlook import Sending
from django_support_tickets.admin.wording import exactly, explain, fetching, sending
from django_support_tickets.admin.work import ask_for_news, decision, known_remote_id, make_due
from django_support_tickets.conf import settings
from django_support_tickets.dispatch import wake
from django_support_tickets.models import (
    Attachment,
    Comment,
    Delivery,
    EpochNow,
    OutboxEntry,
    Submission,
    Ticket,
    TicketEvent,
    moment_of,
)
from django_support_tickets.records import Capabilities, Status

SOURCE = TicketEvent.Source.ADMIN
#: So many rows are changed by one statement.
BATCH = 500
ITEMS: dict[str, Any] = {"comment": Comment, "file": Attachment}


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done with a ticket by a POST, offered where `offered` says so."""

    name: str
    label: str | Promise
    permission: str
    offered: Callable[[Ticket, Sending, Capabilities | None], bool]
    #: What it means, said before it is done; "" where it can be done at once.
    caution: str | Promise = ""


def _is_at_vendor(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    return bool(ticket.remote_id) and capabilities is not None


def _waits(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    return sending_.entry is not None and capabilities is not None and not sending_.is_held


def _is_queued(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    is_queued = Delivery.QUEUED in (ticket.delivery, ticket.close_delivery)
    return is_queued and not sending_.is_held and not (sending_.entry and sending_.entry.may_be_at_the_vendor)


def _is_uncertain(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    return Delivery.UNCERTAIN in (ticket.delivery, ticket.close_delivery)


def _is_refused(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    return ticket.delivery == Delivery.REFUSED


def _can_be_closed(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    under_way = ticket.close_delivery in (Delivery.QUEUED, Delivery.UNCERTAIN)
    is_there = ticket.delivery in (Delivery.QUEUED, Delivery.DELIVERED) and ticket.status != Status.CLOSED
    return bool(capabilities and capabilities.can_close) and is_there and not under_way


def _can_be_closed_here(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    is_sent = ticket.delivery not in (Delivery.DRAFT, Delivery.QUEUED)
    return capabilities is not None and not capabilities.can_close and is_sent and ticket.status != Status.CLOSED


def _was_sent(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    return ticket.delivery not in (Delivery.DRAFT, Delivery.QUEUED) and ticket.origin == Ticket.Origin.HERE


ACTIONS = (
    Action("settle", gettext_lazy("Settle…"), "settle", _is_uncertain),
    Action("edit", gettext_lazy("Edit and submit again"), "change", _is_refused),
    Action("sync", gettext_lazy("Fetch news now"), "sync", _is_at_vendor),
    Action("send", gettext_lazy("Send now"), "sync", _waits),
    Action("cancel", gettext_lazy("Cancel sending"), "change", _is_queued),
    Action(
        "close",
        gettext_lazy("Close at the vendor"),
        "change",
        _can_be_closed,
        gettext_lazy("The vendor is asked to close the ticket. Not every vendor lets a closed ticket be opened again."),
    ),
    Action(
        "close_here",
        gettext_lazy("Close here"),
        "change",
        _can_be_closed_here,
        gettext_lazy(
            "This vendor cannot close tickets. It is closed in your own books only, and not looked at any more."
        ),
    ),
    Action(
        "raise_again",
        gettext_lazy("Raise again"),
        "add",
        _was_sent,
        gettext_lazy("A new draft is made with the same text and files. This ticket stays as it is."),
    ),
)
BY_NAME = {action.name: action for action in ACTIONS}


class ActingAdmin(BaseTicketAdmin):
    """What a person can do with tickets: each a POST with a permission of its own, and none waits for a vendor."""

    def object_actions(
        self, request: HttpRequest, ticket: Ticket, sending_: Sending, capabilities: Capabilities | None
    ) -> list[dict[str, Any]]:
        """Return the actions that this user can take on this ticket now."""
        return [
            {"action": action, "url": self.url(action.name, ticket.pk), "is_link": action.name == "settle"}
            for action in ACTIONS
            if getattr(self, f"has_{action.permission}_permission")(request)
            and action.offered(ticket, sending_, capabilities)
        ]

    def action_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Take an action on a ticket and go back to it; a decision that is not possible any more is explained."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self.require(request, BY_NAME[name].permission)
        ticket = self.ticket_or_404(request, pk)
        try:
            done = getattr(self, f"_{name}")(request, ticket)
        except ValidationError as error:
            self.complain(request, error)
            return self.back_to(ticket)
        self.log_change(request, ticket, str(BY_NAME[name].label))
        return self.back_to(done or ticket)

    def settle_view(self, request: HttpRequest, pk: int, kind: str = "ticket", key: Any = None) -> HttpResponse:
        """Ask what has become of something uncertain, and settle it."""
        self.require(request, "settle")
        ticket, item = self._item(request, pk, kind, key)
        is_closing = item == ticket and ticket.delivery == Delivery.DELIVERED
        form = SettleForm(
            request.POST if request.method == "POST" else None,
            initial={"remote_id": "" if is_closing else known_remote_id(item)},
            item=item,
            is_closing=is_closing,
        )
        if request.method == "POST" and form.is_valid() and self._settle(request, ticket, item, form):
            return self.back_to(ticket)
        context = self.page_context(
            request,
            ticket,
            title=_("Settle what is uncertain"),
            form=form,
            item=item,
            kind=kind,
            is_closing=is_closing,
            problem=explain(item.delivery_error),
        )
        return TemplateResponse(request, "admin/support_tickets/ticket/settle.html", context)

    def cancel_item_view(self, request: HttpRequest, pk: int, kind: str, key: Any) -> HttpResponse:
        """Take a queued comment or file back."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self.require(request, "change")
        ticket, item = self._item(request, pk, kind, key)
        try:
            decision("cancel")(item, actor=request.user, source=SOURCE)
        except ValidationError as error:
            self.complain(request, error)
        else:
            self.log_change(request, ticket, str(BY_NAME["cancel"].label))
            self.say(request, _("It is not sent."))
        return self.back_to(ticket)

    def _item(self, request: HttpRequest, pk: int, kind: str, key: Any) -> tuple[Ticket, Submission]:
        ticket = self.ticket_or_404(request, pk)
        if kind == "ticket":
            return ticket, ticket
        if kind not in ITEMS:
            raise Http404
        item: Submission | None = ITEMS[kind].objects.using(self.using).filter(ticket=ticket, key=key).first()
        if item is None:
            raise Http404
        return ticket, item

    def _settle(self, request: HttpRequest, ticket: Ticket, item: Submission, form: SettleForm) -> bool:
        answer = form.answer_about(ticket)
        try:
            decision("settle")(item, **answer, actor=request.user, source=SOURCE)
        except ValidationError as error:
            form.take(error)
            return False
        self.log_change(request, ticket, _("Settled"))
        if answer["send_again"]:
            wake(ticket.provider, ticket_id=ticket.pk, using=self.using)
            self.say(request, f"{_('It is queued again.')} {sending()}")
        else:
            self.say(request, _("It counts as delivered."))
        return True

    def _sync(self, request: HttpRequest, ticket: Ticket) -> None:
        if not ticket.remote_id:
            raise ValidationError(_("The vendor has not got this ticket."))
        make_due(ticket.provider, [ticket.remote_id], using=self.using)
        ask_for_news(ticket.provider, using=self.using)
        self.say(request, fetching())

    def _send(self, request: HttpRequest, ticket: Ticket) -> None:
        if not hasten([ticket.pk], using=self.using):
            entry = OutboxEntry.objects.using(self.using).filter(ticket=ticket).first()
            raise ValidationError(_why_not_due(entry))
        wake(ticket.provider, ticket_id=ticket.pk, using=self.using)
        self.say(request, sending())

    def _cancel(self, request: HttpRequest, ticket: Ticket) -> None:
        decision("cancel")(ticket, actor=request.user, source=SOURCE)
        self.say(request, _("It is not sent."))

    def _edit(self, request: HttpRequest, ticket: Ticket) -> None:
        if not ticket.back_to_draft():
            raise ValidationError(_("It is not refused (any more)."))

    def _close(self, request: HttpRequest, ticket: Ticket) -> None:
        decision("request_close")(ticket, actor=request.user, source=SOURCE)
        wake(ticket.provider, ticket_id=ticket.pk, using=self.using)
        self.say(request, f"{_('Its closing is queued.')} {sending()}")

    def _close_here(self, request: HttpRequest, ticket: Ticket) -> None:
        decision("close_here")(ticket, actor=request.user, source=SOURCE)
        self.say(request, _("It is closed here."))

    def _raise_again(self, request: HttpRequest, ticket: Ticket) -> Ticket:
        draft: Ticket = decision("raise_again")(ticket, actor=request.user, source=SOURCE)
        self.log_addition(request, draft, [{"added": {}}])
        self.say(request, _("This is the new draft. Submit it when it is right."))
        return draft

    @admin.action(description=gettext_lazy("Fetch news now"), permissions=["sync"])
    def sync_selected(self, request: HttpRequest, queryset: QuerySet[Ticket]) -> None:
        """Make the selected tickets due, and have them fetched."""
        there = _by_account(queryset.filter(remote_id__isnull=False).values_list("provider", "remote_id"))
        count = 0
        for alias, remote_ids in there.items():
            for start in range(0, len(remote_ids), BATCH):
                count += make_due(alias, remote_ids[start : start + BATCH], using=self.using)
            ask_for_news(alias, using=self.using)
        text = ngettext("%(count)d ticket is due now.", "%(count)d tickets are due now.", count) % {"count": count}
        self.say(request, f"{text} {fetching()}" if count else text, messages.SUCCESS if count else messages.WARNING)

    @admin.action(description=gettext_lazy("Send now"), permissions=["sync"])
    def send_selected(self, request: HttpRequest, queryset: QuerySet[Ticket]) -> None:
        """Make what is queued of the selected tickets due."""
        waiting = _by_account(queryset.filter(outbox__isnull=False).values_list("provider", "pk"))
        count = 0
        for alias, pks in waiting.items():
            for start in range(0, len(pks), BATCH):
                count += hasten(pks[start : start + BATCH], using=self.using)
            self._wake_for(alias, pks)
        text = ngettext("%(count)d ticket is due now.", "%(count)d tickets are due now.", count) % {"count": count}
        self.say(request, f"{text} {sending()}" if count else text, messages.SUCCESS if count else messages.WARNING)

    def _wake_for(self, alias: str, pks: Iterable[int]) -> None:
        if settings.DISPATCHER != "inline":
            wake(alias, using=self.using)
            return
        for pk in pks:
            wake(alias, ticket_id=pk, using=self.using)

    @admin.action(description=gettext_lazy("Cancel sending"), permissions=["change"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Ticket]) -> None:
        """Take the selected tickets back that are queued."""
        self._each(request, queryset.filter(delivery=Delivery.QUEUED), "cancel")

    @admin.action(description=gettext_lazy("Close at the vendor"), permissions=["change"])
    def close_selected(self, request: HttpRequest, queryset: QuerySet[Ticket]) -> None:
        """Have the selected tickets closed at their vendors."""
        for ticket in self._each(request, queryset, "request_close"):
            wake(ticket.provider, ticket_id=ticket.pk, using=self.using)

    @admin.action(description=gettext_lazy("Close here"), permissions=["change"])
    def close_here_selected(self, request: HttpRequest, queryset: QuerySet[Ticket]) -> None:
        """Close the selected tickets in our own books, where the vendor has no way to."""
        self._each(request, queryset, "close_here")

    def _each(self, request: HttpRequest, queryset: QuerySet[Ticket], name: str) -> list[Ticket]:
        decide = decision(name)
        done: list[Ticket] = []
        refused: dict[str, int] = {}
        for pk in list(queryset.order_by("pk").values_list("pk", flat=True)):
            ticket = Ticket.objects.using(self.using).filter(pk=pk).first()
            if ticket is None:
                continue
            try:
                decide(ticket, actor=request.user, source=SOURCE)
            except ValidationError as error:
                reason = " ".join(error.messages)
                refused[reason] = refused.get(reason, 0) + 1
            else:
                done.append(ticket)
        self._report(request, len(done), refused)
        return done

    def _report(self, request: HttpRequest, count: int, refused: dict[str, int]) -> None:
        text = ngettext("Done for %(count)d ticket.", "Done for %(count)d tickets.", count) % {"count": count}
        self.say(request, text, messages.SUCCESS if count else messages.WARNING)
        for reason, number in refused.items():
            self.say(request, f"{number} × {reason}", messages.WARNING)


def hasten(pks: list[int], *, using: str) -> int:
    """Make outbox entries due now; return how many.

    Left alone is what a worker has, and what may be at the vendor: it is searched for after its time, never sent now.
    """
    free = Q(leased_until=None) | Q(leased_until__lte=EpochNow())
    entries = OutboxEntry.objects.using(using).filter(free, ticket__in=pks, sent_at=None)
    return entries.update(not_before=0)


def _why_not_due(entry: OutboxEntry | None) -> str:
    if entry is None:
        return _("Nothing of this ticket is queued.")
    if not entry.may_be_at_the_vendor:
        return _("A worker has it already.")
    due = moment_of(entry.not_before)
    facts = {"when": exactly(due) if due else "–"}
    return (
        _("The last answer was lost: it is looked for at the vendor (%(when)s) before anything is sent again.") % facts
    )


def _by_account(rows: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for alias, value in rows:
        found.setdefault(alias, []).append(value)
    return found
