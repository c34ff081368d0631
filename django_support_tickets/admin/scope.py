"""Which tickets a member of staff may know of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.utils.module_loading import import_string

from django_support_tickets.conf import settings
from django_support_tickets.models import Ticket


def scope_of(user: Any) -> QuerySet[Ticket] | None:
    """Return the tickets of SUPPORT_TICKETS_TICKET_SCOPE; None without that setting: the permissions decide alone."""
    scope = settings.TICKET_SCOPE
    if scope is None:
        return None
    function: Callable[..., Any] = import_string(scope) if isinstance(scope, str) else scope
    tickets: QuerySet[Ticket] = function(user)
    return tickets


def scope_name(user: Any) -> str:
    """Return a name for what a user sees, the same for all who see the same; it tells nothing about the user."""
    if settings.TICKET_SCOPE is None:
        return "all"
    return hashlib.sha256(f"support_tickets.scope:{user.pk}".encode()).hexdigest()
