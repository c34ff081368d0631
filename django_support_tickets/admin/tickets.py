from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import ProtectedError, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_support_tickets.admin.badges import ticket_badges
from django_support_tickets.admin.dashboard import DashboardAdmin
from django_support_tickets.admin.deciding import DecidingAdmin
from django_support_tickets.admin.export import csv_response
from django_support_tickets.admin.filters import AccountFilter, AttentionFilter, DeliveryFilter, StatusFilter
from django_support_tickets.admin.offers import ACTIONS
from django_support_tickets.admin.pages import PageAdmin
from django_support_tickets.admin.paginators import EstimatingPaginator
from django_support_tickets.admin.searching import search_tickets
from django_support_tickets.admin.selecting import SelectingAdmin
from django_support_tickets.admin.wording import exactly
from django_support_tickets.models import OutboxEntry, Ticket

#: Columns that the list does not show and that may be long.
LONG = ("description", "raw", "resolution", "options", "tags", "delivery_error")


class TicketList(ChangeList):
    """The list of tickets, without what only a ticket's page shows."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        return super().get_queryset(request, exclude_parameters).defer(*LONG)


class TicketAdmin(DashboardAdmin, DecidingAdmin, SelectingAdmin, PageAdmin):
    """Raise tickets at vendors, follow and answer them, and move on what is stuck."""

    list_display = ("what", "state", "provider", "reference", "age", "last_answer", "requester")
    empty_value_display = "–"
    list_display_links = ("what",)
    list_filter = (AttentionFilter, AccountFilter, StatusFilter, DeliveryFilter)
    list_select_related = ("requester",)
    list_per_page = 50
    search_fields = ("key", "reference", "remote_id", "contact_email", "subject")
    search_help_text = gettext_lazy(
        "Key, vendor's id, or the beginning of a reference or contact e-mail; if there is none, words of the subject."
    )
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    sortable_by = ("age",)
    ordering = ("-created_at", "-id")
    paginator = EstimatingPaginator
    raw_id_fields = ("requester",)
    actions = (
        "sync_selected",
        "send_selected",
        "cancel_selected",
        "close_selected",
        "close_here_selected",
        "export_selected",
    )
    change_list_template = "admin/support_tickets/ticket/list.html"
    delete_confirmation_template = "admin/support_tickets/ticket/delete.html"
    delete_selected_confirmation_template = "admin/support_tickets/ticket/delete_selected.html"

    class Media:
        """The styles of this app's own pages."""

        css = {"all": ("support_tickets/admin.css",)}

    def get_urls(self) -> list[URLPattern]:
        """Put the pages of ours before those of every admin."""
        wrap = self.admin_site.admin_view
        views: list[tuple[str, Any, str]] = [
            ("dashboard/", self.dashboard_view, "dashboard"),
            ("<int:pk>/reply/", self.reply_view, "reply"),
            ("<int:pk>/settle/", self.settle_view, "settle"),
            ("<int:pk>/settle/<str:kind>/<uuid:key>/", self.settle_view, "settle_item"),
            ("<int:pk>/cancel/<str:kind>/<uuid:key>/", self.cancel_item_view, "cancel_item"),
            ("<int:pk>/submit/<str:kind>/<uuid:key>/", self.submit_item_view, "submit_item"),
            ("<int:pk>/files/<uuid:key>/", self.file_view, "file"),
            ("<int:pk>/files/<uuid:key>/fetch/", self.fetch_file_view, "fetch_file"),
        ]
        names = [action.name for action in ACTIONS if action.name != "settle"]
        ours = [path(route, wrap(view), name=f"support_tickets_ticket_{name}") for route, view, name in views]
        ours += [
            path(
                f"<int:pk>/{name.replace('_', '-')}/",
                wrap(partial(self.action_view, name=name)),
                name=f"support_tickets_ticket_{name}",
            )
            for name in names
        ]
        return [*ours, *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return TicketList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return search_tickets(queryset, search_term), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Refuse actions that the user may not take, whoever has written the form."""
        if request.method == "POST":
            named = set(request.POST.getlist("action")) - {""}
            if not named <= self.get_actions(request).keys() or not self.get_actions(request):
                raise PermissionDenied
        return super().changelist_view(request, {"title": _("Tickets"), **(extra_context or {})})

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        """Say why something cannot be deleted, where a signal has refused it."""
        try:
            with transaction.atomic(using=self.using):
                return super().response_action(request, queryset, *args, **kwargs)
        except ProtectedError as error:
            self.say(request, error.args[0], messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Say why something cannot be deleted, where a signal has refused it."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except ProtectedError as error:
            self.say(request, error.args[0], messages.ERROR)
            return HttpResponseRedirect(self.url("change", object_id))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Count the outbox among what a ticket is made of: nobody may delete its entries by themselves."""
        objects, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return objects, counts, lacking - {OutboxEntry._meta.verbose_name}, protected

    @admin.action(description=gettext_lazy("Export as CSV"), permissions=["change"])
    def export_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase:
        """Return the selected tickets as a file."""
        return csv_response(queryset)

    @admin.display(description=gettext_lazy("subject"))
    def what(self, ticket: Ticket) -> str:
        return Truncator(ticket.subject).chars(80) or _("(no subject)")

    @admin.display(description=gettext_lazy("state"))
    def state(self, ticket: Ticket) -> SafeString:
        return format_html_join(" ", "{}", ((label,) for label in ticket_badges(ticket)))

    @admin.display(description=gettext_lazy("age"), ordering="created_at")
    def age(self, ticket: Ticket) -> SafeString:
        return moment(ticket.created_at, _("age"))

    @admin.display(description=gettext_lazy("last answer"))
    def last_answer(self, ticket: Ticket) -> SafeString:
        return moment(ticket.last_comment_at, _("last answer"))


def moment(at: Any, label: str) -> SafeString:
    """Return how long ago something was, if ever, with the time itself for those who point at it.

    The label is shown only where the list has no heads of columns, on a narrow screen.
    """
    name = format_html('<span class="st-label">{} </span>', label)
    if at is None:
        return format_html("{}–", name)
    # Django's distances do not break, which makes columns wide.
    distance = timesince(at, timezone.now(), depth=1).replace("\xa0", " ")
    return format_html('{}<time datetime="{}" title="{}">{}</time>', name, at.isoformat(), exactly(at), distance)
