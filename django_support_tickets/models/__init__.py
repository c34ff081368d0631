from __future__ import annotations

from django_support_tickets.models.clock import (
    EpochNow,
    comes_twice,
    database_time,
    epoch_now,
    milliseconds,
    moment_of,
    project_time,
    utc_time,
)
from django_support_tickets.models.conversation import Attachment, Comment, TicketEvent
from django_support_tickets.models.queue import OutboxEntry, ProviderState, SyncRun, WebhookDelivery
from django_support_tickets.models.submission import Delivery, Submission
from django_support_tickets.models.ticket import ERASED, Ticket, TicketQuerySet

__all__ = [
    "ERASED",
    "Attachment",
    "Comment",
    "Delivery",
    "EpochNow",
    "OutboxEntry",
    "ProviderState",
    "Submission",
    "SyncRun",
    "Ticket",
    "TicketEvent",
    "TicketQuerySet",
    "WebhookDelivery",
    "comes_twice",
    "database_time",
    "epoch_now",
    "milliseconds",
    "moment_of",
    "project_time",
    "utc_time",
]
