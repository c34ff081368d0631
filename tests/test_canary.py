"""F12: secrets and personal data are looked for everywhere they must not be, after a day in which everything fails."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_not_required
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path, reverse

import django_support_tickets
from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.models import OutboxEntry, Ticket, WebhookDelivery
from django_support_tickets.outbox.push import push_ticket
from django_support_tickets.providers import providers
from django_support_tickets.providers.ripio import RipioProvider
from django_support_tickets.testing.sandbox import Sandbox
from django_support_tickets.webhooks import refusals
from tests import canary, urls
from tests.canary import SECRETS, WORDS, leaks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.fault(37, 87, 88)]

PACKAGE = str(Path(django_support_tickets.__file__).parent)
TESTING = f"{PACKAGE}/testing"


@login_not_required
@transaction.non_atomic_requests
def send_unguarded(request: HttpRequest, alias: str) -> HttpResponse:
    """A view of a project that calls a vendor and catches nothing."""
    canary.ask(alias, request.GET["operation"], json.loads(request.GET["values"]))
    return HttpResponse()


urlpatterns = [
    *urls.urlpatterns,
    path("unguarded/<str:alias>/", send_unguarded),
    path("support-tickets/", include("django_support_tickets.urls")),
]


@pytest.fixture
def site(settings: Any, sandbox: Sandbox) -> Iterator[Sandbox]:
    """The accounts with canaries for secrets."""
    settings.SUPPORT_TICKETS_PROVIDERS = canary.accounts(sandbox)
    settings.ROOT_URLCONF = __name__
    refusals.clear()
    yield sandbox
    refusals.clear()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Everything that is logged from here on by anybody, with all that belongs to a record."""
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []

    class Everything(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(f"{record.name}: {record.getMessage()} {record.__dict__}")
            if record.exc_info:
                texts.append("".join(traceback.format_exception(*record.exc_info)))

    handler = Everything()
    logging.getLogger().addHandler(handler)
    yield texts
    logging.getLogger().removeHandler(handler)


def run(*command: str) -> str:
    """Run a command; return what it printed, whatever way it ended."""
    output = StringIO()
    try:
        call_command(*command, stdout=output, stderr=output)
    except (CommandError, SystemExit) as error:
        output.write(str(error))
    return output.getvalue()


def dump(*models: str) -> str:
    return run("dumpdata", *models)


def issued(sandbox: Sandbox) -> None:
    """Add the access tokens that the fake Ripio has given out to what is looked for."""
    for entry in sandbox.ripio.ledger:
        scheme, _, token = entry.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer":
            SECRETS[f"ripio access {token[-6:]}"] = token


class TestADay:
    def test_nothing_leaks_into_logs_output_tables_or_admin(
        self, site: Sandbox, logged: list[str], client: Client
    ) -> None:
        printed: list[str] = []
        canary.live_through(site, command=lambda *arguments: printed.append(canary.sync("--workers", "1", *arguments)))
        for command in (["support_tickets_doctor"], ["support_tickets_doctor", "--json"], ["support_tickets_prune"]):
            printed.append(run(*command))
        printed += [str(message) for message in checks.run_checks(include_deployment_checks=True)]
        issued(site)
        assert Ticket.objects.filter(delivery="delivered").count() >= 10
        assert Ticket.objects.filter(delivery="refused").exists()
        assert Ticket.objects.filter(delivery="uncertain").exists() or OutboxEntry.objects.exists()
        assert len(logged) > 50
        assert {text: found for text in logged if (found := leaks(text))} == {}
        assert {text: found for text in printed if (found := leaks(text))} == {}
        assert leaks(dump(), words=False) == []
        accountwide = ("support_tickets.ProviderState", "support_tickets.SyncRun", "support_tickets.WebhookDelivery")
        assert leaks(dump(*accountwide)) == []
        client.force_login(get_user_model().objects.create_superuser("root"))
        for url in admin_urls():
            page = client.get(url)
            assert page.status_code == 200, url
            assert leaks(page.content.decode(), words=False) == [], url

    def test_the_doctor_tries_the_address_of_webhooks(self, site: Sandbox, logged: list[str], live_server: Any) -> None:
        urls = [f"{live_server.url}/support-tickets/webhooks/{alias}/" for alias in ("ripio", "moov")]
        forms: list[list[str]] = [[], ["--json"]]
        printed = [run("support_tickets_doctor", "--webhook-url", url, *form) for url in urls for form in forms]
        issued(site)
        assert all("takes a genuine one" in text for text in printed)
        assert WebhookDelivery.objects.count() == len(printed)
        assert {text: found for text in [*printed, *logged, dump("support_tickets")] if (found := leaks(text))} == {}

    def test_webhooks(self, site: Sandbox, logged: list[str], client: Client) -> None:
        ticket = canary.raise_ticket(site, "ripio")
        canary.sync("--workers", "1")  # SQLite in memory has but one connection
        ticket.refresh_from_db()
        for alias, vendor in (("ripio", site.ripio), ("moov", site.moov)):
            payload = {"eventType": "SUPPORT_TICKET.CREATED", "note": WORDS["answer"], "data": {"x": WORDS["e-mail"]}}
            payload["supportTicket"] = {"ticketId": ticket.remote_id}
            headers, body = vendor.sign(payload)
            for forged in ({}, {"X-Signature": SECRETS["moov webhook"]}):
                answer = client.post(
                    reverse("support_tickets:webhook", args=[alias]),
                    body,
                    content_type="application/json",
                    headers={**headers, **forged},
                )
                assert leaks(answer.content.decode() + str(answer.headers)) == []
        assert {text: found for text in logged if (found := leaks(text))} == {}
        assert leaks(dump("support_tickets.WebhookDelivery", "support_tickets.ProviderState")) == []


def admin_urls() -> Iterator[str]:
    """Yield every list of ours in the admin, and the page of every row."""
    from django.contrib import admin

    for model, model_admin in admin.site._registry.items():
        if model._meta.app_label == "support_tickets":
            name = f"admin:support_tickets_{model._meta.model_name}"
            yield reverse(f"{name}_changelist")
            for pk in model._base_manager.values_list("pk", flat=True)[:5]:
                yield reverse(f"{name}_change", args=[pk])
            if model_admin.has_add_permission.__qualname__.startswith("ModelAdmin"):
                yield reverse(f"{name}_add")


class TestErrors:
    def test_what_can_be_seen_of_an_error(self, site: Sandbox) -> None:
        errors = [error for error in canary.provider_errors(site) if not isinstance(error, LookupError)]
        issued(site)
        assert len(errors) > 60
        assert {text: found for error in errors if (found := leaks(text := canary.shown(error)))} == {}

    def test_what_our_frames_hold(self, site: Sandbox) -> None:
        """A reporter shows the local variables of every frame of an error that nobody catches."""
        held: dict[str, list[str]] = {}
        seen = 0
        for error in canary.provider_errors(site):
            issued(site)
            for frame, place in canary.frames_of(error):
                if place.startswith(PACKAGE) and not place.startswith(TESTING):
                    seen += 1
                    for name, value in frame.f_locals.items():
                        if found := leaks(repr(value)):
                            held[f"{place} {name}"] = found
        assert seen > 200
        assert held == {}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"OPTIONS": {"tokn": "a"}},
            {"OPTIONS": {"deadline": 0}},
            {"OPTIONS": {"client_id": ""}},
            {"BACKEND": "no.such.Provider"},
            {"BACKEND": "canary_broken.Provider"},
            {"BACKEND": f"{__name__}.DemandingProvider"},
            {"BACKENDS": "a"},
        ],
    )
    def test_what_frames_hold_of_an_account_that_is_configured_wrongly(
        self, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
    ) -> None:
        (tmp_path / "canary_broken.py").write_text('raise KeyError("a variable is not set")')
        monkeypatch.syspath_prepend(tmp_path)
        secrets = {"client_secret": SECRETS["ripio secret"], "webhook_secrets": [SECRETS["ripio webhook"]]}
        options = {"base_url": "https://ripio.example", "client_id": "a", **secrets, **wrong.get("OPTIONS", {})}
        account = {"BACKEND": "django_support_tickets.providers.ripio.RipioProvider", **wrong, "OPTIONS": options}
        settings.SUPPORT_TICKETS_PROVIDERS = {"ripio": account}
        with pytest.raises(InvalidProvider, match="Provider 'ripio': ") as caught:
            providers["ripio"]
        frames = [frame for frame, place in canary.frames_of(caught.value) if place.startswith(PACKAGE)]
        assert [found for frame in frames if (found := leaks(repr(frame.f_locals)))] == []
        assert leaks(canary.shown(caught.value)) == []


