from __future__ import annotations

from django_support_tickets.admin.queue import OutboxEntryAdmin, ProviderStateAdmin, SyncRunAdmin, WebhookDeliveryAdmin
from django_support_tickets.admin.tickets import TicketAdmin

__all__ = ["OutboxEntryAdmin", "ProviderStateAdmin", "SyncRunAdmin", "TicketAdmin", "WebhookDeliveryAdmin"]
