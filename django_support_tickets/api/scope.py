"""Who sees which tickets, and which accounts are offered to whom; asked for every request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.module_loading import import_string

from django_support_tickets.conf import settings
from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.models import Ticket
from django_support_tickets.providers import Provider, providers
from django_support_tickets.records import clean_text

Ask = Callable[[Any, str], dict[str, str] | None]

logger = logging.getLogger(__name__)

#: What a customer never says about themselves: it comes from SUPPORT_TICKETS_CUSTOMER_RESOLVER.
CUSTOMER_FIELDS = ("customer_id", "contact_name", "contact_email")


def is_agent(user: Any) -> bool:
    """Return whether a user is staff with the permission to view tickets; everybody else is a customer."""
    return is_active(user) and bool(getattr(user, "is_staff", False)) and may(user, "view_ticket")


def is_active(user: Any) -> bool:
    """Return whether somebody is logged in whose account has not been switched off since."""
    return bool(user and user.is_authenticated and user.is_active)


def may(user: Any, codename: str) -> bool:
    """Return whether a user has a permission of this app."""
    return bool(user.has_perm(f"support_tickets.{codename}"))


def tickets_for(user: Any) -> QuerySet[Ticket]:
    """Return the tickets that a user may know of: SUPPORT_TICKETS_TICKET_SCOPE, or all for agents and else their own.

    Nothing for somebody who is not logged in or not active, whatever the setting says.
    """
    if not is_active(user):
        return Ticket.objects.none()
    scope = _function(settings.TICKET_SCOPE)
    if scope is not None:
        tickets: QuerySet[Ticket] = scope(user)
        return tickets
    return Ticket.objects.all() if is_agent(user) else Ticket.objects.filter(requester=user)


def customer_of(user: Any, alias: str) -> dict[str, str] | None:
    """Return what a vendor knows a user by: customer_id, contact_name, contact_email; {} without a resolver.

    "" stands for what is not known, and for what no ticket can have. None: SUPPORT_TICKETS_CUSTOMER_RESOLVER does not
    offer this account to the user.
    """
    resolver = _function(settings.CUSTOMER_RESOLVER)
    if resolver is None:
        return {}
    found = resolver(user, alias)
    return None if found is None else {name: _usable(name, found.get(name), alias) for name in CUSTOMER_FIELDS}


def offered(user: Any, alias: str, *, ask: Ask = customer_of) -> Provider | None:
    """Return the provider of an account that a user may raise tickets at; None: there is no such account for them."""
    is_offered = alias in providers and (is_agent(user) or ask(user, alias) is not None)
    return provider_at(alias) if is_offered else None


def provider_at(alias: str) -> Provider | None:
    """Return the provider of an account, None if it is not, or wrongly, configured."""
    try:
        return providers[alias]
    except InvalidProvider:
        return None  # `manage.py check` says what is wrong with it


def _usable(name: str, value: Any, alias: str) -> str:
    """Return a value as the column takes it, also of a draft, which nothing else checks; a long name is clipped."""
    column: Any = Ticket._meta.get_field(name)
    text = str(value or "").strip()
    if name == "contact_name":
        return clean_text(text)[: column.max_length]
    try:
        column.run_validators(text)
    except ValidationError:
        text = ""
    if text and text == clean_text(text):
        return text
    if value:
        facts = {"event": "api.customer", "account": alias}
        logger.warning("the customer resolver gives no usable %s for %s", name, alias, extra=facts)
    return ""


def _function(setting: str | Callable[..., Any] | None) -> Callable[..., Any] | None:
    return import_string(setting) if isinstance(setting, str) else setting
