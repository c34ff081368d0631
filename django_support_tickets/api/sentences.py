"""What a customer is told about a delivery: a sentence per state, never what a vendor or a worker has said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from django_support_tickets.models import Delivery

Sentences = Mapping[str, Any]

OF_TICKETS: Sentences = {
    Delivery.DRAFT: _("This is a draft; nothing has been sent."),
    Delivery.QUEUED: _("On its way to the support desk."),
    Delivery.DELIVERED: _("The support desk has received it."),
    Delivery.REFUSED: _("The support desk did not accept it."),
    Delivery.UNCERTAIN: _("It is being checked whether the support desk has received it."),
}
OF_CLOSINGS: Sentences = {
    "": "",
    Delivery.QUEUED: _("The request to close it is on its way to the support desk."),
    Delivery.DELIVERED: _("The support desk was asked to close it."),
    Delivery.REFUSED: _("The support desk did not close it."),
    Delivery.UNCERTAIN: _("It is being checked whether the support desk has closed it."),
}
