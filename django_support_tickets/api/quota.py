"""How much one user may raise: counted in the database, under a lock, from rows that nobody can fake."""

from __future__ import annotations

from datetime import datetime, timedelta
from heapq import nlargest
from itertools import chain
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections
from django.db.models import F, Model, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from rest_framework.exceptions import Throttled

from django_support_tickets.conf import settings
from django_support_tickets.models import Attachment, Comment, OutboxEntry, Ticket, TicketEvent

WINDOWS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
#: Comments, files and closings, of each so many times the number of tickets.
MESSAGES_PER_TICKET = 10
Event, Item = TicketEvent.Kind, OutboxEntry.Item


def lock(user_id: Any, *, using: str) -> None:
    """Let only one transaction at a time count for a user.

    SQLite has no row locks, and needs none after a write: whoever has written is alone until the commit.
    """
    features = connections[using].features
    if features.has_select_for_update:
        # Without the stronger lock, on which every insert of a row that names the user would wait.
        users = get_user_model()._base_manager.using(using)
        list(users.select_for_update(no_key=features.has_select_for_no_key_update).filter(pk=user_id).values("pk"))


def refuse_too_many_tickets(requester_id: Any, *, using: str) -> None:
    """Raise Throttled if a requester has now raised more tickets than SUPPORT_TICKETS_QUOTA allows.

    A draft counts from when it was made, deleted or not, and again from when it is submitted; what the vendor has
    refused counts each time that it is submitted, as the timeline has it.
    """
    tickets = Ticket.objects.using(using).filter(requester=requester_id)
    deleted = _deleted(Item.CREATE, requester_id, using=using)
    _refuse_too_many(tickets.annotate(counted_at=Coalesce("submitted_at", "created_at")), deleted)
    submissions = TicketEvent.objects.using(using).filter(kind=Event.SUBMITTED, changes__item=Item.CREATE)
    # The date finds the few tickets whose events are looked at.
    theirs = submissions.filter(ticket__requester=requester_id, ticket__submitted_at__gt=_longest_ago())
    _refuse_too_many(theirs.annotate(counted_at=F("at")))


def refuse_too_many_comments(user_id: Any, *, using: str) -> None:
    """Raise Throttled if a user has now written more comments than go with so many tickets."""
    _refuse_too_many(_counted(Comment, user_id, using=using), factor=MESSAGES_PER_TICKET)


def refuse_too_many_files(user_id: Any, *, coming: int, using: str) -> None:
    """Raise Throttled if with `coming` files a user would have added more than go with so many tickets."""
    deleted = _deleted(Item.UPLOAD, user_id, using=using)
    _refuse_too_many(_counted(Attachment, user_id, using=using), deleted, factor=MESSAGES_PER_TICKET, coming=coming)


def refuse_too_many_closings(user_id: Any, *, using: str) -> None:
    """Raise Throttled if a user has now asked for more closings than go with so many tickets."""
    closings = TicketEvent.objects.using(using).filter(kind=Event.SUBMITTED, changes__item=Item.CLOSE)
    _refuse_too_many(closings.filter(actor=user_id).annotate(counted_at=F("at")), factor=MESSAGES_PER_TICKET)


def count_deleted(draft: Ticket, *, using: str) -> None:
    """Let a draft that is about to be deleted, and its files, count on; forget those that count no more."""
    if not settings.QUOTA:
        return
    files = draft.attachments.using(using).values_list("created_by", "created_at")
    rows = [(Item.CREATE, draft.requester_id, draft.created_at), *((Item.UPLOAD, *row) for row in files)]
    events = TicketEvent.objects.using(using)
    events.filter(ticket=None, actor__in={actor for _item, actor, _at in rows}, at__lt=_longest_ago()).delete()
    what = {"kind": Event.CANCELLED, "source": TicketEvent.Source.API}
    events.bulk_create(
        TicketEvent(**what, at=at, actor_id=actor, changes={"item": item}) for item, actor, at in rows if actor
    )


def _counted(model: type[Model], user_id: Any, *, using: str) -> QuerySet[Any]:
    rows = model._default_manager.using(using).filter(created_by=user_id)
    counted: QuerySet[Any] = rows.annotate(counted_at=Coalesce("submitted_at", "created_at"))
    return counted


def _deleted(item: OutboxEntry.Item, user_id: Any, *, using: str) -> QuerySet[Any]:
    events = TicketEvent.objects.using(using).filter(ticket=None, actor=user_id, changes__item=item)
    return events.annotate(counted_at=F("at"))


def _longest_ago() -> datetime:
    return timezone.now() - max(WINDOWS.values())


def _refuse_too_many(*rows: QuerySet[Any], factor: int = 1, coming: int = 0) -> None:
    """Raise Throttled until so many of the rows are out of the window that the newest, or what comes, has room."""
    quota, now = settings.QUOTA or {}, timezone.now()
    if not quota:
        return
    since, most = now - max(WINDOWS[name] for name in quota), max(quota.values()) * factor + 1
    recent = (some.filter(counted_at__gt=since).order_by("-counted_at") for some in rows)
    newest = nlargest(most, chain.from_iterable(some.values_list("counted_at", flat=True)[:most] for some in recent))
    for name, limit in quota.items():
        since, room = now - WINDOWS[name], max(limit * factor - coming, 0)
        counted = [moment for moment in newest if moment > since]
        if len(counted) > room or coming > limit * factor:
            oldest = counted[room] if len(counted) > room else now
            raise Throttled(wait=max((oldest - since).total_seconds(), 1))
