"""Erase a user: what is kept of their tickets goes, and what vendors hold is listed.

Every ticket is one transaction that can be repeated; a run that is cut off is completed by the next one. Pull may go on
meanwhile: merge looks at a row under its lock, and takes nothing of a ticket that was erased.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import ProtectedError, Q, QuerySet, RestrictedError
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext as _

from django_support_tickets.attachments.storing import discard
from django_support_tickets.models import (
    ERASED,
    Attachment,
    Comment,
    Delivery,
    EpochNow,
    OutboxEntry,
    ProviderState,
    Ticket,
    TicketEvent,
    WebhookDelivery,
)
from django_support_tickets.models.retries import repeated
from django_support_tickets.records import Status

logger = logging.getLogger(__name__)

#: Of an event's facts these are no text and name nobody.
KEPT_FACTS = ("item", "key", "remote_id", "remote_ids")
#: What stays of a ticket that a vendor has: how it is named there, when it was raised, and that it was erased. Closed,
#: so that nothing looks for news of it.
REDACTED: dict[str, Any] = {
    "subject": "",
    "description": "",
    "contact_name": "",
    "contact_email": "",
    "customer_id": "",
    "tags": [],
    "resolution": "",
    "options": {},
    "about_type": None,
    "about_id": "",
    "raw": None,
    "request_digest": "",
    "delivery_error": "",
    "close_delivery": "",
    "status": Status.CLOSED,
    "remote_status": "",
    "missing_since": None,
    "next_poll_at": None,
    "digest": ERASED,
}


@dataclass(frozen=True, slots=True)
class VendorCopy:
    """A ticket that a vendor still has, or may have: `is_certain` False means that its answer was lost."""

    account: str
    reference: str
    remote_id: str
    is_certain: bool = True


@dataclass(slots=True)
class Erasure:
    """What was done (in a dry run: would be), and what is left."""

    # Tickets that no vendor has ever had are removed, the others redacted, and those that rows of the project need.
    removed: int = 0
    redacted: int = 0
    files: int = 0
    # Keys of tickets of which something is being sent, and of those whose files the storage has not deleted.
    in_flight: list[str] = field(default_factory=list)
    files_left: list[str] = field(default_factory=list)
    vendor_copies: list[VendorCopy] = field(default_factory=list)
    # Tickets of nobody, or of others, with the user's e-mail address as contact; they are not touched.
    others_by_email: int = 0

    @property
    def is_complete(self) -> bool:
        """Return whether nothing is left for another run."""
        return not self.in_flight and not self.files_left

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON takes it."""
        return {**asdict(self), "complete": self.is_complete}


class InFlight(Exception):
    """A byte of the ticket, or of something of it, may be on its way."""


class FilesLeft(Exception):
    """The storage has not deleted a file of the ticket."""


def find_user(name: str, *, using: str) -> AbstractBaseUser:
    """Return the user of this name or primary key; raise LookupError if there is none, or it could be two."""
    model = get_user_model()
    users = model._default_manager.using(using)
    found = {user.pk: user for user in users.filter(**{model.USERNAME_FIELD: name})}
    with contextlib.suppress(ValidationError, OverflowError):  # the name is no key
        keys = users.filter(pk=model._meta.pk.to_python(name))
        # Not what only Python takes for the same number: 1_0 for 10.
        found |= {user.pk: user for user in keys if _plain(user.pk) == _plain(name)}
    if len(found) != 1:
        raise LookupError(_("That is one user's name and another's key.") if found else _("There is no such user."))
    return next(iter(found.values()))


def _plain(key: Any) -> str:
    return str(key).replace("-", "").lower()


def erase(user: AbstractBaseUser, *, using: str, dry_run: bool = False) -> Erasure:
    """Erase what is kept of a user's tickets; what is queued is cancelled, what is being sent is left for a re-run.

    The tickets keep their requester until the user's own row, which is the project's, is deleted: so a second run
    lists the vendors' copies again.
    """
    result = Erasure()
    rows = Ticket.objects.using(using).filter(requester=user.pk)
    _erase_tickets(rows.exclude(digest=ERASED), result, dry_run=dry_run)
    if not dry_run:
        _forget_elsewhere(user, using=using)
    result.vendor_copies = list(_copies_of(rows if dry_run else rows.filter(digest=ERASED)))
    result.others_by_email = _others_by_email(user, using=using)
    facts = {"event": "erase.done", "removed": result.removed, "redacted": result.redacted}
    logger.info("user erased%s", "" if result.is_complete else " in part", extra=facts)
    return result


def _erase_tickets(rows: QuerySet[Ticket], result: Erasure, *, dry_run: bool) -> None:
    for pk in list(rows.order_by("pk").values_list("pk", flat=True)):
        try:
            if dry_run:
                _count(rows, pk, result)
            else:
                repeated(lambda pk=pk: _erase_ticket(rows, pk, result), using=rows.db)  # type: ignore[misc]
        except InFlight as error:
            result.in_flight.append(str(error))
        except FilesLeft as error:
            result.files_left.append(str(error))


