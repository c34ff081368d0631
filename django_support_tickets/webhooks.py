"""The door for vendors' webhooks: verify, remember, make the ticket due, answer.

Nothing is processed later, so nothing received can be poison: what is true is what the ticket's next GET says.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections, router, transaction
from django.db.models import F
from django.db.models.constants import OnConflict
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from django_support_tickets.dispatch import wake
from django_support_tickets.exceptions import InvalidProvider, NotSent, WebhookRejected
from django_support_tickets.models import ProviderState, Ticket, epoch_now, moment_of
from django_support_tickets.models.pauses import state_of
from django_support_tickets.outbox.claims import repeated
from django_support_tickets.providers import Provider, providers
from django_support_tickets.records import WebhookEvent, clean_text, one_line

logger = logging.getLogger(__name__)

#: A larger body is refused before it is read, in bytes.
BODY_MAX = 256_000
#: Between two fetches of a ticket, however many webhooks name it.
SHORTEST_INTERVAL = timedelta(seconds=1)
#: So many refusals of an account are written down one by one; while more come, it is done once in so many seconds.
COUNTED_SINGLY = 20
COUNT_EVERY = 1.0


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


def read_body(request: HttpRequest) -> bytes:
    """Return the body; raise WebhookRejected if it is larger than BODY_MAX, cut or already consumed."""
    announced, body = _announced_length(request), bytearray()
    read = request.read if announced is not None else _reader_of_chunks(request)
    try:
        # One byte more than may be there shows a body that is larger than announced, or announced nowhere.
        while len(body) <= BODY_MAX and (chunk := read(BODY_MAX + 1 - len(body))):
            body += chunk
    except Exception as error:  # each server has its own for a client that goes away or sends bad chunks
        raise WebhookRejected("the body cannot be read", status=400) from error
    if len(body) > BODY_MAX:
        raise WebhookRejected("the body is too large", status=413)
    if announced is not None and len(body) != announced:
        raise WebhookRejected("the body is not as long as announced", status=400)
    return bytes(body)


def accept(alias: str, event: WebhookEvent) -> Receipt:
    """Remember a verified event and make its ticket due; a copy of a known event does nothing.

    Return the answer, after which a pull is asked for.
    """
    using = router.db_for_write(Ticket)
    is_due = _remember(alias, event, using=using)
    return Receipt(partial(_announce, alias, is_due=is_due, using=using))


def _announce(alias: str, *, is_due: bool, using: str) -> None:
    logger.info("webhook accepted", extra={"event": "webhook.accepted", "account": alias})
    if is_due:
        wake(alias, using=using)
    _write_refusals(alias)


def _provider_of(alias: str) -> Provider | None:
    """Return the provider of an alias that takes webhooks, else None; raise InvalidProvider if it cannot be built."""
    if alias not in providers:
        return None
    provider = providers[alias]
    return provider if provider.capabilities.has_webhooks else None


def _announced_length(request: HttpRequest) -> int | None:
    """Return Content-Length, None where there is none; raise WebhookRejected for a wrong or too large one."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length:
        return None
    if not (length.isascii() and length.isdigit()):
        raise WebhookRejected("the content length is not a number", status=400)
    if len(length) > 12 or int(length) > BODY_MAX:
        raise WebhookRejected("the body is too large", status=413)
    return int(length)


def _reader_of_chunks(request: HttpRequest) -> Callable[[int], bytes]:
    """Return what reads a body without Content-Length.

    A WSGI server that marks its stream as ended has put the chunks together; Django takes the body for empty.
    """
    environ = getattr(request, "environ", {})
    return environ["wsgi.input"].read if environ.get("wsgi.input_terminated") else request.read


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


# Written out: to have these compiled for each webhook costs more than all the rest of it.
INSERT = """support_tickets_webhookdelivery (provider, identity, event_type, remote_id, received_at)
    VALUES (%s, %s, %s, %s, %s)"""
# An event that names another customer than the ticket's is not about this ticket.
UPDATE = """UPDATE support_tickets_ticket SET next_poll_at = {due}
    WHERE provider = %s AND remote_id = %s AND (%s = '' OR customer_id IN ('', %s))"""
# Due now, or as soon as the last fetch is SHORTEST_INTERVAL old. The answer to the ticket's own create was no fetch.
IS_FETCHED = "(delivered_at IS NULL OR synced_at >= delivered_at)"
DUE = f"CASE WHEN synced_at > %s AND {IS_FETCHED} THEN %s ELSE %s END"
NOW_POSTGRESQL = "date_trunc('milliseconds', clock_timestamp())"
# LEAST() ignores a NULL: what was never fetched must not look as if it had been just now.
FETCHED_POSTGRESQL = f"synced_at IS NOT NULL AND {IS_FETCHED}"
DUE_POSTGRESQL = (
    f"GREATEST({NOW_POSTGRESQL}, CASE WHEN {FETCHED_POSTGRESQL} THEN LEAST(synced_at, {NOW_POSTGRESQL}) + %s END)"
)
AT_ONCE = f"""WITH delivery AS (INSERT INTO {INSERT} ON CONFLICT DO NOTHING RETURNING 1),
    hint AS ({UPDATE.format(due=DUE_POSTGRESQL)} AND EXISTS (SELECT 1 FROM delivery) RETURNING 1)
    SELECT EXISTS (SELECT 1 FROM delivery), EXISTS (SELECT 1 FROM hint)"""  # noqa: S608


