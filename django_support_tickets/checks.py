from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning

from django_support_tickets.conf import PREFIX, settings
from django_support_tickets.dispatch import resolve_dispatcher
from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.providers import providers

Apps = Sequence[AppConfig] | None


def connect() -> None:
    """Register all checks; called once by the app's `ready()`."""
    register(check_settings, Tags.compatibility)
    register(check_providers, Tags.compatibility)
    register(check_dispatcher, Tags.compatibility)
    register(check_deployment, Tags.security, deploy=True)


def check_settings(app_configs: Apps = None, **kwargs: Any) -> list[CheckMessage]:
    """Report SUPPORT_TICKETS_* names that do not exist."""
    given = [name for name in dir(django_settings) if name.startswith(PREFIX)]
    return [
        Error(
            f"{name} is not a setting of django-support-tickets.",
            hint=f"There are {', '.join(sorted(settings.names()))}.",
            id="support_tickets.E001",
        )
        for name in sorted(set(given) - settings.names())
    ]


def check_providers(app_configs: Apps = None, **kwargs: Any) -> list[CheckMessage]:
    """Report aliases, BACKENDs and OPTIONS that cannot be used; nothing is called and nothing is fetched."""
    if not isinstance(settings.PROVIDERS, dict) or not settings.PROVIDERS:
        return [
            Error(
                f"{PREFIX}PROVIDERS must be a dictionary with at least one alias.",
                hint='For example {"local": {"BACKEND": "django_support_tickets.providers.local.LocalProvider"}}.',
                id="support_tickets.E002",
            )
        ]
    return [message for alias in providers for message in _check_provider(alias)]


def check_dispatcher(app_configs: Apps = None, **kwargs: Any) -> list[CheckMessage]:
    """Report a dispatcher that cannot be imported."""
    try:
        resolve_dispatcher()
    except (ImportError, AttributeError):
        return [
            Error(
                f"{PREFIX}DISPATCHER {settings.DISPATCHER!r} cannot be imported.",
                hint='Use "none", "inline" or the dotted path of a function (alias, ticket_id, using).',
                id="support_tickets.E004",
            )
        ]
    return []


def check_deployment(app_configs: Apps = None, **kwargs: Any) -> list[CheckMessage]:
    """Warn of what is fine in development only."""
    messages: list[CheckMessage] = []
    if settings.DISPATCHER == "inline":
        messages.append(
            CheckWarning(
                "The inline dispatcher calls vendors inside web requests.",
                hint=f'Set {PREFIX}DISPATCHER to "none" and run sync_tickets, or use a task queue.',
                id="support_tickets.W103",
            )
        )
    for alias in providers:
        messages += _warnings_of(alias)
    return messages


def _check_provider(alias: str) -> Iterable[CheckMessage]:
    hint = f"Mend {PREFIX}PROVIDERS[{alias!r}]: BACKEND is a dotted path, OPTIONS are its keyword arguments."
    if not isinstance(alias, str) or not 0 < len(alias) <= 64:
        return [Error(f"Provider {alias!r}: an alias has 1 to 64 characters.", hint=hint, id="support_tickets.E003")]
    try:
        providers[alias]
    except InvalidProvider as error:
        return [Error(str(error), hint=hint, id="support_tickets.E003")]
    return []


def _warnings_of(alias: str) -> list[CheckMessage]:
    try:
        return list(providers[alias].check())
    except InvalidProvider:
        return []
