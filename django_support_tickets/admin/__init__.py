"""The admin: its classes are imported when a site first asks one of them something, not by autodiscovery."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

from django_support_tickets.models import OutboxEntry, ProviderState, SyncRun, Ticket, WebhookDelivery

CLASSES: dict[type[Model], str] = {
    Ticket: "django_support_tickets.admin.tickets.TicketAdmin",
    OutboxEntry: "django_support_tickets.admin.queue.OutboxEntryAdmin",
    WebhookDelivery: "django_support_tickets.admin.queue.WebhookDeliveryAdmin",
    ProviderState: "django_support_tickets.admin.queue.ProviderStateAdmin",
    SyncRun: "django_support_tickets.admin.queue.SyncRunAdmin",
}


def admin_of(model: type[Model], site: admin.AdminSite) -> Any:
    """Return the ModelAdmin of a model, made when it is first used."""
    return SimpleLazyObject(lambda: import_string(CLASSES[model])(model, site))


for _model in CLASSES:
    admin.site.register(_model, admin_of)  # type: ignore[arg-type]  # a site only calls it
