"""A request whose answer was lost: wait until it has settled, search the vendor, adopt or send again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db.models import F, QuerySet

from django_support_tickets.exceptions import Ambiguous, RemoteNotFound
from django_support_tickets.models import Attachment, Comment, Delivery, Ticket, TicketEvent
from django_support_tickets.outbox.account import note_answer
from django_support_tickets.outbox.claims import Claim, extend, release
from django_support_tickets.outbox.facts import error_facts, known_fact, write_event
from django_support_tickets.outbox.items import Item, Kind, ticket_draft, utc_moment
from django_support_tickets.outbox.settling import settle_delivered, settle_refused, settle_uncertain
from django_support_tickets.outbox.storing import Result
from django_support_tickets.providers import Provider
from django_support_tickets.records import (
    ABSENT,
    AttachmentRecord,
    Capabilities,
    CommentRecord,
    Status,
    TicketRecord,
    clean_text,
    normalised_text,
)
from django_support_tickets.transport import total_deadline
from django_support_tickets.vocabulary import NEVER_US

#: Complete searches without a match, apart by the settle time, after which a request counts as never arrived.
SEARCHES = 2
#: Attempts that may have reached the vendor, or ended in an error that nobody foresaw, after which no more is tried.
SENDS = 8
#: A lease lasts this many deadlines of the operation, so that it cannot run out under a worker that is alive.
LEASE_FACTOR = 2
#: How far the vendor's clock may be behind ours when its comments and files are compared with the mark.
CLOCK_SKEW = timedelta(hours=1)
LONGEST_ID = 255

Named = TypeVar("Named", CommentRecord, AttachmentRecord)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found; `complete` False: something could not be looked at, so absence proves nothing."""

    records: tuple[Result, ...] = ()
    complete: bool = True


def can_be_searched(item: Item, capabilities: Capabilities) -> bool:
    """Return whether a lost answer of this item can be settled without a person."""
    return item.kind != Kind.CREATE or capabilities.can_find


def search(claim: Claim, item: Item, provider: Provider) -> str:
    """Settle an item that may be at the vendor; return the outcome's name in PushCounts. Raise ProviderError."""
    if claim.has_fact and (record := fact_of(claim, item)):
        settle_delivered(claim, item, record)
        return "delivered"
    if not can_be_searched(item, provider.capabilities):
        return _uncertain(claim, item, "The answer was lost, and this vendor cannot be searched.")
    waited = (claim.now - (claim.entry.sent_at or 0)) / 1000
    if waited < provider.settle_seconds:
        release(claim, wait=provider.settle_seconds - waited, error=claim.entry.last_error)
        return "waiting"
    deadline = provider.deadline_of("find" if item.kind == Kind.CREATE else "get")
    if not extend(claim, seconds=LEASE_FACTOR * deadline):
        return "waiting"
    with total_deadline(deadline):
        result = _look(claim, item, provider)
    note_answer(claim)
    return _decide(claim, item, result, provider)


def fact_of(claim: Claim, item: Item) -> Result | None:
    """Return what a late answer has said of the item, None if there was none, or it named something else of ours."""
    remote_id = known_fact(item, using=claim.using)
    return _record_of(item, remote_id) if remote_id and not _is_anothers(claim, item, remote_id) else None


def _decide(claim: Claim, item: Item, result: SearchResult, provider: Provider) -> str:
    if result.records:
        _report_duplicates(claim, item, result.records)
        settle_delivered(claim, item, result.records[0])
        return "delivered"
    if not result.complete:
        return _uncertain(claim, item, "The answer was lost, and the vendor could not be searched completely.")
    if claim.entry.searches + 1 < SEARCHES:
        release(claim, wait=provider.settle_seconds, error=claim.entry.last_error, searches=F("searches") + 1)
        return "waiting"
    if claim.entry.attempts >= SENDS:
        reason = f"It was tried {claim.entry.attempts} times and never arrived. {claim.entry.last_error}".strip()
        settle_refused(claim, item, reason=reason, cause="never arrived")
        return "refused"
    release(claim, wait=0, error=claim.entry.last_error, sent_at=None, item="", item_id=None, searches=0)
    return "waiting"


def _uncertain(claim: Claim, item: Item, reason: str) -> str:
    error = claim.entry.last_error
    settle_uncertain(claim, item, reason=f"{reason} {error}".strip(), cause="cannot be settled by search")
    return "uncertain"


def _look(claim: Claim, item: Item, provider: Provider) -> SearchResult:
    # Since the first send, not the last: an earlier one that arrived very late is found too.
    since = claim.entry.tried_since or claim.entry.sent_at
    if item.kind == Kind.CREATE:
        found = provider.find(ticket_draft(claim.entry.ticket, item.files, sent_at=since))
        return SearchResult(
            records=tuple(checked(claim, item, record) for record in found.records), complete=found.complete
        )
    try:
        record = provider.get(claim.entry.ticket.ref)
    except RemoteNotFound:
        return SearchResult(complete=False)
    match item.row:
        case Comment():
            return _find_comment(item.row, record, since=utc_moment(since), using=claim.using)
        case Attachment():
            return _find_file(item.row, record, since=utc_moment(since), using=claim.using)
    is_closed = record.status in (Status.CLOSED, Status.RESOLVED)
    return SearchResult(records=(record,) if is_closed else (), complete=record.status is not ABSENT)


