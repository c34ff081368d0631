"""Do webhooks come in? Tried in this process, and at the address that a vendor knows: genuine ones and forged ones."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.handlers.wsgi import WSGIRequest
from django.db import Error, router, transaction
from django.urls import NoReverseMatch, Resolver404, resolve, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_support_tickets.exceptions import InvalidProvider, ProviderError, WebhookRejected
from django_support_tickets.management.findings import SITE, Finding, Level
from django_support_tickets.models import Ticket
from django_support_tickets.phrases import translate
from django_support_tickets.providers import Provider, providers
from django_support_tickets.providers.signatures import is_usable_secret
from django_support_tickets.records import WebhookEvent
from django_support_tickets.transport import Answer, BytesBody, Request, Transport
from django_support_tickets.vocabulary import one_line
from django_support_tickets.webhooks import accept, read_event, receive

Webhook = tuple[Mapping[str, str], bytes]

UNSIGNED: Webhook = ({}, b'{"forged": true}')
NOT_OFFERED = gettext_lazy("a genuine one is not tried, which this provider does not offer (sign_webhook)")
#: What a server that stands in the way means by its status; our own view gives another one.
MEANINGS: dict[int, Any] = {
    400: gettext_lazy("the host name is not in ALLOWED_HOSTS there, or a proxy refuses the request"),
    401: gettext_lazy("it asks for a login, which a vendor has not got"),
    403: gettext_lazy("CSRF protection or a firewall in front refuses what vendors send; let this address through"),
    404: gettext_lazy("django_support_tickets.urls is not included there, or the account is not configured"),
    405: gettext_lazy("another view answers there"),
    413: gettext_lazy("a proxy in front takes no bodies of this size; let it take 256 kB"),
    429: gettext_lazy("something in front limits how often it may be called; let this address through"),
}
DOWN = gettext_lazy("the site there is down, or its settings are broken; its log says more")


def look_at_webhooks(provider: Provider) -> Iterator[Finding]:
    """Try an account's webhooks in this process, all but storing them: see `try_to_remember`."""
    if not provider.capabilities.has_webhooks:
        yield Finding(Level.OK, provider.alias, "webhooks", _("not offered, tickets are polled"))
        return
    level, text = Level.FAIL, ""
    try:
        path = reverse("support_tickets:webhook", args=[provider.alias])
        secrets = _secrets_of(provider)
        text = _complaint_of_webhooks(provider, path, secrets)
    except (NoReverseMatch, Resolver404):
        level = Level.WARN
        text = _("django_support_tickets.urls is not included, so none arrive; tickets are only polled")
    except ProviderError as error:
        text = translate(error.cause)
    if text:
        yield Finding(level, provider.alias, "webhooks", text)
        return
    text = ngettext(
        "%(count)d secret, a forged one is refused, %(genuine)s, %(path)s",
        "%(count)d secrets, a forged one is refused, %(genuine)s, %(path)s",
        len(secrets),
    )
    genuine = _("a genuine one is taken") if signs_webhooks(provider) else NOT_OFFERED
    facts = {"count": len(secrets), "genuine": genuine, "path": path}
    yield Finding(Level.OK, provider.alias, "webhooks", text % facts)


def try_to_remember(alias: str) -> Iterator[Finding]:
    """Store a webhook as the view does, and take it back; what cannot be stored is a finding."""
    if alias not in providers or not _has_webhooks(alias):
        return
    using = router.db_for_write(Ticket)
    try:
        with transaction.atomic(using=using):
            accept(alias, WebhookEvent(identity=uuid.uuid4().hex, event_type="doctor"))
            transaction.set_rollback(True, using=using)
    except Error as error:
        text = _("a genuine one cannot be stored: %(error)s") % {"error": type(error).__name__}
        yield Finding(Level.FAIL, alias, "webhooks", text)


def ask_webhook_address(url: str) -> list[Finding]:
    """Try from outside whether `url`, as a vendor knows it, leads to the webhooks of one of our accounts.

    A genuine webhook about no ticket is sent there if all else is right, and remembered there as any other.
    """
    shown, alias = without_secrets(url), url.rstrip("/").rpartition("/")[2]
    if alias not in providers or not shown.startswith(("http://", "https://")):
        text = _("it is no address that ends in the alias of an account")
        return [Finding(Level.FAIL, SITE, "address", f"{shown}: {text}")]
    try:
        provider = providers[alias]
        complaint = _complaint_of_address(url, provider)
    except ProviderError as error:
        complaint = translate(error.cause)
    except InvalidProvider as error:
        complaint = translate(str(error))
    if complaint:
        return [Finding(Level.FAIL, alias, "address", f"{shown}: {complaint}")]
    genuine = _("takes a genuine one") if signs_webhooks(provider) else NOT_OFFERED
    text = _("answers, refuses a forged webhook, %(genuine)s") % {"genuine": genuine}
    return [Finding(Level.OK, alias, "address", f"{shown}: {text}")]


