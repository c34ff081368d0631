from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

import pytest
from django.utils.module_loading import import_string

from django_support_tickets.conf import settings
from django_support_tickets.testing.sandbox import Sandbox, WebhookVendor

# Tokens of an earlier test would make the ledger depend on the order of tests. Named, not imported: the plugin is
# loaded by every run of pytest where this package is installed, and the HTTP library costs time.
FORGET_ACCOUNTS = "django_support_tickets.transport.forget_accounts"

pytest.register_assert_rewrite("django_support_tickets.testing.contract")


class SignWebhook(Protocol):
    """What the fixture `sign_webhook` is: a function."""

    def __call__(self, alias: str, payload: Mapping[str, Any] | bytes, **signing: Any) -> tuple[dict[str, str], bytes]:
        """Return the headers and the body of a webhook; `signing` goes to the fake vendor's `sign`."""


@pytest.fixture(scope="session")
def _support_tickets_server() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def support_tickets_sandbox(_support_tickets_server: Sandbox) -> Iterator[Sandbox]:
    """The fake vendors over real HTTP on a free loopback port, as new for every test.

    `support_tickets_sandbox.ripio.options()` are the OPTIONS with which a provider talks to the fake Ripio.
    """
    _support_tickets_server.reset()
    import_string(FORGET_ACCOUNTS)()
    yield _support_tickets_server
    _support_tickets_server.reset()


@pytest.fixture
def sign_webhook(support_tickets_sandbox: Sandbox) -> SignWebhook:
    """A function (alias, payload) -> (headers, body): a webhook as the vendor of that account sends it.

    It is signed with the first of the account's `webhook_secrets`, by the fake vendor of its provider or of the class
    that this is derived from; without such an account `alias` names a fake vendor, which signs with its own.
    """

    def sign(alias: str, payload: Mapping[str, Any] | bytes, **signing: Any) -> tuple[dict[str, str], bytes]:
        config = settings.PROVIDERS.get(alias, {})
        vendors = support_tickets_sandbox.vendors
        vendor = next((vendors[name] for name in [*_modules_of(config), alias] if name in vendors), None)
        if not isinstance(vendor, WebhookVendor):
            raise TypeError(f"There is no fake vendor that signs webhooks for {alias!r}.")
        secret = _first_secret(config.get("OPTIONS", {}).get("webhook_secrets"))
        body = payload if isinstance(payload, bytes) else dict(payload)
        return vendor.sign(body, **({"secret": secret} if secret else {}), **signing)

    return sign


def _modules_of(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield "ripio" for a BACKEND "….ripio.RipioProvider", and for a class of the project's own that is one."""
    with suppress(ImportError, AttributeError):
        for kind in import_string(str(config.get("BACKEND", ""))).__mro__:
            yield kind.__module__.rpartition(".")[2]


def _first_secret(secrets: Any) -> str | bytes:
    value = secrets() if callable(secrets) else secrets
    return value if isinstance(value, (str, bytes)) else next(iter(value or ()), "")