def _remember(alias: str, event: WebhookEvent, *, using: str) -> bool:
    """Store an event and make its ticket due, all or nothing; return whether a ticket was made due."""
    store = _store_at_once if connections[using].vendor == "postgresql" else _store_in_transaction
    is_new, is_hinted = repeated(lambda: store(alias, event, using=using), using=using, times=2)
    if is_hinted or not is_new or not event.remote_id:
        return is_hinted
    # Nobody knew this id. A push that stores it just now looks for this delivery after its commit, as this looks for
    # the id after the delivery's: whichever is later sees the other.
    return repeated(lambda: _hint(alias, event, using=using), using=using, times=2)


def _store_at_once(alias: str, event: WebhookEvent, *, using: str) -> tuple[bool, bool]:
    """Do it in one statement, which spares four round trips; return whether it was new, and has made a ticket due."""
    parameters = [*_delivery_row(alias, event, using=using), SHORTEST_INTERVAL, *_ticket_filter(alias, event)]
    with connections[using].cursor() as cursor:
        cursor.execute(AT_ONCE, parameters)
        is_new, is_hinted = cursor.fetchone()
    return is_new, is_hinted


def _store_in_transaction(alias: str, event: WebhookEvent, *, using: str) -> tuple[bool, bool]:
    ops = connections[using].ops
    insert = f"{ops.insert_statement(on_conflict=OnConflict.IGNORE)} {INSERT}"
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(insert, _delivery_row(alias, event, using=using))
        is_new = bool(cursor.rowcount)
        return is_new, is_new and _hint(alias, event, using=using)


def _hint(alias: str, event: WebhookEvent, *, using: str) -> bool:
    """Make the ticket due now, or in a moment if it was fetched just now; return whether there is one."""
    now = cast("datetime", moment_of(epoch_now(using)))
    adapt = connections[using].ops.adapt_datetimefield_value
    times = [adapt(moment) for moment in (now - SHORTEST_INTERVAL, now + SHORTEST_INTERVAL, now)]
    with connections[using].cursor() as cursor:
        cursor.execute(UPDATE.format(due=DUE), [*times, *_ticket_filter(alias, event)])
        return bool(cursor.rowcount)


def _delivery_row(alias: str, event: WebhookEvent, *, using: str) -> list[Any]:
    now = connections[using].ops.adapt_datetimefield_value(timezone.now())
    return [alias, event.identity, event.event_type, event.remote_id, now]


def _ticket_filter(alias: str, event: WebhookEvent) -> list[str]:
    return [alias, event.remote_id, event.customer_id, event.customer_id]


class Refusals:
    """The webhooks that this process has refused and not yet written down.

    A flood of forged requests must not become a flood of writes and log lines: after `singly` of them, what comes
    within `every` seconds waits for the account's next webhook of any kind. A process that ends forgets what waits.
    """

    def __init__(self, *, singly: int = COUNTED_SINGLY, every: float = COUNT_EVERY) -> None:
        self.singly = singly
        self.every = every
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[int, str]] = {}
        # How many writes an account may have at once, and since when: one more with every `every` seconds.
        self._allowed: dict[str, tuple[float, float]] = {}

    def add(self, alias: str, reason: str, *, count: int = 1) -> None:
        """Count a refusal; only the last reason is kept."""
        with self._lock:
            self._waiting[alias] = (self._waiting.get(alias, (0, ""))[0] + count, reason)

    def take(self, alias: str) -> tuple[int, str]:
        """Return and forget the count and the last reason; (0, "") if there is nothing, or it is too early."""
        now = time.monotonic()
        with self._lock:
            allowed, since = self._allowed.get(alias, (float(self.singly), now))
            allowed = min(allowed + (now - since) / self.every, float(self.singly))
            if alias not in self._waiting or allowed < 1:
                return 0, ""
            self._allowed[alias] = (allowed - 1, now)
            return self._waiting.pop(alias)

    def clear(self) -> None:
        """Forget everything, as a new process would."""
        with self._lock:
            self._waiting.clear()
            self._allowed.clear()


refusals = Refusals()


def _refuse(alias: str, refusal: WebhookRejected) -> Receipt:
    refusals.add(alias, str(refusal))
    return Receipt(partial(_write_refusals, alias), status=refusal.status)


def _write_refusals(alias: str) -> None:
    """Log and count what was refused, if it is time; whatever happens here changes no answer."""
    count, reason = refusals.take(alias)
    if not count:
        return
    # A user's provider may have quoted the request.
    printable = one_line(reason[:200])
    facts = {"event": "webhook.refused", "account": alias, "count": count}
    logger.warning("webhook refused: %s (%d in all)", printable, count, extra=facts)
    using = router.db_for_write(ProviderState)
    try:
        with transaction.atomic(using=using):
            state = state_of(alias, using=using)
            rows = ProviderState.objects.using(using).filter(pk=state.pk)
            rows.update(webhooks_refused=F("webhooks_refused") + count)
    except Error as error:
        refusals.add(alias, reason, count=count)
        logger.error("refusals not counted: %s", type(error).__name__, extra=facts)
