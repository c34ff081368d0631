"""Rows that no save has prepared (`bulk_create`): what a save would have done is done before they are sent."""

from __future__ import annotations

from dataclasses import replace

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import translation

from django_support_tickets.models import Attachment, Delivery
from django_support_tickets.outbox.claims import Claim, extend
from django_support_tickets.outbox.facts import Event, write_event
from django_support_tickets.outbox.intake import prepare, prepare_file
from django_support_tickets.outbox.items import Item, Kind, Row
from django_support_tickets.outbox.leases import START_SECONDS
from django_support_tickets.outbox.settling import LeaseLost


def prepare_late(claim: Claim, item: Item) -> tuple[Item, str]:
    """Filter and validate the item if nobody has; return it, and the complaint if it is not valid.

    A file that travels with it and is not valid is refused by itself and left behind. Raise LeaseLost.
    """
    if item.kind != Kind.CLOSE and item.row.submitted_at is None and (complaint := _prepare(claim, item.row)):
        return item, complaint
    if all(file.submitted_at is not None for file in item.files):
        return item, ""
    return replace(item, files=tuple(file for file in item.files if _is_fit(claim, file))), ""


def _is_fit(claim: Claim, file: Attachment) -> bool:
    if file.submitted_at is not None:
        return True
    complaint = _prepare(claim, file)
    if complaint:
        with transaction.atomic(using=claim.using):
            _keep_lease(claim)
            queued = Attachment.objects.using(claim.using).filter(pk=file.pk, delivery=Delivery.QUEUED)
            queued.update(delivery=Delivery.REFUSED, delivery_error=complaint)
            write_event(claim, Event.REFUSED, Item(Kind.UPLOAD, file), {"reason": complaint})
    return not complaint


def _prepare(claim: Claim, row: Row) -> str:
    try:
        with translation.override(None):  # what is stored is English
            names = prepare_file(row) if isinstance(row, Attachment) else prepare(row)
    except ValidationError as error:
        with translation.override(None):
            return " ".join(error.messages)
    with transaction.atomic(using=claim.using):
        _keep_lease(claim)
        rows = type(row)._base_manager.using(claim.using).filter(pk=row.pk, submitted_at=None)
        if not rows.update(**{name: getattr(row, name) for name in names}):
            raise LeaseLost  # another worker has prepared it meanwhile
    return ""


def _keep_lease(claim: Claim) -> None:
    # It took as long as filters, scanners and a storage take.
    if not extend(claim, seconds=START_SECONDS):
        raise LeaseLost
