"""The day of `canary`, reported by sentry-sdk with its default options: prints the events as JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django
import sentry_sdk
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

EVENTS: list[dict[str, Any]] = []


class Kept(Transport):
    """Keep what would be sent."""

    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            if item.payload.json is not None:
                EVENTS.append(item.payload.json)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Kept)
    django.setup()
    call_command("migrate", verbosity=0)
    settings.ROOT_URLCONF = "tests.test_canary"
    settings.ALLOWED_HOSTS = ["testserver"]
    from django_support_tickets.testing.sandbox import Sandbox
    from tests import canary, test_canary

    with Sandbox() as sandbox:
        settings.SUPPORT_TICKETS_PROVIDERS = canary.accounts(sandbox)
        canary.live_through(sandbox, command=lambda *arguments: canary.sync("--workers", "1", *arguments))
        for error in canary.provider_errors(sandbox):
            if not isinstance(error, LookupError):  # raised by a project's own class, with secrets in its text
                sentry_sdk.capture_exception(error)
        sandbox.ripio.fail_next("*", canary.Fault.UNAUTHORIZED, times=None)
        values = json.dumps(canary.facts(sandbox)["ripio"])
        client = Client(raise_request_exception=False)
        client.get("/unguarded/ripio/", {"operation": "create", "values": values})
        test_canary.issued(sandbox)
    sentry_sdk.flush()
    sys.stdout.write(json.dumps({"events": EVENTS, "secrets": canary.SECRETS}, default=str))


if __name__ == "__main__":
    main()
