"""Send one claimed item and bring it to its outcome; nothing here branches on anything but the outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.db.models import F

from django_support_tickets.exceptions import AccessDenied, Ambiguous, Busy, NotSent, ProviderError, Refused
from django_support_tickets.models import Attachment, Comment
from django_support_tickets.models.pauses import clamped
from django_support_tickets.outbox.account import note_answer, note_error
from django_support_tickets.outbox.claims import Claim, backoff, mark, release
from django_support_tickets.outbox.facts import describe, error_facts, log_facts
from django_support_tickets.outbox.items import (
    Item,
    Kind,
    comment_draft,
    complaint_of,
    file_draft,
    item_in_flight,
    next_item,
    ticket_draft,
)
from django_support_tickets.outbox.latecomers import prepare_late
from django_support_tickets.outbox.searching import LEASE_FACTOR, SENDS, can_be_searched, checked, fact_of, search
from django_support_tickets.outbox.settling import (
    LeaseLost,
    drop,
    settle_delivered,
    settle_refused,
    settle_uncertain,
)
from django_support_tickets.outbox.storing import Result
from django_support_tickets.providers import Provider
from django_support_tickets.transport import total_deadline

logger = logging.getLogger(__name__)

GIVE_UP_SECONDS = 72 * 3600.0
#: After a try that cannot have reached the vendor: as if the mark had never been made.
UNMARKED: dict[str, Any] = {"sent_at": None, "item": "", "item_id": None, "attempts": F("attempts") - 1}


def deliver(claim: Claim, provider: Provider, answered: Callable[[], None] = lambda: None) -> str:
    """Bring one claim to an outcome; return its name in PushCounts, "" if there was nothing to send.

    `answered` is called as soon as the vendor has taken the item, before this is written down.
    """
    item: Item | None = None
    try:
        if claim.entry.sent_at is not None:
            item = item_in_flight(claim.entry, provider.capabilities, using=claim.using)
            return _settle_lost_answer(claim, item, provider)
        if claim.entry.ticket.provider != claim.entry.provider:
            release(claim, wait=0, provider=claim.entry.ticket.provider)
            return ""
        item = next_item(claim.entry.ticket, provider.capabilities, using=claim.using, has_files=claim.has_files)
        return _send(claim, item, provider, answered)
    except LeaseLost:
        facts = {"event": "push.lease_lost", "account": provider.alias, "key": str(claim.entry.ticket.key)}
        logger.warning("lease lost", extra=facts)
        return "waiting"
    except Exception as error:  # one bad row must never stop the queue
        return _set_aside(claim, item, error)


def _send(claim: Claim, item: Item | None, provider: Provider, answered: Callable[[], None]) -> str:
    if item is None:
        drop(claim)
        return ""
    item, complaint = prepare_late(claim, item)
    if complaint := complaint or complaint_of(item, provider.capabilities) or _given_up(claim):
        settle_refused(claim, item, reason=complaint, cause="not sent")
        return "refused"
    if claim.has_fact and (fact := fact_of(claim, item)):
        settle_delivered(claim, item, fact)
        return "delivered"
    deadline = _deadline(item, provider)
    if not mark(claim, item, lease_seconds=LEASE_FACTOR * deadline):
        release(claim, wait=0)
        return "waiting"
    try:
        with total_deadline(deadline):
            record = checked(claim, item, _call(claim, item, provider))
    except ProviderError as error:
        note_error(claim, error)
        return _outcome(claim, item, provider, error)
    except Exception as error:  # says nothing about the vendor
        failure = Ambiguous(f"the provider raised {type(error).__name__}", **error_facts(claim, item))
        return _outcome(claim, item, provider, failure)
    answered()
    settle_delivered(claim, item, record)
    note_answer(claim)
    return "delivered"


def _call(claim: Claim, item: Item, provider: Provider) -> Result:
    ticket = claim.entry.ticket
    match item.kind, item.row:
        case Kind.COMMENT, Comment() as comment:
            return provider.add_comment(ticket.ref, comment_draft(comment, item.files))
        case Kind.UPLOAD, Attachment() as attachment:
            return provider.upload(ticket.ref, file_draft(attachment))
        case Kind.CLOSE, _:
            return provider.close(ticket.ref)
    return provider.create(ticket_draft(ticket, item.files, sent_at=None))


def _outcome(claim: Claim, item: Item, provider: Provider, error: ProviderError) -> str:
    """Do what the outcome table says for a send that did not end in a record."""
    match error:
        case Refused():
            settle_refused(claim, item, reason=describe(error), cause=str(error), request_id=error.request_id)
            return "refused"
        case AccessDenied():
            # The row is not to blame: its 72 hours begin anew.
            begins_anew: dict[str, Any] = {} if claim.entry.attempts else {"tried_since": None}
            return _retry(claim, item, error, wait=0, **begins_anew)
        case Busy() if (error.status or 0) >= 500:
            pass  # a server that asks for patience may have done it before
        case Busy() | NotSent() if _is_too_old(claim):
            reason = f"Given up after 72 hours: {describe(error)}"
            settle_refused(claim, item, reason=reason, cause=str(error), request_id=error.request_id)
            return "refused"
        case Busy() | NotSent():
            return _retry(claim, item, error, wait=_wait(claim, error))
    if not can_be_searched(item, provider.capabilities):
        settle_uncertain(claim, item, reason=describe(error), cause=str(error), request_id=error.request_id)
        return "uncertain"
    logger.warning("answer lost: %s", error, extra=log_facts(claim, item, "answer_lost", request_id=error.request_id))
    wait = max(clamped(error.retry_after), provider.settle_seconds)
    release(claim, wait=wait, error=describe(error), request_id=error.request_id)
    return "waiting"


def _settle_lost_answer(claim: Claim, item: Item | None, provider: Provider) -> str:
    if item is None:
        release(claim, wait=0, **{**UNMARKED, "attempts": 0, "tried_since": None, "searches": 0})
        return "waiting"
    try:
        return search(claim, item, provider)
    except ProviderError as error:
        note_error(claim, error)
        return _search_failed(claim, item, error)


def _search_failed(claim: Claim, item: Item, error: ProviderError) -> str:
    is_hopeless = isinstance(error, Refused) or (_is_too_old(claim) and not isinstance(error, AccessDenied))
    if is_hopeless:
        reason = f"The answer was lost, and the vendor could not be searched: {describe(error)}"
        settle_uncertain(claim, item, reason=reason, cause=str(error), request_id=error.request_id)
        return "uncertain"
    release(claim, wait=_wait(claim, error), error=describe(error), request_id=error.request_id)
    return "waiting"


def _retry(claim: Claim, item: Item, error: ProviderError, *, wait: float, **changes: Any) -> str:
    logger.info("retry later: %s", error, extra=log_facts(claim, item, "retry", request_id=error.request_id))
    release(claim, wait=wait, error=describe(error), request_id=error.request_id, **UNMARKED, **changes)
    return "waiting"


def _set_aside(claim: Claim, item: Item | None, error: Exception) -> str:
    # Without its text and traceback: both may hold what customers wrote.
    kind = type(error).__name__
    facts = {"event": "push.set_aside", "account": claim.entry.provider, "key": str(claim.entry.ticket.key)}
    logger.error("could not be handled: %s", kind, extra=facts)
    entry = claim.rows.values("attempts", "sent_at").first()
    if entry is None:
        return "waiting"
    if item is None or entry["attempts"] + 1 < SENDS:
        release(claim, wait=backoff(_trying(claim)), error=kind, attempts=F("attempts") + 1)
        return "waiting"
    is_unsent = entry["sent_at"] is None
    settle = settle_refused if is_unsent else settle_uncertain
    settle(claim, item, reason=f"It could not be handled: {kind}.", cause=kind)
    return "refused" if is_unsent else "uncertain"


def _given_up(claim: Claim) -> str:
    """Return why nothing more is tried, "" while there is hope."""
    if claim.entry.attempts < SENDS:
        return ""
    return f"It was tried {claim.entry.attempts} times without an outcome. {claim.entry.last_error}".strip()


def _deadline(item: Item, provider: Provider) -> float:
    deadline = provider.deadline_of(item.operation)
    return max(deadline, provider.upload_deadline) if item.files else deadline


def _wait(claim: Claim, error: ProviderError) -> float:
    return max(clamped(error.retry_after), backoff(_trying(claim)))


def _is_too_old(claim: Claim) -> bool:
    return _trying(claim) > GIVE_UP_SECONDS


def _trying(claim: Claim) -> float:
    """Return since how many seconds the item in flight is being tried."""
    since = claim.entry.tried_since
    return 0.0 if since is None else max(0.0, (claim.now - since) / 1000)
