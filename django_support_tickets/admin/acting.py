from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.translation import gettext as _

from django_support_tickets.admin.base import SOURCE, BaseTicketAdmin
from django_support_tickets.admin.offers import ACTIONS, BY_NAME
from django_support_tickets.admin.outlook import Sending, pause_sentence
from django_support_tickets.admin.wording import exactly, fetching, sending
from django_support_tickets.admin.work import ask_for_news, decision, hasten, make_due, take_back
from django_support_tickets.dispatch import wake
from django_support_tickets.models import OutboxEntry, Ticket, moment_of
from django_support_tickets.models.pauses import paused
from django_support_tickets.records import Capabilities


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

    def _sync(self, request: HttpRequest, ticket: Ticket) -> None:
        if not ticket.remote_id:
            raise ValidationError(_("The vendor has not got this ticket."))
        make_due(ticket.provider, [ticket.remote_id], using=self.using)
        ask_for_news(ticket.provider, using=self.using)
        self.say(request, fetching())
        self._warn_of_pause(request, ticket)

    def _send(self, request: HttpRequest, ticket: Ticket) -> None:
        if not hasten([ticket.pk], using=self.using):
            entry = OutboxEntry.objects.using(self.using).filter(ticket=ticket).first()
            raise ValidationError(_why_not_due(entry))
        wake(ticket.provider, ticket_id=ticket.pk, using=self.using)
        self.say(request, sending())
        self._warn_of_pause(request, ticket)

    def _warn_of_pause(self, request: HttpRequest, ticket: Ticket) -> None:
        if state := paused(ticket.provider, using=self.using):
            self.say(request, pause_sentence(state), messages.WARNING)

    def _cancel(self, request: HttpRequest, ticket: Ticket) -> None:
        decision("cancel")(ticket, actor=request.user, source=SOURCE)
        self.say(request, _("It is not sent."))

    def _edit(self, request: HttpRequest, ticket: Ticket) -> None:
        if not take_back(ticket, actor=request.user):
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
