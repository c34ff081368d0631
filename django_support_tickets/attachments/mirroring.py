"""Fetch a file that lies at a vendor, and keep it: by hand, or at once for accounts with `mirror_attachments`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import DEFAULT_DB_ALIAS
from django.db.models import DurationField, ExpressionWrapper, F, Q, QuerySet, Value
from django.utils import timezone

from django_support_tickets.attachments.scanning import scan, scan_again
from django_support_tickets.attachments.signatures import OPAQUE, content_type_of, is_what_it_says
from django_support_tickets.attachments.storing import (
    LARGEST,
    Measured,
    StorageFailed,
    TooLarge,
    discard,
    has_storage,
    measure,
    store,
)
from django_support_tickets.exceptions import AccessDenied, Ambiguous, Busy, NotSent, ProviderError, Refused
from django_support_tickets.models import Attachment, Delivery
from django_support_tickets.models.names import display_name
from django_support_tickets.models.pauses import pause_busy, pause_denied, paused
from django_support_tickets.providers import Provider, providers
from django_support_tickets.providers.files import foreign_files_of
from django_support_tickets.records import AttachmentRecord, Download
from django_support_tickets.transport import refuse_inside_transaction

logger = logging.getLogger(__name__)
State = Attachment.State

#: A file whose fetching fails is tried again for so long, each time after twice the wait, and then only by hand.
GIVE_UP = timedelta(hours=72)
FIRST_WAIT = timedelta(minutes=1)
#: So many failures in a row end a run.
FAILURES_IN_A_ROW = 3
#: Statuses by which a vendor, or the host of its files, says that there is no such file any more.
GONE = frozenset({404, 410})
#: An address that has expired is also just forbidden.
GONE_AT_ADDRESS = GONE | {403}


@dataclass(slots=True)
class MirrorCounts:
    """What became of the files; `halted` says why a run ended early."""

    stored: int = 0
    quarantined: int = 0
    expired: int = 0
    failed: int = 0
    # Could not be fetched now; tried again later.
    waiting: int = 0
    halted: str = ""


def never() -> bool:
    """Return False: nothing asks to stop."""
    return False


def mirror(attachment: Attachment) -> Attachment.State:
    """Fetch a file that lies at the vendor only, store it, and return its state; one that is here already stays.

    One that is here but quarantined is given to the scanner again, as it may have been down. Any other ends stored,
    quarantined by the scanner, expired at the vendor or failed; where it can be tried again later it stays remote. Why
    is in `attachment.error`, which also flags a stored file that is not what the vendor announced.
    Raise RuntimeError in a transaction and InvalidProvider if the account is not configured any more.
    """
    refuse_inside_transaction()
    if attachment.direction == Attachment.Direction.OUT:
        return State(attachment.state)
    if attachment.file:
        scan_again(attachment)
        return State(attachment.state)
    with providers[attachment.ticket.provider] as provider:
        return _mirror(attachment, provider)


def mirror_due(
    alias: str, *, stop: Callable[[], bool] = never, limit: int = 200, using: str = DEFAULT_DB_ALIAS
) -> MirrorCounts:
    """Fetch the files of an account with `mirror_attachments` that have lately appeared at the vendor, one by one.

    `stop` is asked before each. What cannot be fetched now is tried again by a later run, less and less often. Raise
    RuntimeError in a transaction and InvalidProvider for an alias that cannot be used.
    """
    refuse_inside_transaction()
    counts, in_a_row = MirrorCounts(), 0
    with providers[alias] as provider:
        files = due_files(alias, using=using)[:limit] if provider.mirror_attachments else []
        for attachment in files:
            if stop() or counts.halted:
                break
            if not attachment.remote_url and paused(alias, using=using):
                counts.waiting += 1
                continue
            state = _mirror(attachment, provider)
            _count(counts, state)
            in_a_row = in_a_row + 1 if state == State.REMOTE else 0
            if in_a_row == FAILURES_IN_A_ROW:
                counts.halted = attachment.error
    return counts


def due_files(alias: str, *, using: str) -> QuerySet[Attachment]:
    """Return the files of an account that are to be fetched now, oldest first."""
    now = timezone.now()
    idle = ExpressionWrapper(Value(now) - F("updated_at"), DurationField())
    age = ExpressionWrapper(F("updated_at") - F("created_at"), DurationField())
    rested = Q(error="") | Q(idle__gte=F("age"), updated_at__lte=now - FIRST_WAIT)
    rows = Attachment.objects.using(using).filter(
        delivery=Delivery.DELIVERED,
        created_at__gte=now - GIVE_UP,
        direction=Attachment.Direction.IN,
        state=State.REMOTE,
        ticket__provider=alias,
    )
    rows = rows.annotate(idle=idle, age=age).filter(rested).order_by("created_at", "pk")
    return rows.select_related("ticket").defer("ticket__raw", "ticket__description")


def _mirror(attachment: Attachment, provider: Provider) -> Attachment.State:
    if not has_storage():
        return _note(attachment, "STORAGES has no storage for files.", State.REMOTE)
    try:
        with TemporaryUploadedFile("file", OPAQUE, 0, None) as copy:
            with _source(attachment, provider) as download:
                measured = measure(download.chunks, limit=LARGEST, copy_to=copy)
            copy.seek(0)
            copy.size = measured.size
            return _keep(attachment, copy, measured)
    except ProviderError as error:
        return _note(attachment, error, _state_after(attachment, error))
    except TooLarge:
        return _note(attachment, f"It is larger than {LARGEST} bytes.", State.FAILED)
    except StorageFailed as error:
        return _note(attachment, str(error), State.REMOTE)
    except Exception as error:  # a provider of somebody's own, or a full disk; the other files must not suffer
        facts = {"event": "attachments.fetch_failed", **_names(attachment)}
        logger.error("fetching failed: %s", type(error).__name__, extra=facts)
        state = State.FAILED if _is_given_up(attachment) else State.REMOTE
        return _note(attachment, f"Fetching failed: {type(error).__name__}.", state)


def _source(attachment: Attachment, provider: Provider) -> AbstractContextManager[Download]:
    """Return where the bytes come from: the address in the vendor's answer, else the vendor's own call."""
    if attachment.remote_url:
        return foreign_files_of(provider).fetch(attachment.remote_url, limit=LARGEST, key=str(attachment.key))
    if type(provider).download is Provider.download:
        raise Refused("the vendor has no call to fetch files", alias=provider.alias, operation="download")
    record = AttachmentRecord(
        remote_id=attachment.remote_id or "",
        name=attachment.name,
        content_type=attachment.content_type,
        size=attachment.size,
    )
    return provider.download(attachment.ticket.ref, record)


def _keep(attachment: Attachment, copy: TemporaryUploadedFile, measured: Measured) -> Attachment.State:
    """Store the file as what it is, whatever the vendor calls it, and flag what does not agree."""
    name = display_name(attachment.name)
    is_honest = is_what_it_says(name, measured.head)
    content_type = content_type_of(name) if is_honest else OPAQUE
    flags = [] if is_honest else ["Its content is not of the kind that its name says."]
    if attachment.size not in (None, measured.size):
        flags.append(f"The vendor announced {attachment.size} bytes, {measured.size} came.")
    key = store(copy, size=measured.size, content_type=content_type)
    complaint = scan(key, name)
    values = {
        "file": key,
        "size": measured.size,
        "sha256": measured.sha256,
        "content_type": content_type,
        "state": State.QUARANTINED if complaint else State.STORED,
        "error": " ".join([*flags, complaint]).strip(),
    }
    if not _write(attachment, values):
        discard(key)  # another worker was faster, or the row is gone
    return State(attachment.state)


def _names(attachment: Attachment) -> dict[str, str]:
    return {"account": attachment.ticket.provider, "key": str(attachment.key)}


def _note(attachment: Attachment, error: ProviderError | str, state: Attachment.State) -> Attachment.State:
    """Write down why a file did not come."""
    words = error.cause if isinstance(error, ProviderError) else error
    logger.info("file not fetched: %s", words, extra={"event": "attachments.not_fetched", **_names(attachment)})
    if isinstance(error, AccessDenied):
        pause_denied(error.alias, detail=str(error), using=attachment._state.db or DEFAULT_DB_ALIAS)
    elif isinstance(error, Busy):
        wait = error.retry_after
        pause_busy(error.alias, retry_after=wait, detail=str(error), using=attachment._state.db or DEFAULT_DB_ALIAS)
    _write(attachment, {"state": state, "error": words})
    return State(attachment.state)


def _state_after(attachment: Attachment, error: ProviderError) -> Attachment.State:
    if error.status in (GONE_AT_ADDRESS if attachment.remote_url else GONE):
        return State.EXPIRED
    if isinstance(error, (Busy, AccessDenied)):
        return State.REMOTE
    may_pass = isinstance(error, (NotSent, Ambiguous)) and not error.is_lasting
    return State.REMOTE if may_pass and not _is_given_up(attachment) else State.FAILED


def _is_given_up(attachment: Attachment) -> bool:
    """Return whether the next try, after as long a wait as all before together, would come too late."""
    return timezone.now() - attachment.created_at > GIVE_UP / 2


def _write(attachment: Attachment, values: dict[str, Any]) -> bool:
    """Write these columns if the row still has no file; return whether it had none."""
    rows = Attachment.objects.using(attachment._state.db).filter(pk=attachment.pk, file="")
    changed = rows.update(**values, updated_at=timezone.now())
    if changed:
        for name, value in values.items():
            setattr(attachment, name, value)
    else:
        found = Attachment.objects.using(attachment._state.db).filter(pk=attachment.pk).values("file", "state").first()
        for name, value in (found or {}).items():
            setattr(attachment, name, value)
    return bool(changed)


def _count(counts: MirrorCounts, state: Attachment.State) -> None:
    name = "waiting" if state == State.REMOTE else str(state.value)
    setattr(counts, name, getattr(counts, name) + 1)
