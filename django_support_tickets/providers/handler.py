from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.module_loading import import_string

from django_support_tickets.conf import settings
from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.providers.base import Provider


class ProviderHandler:
    """Build the provider of an alias of SUPPORT_TICKETS_PROVIDERS: `with providers["ripio"] as provider: …`."""

    def __getitem__(self, alias: str) -> Provider:
        """Return a new, light instance; raise InvalidProvider naming the alias and what is wrong with it."""
        built = self._build(alias)
        if isinstance(built, str):
            # Not where it went wrong: reports of an error show the local variables of its frames, secrets among them.
            raise InvalidProvider(built)
        return built

    def configured(self, alias: str) -> tuple[type[Provider], Mapping[str, Any]]:
        """Return the class and the OPTIONS of an alias; raise InvalidProvider if there is none that can be used."""
        return self._backend(alias), self._config(alias).get("OPTIONS", {})

    def __iter__(self) -> Iterator[str]:
        return iter(settings.PROVIDERS)

    def __contains__(self, alias: object) -> bool:
        return alias in settings.PROVIDERS

    def __len__(self) -> int:
        return len(settings.PROVIDERS)

    def _build(self, alias: str) -> Provider | str:
        """Return the provider, or what is wrong."""
        try:
            backend, options = self.configured(alias)
            return backend(alias, **options)
        except InvalidProvider as error:
            return str(error)
        except TypeError as error:
            complaint = _complaint(error)
        except Exception as error:  # of a module or class of the project's own; its text may quote an option
            complaint = f"building it raised {type(error).__name__}."
        return f"Provider {alias!r}: {complaint}"

    def _config(self, alias: str) -> Mapping[str, Any]:
        try:
            config = settings.PROVIDERS[alias]
        except KeyError:
            known = ", ".join(map(repr, self)) or "none"
            raise InvalidProvider(f"Provider {alias!r} is not in SUPPORT_TICKETS_PROVIDERS (there: {known}).") from None
        if not isinstance(config, Mapping) or not isinstance(config.get("OPTIONS", {}), Mapping):
            raise InvalidProvider(f"Provider {alias!r}: must be a dictionary with BACKEND and OPTIONS.")
        return config

    def _backend(self, alias: str) -> type[Provider]:
        config = self._config(alias)
        if unknown := ", ".join(repr(name) for name in config if name not in ("BACKEND", "OPTIONS")):
            raise InvalidProvider(f"Provider {alias!r}: unknown key {unknown}; there are BACKEND and OPTIONS.")
        path = config.get("BACKEND")
        if not path:
            raise InvalidProvider(f"Provider {alias!r}: BACKEND is missing.")
        try:
            backend = import_string(path)
        except (ImportError, AttributeError):
            raise InvalidProvider(f"Provider {alias!r}: BACKEND {path!r} cannot be imported.") from None
        if not (isinstance(backend, type) and issubclass(backend, Provider)):
            raise InvalidProvider(f"Provider {alias!r}: BACKEND {path!r} is not a Provider.")
        return backend


def _complaint(error: TypeError) -> str:
    """Return what is wrong with the keyword arguments, without the Python names around it."""
    return re.sub(r",? and (?=')", ", ", re.sub(r"^[\w.<>]+\(\) (got an )?", "", str(error)))


providers = ProviderHandler()
