from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connections, router, transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from django_support_tickets.admin.scope import scope_of
from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.models import Ticket, TicketEvent
from django_support_tickets.providers import providers
from django_support_tickets.records import Capabilities

View = Callable[..., Any]
#: What events say of where a decision was made.
SOURCE = TicketEvent.Source.ADMIN


def capabilities_of(alias: str) -> Capabilities | None:
    """Return what an account can do; None if it is not, or wrongly, configured."""
    try:
        return providers[alias].capabilities
    except InvalidProvider:
        return None


def outside_transactions(view: View) -> View:
    """Mark a view that talks to vendors or storages: no ATOMIC_REQUESTS, on any database."""
    for using in connections:
        view = transaction.non_atomic_requests(using=using)(view)
    return view


class BaseTicketAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What all pages about tickets share: who may see which, and how they are found."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Ticket]:
        scope = scope_of(request.user)
        if scope is None:
            return super().get_queryset(request)
        return scope.order_by(*self.get_ordering(request))

    def has_sync_permission(self, request: HttpRequest, obj: Ticket | None = None) -> bool:
        """Return whether the user may have tickets fetched and sent now."""
        return request.user.has_perm("support_tickets.sync_ticket")

    def has_settle_permission(self, request: HttpRequest, obj: Ticket | None = None) -> bool:
        """Return whether the user may say what has become of an uncertain delivery."""
        return request.user.has_perm("support_tickets.settle_ticket")

    def has_reply_permission(self, request: HttpRequest, obj: Ticket | None = None) -> bool:
        """Return whether the user may write comments."""
        return request.user.has_perm("support_tickets.add_comment")

    def has_attach_permission(self, request: HttpRequest, obj: Ticket | None = None) -> bool:
        """Return whether the user may add files."""
        return request.user.has_perm("support_tickets.add_attachment")

    def has_download_permission(self, request: HttpRequest, obj: Ticket | None = None) -> bool:
        """Return whether the user may have the files of tickets."""
        return request.user.has_perm("support_tickets.view_attachment")

    def require(self, request: HttpRequest, *permissions: str) -> None:
        """Raise PermissionDenied unless the user may see tickets and has each of `permissions`."""
        allowed = [getattr(self, f"has_{name}_permission")(request) for name in permissions]
        if not (self.has_view_or_change_permission(request) and all(allowed)):
            raise PermissionDenied

    def ticket_or_404(self, request: HttpRequest, pk: int) -> Ticket:
        """Return a ticket that the user may see, from the database that is written to."""
        ticket: Ticket | None = (
            self.get_queryset(request).using(self.using).select_related("requester").filter(pk=pk).first()
        )
        if ticket is None:
            raise Http404
        return ticket

    @property
    def using(self) -> str:
        """Return the database that tickets are written to."""
        return router.db_for_write(Ticket)

    def url(self, name: str, *args: Any) -> str:
        """Return the address of one of this admin's pages."""
        return reverse(f"admin:support_tickets_ticket_{name}", args=args, current_app=self.admin_site.name)

    def back_to(self, ticket: Ticket) -> HttpResponse:
        """Return the way back to a ticket's page."""
        return HttpResponseRedirect(self.url("change", quote(ticket.pk)))

    def say(self, request: HttpRequest, text: Any, level: int = messages.SUCCESS) -> None:
        """Show a sentence on the next page."""
        self.message_user(request, str(text), level)

    def complain(self, request: HttpRequest, error: ValidationError) -> None:
        """Show why something was not done."""
        self.say(request, " ".join(error.messages), messages.ERROR)

    def page_context(self, request: HttpRequest, ticket: Ticket | None, **context: Any) -> dict[str, Any]:
        """Return what the templates of Django's admin expect, and `context`."""
        request.current_app = self.admin_site.name
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "app_label": self.opts.app_label,
            "media": self.media,
            "original": ticket,
            "ticket": ticket,
            "is_popup": False,
            "add": ticket is None,
            "change": ticket is not None,
            "has_view_permission": self.has_view_or_change_permission(request),
            "has_delete_permission": self.has_delete_permission(request, ticket),
            **context,
        }
