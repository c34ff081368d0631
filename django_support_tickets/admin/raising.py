from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.admin.options import IS_POPUP_VAR, TO_FIELD_VAR
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.forms import Field
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from django_support_tickets.admin.base import BaseTicketAdmin, capabilities_of
from django_support_tickets.admin.fields import UploadingForm
from django_support_tickets.admin.forms import TicketForm
from django_support_tickets.admin.limits import at_most, file_rules
from django_support_tickets.admin.wording import sending
from django_support_tickets.admin.work import note_submitted
from django_support_tickets.attachments.storing import StorageFailed
from django_support_tickets.models import Attachment, Delivery, OutboxEntry, Ticket
from django_support_tickets.providers import providers
from django_support_tickets.records import Capabilities


class RaisingAdmin(BaseTicketAdmin):
    """Choose the account, fill in its form, keep it as a draft or submit it."""

    add_form_template = change_form_template = "admin/support_tickets/ticket/form.html"

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Show the accounts, then the form of the one that was chosen; with one account, its form at once."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        aliases = list(providers)
        alias = request.GET.get("account", aliases[0] if len(aliases) == 1 else "")
        capabilities = capabilities_of(alias) if alias in aliases else None
        if capabilities is None:
            return self.accounts_page(request, alias)
        form = self.ticket_form(request, Ticket(provider=alias), capabilities)
        if request.method == "POST":
            if raised := self.raised_before(request, form):
                self.say(request, _("This was raised already; nothing was raised again."), messages.INFO)
                return self.back_to(raised)
            if form.is_valid() and self.store(request, form):
                return self.after_storing(request, form.instance, is_new=True)
        return self.form_page(request, form, add=True)

    def draft_view(self, request: HttpRequest, ticket: Ticket) -> HttpResponse:
        """Show a draft, or store what was changed on it, or submit it."""
        capabilities = capabilities_of(ticket.provider)
        if capabilities is None:
            raise PermissionDenied
        form = self.ticket_form(request, ticket, capabilities)
        if request.method == "POST" and form.is_valid() and self.store(request, form):
            return self.after_storing(request, form.instance, is_new=False)
        return self.form_page(request, form, add=False)

    def accounts_page(self, request: HttpRequest, alias: str) -> HttpResponse:
        """Return the page on which an account is chosen."""
        if alias:
            message = _("There is no account %(account)s that can be used.") % {"account": alias}
            self.say(request, message, messages.ERROR)
        accounts = [self._account(request, name) for name in providers]
        context = self.page_context(request, None, title=_("Raise a ticket: which account?"), accounts=accounts)
        return TemplateResponse(request, "admin/support_tickets/ticket/accounts.html", context)

    def _account(self, request: HttpRequest, alias: str) -> dict[str, Any]:
        query = request.GET.copy()
        query["account"] = alias
        capabilities = capabilities_of(alias)
        facts = [] if capabilities is None else _facts(capabilities)
        return {"alias": alias, "facts": facts, "url": f"?{query.urlencode()}", "usable": capabilities is not None}

    def ticket_form(self, request: HttpRequest, ticket: Ticket, capabilities: Capabilities) -> TicketForm:
        """Return the form of an account, bound to what was posted."""
        is_post = request.method == "POST"
        return TicketForm(
            request.POST if is_post else None,
            request.FILES if is_post else None,
            instance=ticket,
            initial={"requester": ticket.requester_id or request.user.pk},
            capabilities=capabilities,
            requester=self._requester_field(request),
            may_attach=self.has_attach_permission(request),
        )

    def _requester_field(self, request: HttpRequest) -> Field | None:
        requester = Ticket._meta.get_field("requester")
        field = self.formfield_for_dbfield(requester, request)
        if field is not None:
            field.help_text = _("Whose ticket it is here; empty for yours.")
        return field

    def raised_before(self, request: HttpRequest, form: TicketForm) -> Ticket | None:
        """Return the ticket that this very form has raised before: somebody has clicked twice."""
        try:
            key = UUID(str(form.data.get("key", "")))
        except ValueError:
            return None
        return self.get_queryset(request).using(self.using).filter(key=key).first()

    def store(self, request: HttpRequest, form: TicketForm) -> bool:
        """Store the ticket with its files; return False after showing in the form why not."""
        return self.all_or_nothing(form, partial(self._store, request, form))

    def all_or_nothing(self, form: UploadingForm, write: Callable[[], object]) -> bool:
        """Write in one transaction; return False after showing in the form why nothing was stored."""
        try:
            with transaction.atomic(using=self.using):
                write()
        except ValidationError as error:
            form.take(error)
        except StorageFailed:
            form.add_error(None, _("The storage of files does not work just now; nothing was stored."))
        except IntegrityError:
            form.add_error(None, _("This was stored already by another click."))
        return not form.errors

    def _store(self, request: HttpRequest, form: TicketForm) -> None:
        ticket: Ticket = form.instance
        is_new = ticket._state.adding
        ticket.requester_id = ticket.requester_id or request.user.pk
        ticket.delivery = Delivery.DRAFT if form.is_draft or not is_new else Delivery.QUEUED
        if is_new:
            ticket.key = form.cleaned_data.get("key") or ticket.key
        ticket.save(using=self.using)
        for attachment in form.discarded():
            attachment.delete()
        for file in form.files_given:
            self.attach(request, ticket, file)
        if not form.is_draft and ticket.delivery == Delivery.DRAFT:
            ticket.submit()
        if ticket.delivery == Delivery.QUEUED:
            note_submitted(ticket, OutboxEntry.Item.CREATE, actor=request.user)
        message = [{"added": {}}] if is_new else [{"changed": {"fields": form.changed_data}}]
        (self.log_addition if is_new else self.log_change)(request, ticket, message)

    def attach(self, request: HttpRequest, ticket: Ticket, file: Any, **owner: Any) -> Attachment:
        """Add an uploaded file to a ticket."""
        attachment = Attachment(ticket=ticket, file=file, name=file.name, created_by_id=request.user.pk, **owner)
        attachment.save(using=self.using)
        return attachment

    def after_storing(self, request: HttpRequest, ticket: Ticket, *, is_new: bool) -> HttpResponse:
        """Say what happens next, and go on to the ticket's page."""
        if IS_POPUP_VAR in request.POST and is_new:
            return self.response_add(request, ticket)
        if ticket.delivery == Delivery.DRAFT:
            self.say(request, _("The draft was saved. Nothing was sent."))
        else:
            self.say(request, f"{_('The ticket was submitted.')} {sending()}")
        return self.back_to(ticket)

    def form_page(self, request: HttpRequest, form: TicketForm, *, add: bool) -> HttpResponse:
        """Return the form of a new ticket or a draft."""
        ticket: Ticket = form.instance
        adminform = helpers.AdminForm(form, form.fieldsets(), {}, (), model_admin=self)
        title = _("Raise a ticket at %(account)s") if add else _("Draft for %(account)s")
        context = self.page_context(
            request,
            None if add else ticket,
            title=title % {"account": ticket.provider},
            adminform=adminform,
            media=self.media + adminform.media,
            errors=helpers.AdminErrorList(form, []),
            inline_admin_formsets=[],
            form_url="",
            is_popup=IS_POPUP_VAR in request.POST or IS_POPUP_VAR in request.GET,
            to_field=request.POST.get(TO_FIELD_VAR, request.GET.get(TO_FIELD_VAR)),
            several_accounts=add and len(providers) > 1,
            no_comment_reason="" if form.capabilities.can_comment else _(form.capabilities.no_comment_reason),
        )
        return self.render_change_form(request, context, add=add, change=not add, obj=None if add else ticket)


def _facts(capabilities: Capabilities) -> list[str]:
    """Return what an agent should know before choosing an account."""
    facts = []
    if capabilities.no_comment_reason and not capabilities.can_comment:
        facts.append(_(capabilities.no_comment_reason))
    if capabilities.description_max is not None:
        facts.append(_("Text: %(limit)s") % {"limit": at_most(capabilities.description_max)})
    rules = capabilities.attachments
    facts.append(
        _("No files.") if rules is None else _("Files: %(rules)s") % {"rules": " ".join(file_rules(rules)[:-1])}
    )
    return facts