class DemandingProvider(RipioProvider):
    """A class of a project's own that looks for a setting."""

    def __init__(self, alias: str, **options: Any) -> None:
        raise ImproperlyConfigured(f"{options}")


class TestReports:
    @pytest.fixture
    def page(self, site: Sandbox, settings: Any, client: Client) -> str:
        """The page that a developer gets for an error that nobody has caught."""
        settings.DEBUG = True
        client.raise_request_exception = False
        site.ripio.fail_next("*", canary.Fault.UNAUTHORIZED, times=None)
        values = json.dumps(canary.facts(site)["ripio"])
        answer = client.get("/unguarded/ripio/", {"operation": "create", "values": values})
        assert answer.status_code == 500
        issued(site)
        return str(answer.content.decode())

    def test_the_500_page_shows_no_secret(self, page: str) -> None:
        assert "AccessDenied" in page
        assert "SUPPORT_TICKETS_PROVIDERS" in page
        assert "sandbox-ripio" in page or "client_id" in page
        assert leaks(page, words=False) == []

    def test_diffsettings_shows_a_callable_and_not_what_it_returns(self, site: Sandbox, settings: Any) -> None:
        """It prints every setting as it is, so secrets of a site that uses it are given as callables."""
        settings.SUPPORT_TICKETS_PROVIDERS = {
            alias: {
                **account,
                "OPTIONS": {name: hidden(name, value) for name, value in account["OPTIONS"].items()},
            }
            for alias, account in settings.SUPPORT_TICKETS_PROVIDERS.items()
        }
        printed = run("diffsettings", "--all")
        assert "RipioProvider" in printed
        assert leaks(printed, words=False) == []
        ticket = canary.raise_ticket(site, "ripio")
        assert push_ticket(ticket.pk).delivered == 1


def hidden(name: str, value: Any) -> Any:
    return (lambda: value) if any(word in name for word in ("secret", "token", "key")) else value


@pytest.mark.services
def test_events_for_sentry() -> None:
    """In a process of its own, since the SDK changes Django and the HTTP client for good."""
    pytest.importorskip("sentry_sdk")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.canary_sentry"], capture_output=True, text=True, timeout=300, env=variables
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    SECRETS.update(report["secrets"])
    assert len(report["events"]) >= 5
    for event in report["events"]:
        for step in event.get("breadcrumbs", {}).get("values", []):
            # The SDK notes the query of every request of this machine, and Ankra is searched by a ticket's subject.
            query = step.get("data", {}).pop("http.query", "")
            assert set(leaks(query)) <= {"subject"}
        assert leaks(json.dumps(event)) == []
