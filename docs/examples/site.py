"""The functions of a site that the recipes name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.files.base import File
from django.db.models import QuerySet

from django_support_tickets.models import Ticket

VIRUS = b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE"


def customer_of(user: Any, alias: str) -> dict[str, str] | None:
    """Return what the vendor knows this user by, None if the account is not for them."""
    if alias.startswith("ripio") and not user.email:
        return None
    return {"customer_id": f"customer-{user.pk}", "contact_name": user.get_full_name(), "contact_email": user.email}


def tickets_of_the_team(user: Any) -> QuerySet[Ticket]:
    """Return all tickets for agents, and for others those of everybody in one of their groups."""
    if user.has_perm("support_tickets.view_ticket"):
        return Ticket.objects.all()
    colleagues = get_user_model().objects.filter(groups__in=user.groups.all())
    return Ticket.objects.filter(requester__in={user, *colleagues})


def without_passwords(text: str) -> str:
    """Return a text without what follows the word password."""
    return re.sub(r"(?i)\b(password)\b\s*[:=]?\s*\S+", r"\1 ***", text)


def scan(file: File[bytes], name: str) -> str | None:
    """Return why a file is not to be touched, None if it may be."""
    return "It holds the test virus." if any(VIRUS in chunk for chunk in file.chunks()) else None


def secret(path: str) -> Callable[[], str]:
    """Return a function that reads a secret when it is needed."""
    return lambda: os.environ[path.replace("/", "_").upper()]
