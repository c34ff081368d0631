from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import partial

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.views.decorators.csrf import csrf_exempt

from django_support_tickets.dispatch import wake
from django_support_tickets.exceptions import InvalidProvider, NotSent, WebhookRejected
from django_support_tickets.models import Ticket
from django_support_tickets.providers import Provider, providers
from django_support_tickets.records import WebhookEvent, clean_text
from django_support_tickets.webhooks.bodies import read_body
from django_support_tickets.webhooks.counting import refusals, write_refusals
from django_support_tickets.webhooks.remembering import remember

# That of the whole room: which of its modules writes a line is nothing that a site should have to know.
logger = logging.getLogger(__package__)


class Receipt(HttpResponse):
    """An answer without a body, and what is done when it has left: that can neither delay nor change it."""

    def __init__(self, afterwards: Callable[[], None], *, status: int = 200) -> None:
        # With its length a client knows the answer's end, and does not wait for the connection's.
        super().__init__(status=status, headers={"Content-Length": "0"})
        self._afterwards = afterwards

    def close(self) -> None:
        """Be called by the server after the last byte."""
        try:
            self._afterwards()
        finally:
            super().close()


@csrf_exempt
@login_not_required
def receive(request: HttpRequest, alias: str) -> HttpResponse:
    """Take a webhook of an account and answer without a body.

    200: verified and committed, or seen before. 4xx: not the vendor's, or not readable. 404: no such account, or one
    without webhooks. 503: the account is configured wrongly or its secrets cannot be read; no fault of the vendor's,
    who should try again. GET and HEAD show that the address is right and do nothing.
    """
    try:
        provider = _provider_of(alias)
        if provider is None:
            return HttpResponse(status=404)
        if request.method in ("GET", "HEAD"):
            return HttpResponse()
        if request.method != "POST":
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        with provider:
            event = read_event(provider, request)
    except WebhookRejected as refusal:
        return _refuse(alias, refusal)
    except (ImproperlyConfigured, NotSent) as error:
        is_ours = isinstance(error, (InvalidProvider, NotSent))
        return _refuse(alias, WebhookRejected(str(error) if is_ours else type(error).__name__, status=503))
    return accept(alias, event)


# What was answered is committed, whichever database has ATOMIC_REQUESTS.
for _using in connections:
    transaction.non_atomic_requests(using=_using)(receive)


def read_event(provider: Provider, request: HttpRequest) -> WebhookEvent:
    """Return what the provider makes of a request, fit to be stored; raise WebhookRejected with a 4xx status."""
    body = read_body(request)
    try:
        return _storable(provider.parse_webhook(request.headers, body))
    except WebhookRejected as refusal:
        if refusal.status in range(400, 500):
            raise
        raise WebhookRejected(str(refusal), status=400) from None
    except (ImproperlyConfigured, NotSent):
        raise
    except Exception as error:  # of a user's provider; its text may quote the body
        raise WebhookRejected(f"the provider raised {type(error).__name__}", status=400) from None


def accept(alias: str, event: WebhookEvent) -> Receipt:
    """Remember a verified event and make its ticket due; a copy of a known event does nothing.

    Return the answer, after which a pull is asked for.
    """
    using = router.db_for_write(Ticket)
    is_due = remember(alias, event, using=using)
    return Receipt(partial(_announce, alias, is_due=is_due, using=using))


def _announce(alias: str, *, is_due: bool, using: str) -> None:
    logger.info("webhook accepted", extra={"event": "webhook.accepted", "account": alias})
    if is_due:
        wake(alias, using=using)
    write_refusals(alias)


def _refuse(alias: str, refusal: WebhookRejected) -> Receipt:
    refusals.add(alias, str(refusal))
    return Receipt(partial(write_refusals, alias), status=refusal.status)


def _provider_of(alias: str) -> Provider | None:
    """Return the provider of an alias that takes webhooks, else None; raise InvalidProvider if it cannot be built."""
    if alias not in providers:
        return None
    provider = providers[alias]
    return provider if provider.capabilities.has_webhooks else None


def _storable(event: WebhookEvent) -> WebhookEvent:
    """Return the event with its identity as a digest, and with texts that every database can hold."""
    if not event.identity:
        raise WebhookRejected("the provider gives the event no identity", status=400)
    remote_id = clean_text(event.remote_id)
    return WebhookEvent(
        identity=hashlib.sha256(event.identity.encode(errors="surrogatepass")).hexdigest(),
        event_type=clean_text(event.event_type)[:64],
        # Cut, it would be another id; this long, it is no ticket's.
        remote_id=remote_id if len(remote_id) <= 255 else "",
        customer_id=clean_text(event.customer_id),
    )
