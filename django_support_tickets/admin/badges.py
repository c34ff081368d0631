"""States as small labels: a word in a frame, told apart by more than its colour."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_support_tickets.models import Delivery, Ticket

#: A closing that has not come to its end.
UNFINISHED = (Delivery.QUEUED, Delivery.REFUSED, Delivery.UNCERTAIN)


def badge(kind: str, label: object) -> SafeString:
    """Return a label; `kind` is one of our own words and picks its look."""
    return format_html('<span class="st-badge st-badge-{}">{}</span>', kind, label)


def delivery_badge(delivery: str) -> SafeString:
    """Return the label of a delivery."""
    return badge(delivery, Delivery(delivery).label)


def ticket_badges(ticket: Ticket) -> list[SafeString]:
    """Return a ticket's labels: the vendor's side where the vendor has it, else ours, and what is unusual."""
    is_there = ticket.delivery == Delivery.DELIVERED
    labels = [badge(ticket.status, ticket.get_status_display()) if is_there else delivery_badge(ticket.delivery)]
    if ticket.close_delivery in UNFINISHED:
        closing = _("closing: %(state)s") % {"state": ticket.get_close_delivery_display().lower()}
        labels.append(badge(ticket.close_delivery, closing))
    if ticket.missing_since is not None:
        labels.append(badge("uncertain", _("missing at the vendor")))
    return labels