def without_secrets(url: str) -> str:
    """Return an address as it may be printed: without name and password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return _("(not an address)")
    return one_line(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()[:200])


def signs_webhooks(provider: Provider) -> bool:
    """Return whether the provider has a `sign_webhook`."""
    return type(provider).sign_webhook is not Provider.sign_webhook


def _has_webhooks(alias: str) -> bool:
    try:
        return providers[alias].capabilities.has_webhooks
    except InvalidProvider:
        return False


def _secrets_of(provider: Provider) -> list[str | bytes]:
    return [secret for secret in provider.webhook_secrets() if is_usable_secret(secret)]


def _forged(provider: Provider) -> Webhook:
    """Return a webhook that is right in all but the secret with which it is signed."""
    return provider.sign_webhook(uuid.uuid4().hex) if signs_webhooks(provider) else UNSIGNED


def _complaint_of_webhooks(provider: Provider, path: str, secrets: list[str | bytes]) -> str:
    """Return what is wrong with the webhooks of an account, tried in this process without storing anything."""
    if not secrets:
        return _("no usable webhook_secrets, so every webhook is refused; tickets are only polled")
    if resolve(path).func is not receive:
        return _("%(path)s leads to another view") % {"path": path}
    if receive(_request("GET", path), provider.alias).status_code != 200:
        return _("%(path)s does not answer") % {"path": path}
    if not all(_reason_to_refuse(provider, path, webhook) for webhook in (UNSIGNED, _forged(provider))):
        return _("a forged webhook is taken for genuine")
    if signs_webhooks(provider):
        for secret in secrets:
            if reason := _reason_to_refuse(provider, path, provider.sign_webhook(secret)):
                return _("a genuine webhook is refused: %(reason)s") % {"reason": translate(reason)}
    return ""


def _reason_to_refuse(provider: Provider, path: str, webhook: Webhook) -> str:
    """Return why the view refuses a webhook, "" if it takes it."""
    try:
        read_event(provider, _request("POST", path, webhook))
    except WebhookRejected as refusal:
        return one_line(refusal) or "without a reason"
    return ""


def _request(method: str, path: str, webhook: Webhook = ({}, b"")) -> WSGIRequest:
    headers, body = webhook
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    environ |= {"REQUEST_METHOD": method, "PATH_INFO": path, "CONTENT_TYPE": "application/json"}
    return WSGIRequest({**environ, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)})


class Door:
    """An address from outside."""

    def __init__(self, url: str) -> None:
        base, _, alias = url.rstrip("/").rpartition("/")
        self._path = url.removeprefix(f"{base}/")  # with its slash, or without: one of the two may be redirected
        self._transport = Transport(alias=f"address of {alias}", base_url=base, timeout=(5.0, 10.0), deadline=10.0)

    def look(self) -> Answer:
        """Return the answer to a GET."""
        return self._transport.send(Request(operation="look", method="GET", path=self._path))

    def knock(self, webhook: Webhook) -> Answer:
        """Return the answer to a webhook."""
        headers, body = webhook
        content = BytesBody(body, "application/json")
        return self._transport.send(
            Request(operation="knock", method="POST", path=self._path, headers=headers, body=content)
        )


def _complaint_of_address(url: str, provider: Provider) -> str:
    """Return what is wrong with an address; a good signature goes only where a bad one was refused."""
    if "@" in urlsplit(url).netloc:
        return _("it holds a name or a password, which a vendor would not send")
    door = Door(url)
    look = door.look()
    if look.status != 200:
        return _meaning(look)
    forged = door.knock(_forged(provider))
    if forged.ok:
        text = _("a forged webhook is answered with %(status)d; another view answers there")
        return text % {"status": forged.status}
    if forged.status not in (400, 401):
        return _meaning(forged)
    return _complaint_of_genuine(door, provider)


def _complaint_of_genuine(door: Door, provider: Provider) -> str:
    secrets = _secrets_of(provider)
    if not secrets:
        return _("a genuine webhook cannot be tried, since there are no usable webhook_secrets here")
    if not signs_webhooks(provider):
        return ""
    answer = door.knock(provider.sign_webhook(secrets[0]))
    if answer.status in (400, 401):
        text = _(
            "a genuine webhook is refused (%(status)d): other webhook_secrets are configured there, its clock is "
            "wrong, or a proxy drops headers"
        )
        return text % {"status": answer.status}
    return "" if answer.ok else _meaning(answer)


def _meaning(answer: Answer) -> str:
    """Return in words why an address did not answer as our view does."""
    if 300 <= answer.status < 400:
        target = without_secrets(answer.headers.get("location", "")) or _("nowhere")
        text = _("it redirects (%(status)d) to %(target)s, and vendors do not follow: give them one that answers")
        return text % {"status": answer.status, "target": target}
    meaning = DOWN if answer.status >= 500 else MEANINGS.get(answer.status, MEANINGS[405])
    return _("it answers %(status)d: %(meaning)s") % {"status": answer.status, "meaning": meaning}