def _find_comment(comment: Comment, record: TicketRecord, *, since: datetime | None, using: str) -> SearchResult:
    if record.comments is ABSENT:
        return SearchResult(complete=False)
    ours = normalised_text(comment.body)
    alike = [
        found
        for found in record.comments
        if found.author_type not in NEVER_US and normalised_text(found.body, found.body_format) == ours
    ]
    said = [normalised_text(text) for text in _nameless(comment, alike, using=using).values_list("body", flat=True)]
    free = _free(comment, alike, earlier=said.count(ours), using=using)
    return SearchResult(records=tuple([found for found in free if _is_since(found.sent_at, since)][-1:]))


def _find_file(attachment: Attachment, record: TicketRecord, *, since: datetime | None, using: str) -> SearchResult:
    if record.attachments is ABSENT:
        return SearchResult(complete=False)
    alike = [
        found
        for found in record.attachments
        if (found.name, found.size or attachment.size) == (attachment.name, attachment.size)
    ]
    sent = _nameless(attachment, alike, using=using).filter(name=attachment.name, size=attachment.size)
    free = _free(attachment, alike, earlier=sent.count(), using=using)
    return SearchResult(records=tuple([found for found in free if _is_since(found.created_at, since)][-1:]))


def _nameless(item: Comment | Attachment, alike: Sequence[Named], *, using: str) -> QuerySet[Any]:
    """Return what else of ours has been delivered and does not bear an id that the vendor shows; none if all have ids.

    What looks like this item may be one of them.
    """
    rows: QuerySet[Any] = type(item)._base_manager.using(using).filter(ticket=item.ticket_id)
    if all(found.remote_id for found in alike):
        return rows.none()
    delivered = rows.filter(submitted_at__isnull=False, delivery=Delivery.DELIVERED).exclude(pk=item.pk)
    return delivered.exclude(remote_id__in=[found.remote_id for found in alike if found.remote_id])


def _free(item: Comment | Attachment, alike: Sequence[Named], *, earlier: int, using: str) -> list[Named]:
    """Return what can be this item: without what bears another's id, and without the first `earlier` that have none."""
    taken = _taken(item, using=using)
    nameless = [place for place, found in enumerate(alike) if not found.remote_id][:earlier]
    return [found for place, found in enumerate(alike) if found.remote_id not in taken and place not in nameless]


def checked(claim: Claim, item: Item, record: Result) -> Result:
    """Return what a provider has answered; raise Ambiguous if it is none, or the ticket in it has no usable id.

    The id of a comment or file is only left out: the vendor has it, whatever it is called there.
    """
    remote_id = getattr(record, "remote_id", None)
    if not isinstance(remote_id, str):
        raise Ambiguous("the provider has returned no record", **error_facts(claim, item))
    if remote_id and len(remote_id) <= LONGEST_ID and clean_text(remote_id) == remote_id:
        return record
    if item.kind in (Kind.CREATE, Kind.CLOSE):
        raise Ambiguous("the answer has no usable id", **error_facts(claim, item))
    return replace(record, remote_id="")


def _is_anothers(claim: Claim, item: Item, remote_id: str) -> bool:
    """Return whether something else of ours has the remote id that a vendor has named for this item."""
    if isinstance(item.row, (Comment, Attachment)):
        return remote_id in _taken(item.row, using=claim.using)
    others = Ticket.objects.using(claim.using).of(claim.entry.provider).exclude(pk=item.row.pk)
    return others.filter(remote_id=remote_id, origin=Ticket.Origin.HERE).exists()


def _taken(item: Comment | Attachment, *, using: str) -> set[str | None]:
    """Return the remote ids of what else of ours is at the vendor.

    Those that a pull has only guessed by equal words are no obstacle: settling takes them over.
    """
    rows: QuerySet[Any] = type(item)._base_manager.using(using).filter(ticket=item.ticket_id)
    ours = rows.filter(submitted_at__isnull=False).exclude(delivery=Delivery.QUEUED)
    return set(ours.exclude(pk=item.pk).values_list("remote_id", flat=True))


def _is_since(moment: datetime | None, since: datetime | None) -> bool:
    """Return whether something at the vendor can be of a send at `since`, by its time."""
    return moment is None or since is None or moment >= since - CLOCK_SKEW


def _record_of(item: Item, remote_id: str) -> Result:
    match item.row:
        case Comment():
            return CommentRecord(remote_id=remote_id)
        case Attachment():
            return AttachmentRecord(remote_id=remote_id)
    return TicketRecord(remote_id=remote_id)


def _report_duplicates(claim: Claim, item: Item, records: tuple[Result, ...]) -> None:
    if len(records) > 1:
        remote_ids = [record.remote_id for record in records]
        write_event(claim, TicketEvent.Kind.DUPLICATE, item, {"remote_ids": remote_ids})
