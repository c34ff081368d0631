from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from django_support_tickets.providers.moov import MoovProvider
from django_support_tickets.providers.ripio import RipioProvider
from django_support_tickets.testing.plugin import SignWebhook
from django_support_tickets.testing.sandbox import Fault, Sandbox

EVENT = {
    "eventType": "SUPPORT_TICKET.CREATED",
    "supportTicket": {"ticketId": "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "status": "CREATED"},
}


def configure(settings: Any, **options: Any) -> dict[str, Any]:
    common = {"base_url": "http://localhost", "client_id": "a", "client_secret": "b"}
    config = {"BACKEND": "django_support_tickets.providers.ripio.RipioProvider", "OPTIONS": {**common, **options}}
    settings.SUPPORT_TICKETS_PROVIDERS = {"ripio-sandbox": config}
    return config["OPTIONS"]  # type: ignore[return-value]


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_test_has_a_new_sandbox(support_tickets_sandbox: Sandbox, attempt: int) -> None:
    ripio = support_tickets_sandbox.ripio
    assert (ripio.tickets, ripio.ledger, ripio.enabled) == ({}, [], True)
    ripio.add_ticket()
    ripio.enabled = False
    ripio.fail_next("*", Fault.RESET_BEFORE, times=None)


@pytest.mark.parametrize("attempt", [1, 2])
def test_its_options_lead_to_it_and_no_token_is_left_of_an_earlier_test(
    support_tickets_sandbox: Sandbox, attempt: int
) -> None:
    RipioProvider("ripio", **support_tickets_sandbox.ripio.options()).probe()
    assert [entry.operation for entry in support_tickets_sandbox.ripio.ledger] == ["token", "get"]


@pytest.mark.parametrize(
    "secrets",
    [["s-1", "s-2"], "s-1", lambda: ["s-1"], b"s-1", [b"s-1"]],
    ids=["several", "one", "callable", "bytes", "list of bytes"],
)
def test_a_webhook_is_signed_with_the_first_secret_of_its_account(
    settings: Any, sign_webhook: SignWebhook, secrets: Any
) -> None:
    options = configure(settings, webhook_secrets=secrets)
    event = RipioProvider("ripio-sandbox", **options).parse_webhook(*sign_webhook("ripio-sandbox", EVENT))
    assert event.remote_id == "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"
    assert RipioProvider("x", **{**options, "webhook_secrets": ["s-1"]}).parse_webhook(
        *sign_webhook("ripio-sandbox", EVENT)
    )


class OurRipio(RipioProvider):
    """A project's own class."""


def test_a_class_that_is_derived_from_a_vendors_signs_like_it(settings: Any, sign_webhook: SignWebhook) -> None:
    options = configure(settings, webhook_secrets=["s-1"])
    settings.SUPPORT_TICKETS_PROVIDERS["ripio-sandbox"]["BACKEND"] = f"{__name__}.OurRipio"
    assert OurRipio("ripio-sandbox", **options).parse_webhook(*sign_webhook("ripio-sandbox", EVENT))


def test_bytes_are_signed_as_they_are(settings: Any, sign_webhook: SignWebhook) -> None:
    options = configure(settings, webhook_secrets=["s-1"])
    body = json.dumps(EVENT, indent=1).encode()
    headers, sent = sign_webhook("ripio-sandbox", body)
    assert sent == body
    assert RipioProvider("ripio-sandbox", **options).parse_webhook(headers, sent)


def test_without_an_account_the_fake_vendor_signs_with_its_own_secret(
    support_tickets_sandbox: Sandbox, sign_webhook: SignWebhook
) -> None:
    headers, body = sign_webhook(
        "moov", {"type": "ticket.created", "data": {"ticketID": "t", "accountID": "a"}}, nonce="n"
    )
    event = MoovProvider("moov", **support_tickets_sandbox.moov.options()).parse_webhook(headers, body)
    assert (event.identity, event.remote_id, event.customer_id) == ("n", "t", "a")


@pytest.mark.parametrize("alias", ["ankra", "nobody"])
def test_who_sends_no_webhooks_signs_none(sign_webhook: SignWebhook, alias: str) -> None:
    with pytest.raises(TypeError, match=alias):
        sign_webhook(alias, EVENT)


def test_loading_the_plugin_loads_neither_models_nor_requests() -> None:
    script = "import sys, django_support_tickets.testing.plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
    loaded = set(done.stdout.split())
    assert not {"requests", "urllib3", "django.db", "django.db.models", "rest_framework"} & loaded
