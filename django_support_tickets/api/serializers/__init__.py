from __future__ import annotations

from django_support_tickets.api.serializers.accounts import AccountSerializer
from django_support_tickets.api.serializers.conversation import (
    AgentAttachmentSerializer,
    AgentCommentSerializer,
    AgentEventSerializer,
    AttachmentSerializer,
    CommentSerializer,
    EventSerializer,
)
from django_support_tickets.api.serializers.settling import SettlementSerializer
from django_support_tickets.api.serializers.tickets import (
    AgentTicketDetailSerializer,
    AgentTicketSerializer,
    TicketSerializer,
)

__all__ = [
    "AccountSerializer",
    "AgentAttachmentSerializer",
    "AgentCommentSerializer",
    "AgentEventSerializer",
    "AgentTicketDetailSerializer",
    "AgentTicketSerializer",
    "AttachmentSerializer",
    "CommentSerializer",
    "EventSerializer",
    "SettlementSerializer",
    "TicketSerializer",
]
