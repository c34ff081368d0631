from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy, ngettext

from django_support_tickets.admin.base import SOURCE, BaseTicketAdmin
from django_support_tickets.admin.wording import fetching, sending
from django_support_tickets.admin.work import ask_for_news, decision, hasten, make_due
from django_support_tickets.conf import settings
from django_support_tickets.dispatch import wake
from django_support_tickets.models import Delivery, Ticket

#: So many rows are changed by one statement.
BATCH = 500


class SelectingAdmin(BaseTicketAdmin):
    """What can be done with several tickets of the list at once."""

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


def _by_account(rows: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for alias, value in rows:
        found.setdefault(alias, []).append(value)
    return found
