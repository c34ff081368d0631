from __future__ import annotations

from django_support_tickets.api.views.accounts import AccountViewSet
from django_support_tickets.api.views.conversation import AttachmentViewSet, CommentViewSet, EventViewSet
from django_support_tickets.api.views.tickets import TicketViewSet

__all__ = ["AccountViewSet", "AttachmentViewSet", "CommentViewSet", "EventViewSet", "TicketViewSet"]
