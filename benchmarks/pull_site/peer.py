"""The peer: one object after the other, as dj-stripe's `sync_from_stripe_data` does it.

Get it; if there is none, get it again in a transaction and create it; if there is one, set all fields and save it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.db import transaction

from benchmarks.pull_site.models import PeerAttachment, PeerComment, PeerTicket
from django_support_tickets.records import ABSENT, AttachmentRecord, CommentRecord, TicketRecord

SAME = ("reference", "status", "remote_status", "priority", "category", "tags", "resolution", "subject", "description")
TIMES = {"remote_created_at": "created_at", "remote_updated_at": "updated_at", "last_comment_at": "last_comment_at"}


def store(records: Iterable[TicketRecord]) -> None:
    """Write records, first or again."""
    for record in records:
        ticket = sync(PeerTicket, {"provider": "ankra", "remote_id": record.remote_id}, ticket_values(record))
        for comment in record.comments or ():
            sync(PeerComment, {"ticket": ticket, "remote_id": comment.remote_id}, comment_values(comment))
        for file in record.attachments or ():
            sync(PeerAttachment, {"ticket": ticket, "remote_id": file.remote_id}, file_values(file))


def sync(model: Any, key: dict[str, Any], values: dict[str, Any]) -> Any:
    """Return the row of `key` with these values."""
    try:
        found = model.objects.get(**key)
    except model.DoesNotExist:
        with transaction.atomic():
            found = model.objects.filter(**key).first()
            if found is None:
                return model.objects.create(**key, **values)
    for name, value in values.items():
        setattr(found, name, value)
    found.save()
    return found


def ticket_values(record: TicketRecord) -> dict[str, Any]:
    names = {**dict(zip(SAME, SAME, strict=True)), **TIMES}
    values = {name: getattr(record, source) for name, source in names.items()}
    return {"raw": record.raw, **{name: value for name, value in values.items() if value is not ABSENT}}


def comment_values(comment: CommentRecord) -> dict[str, Any]:
    return {name: value for name, value in asdict(comment).items() if name != "remote_id"}


def file_values(file: AttachmentRecord) -> dict[str, Any]:
    return {"name": file.name, "content_type": file.content_type, "size": file.size, "remote_url": file.remote_url}
