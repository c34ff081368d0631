from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings as django_settings

PREFIX = "SUPPORT_TICKETS_"


class Settings:
    """Read every SUPPORT_TICKETS_* setting at each access; the values below are the defaults."""

    # Accounts: alias -> {"BACKEND": dotted path, "OPTIONS": keyword arguments of the class}.
    PROVIDERS: Mapping[str, Mapping[str, Any]] = {
        "local": {"BACKEND": "django_support_tickets.providers.local.LocalProvider"}
    }
    # Who is asked to work after a commit: "none", "inline" or the dotted path of a function (alias, ticket_id, using).
    DISPATCHER: str = "none"
    # user -> QuerySet[Ticket], or its dotted path. None: staff with the view permission all, others their own.
    TICKET_SCOPE: str | Callable[..., Any] | None = None
    # (user, alias) -> {"customer_id": …, "contact_name": …, "contact_email": …} or None, or its dotted path.
    CUSTOMER_RESOLVER: str | Callable[..., Any] | None = None
    # Alias in STORAGES under which files are kept; while STORAGES lacks it, files are refused.
    ATTACHMENT_STORAGE: str = "support_tickets"
    # Dotted paths of str -> str functions, run once over the text of a ticket or comment at submit.
    OUTGOING_FILTERS: Sequence[str] = ()
    # Dotted path of a function that looks at a stored file: (file, name) -> None or the reason to quarantine it.
    FILE_SCANNER: str | None = None
    # (age of the last change, interval until the next poll), youngest first; None as interval: never.
    POLL_SCHEDULE: Sequence[tuple[timedelta, timedelta | None]] = (
        (timedelta(minutes=10), timedelta(minutes=1)),
        (timedelta(hours=1), timedelta(minutes=5)),
        (timedelta(hours=6), timedelta(minutes=15)),
        (timedelta(hours=72), timedelta(hours=1)),
        (timedelta(days=30), timedelta(days=1)),
        (timedelta(days=36500), timedelta(days=7)),
    )
    # Tickets that one requester may raise: {"hour": n, "day": n}; None: no limit.
    QUOTA: Mapping[str, int] | None = {"hour": 20, "day": 100}
    # Days that support_tickets_prune keeps rows after their last change, by kind; None: for ever. A kind that is left
    # out keeps its default. "list_states": of lists that are not walked any more; "drafts": never submitted; "tickets":
    # settled or refused ones, with comments, files and events; "events": the timelines of tickets that stay.
    RETENTION: Mapping[str, int | None] = {
        "webhook_deliveries": 90,
        "sync_runs": 30,
        "list_states": 30,
        "drafts": None,
        "tickets": None,
        "events": None,
    }

    def __getattribute__(self, name: str) -> Any:
        default = super().__getattribute__(name)
        return getattr(django_settings, PREFIX + name, default) if name.isupper() else default

    def names(self) -> frozenset[str]:
        """Return the full names of all settings of this app."""
        return frozenset(PREFIX + name for name in type(self).__annotations__ if name.isupper())


settings = Settings()