def _erase_ticket(rows: QuerySet[Ticket], pk: int, result: Erasure) -> None:
    using = rows.db
    with transaction.atomic(using=using):
        # The first statement writes: so it excludes workers also where rows cannot be locked (SQLite).
        entries = OutboxEntry.objects.using(using).filter(ticket=pk)
        free = Q(leased_until=None) | Q(leased_until__lt=EpochNow())
        entries.filter(free, sent_at=None).delete()
        ticket = rows.select_for_update().filter(pk=pk).first()
        if ticket is None:
            return
        if entries.exists():
            raise InFlight(str(ticket.key))
        files = _delete_files(ticket)
        is_gone = not _may_be_at_vendor(ticket) and _is_deleted(ticket, using=using)
        if not is_gone:
            _redact(ticket, using=using)
    result.removed += is_gone
    result.redacted += not is_gone
    result.files += files


def _delete_files(ticket: Ticket) -> int:
    """Delete the ticket's files; return how many. Its rows go later: after a crash they say what is left."""
    files = list(ticket.attachments.exclude(file="").values_list("file", flat=True))
    deleted = sum(map(discard, files))
    if deleted < len(files):
        raise FilesLeft(str(ticket.key))
    return len(files)


def _count(rows: QuerySet[Ticket], pk: int, result: Erasure) -> None:
    ticket = rows.get(pk=pk)
    entries = OutboxEntry.objects.using(rows.db).filter(ticket=pk)
    if entries.filter(Q(sent_at__isnull=False) | Q(leased_until__gte=EpochNow())).exists():
        raise InFlight(str(ticket.key))
    result.files += ticket.attachments.exclude(file="").count()
    result.redacted += _may_be_at_vendor(ticket)
    result.removed += not _may_be_at_vendor(ticket)


def _may_be_at_vendor(ticket: Ticket) -> bool:
    return bool(ticket.remote_id) or ticket.delivery == Delivery.UNCERTAIN or bool(_late_remote_id(ticket))


def _late_remote_id(ticket: Ticket) -> str:
    """Return the id that a late answer has named, "" if none has."""
    events = ticket.events.filter(kind=TicketEvent.Kind.LATE_ANSWER).values_list("changes", flat=True)
    made = (changes for changes in events if isinstance(changes, dict) and changes.get("item") == "create")
    return next((str(changes.get("remote_id", "")) for changes in made), "")


def _is_deleted(ticket: Ticket, *, using: str) -> bool:
    """Delete a ticket; return False if rows of the project's own do not let it go (PROTECT, RESTRICT)."""
    try:
        with transaction.atomic(using=using):
            ticket.delete()
    except (ProtectedError, RestrictedError):
        return False
    return True


def _redact(ticket: Ticket, *, using: str) -> None:
    Comment.objects.using(using).filter(ticket=ticket).delete()
    Attachment.objects.using(using).filter(ticket=ticket).delete()
    if ticket.remote_id:
        WebhookDelivery.objects.using(using).filter(provider=ticket.provider, remote_id=ticket.remote_id).delete()
    events = list(TicketEvent.objects.using(using).filter(ticket=ticket))
    for event in events:
        changes = event.changes if isinstance(event.changes, dict) else {}
        event.changes = {name: changes[name] for name in KEPT_FACTS if name in changes}
    TicketEvent.objects.using(using).bulk_update(events, ["changes"], batch_size=100)
    if ticket.customer_id:
        _forget_list(ticket, using=using)
    delivery = ticket.delivery
    if delivery == Delivery.QUEUED:  # it must not go out empty; of one that was to be sent again there may be a copy
        delivery = Delivery.UNCERTAIN if _may_be_at_vendor(ticket) else Delivery.DRAFT
    row = Ticket.objects.using(using).filter(pk=ticket.pk)
    row.update(**REDACTED, delivery=delivery, updated_at=timezone.now())


def _forget_list(ticket: Ticket, *, using: str) -> None:
    """Delete the state of the customer's list, which is named by the customer's id, if no other ticket needs it."""
    others = Ticket.objects.using(using).of(ticket.provider).filter(customer_id=ticket.customer_id)
    if not others.exclude(pk=ticket.pk).exists():
        states = ProviderState.objects.using(using).filter(provider=ticket.provider)
        states.filter(scope=ticket.customer_id).delete()


def _forget_elsewhere(user: AbstractBaseUser, *, using: str) -> None:
    """Take the user's name off what they wrote and did at other people's tickets; the words belong to those."""
    Comment.objects.using(using).filter(created_by=user.pk).update(created_by=None, author_name="", request_digest="")
    Attachment.objects.using(using).filter(created_by=user.pk).update(created_by=None, request_digest="")
    events = TicketEvent.objects.using(using).filter(actor=user.pk)
    events.filter(ticket=None).delete()
    events.update(actor=None)


def _copies_of(rows: QuerySet[Ticket]) -> Iterator[VendorCopy]:
    for ticket in rows.order_by("provider", "pk").only("provider", "reference", "remote_id", "delivery"):
        remote_id = ticket.remote_id or _late_remote_id(ticket)
        if remote_id or ticket.delivery == Delivery.UNCERTAIN:
            yield VendorCopy(ticket.provider, ticket.reference, remote_id, is_certain=bool(remote_id))


def _others_by_email(user: AbstractBaseUser, *, using: str) -> int:
    email = str(getattr(user, user.get_email_field_name(), "") or "")
    if not email:
        return 0
    # Not iexact, which follows the collation of MySQL.
    others = Ticket.objects.using(using).annotate(address=Lower("contact_email")).filter(address=email.lower())
    return others.exclude(requester=user.pk).count()
