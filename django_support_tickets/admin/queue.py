"""Rows that push and pull write, to be read when something must be understood; nobody changes them by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import ShowFacets
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from django_support_tickets.admin.badges import badge
from django_support_tickets.admin.filters import AccountFilter
from django_support_tickets.admin.paginators import EstimatingPaginator
from django_support_tickets.admin.scope import scope_of
from django_support_tickets.admin.wording import exactly, explain
from django_support_tickets.models import OutboxEntry, ProviderState, SyncRun, moment_of
from django_support_tickets.phrases import translate

#: What a list shows for nothing; a page, which has no such rule for computed values, is given it.
EMPTY = "–"


def shown(moment: datetime | None) -> str:
    """Return a time as people write it."""
    return exactly(moment) if moment else EMPTY


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A table to look at."""

    list_filter = (AccountFilter,)
    ordering: ClassVar[tuple[str, ...]] = ("-pk",)
    actions = None
    empty_value_display = EMPTY
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    sortable_by = ()
    paginator = EstimatingPaginator

    class Media:
        """The styles of this app's own pages."""

        css = {"all": ("support_tickets/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the table; nothing can be posted to it."""
        if request.method == "POST":
            raise PermissionDenied
        return super().changelist_view(
            request, {"title": capfirst(str(self.opts.verbose_name_plural)), **(extra_context or {})}
        )


class OutboxEntryAdmin(ReadOnlyAdmin):
    """What is on its way: at most one row per ticket."""

    list_display = ("ticket_link", "provider", "item", "state", "attempts", "due", "problem", "created_at")
    list_display_links = ("provider",)
    list_select_related = ("ticket",)
    fields = ("ticket_link", "provider", "item", "state", "attempts", "searches", "due", "problem", "created_at")
    readonly_fields = ("ticket_link", "state", "due", "problem")
    ordering = ("-created_at", "-pk")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows, scope = super().get_queryset(request).defer("ticket__raw", "ticket__description"), scope_of(request.user)
        return rows if scope is None else rows.filter(ticket__in=scope.order_by().values("pk"))

    @admin.display(description=_("ticket"))
    def ticket_link(self, entry: OutboxEntry) -> SafeString:
        site = self.admin_site.name
        url = reverse("admin:support_tickets_ticket_change", args=[entry.ticket_id], current_app=site)
        ticket = entry.ticket
        return format_html('<a href="{}">{}</a>', url, ticket.reference or str(ticket.key)[:8])

    @admin.display(description=_("state"))
    def state(self, entry: OutboxEntry) -> SafeString:
        if entry.may_be_at_the_vendor:
            return badge("uncertain", _("may be at the vendor"))
        if entry.lease_token:
            return badge("queued", _("a worker has it"))
        return badge("draft", _("waits"))

    @admin.display(description=_("not before"))
    def due(self, entry: OutboxEntry) -> str:
        return shown(entry.due_at)

    @admin.display(description=_("last error"))
    def problem(self, entry: OutboxEntry) -> str:
        explanation = explain(entry.last_error)
        return EMPTY if explanation is None else str(explanation)


class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """Which verified webhooks came, and when; their bodies are not kept."""

    list_display = ("received_at", "provider", "event_type", "remote_id")
    fields = ("received_at", "provider", "event_type", "remote_id", "identity")
    ordering = ("-received_at",)


class ProviderStateAdmin(ReadOnlyAdmin):
    """What all workers share about an account: pauses, breaker, walks."""

    list_display = ("provider", "scope", "paused", "why", "failures", "next_walk", "webhooks_refused")
    fields = (
        "provider",
        "scope",
        "paused",
        "why",
        "detail",
        "failures",
        "denials",
        "next_walk",
        "webhooks_refused",
    )
    readonly_fields = ("paused", "why", "detail", "next_walk")
    ordering = ("provider", "scope")

    @admin.display(description=_("paused until"))
    def paused(self, state: ProviderState) -> str:
        return shown(moment_of(state.paused_until))

    @admin.display(description=_("paused because"))
    def why(self, state: ProviderState) -> str:
        return state.get_pause_display() or EMPTY

    @admin.display(description=_("details"))
    def detail(self, state: ProviderState) -> str:
        return translate(state.pause_detail) or EMPTY

    @admin.display(description=_("next list walk"))
    def next_walk(self, state: ProviderState) -> str:
        return shown(moment_of(state.next_walk_at))


class SyncRunAdmin(ReadOnlyAdmin):
    """When which account was fetched, and how it went."""

    list_display = ("started_at", "provider", "result", "finished_at", "problem")
    fields = ("started_at", "finished_at", "provider", "result", "problem", "counts")
    readonly_fields = ("result", "problem")

    @admin.display(description=_("error"))
    def problem(self, run: SyncRun) -> str:
        return translate(run.error) or EMPTY

    @admin.display(description=_("outcome"))
    def result(self, run: SyncRun) -> SafeString:
        looks = {SyncRun.Outcome.DONE: "delivered", SyncRun.Outcome.FAILED: "refused"}
        return badge(looks.get(SyncRun.Outcome(run.outcome), "queued"), run.get_outcome_display())
