from __future__ import annotations

from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from django_support_tickets.admin.base import SOURCE, BaseTicketAdmin
from django_support_tickets.admin.offers import BY_NAME
from django_support_tickets.admin.replies import SettleForm
from django_support_tickets.admin.wording import explain, sending
from django_support_tickets.admin.work import decision, known_remote_id, note_submitted
from django_support_tickets.dispatch import wake
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Submission, Ticket


class ItemKind(NamedTuple):
    """What an address calls a comment or file: its model, and what the outbox calls sending it."""

    model: type[Submission]
    operation: OutboxEntry.Item


ITEMS = {
    "comment": ItemKind(Comment, OutboxEntry.Item.COMMENT),
    "file": ItemKind(Attachment, OutboxEntry.Item.UPLOAD),
}


class DecidingAdmin(BaseTicketAdmin):
    """What nobody but a person can know or decide, about a ticket or about one of its comments and files."""

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

    def submit_item_view(self, request: HttpRequest, pk: int, kind: str, key: Any) -> HttpResponse:
        """Submit a comment or file that was taken back, or refused, once more."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self.require(request, "attach" if kind == "file" else "reply")
        ticket, item = self._item(request, pk, kind, key)
        try:
            with transaction.atomic(using=self.using):
                item.submit()
                note_submitted(item, ITEMS[kind].operation, actor=request.user)
        except ValidationError as error:
            self.complain(request, error)
        else:
            self.log_change(request, ticket, _("Submitted again"))
            self.say(request, f"{_('It is queued again.')} {sending()}")
        return self.back_to(ticket)

    def _item(self, request: HttpRequest, pk: int, kind: str, key: Any) -> tuple[Ticket, Submission]:
        """Return a ticket, and the item of it with this key; without a key, the item is the ticket itself."""
        ticket = self.ticket_or_404(request, pk)
        if key is None:
            return ticket, ticket
        if kind not in ITEMS:
            raise Http404
        rows: QuerySet[Any] = ITEMS[kind].model._base_manager.using(self.using)
        item: Submission | None = rows.filter(ticket=ticket, key=key).first()
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
