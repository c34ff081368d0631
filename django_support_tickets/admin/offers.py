"""What can be done with a ticket, by whom, and when it is offered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from django_support_tickets.admin.outlook import Sending
from django_support_tickets.models import Delivery, Ticket
from django_support_tickets.records import Capabilities, Status


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done with a ticket by a POST, offered where `offered` says so."""

    name: str
    label: str | Promise
    permission: str
    offered: Callable[[Ticket, Sending, Capabilities | None], bool]
    #: What it means, said before it is done; "" where it can be done at once.
    caution: str | Promise = ""
    #: Whether it is the way out of a ticket that is stuck.
    is_way_out: bool = False


def _is_at_vendor(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    return bool(ticket.remote_id) and capabilities is not None


def _waits(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    can_go = capabilities is not None and ticket.delivery in (Delivery.QUEUED, Delivery.DELIVERED)
    return sending_.entry is not None and can_go and not sending_.is_held


def _is_queued(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    is_queued = Delivery.QUEUED in (ticket.delivery, ticket.close_delivery)
    return is_queued and not sending_.is_held and not (sending_.entry and sending_.entry.may_be_at_the_vendor)


def _is_uncertain(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    return Delivery.UNCERTAIN in (ticket.delivery, ticket.close_delivery)


def _is_refused(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    return ticket.delivery == Delivery.REFUSED


def _can_be_closed(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    under_way = ticket.close_delivery in (Delivery.QUEUED, Delivery.UNCERTAIN)
    is_there = ticket.delivery in (Delivery.QUEUED, Delivery.DELIVERED) and ticket.status != Status.CLOSED
    return bool(capabilities and capabilities.can_close) and is_there and not under_way


def _can_be_closed_here(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    is_sent = ticket.delivery not in (Delivery.DRAFT, Delivery.QUEUED)
    return capabilities is not None and not capabilities.can_close and is_sent and ticket.status != Status.CLOSED


def _was_sent(ticket: Ticket, sending_: Sending, capabilities: Capabilities | None) -> bool:
    return ticket.delivery not in (Delivery.DRAFT, Delivery.QUEUED) and ticket.origin == Ticket.Origin.HERE


ACTIONS = (
    Action("settle", gettext_lazy("Settle…"), "settle", _is_uncertain, is_way_out=True),
    Action("edit", gettext_lazy("Edit and submit again"), "change", _is_refused, is_way_out=True),
    Action("sync", gettext_lazy("Fetch news now"), "sync", _is_at_vendor),
    Action("send", gettext_lazy("Send now"), "sync", _waits),
    Action("cancel", gettext_lazy("Cancel sending"), "change", _is_queued),
    Action(
        "close",
        gettext_lazy("Close at the vendor"),
        "change",
        _can_be_closed,
        gettext_lazy("The vendor is asked to close the ticket. Not every vendor lets a closed ticket be opened again."),
    ),
    Action(
        "close_here",
        gettext_lazy("Close here"),
        "change",
        _can_be_closed_here,
        gettext_lazy(
            "This vendor cannot close tickets. It is closed in your own books only, and not looked at any more."
        ),
    ),
    Action(
        "raise_again",
        gettext_lazy("Raise again"),
        "add",
        _was_sent,
        gettext_lazy("A new draft is made with the same text and files. This ticket stays as it is."),
    ),
)
BY_NAME = {action.name: action for action in ACTIONS}
