from __future__ import annotations

from django_support_tickets.admin.tickets import TicketAdmin

__all__ = ["TicketAdmin"]
