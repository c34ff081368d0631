from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from django_support_tickets.admin.acting import ActingAdmin
from django_support_tickets.admin.badges import ticket_badges
from django_support_tickets.admin.base import capabilities_of, outside_transactions
from django_support_tickets.admin.outlook import Sending, item_name, outlook
from django_support_tickets.admin.raising import RaisingAdmin
from django_support_tickets.admin.replies import ReplyForm
from django_support_tickets.admin.timeline import SHOWN, timeline_of
from django_support_tickets.admin.wording import explain, sending
from django_support_tickets.admin.work import fetch_file, note_submitted
from django_support_tickets.attachments.serving import NotServed, attachment_response
from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket, WebhookDelivery, moment_of
from django_support_tickets.phrases import translate
from django_support_tickets.records import Capabilities

#: So many of a ticket's webhooks are shown.
WEBHOOKS_SHOWN = 10
Facts = Iterator[tuple[Any, Any]]


class PageAdmin(RaisingAdmin, ActingAdmin):
    """The page of a ticket: its conversation, what happens next, and what can be done."""

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Return the form of a draft, to those who may change it, and else the page of the ticket."""
        self.require(request)
        is_post = request.method == "POST"
        if is_post:
            self.require(request, "change")
        ticket = self._ticket(request, object_id)
        if ticket is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        is_editable = ticket.delivery == Delivery.DRAFT and capabilities_of(ticket.provider) is not None
        if is_editable and self.has_change_permission(request, ticket):
            return self.draft_view(request, ticket)
        if is_post:
            text = _("Nothing was changed: the ticket was submitted before, or its account cannot be used.")
            self.say(request, text, messages.WARNING)
            return self.back_to(ticket)
        return self.ticket_page(request, ticket)

    def _ticket(self, request: HttpRequest, object_id: str) -> Ticket | None:
        try:
            return self.ticket_or_404(request, int(unquote(object_id)))
        except (Http404, ValueError):
            return None

    def reply_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Store a reply with its files; show the page with the complaints if it cannot be sent."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self.require(request)
        ticket = self.ticket_or_404(request, pk)
        form = self.reply_form(request, ticket)
        if form is None or not form.is_offered:
            raise PermissionDenied
        if form.is_valid() and self.all_or_nothing(form, partial(self._store_reply, request, form)):
            self.say(request, f"{_('The reply was submitted.')} {sending()}")
            return self.back_to(ticket)
        return self.ticket_page(request, ticket, reply=form)

    def reply_form(self, request: HttpRequest, ticket: Ticket) -> ReplyForm | None:
        """Return the form for a reply, or only for files; None where nothing can be added or by this user."""
        capabilities = capabilities_of(ticket.provider)
        if capabilities is None or ticket.delivery not in (Delivery.QUEUED, Delivery.DELIVERED):
            return None
        if capabilities.can_comment and not self.has_reply_permission(request, ticket):
            return None
        is_post = request.method == "POST"
        return ReplyForm(
            request.POST if is_post else None,
            request.FILES if is_post else None,
            auto_id="id_reply_%s",
            ticket=ticket,
            capabilities=capabilities,
            may_attach=self.has_attach_permission(request, ticket),
        )

    def _store_reply(self, request: HttpRequest, form: ReplyForm) -> None:
        comment = self._store_comment(request, form)
        for file in form.files_given:
            attachment = self.attach(request, form.ticket, file, comment=comment)
            if comment is None:
                note_submitted(attachment, OutboxEntry.Item.UPLOAD, actor=request.user)

    def _store_comment(self, request: HttpRequest, form: ReplyForm) -> Comment | None:
        if "body" not in form.fields:
            return None
        comment = Comment(ticket=form.ticket, body=form.cleaned_data["body"], created_by_id=request.user.pk)
        comment.key = form.cleaned_data.get("key") or comment.key
        comment.save(using=self.using)
        note_submitted(comment, OutboxEntry.Item.COMMENT, actor=request.user)
        return comment

    def file_view(self, request: HttpRequest, pk: int, key: Any) -> HttpResponseBase:
        """Hand out a file of a ticket, to be saved and never shown."""
        self.require(request, "download")
        attachment = self._attachment(request, pk, key)
        try:
            return attachment_response(attachment)
        except NotServed as reason:
            self.say(request, reason.message, messages.ERROR)
            return self.back_to(attachment.ticket)

    @outside_transactions
    def fetch_file_view(self, request: HttpRequest, pk: int, key: Any) -> HttpResponse:
        """Fetch a file that lies at the vendor only."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self.require(request, "sync", "download")
        attachment = self._attachment(request, pk, key)
        try:
            state = fetch_file(attachment)
        except InvalidProvider as error:
            self.say(request, translate(str(error)), messages.ERROR)
        else:
            is_stored = state == Attachment.State.STORED
            self.say(request, state.label, messages.SUCCESS if is_stored else messages.WARNING)
        return self.back_to(attachment.ticket)

    def _attachment(self, request: HttpRequest, pk: int, key: Any) -> Attachment:
        ticket = self.ticket_or_404(request, pk)
        attachment = ticket.attachments.select_related("ticket").filter(key=key).first()
        if attachment is None:
            raise Http404
        return attachment

    def ticket_page(self, request: HttpRequest, ticket: Ticket, *, reply: ReplyForm | None = None) -> HttpResponse:
        """Return the page of a ticket."""
        capabilities = capabilities_of(ticket.provider)
        sending_ = Sending.of(ticket, using=self.using)
        timeline = timeline_of(ticket, using=self.using, shown=10_000 if "all" in request.GET else SHOWN)
        reply = reply or (self.reply_form(request, ticket) if request.method == "GET" else None)
        context = self.page_context(
            request,
            ticket,
            title=ticket.subject or _("(no subject)"),
            badges=ticket_badges(ticket),
            notices=outlook(ticket, sending_, capabilities),
            actions=self.object_actions(request, ticket, sending_, capabilities),
            timeline=timeline,
            reply=reply if reply is not None and reply.is_offered else None,
            no_reply=self._why_no_reply(request, ticket, capabilities),
            about=self._about(ticket),
            facts=list(self._facts(ticket)),
            outbox=list(_outbox_facts(sending_)),
            webhooks=self._webhooks(ticket),
            raw=json.dumps(ticket.raw, indent=2, ensure_ascii=False) if ticket.raw else "",
            **self._rights(request),
        )
        return TemplateResponse(request, "admin/support_tickets/ticket/page.html", context)

    def _rights(self, request: HttpRequest) -> dict[str, bool]:
        may_download = self.has_download_permission(request)
        return {
            "may_download": may_download,
            "may_fetch": may_download and self.has_sync_permission(request),
            "may_settle": self.has_settle_permission(request),
            "may_change": self.has_change_permission(request),
            "may_reply": self.has_reply_permission(request),
            "may_attach": self.has_attach_permission(request),
        }

    def _why_no_reply(self, request: HttpRequest, ticket: Ticket, capabilities: Capabilities | None) -> str:
        if capabilities is None:
            return _("Nothing can be added, because the account cannot be used.")
        if not capabilities.can_comment:
            return _(capabilities.no_comment_reason) or _("This account's vendor takes no comments.")
        if ticket.delivery not in (Delivery.QUEUED, Delivery.DELIVERED):
            return _("The vendor has not got this ticket, so there is nothing to reply to.")
        if not self.has_reply_permission(request, ticket):
            return _("You may read this ticket but not reply.")
        return ""

    def _facts(self, ticket: Ticket) -> Facts:
        rows = ("remote_id", "customer_id", "requester", "contact_name", "contact_email", "category", "priority")
        for name in ("provider", "reference", *rows):
            yield Ticket._meta.get_field(name).verbose_name, getattr(ticket, name)  # type: ignore[union-attr]
        yield _("tags"), ", ".join(map(str, ticket.tags or ()))
        yield _("vendor options"), ", ".join(f"{name}: {value}" for name, value in (ticket.options or {}).items())
        yield _("vendor's status"), ticket.remote_status
        yield _("resolution"), ticket.resolution
        times = ("created_at", "submitted_at", "delivered_at", "remote_updated_at", "resolved_at", "closed_at")
        for name in (*times, "last_comment_at", "synced_at"):
            yield Ticket._meta.get_field(name).verbose_name, getattr(ticket, name)  # type: ignore[union-attr]
        yield _("key"), ticket.key

    def _about(self, ticket: Ticket) -> tuple[str, str] | None:
        """Return what of this site the ticket is about: its name, and its address in the admin or ""."""
        if not ticket.about_id:
            return None
        found: Model | None = ticket.about
        if found is None:
            return f"{ticket.about_type or ''} {ticket.about_id}".strip(), ""
        return str(found), self._address(found)

    def _address(self, found: Model) -> str:
        name = f"admin:{found._meta.app_label}_{found._meta.model_name}_change"
        try:
            return reverse(name, args=[found.pk], current_app=self.admin_site.name)
        except NoReverseMatch:
            return ""

    def _webhooks(self, ticket: Ticket) -> list[WebhookDelivery]:
        if not ticket.remote_id:
            return []
        rows = WebhookDelivery.objects.using(self.using).filter(provider=ticket.provider, remote_id=ticket.remote_id)
        return list(rows.order_by("-received_at")[:WEBHOOKS_SHOWN])


def _outbox_facts(sending_: Sending) -> Facts:
    entry = sending_.entry
    if entry is None:
        return
    yield _("next"), item_name(entry.item)
    yield _("queued at"), entry.created_at
    yield _("attempts"), entry.attempts
    yield _("searches at the vendor"), entry.searches
    yield _("not before"), entry.due_at
    yield _("may be at the vendor since"), moment_of(entry.sent_at)
    explanation = explain(entry.last_error)
    yield _("last error"), str(explanation or "")
    yield _("for the vendor's support"), explanation.reference if explanation else ""
