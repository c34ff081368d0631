"""Send one claimed item and bring it to its outcome; nothing here branches on anything but the outcome."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import F

from django_support_tickets.exceptions import AccessDenied, Ambiguous, Busy, NotSent, ProviderError, Refused
from django_support_tickets.models import Attachment, Comment
from django_support_tickets.models.pauses import note_failure, note_success, pause_busy, pause_denied
from django_support_tickets.outbox.claims import Claim, backoff, mark, release
from django_support_tickets.outbox.intake import prepare
from django_support_tickets.outbox.items import Item, Kind, comment_draft, file_draft, next_item, ticket_draft
from django_support_tickets.outbox.searching import SENDS, can_be_searched, search
from django_support_tickets.outbox.settling import (
    LeaseLost,
    Result,
    describe,
    event_facts,
    settle_delivered,
    settle_refused,
    settle_uncertain,
)
from django_support_tickets.providers import Provider
from django_support_tickets.transport import total_deadline

logger = logging.getLogger(__name__)

GIVE_UP_SECONDS = 72 * 3600.0
#: A lease lasts this many deadlines of the operation, so that it cannot run out under a worker that is alive.
LEASE_FACTOR = 2
UNSENT: dict[str, Any] = {"sent_at": None, "item": "", "item_id": None}


def deliver(claim: Claim, provider: Provider) -> str:
    """Bring one claim to an outcome; return its name in PushCounts, "" if there was nothing to send."""
    item = next_item(claim.entry.ticket, provider.capabilities, using=claim.using)
    if item is None:
        claim.rows.delete()
        return ""
    is_marked = claim.entry.sent_at is not None and _is_of(claim, item)
    try:
        return _settle_lost_answer(claim, item, provider) if is_marked else _send(claim, item, provider)
    except LeaseLost:
        logger.warning("lease lost", extra=event_facts(claim, item, "lease_lost"))
        return "waiting"
    except Exception as error:  # one bad row must never stop the queue
        return _set_aside(claim, item, error)


def _send(claim: Claim, item: Item, provider: Provider) -> str:
    if item.row.submitted_at is None and (complaint := _prepare_late(claim, item)):
        settle_refused(claim, item, reason=complaint, cause="not valid")
        return "refused"
    deadline = _deadline(item, provider)
    if not mark(claim, item, lease_seconds=LEASE_FACTOR * deadline):
        return "waiting"
    try:
        with total_deadline(deadline):
            record = _call(item, provider)
    except ProviderError as error:
        return _outcome(claim, item, provider, error)
    except Exception as error:
        kind = type(error).__name__
        return _outcome(claim, item, provider, Ambiguous(f"the provider raised {kind}", alias=provider.alias))
    settle_delivered(claim, item, record)
    note_success(provider.alias, using=claim.using)
    return "delivered"


def _call(item: Item, provider: Provider) -> Result:
    match item.kind, item.row:
        case Kind.COMMENT, Comment() as comment:
            return provider.add_comment(comment.ticket.ref, comment_draft(comment, item.files))
        case Kind.UPLOAD, Attachment() as attachment:
            return provider.upload(attachment.ticket.ref, file_draft(attachment))
        case Kind.CLOSE, ticket:
            return provider.close(ticket.ref)  # type: ignore[union-attr]
    return provider.create(ticket_draft(item.row, item.files, sent_at=None))  # type: ignore[arg-type]


def _outcome(claim: Claim, item: Item, provider: Provider, error: ProviderError) -> str:
    """Do what the outcome table says for a send that did not end in a record."""
    _tell_account(provider.alias, error, using=claim.using)
    match error:
        case Refused():
            settle_refused(claim, item, reason=describe(error), cause=str(error))
            return "refused"
        case AccessDenied():
            return _retry(claim, item, error, wait=0)
        case Busy():
            return _retry(claim, item, error, wait=error.retry_after or 0)
        case NotSent() if _is_too_old(claim):
            settle_refused(claim, item, reason=f"Given up after 72 hours: {describe(error)}", cause=str(error))
            return "refused"
        case NotSent():
            return _retry(claim, item, error, wait=backoff(claim.entry.attempts + 1))
    if not can_be_searched(item, provider.capabilities):
        settle_uncertain(claim, item, reason=describe(error), cause=str(error))
        return "uncertain"
    logger.warning("answer lost: %s", error, extra=event_facts(claim, item, "answer_lost"))
    release(claim, wait=provider.settle_seconds, error=describe(error), request_id=error.request_id)
    return "waiting"


def _settle_lost_answer(claim: Claim, item: Item, provider: Provider) -> str:
    try:
        return search(claim, item, provider)
    except ProviderError as error:
        _tell_account(provider.alias, error, using=claim.using)
        if isinstance(error, (Busy, AccessDenied)) or not _is_too_old(claim):
            tries = claim.entry.attempts + 1
            release(claim, wait=backoff(tries), error=describe(error), request_id=error.request_id)
            return "waiting"
        settle_uncertain(claim, item, reason=describe(error), cause=str(error))
        return "uncertain"


def _retry(claim: Claim, item: Item, error: ProviderError, *, wait: float) -> str:
    logger.info("retry later: %s", error, extra=event_facts(claim, item, "retry"))
    release(claim, wait=wait, error=describe(error), request_id=error.request_id, **UNSENT)
    return "waiting"


def _set_aside(claim: Claim, item: Item, error: Exception) -> str:
    # Without its text and traceback: both may hold what customers wrote.
    kind = type(error).__name__
    logger.error("could not be handled: %s", kind, extra=event_facts(claim, item, "set_aside"))
    entry = claim.rows.values("attempts", "sent_at").first()
    if entry is None:
        return "waiting"
    if entry["attempts"] >= SENDS:
        settle = settle_refused if entry["sent_at"] is None else settle_uncertain
        settle(claim, item, reason=f"It could not be handled: {kind}.", cause=kind)
        return "refused" if entry["sent_at"] is None else "uncertain"
    release(claim, wait=backoff(entry["attempts"] + 1), error=kind, attempts=F("attempts") + 1)
    return "waiting"


def _tell_account(alias: str, error: ProviderError, *, using: str) -> None:
    match error:
        case AccessDenied():
            pause_denied(alias, detail=describe(error), using=using)
        case Busy():
            pause_busy(alias, retry_after=error.retry_after, detail=describe(error), using=using)
        case NotSent() | Ambiguous() if error.status is None or error.status >= 500:
            note_failure(alias, detail=describe(error), using=using)
        case _:
            note_success(alias, using=using)


def _prepare_late(claim: Claim, item: Item) -> str:
    """Do for a row of `bulk_create` what a save would have done; return the complaint if it is not valid."""
    try:
        prepare(item.row)
    except ValidationError as error:
        return " ".join(error.messages)
    names = ["submitted_at", *sorted(item.row.DRAFT_FIELDS & {"subject", "description", "body"})]
    rows = type(item.row)._base_manager.using(claim.using).filter(pk=item.row.pk)
    rows.update(**{name: getattr(item.row, name) for name in names})
    return ""


def _deadline(item: Item, provider: Provider) -> float:
    deadline = provider.deadline_of(item.operation)
    return max(deadline, provider.upload_deadline) if item.files else deadline


def _is_of(claim: Claim, item: Item) -> bool:
    return (claim.entry.item, claim.entry.item_id) == (item.kind, item.row.pk)


def _is_too_old(claim: Claim) -> bool:
    since = claim.entry.tried_since
    return since is not None and claim.now - since > GIVE_UP_SECONDS * 1000
