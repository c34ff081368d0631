"""Whether webhooks come in, as `support_tickets_doctor` tries it: in this process, and over real HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone

from django_support_tickets.exceptions import WebhookRejected
from django_support_tickets.management.doctor import Report, examine
from django_support_tickets.management.findings import Level
from django_support_tickets.management.pruning import prune
from django_support_tickets.models import ProviderState, Ticket, WebhookDelivery
from django_support_tickets.providers import Provider, providers
from django_support_tickets.records import Capabilities, TicketDraft, TicketRecord, TicketRef, WebhookEvent
from django_support_tickets.testing.sandbox import Sandbox
from django_support_tickets.webhooks import refusals
from tests.transport_server import ScriptedServer, Seen, answer

BACKENDS = {
    "ripio": "django_support_tickets.providers.ripio.RipioProvider",
    "moov": "django_support_tickets.providers.moov.MoovProvider",
    "verifik": "django_support_tickets.providers.verifik.VerifikProvider",
}
SIGNATURES = {"ripio": "http-x-wh-signature-256", "moov": "x-signature"}
SECRET = "canary-webhook-secret"


class OddProvider(Provider):
    """A provider of a project's own that takes webhooks, and signs none."""

    def __init__(self, alias: str, *, mood: str = "", **common: Any) -> None:
        super().__init__(alias, **common)
        self.mood = mood
        self.capabilities = Capabilities(has_webhooks=True)

    def get(self, ref: TicketRef) -> TicketRecord:
        raise NotImplementedError

    def create(self, draft: TicketDraft) -> TicketRecord:
        raise NotImplementedError

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookEvent:
        if self.mood == "trusting":
            return WebhookEvent(identity="x")
        raise WebhookRejected("forged")


class MistakenProvider(OddProvider):
    """A provider that signs in another way than it verifies."""

    def sign_webhook(self, secret: str | bytes) -> tuple[Mapping[str, str], bytes]:
        return {"X-Signed": str(secret)}, b"{}"


