"""The door for vendors' webhooks: verify, remember, make the ticket due, answer.

Nothing is processed later, so nothing received can be poison: what is true is what the ticket's next GET says.
"""

from __future__ import annotations

from django_support_tickets.webhooks.bodies import BODY_MAX, read_body
from django_support_tickets.webhooks.counting import COUNT_EVERY, COUNTED_SINGLY, Refusals, refusals
from django_support_tickets.webhooks.door import Receipt, accept, read_event, receive
from django_support_tickets.webhooks.remembering import SHORTEST_INTERVAL

__all__ = [
    "BODY_MAX",
    "COUNTED_SINGLY",
    "COUNT_EVERY",
    "SHORTEST_INTERVAL",
    "Receipt",
    "Refusals",
    "accept",
    "read_body",
    "read_event",
    "receive",
    "refusals",
]