@pytest.fixture(autouse=True)
def site(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.management.webhook_urls"
    refusals.clear()
    yield
    refusals.clear()


@pytest.fixture
def account(settings: Any) -> Callable[..., None]:
    """Configure one account, "desk"."""

    def configure(backend: str = f"{__name__}.OddProvider", **options: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {"BACKEND": backend, "OPTIONS": options}}

    return configure


@pytest.fixture(params=sorted(SIGNATURES))
def vendor(request: pytest.FixtureRequest, account: Any, sandbox: Sandbox) -> str:
    """An account at each vendor that sends webhooks; return its name."""
    name = str(request.param)
    options = {**sandbox.options()[name], "webhook_secrets": [SECRET]}
    if name == "moov":
        options["accounts"] = ["acct-1"]
    account(BACKENDS[name], **options)
    return name


def found(report: Report, topic: str) -> tuple[str, str]:
    """Return level and text of the one finding on a topic."""
    (finding,) = [finding for finding in report.findings if finding.topic == topic]
    return finding.level, finding.text


def doctor(*arguments: str) -> tuple[int, str]:
    """Run the command; return exit code and output."""
    output = StringIO()
    try:
        call_command("support_tickets_doctor", *arguments, stdout=output)
    except SystemExit as ending:
        return int(str(ending.code)), output.getvalue()
    return 0, output.getvalue()


@pytest.mark.django_db
class TestInThisProcess:
    def test_a_genuine_one_is_taken_and_a_forged_one_refused(self, vendor: str) -> None:
        text = "1 secret, a forged one is refused, a genuine one is taken, /support-tickets/webhooks/desk/"
        assert found(examine(using="default"), "webhooks") == (Level.OK, text)

    def test_nothing_is_left_behind(self, vendor: str) -> None:
        examine(using="default")
        assert not WebhookDelivery.objects.exists()
        assert not ProviderState.objects.filter(webhooks_refused__gt=0).exists()
        assert refusals.take("desk") == (0, "")

    def test_each_secret_of_a_rotation_is_tried(self, account: Any, sandbox: Sandbox) -> None:
        options = {**sandbox.ripio.options(), "webhook_secrets": ["new-one", b"old-one"]}
        account(BACKENDS["ripio"], **options)
        assert found(examine(using="default"), "webhooks")[1].startswith("2 secrets, ")

    @pytest.mark.parametrize("secrets", [[], [""], ["changeme"]])
    def test_no_usable_secret(self, account: Any, sandbox: Sandbox, secrets: list[str]) -> None:
        account(BACKENDS["ripio"], **{**sandbox.ripio.options(), "webhook_secrets": secrets})
        level, text = found(examine(using="default"), "webhooks")
        assert level == Level.FAIL
        assert "webhook_secrets" in text

    def test_a_provider_that_takes_anything(self, account: Any) -> None:
        account(mood="trusting", webhook_secrets=["a real one"])
        assert found(examine(using="default"), "webhooks") == (Level.FAIL, "a forged webhook is taken for genuine")

    def test_a_provider_that_refuses_its_own(self, account: Any) -> None:
        account(f"{__name__}.MistakenProvider", webhook_secrets=[SECRET])
        report = examine(using="default")
        assert found(report, "webhooks") == (Level.FAIL, "a genuine webhook is refused: forged")
        assert "canary" not in "".join(report.lines())

    def test_a_provider_that_signs_none(self, account: Any) -> None:
        account(webhook_secrets=["a real one"])
        level, text = found(examine(using="default"), "webhooks")
        assert level == Level.OK
        assert "not tried, which this provider does not offer (sign_webhook)" in text

    def test_a_vendor_that_sends_none(self, account: Any, sandbox: Sandbox) -> None:
        account(BACKENDS["verifik"], **sandbox.verifik.options(), rate=None)
        text = "not offered, tickets are polled"
        assert found(examine(using="default"), "webhooks") == (Level.OK, text)

    def test_urls_that_are_not_included(self, vendor: str, settings: Any) -> None:
        settings.ROOT_URLCONF = "tests.management.no_urls"
        level, text = found(examine(using="default"), "webhooks")
        assert level == Level.WARN
        assert "not included" in text

    def test_a_secret_manager_that_is_down(self, account: Any) -> None:
        def unreachable() -> list[str]:
            raise ConnectionError

        account(webhook_secrets=unreachable)
        level, text = found(examine(using="default"), "webhooks")
        assert (level, text) == (Level.FAIL, "an option given as a callable could not be read: webhook_secrets")

    @pytest.mark.fault(93)
    def test_webhooks_that_cannot_be_stored(self, vendor: str) -> None:
        def full(execute: Any, sql: str, *arguments: Any) -> Any:
            if "support_tickets_webhookdelivery" in sql and "INSERT" in sql:
                raise OperationalError("database or disk is full")
            return execute(sql, *arguments)

        with connection.execute_wrapper(full):
            report = examine(using="default")
        (complaint,) = [one.text for one in report.findings if one.topic == "webhooks" and one.level == Level.FAIL]
        assert complaint == "a genuine one cannot be stored: OperationalError"


class TestAddress:
    """`--webhook-url`, where our own site listens."""

    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.mark.parametrize("end", ["/desk/", "/desk"])
    def test_the_right_one(self, vendor: str, live_server: Any, end: str) -> None:
        code, output = doctor("--webhook-url", f"{live_server.url}/support-tickets/webhooks{end}")
        assert code == 0, output
        assert f"webhooks{end}: answers, refuses a forged webhook, takes a genuine one" in output
        assert "canary" not in output

    def test_what_it_leaves_there_has_no_effect_and_is_pruned(self, vendor: str, live_server: Any) -> None:
        now = timezone.now()
        facts = {"provider": "desk", "subject": "S", "delivery": "delivered", "customer_id": "acct-1"}
        ticket = Ticket(**facts, remote_id="R-1", next_poll_at=now + timedelta(hours=1))
        Ticket.objects.bulk_create([ticket])
        before = Ticket.objects.values().get()
        for _ in range(2):
            assert doctor("--webhook-url", f"{live_server.url}/support-tickets/webhooks/desk/")[0] == 0
        assert Ticket.objects.values().get() == before
        assert list(WebhookDelivery.objects.values_list("remote_id", flat=True)) == ["", ""]
        WebhookDelivery.objects.update(received_at=now - timedelta(days=91))
        assert prune(using="default").removed["webhook_deliveries"] == 2

    def test_one_that_leads_elsewhere(self, vendor: str, live_server: Any) -> None:
        code, output = doctor("--webhook-url", f"{live_server.url}/elsewhere/desk/")
        assert code == 1
        assert "it answers 404: django_support_tickets.urls is not included there" in output

    def test_a_provider_that_signs_none(self, account: Any, live_server: Any) -> None:
        account(webhook_secrets=["a real one"])
        code, output = doctor("--webhook-url", f"{live_server.url}/support-tickets/webhooks/desk/")
        assert code == 0, output
        assert "refuses a forged webhook, a genuine one is not tried" in output

    def test_csrf_protection_of_another_view(self, vendor: str, live_server: Any, settings: Any) -> None:
        settings.ROOT_URLCONF = "tests.management.protected_urls"
        code, output = doctor("--webhook-url", f"{live_server.url}/desk/")
        assert code == 1
        assert "it answers 403: CSRF protection or a firewall in front" in output


def answering(
    *, get: str = "200 OK", forged: str = "401 Unauthorized", genuine: str = "200 OK", header: str = ""
) -> Any:
    """Return the script of a server in front of which something stands; the second POST is the genuine one."""
    posts = iter([forged, genuine])

    def script(sock: socket.socket, seen: Seen) -> None:
        status = get if seen.method == "GET" else next(posts)
        sock.sendall(answer(b"", *([header] if header else []), status=status))

    return script


@pytest.mark.django_db
class TestWhatStandsInTheWay:
    """Servers that answer by a script; each failure has its own sentence."""

    def ask(self, script: Any, *, end: str = "/desk/") -> tuple[str, list[Seen]]:
        with ScriptedServer(script) as server:
            report = examine(using="default", webhook_urls=[server.url + end])
        level, text = found(report, "address")
        assert level == Level.FAIL
        assert "canary" not in "".join(report.lines()) + json.dumps(report.as_dict())
        return text.partition(f"{end}: ")[2], server.seen

    @pytest.mark.fault(63)
    def test_a_redirect_to_the_other_slash(self, vendor: str) -> None:
        script = answering(get="301 Moved Permanently", header="Location: https://shop.example/hooks/desk/?a=1")
        text, seen = self.ask(script, end="/desk")
        follows = "and vendors do not follow: give them one that answers"
        assert text == f"it redirects (301) to https://shop.example/hooks/desk/, {follows}"
        assert [one.method for one in seen] == ["GET"]

    @pytest.mark.parametrize(
        ("answers", "words"),
        [
            ({"get": "302 Found", "header": "Location: /login/?next=/desk/"}, "it redirects (302) to /login/, and"),
            ({"get": "400 Bad Request"}, "it answers 400: the host name is not in ALLOWED_HOSTS"),
            ({"get": "401 Unauthorized"}, "it answers 401: it asks for a login"),
            ({"forged": "403 Forbidden"}, "it answers 403: CSRF protection or a firewall"),
            ({"get": "404 Not Found"}, "it answers 404: django_support_tickets.urls is not included"),
            ({"get": "405 Method Not Allowed"}, "it answers 405: another view"),
            ({"get": "418 I'm a teapot"}, "it answers 418: another view"),
            ({"forged": "413 Content Too Large"}, "it answers 413: a proxy in front takes no bodies of this size"),
            ({"genuine": "413 Content Too Large"}, "it answers 413: a proxy in front takes no bodies of this size"),
            ({"forged": "429 Too Many Requests"}, "it answers 429: something in front limits"),
            ({"get": "502 Bad Gateway"}, "it answers 502: the site there is down"),
            ({"forged": "503 Service Unavailable"}, "it answers 503: the site there is down"),
            ({"forged": "308 Permanent Redirect"}, "it redirects (308) to nowhere"),
            ({"forged": "200 OK"}, "a forged webhook is answered with 200; another view answers there"),
            ({"genuine": "401 Unauthorized"}, "a genuine webhook is refused (401): other webhook_secrets"),
        ],
    )
    def test_its_sentence(self, vendor: str, answers: dict[str, str], words: str) -> None:
        text, _ = self.ask(answering(**answers))
        assert text.startswith(words)

    @pytest.mark.parametrize("forged", ["200 OK", "403 Forbidden", "404 Not Found"])
    def test_a_good_signature_goes_only_where_a_bad_one_is_refused(self, vendor: str, forged: str) -> None:
        _, seen = self.ask(answering(forged=forged))
        (post,) = [one for one in seen if one.method == "POST"]
        assert SIGNATURES[vendor] in post.headers
        with pytest.raises(WebhookRejected):
            providers["desk"].parse_webhook(post.headers, post.body)

    def test_the_second_one_is_genuine(self, vendor: str) -> None:
        _, seen = self.ask(answering(genuine="500 Oops"))
        posts = [one for one in seen if one.method == "POST"]
        with pytest.raises(WebhookRejected):
            providers["desk"].parse_webhook(posts[0].headers, posts[0].body)
        assert providers["desk"].parse_webhook(posts[1].headers, posts[1].body).remote_id == ""
        assert all(SECRET not in f"{one.headers} {one.body!r}" for one in posts)

    def test_a_certificate_that_nobody_knows(self, vendor: str) -> None:
        with ScriptedServer(certificate="self_signed") as server:
            report = examine(using="default", webhook_urls=[f"{server.url}/desk/"])
        assert found(report, "address")[1].endswith("/desk/: the TLS certificate or handshake is not accepted")

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("http://127.0.0.1:9/webhooks/desk/", "no connection could be made"),
            ("http://nobody.invalid/webhooks/desk/", "the host name cannot be resolved"),
            ("https://shop.example/webhooks/nobody/", "it is no address that ends in the alias of an account"),
            ("ftp://shop.example/desk", "it is no address that ends in the alias of an account"),
            ("desk", "it is no address that ends in the alias of an account"),
            ("https://[shop.example/desk/", "it is no address that ends in the alias of an account"),
        ],
    )
    def test_no_server_at_all(self, vendor: str, url: str, words: str) -> None:
        level, text = found(examine(using="default", webhook_urls=[url]), "address")
        assert level == Level.FAIL
        assert text.endswith(f": {words}")

    def test_an_address_with_a_password(self, vendor: str) -> None:
        with ScriptedServer() as server:
            url = server.url.replace("://", "://shop:canary-password@")
            code, output = doctor("--webhook-url", f"{url}/desk/")
        assert code == 1
        assert "it holds a name or a password" in output
        assert "canary" not in output
        assert server.seen == []

    def test_an_account_whose_secret_is_not_here(self, account: Any, sandbox: Sandbox) -> None:
        account(BACKENDS["ripio"], **{**sandbox.ripio.options(), "webhook_secrets": []})
        text, seen = self.ask(answering())
        assert text == "a genuine webhook cannot be tried, since there are no usable webhook_secrets here"
        assert [one.method for one in seen] == ["GET", "POST"]
