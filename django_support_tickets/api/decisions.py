"""Asking the outbox and the pull for something, in the words of HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.exceptions import Throttled

from django_support_tickets.api import quota
from django_support_tickets.api.raising import Conflict
from django_support_tickets.dispatch import wake
from django_support_tickets.models import Submission, Ticket, TicketEvent, database_time
from django_support_tickets.outbox.decisions import request_close, settle
from django_support_tickets.sync import hint

API = TicketEvent.Source.API
#: A ticket that was fetched more recently than this is not fetched again because somebody asks.
FRESH = timedelta(minutes=1)


def close_ticket(ticket: Ticket, *, user: Any) -> None:
    """Queue the closing of a ticket at its vendor; raise Conflict if that cannot be, Throttled over the quota."""
    using = str(ticket._state.db)
    with conflicts(), transaction.atomic(using=using):
        quota.lock(user.pk, using=using)
        request_close(ticket, actor=user, source=API)
        quota.refuse_too_many_closings(user.pk, using=using)


def settle_item(item: Submission, *, exists: str | None = None, send_again: bool = False, user: Any) -> None:
    """Settle what is uncertain; raise Conflict if it is not, ValidationError if it cannot have this remote id."""
    with conflicts():
        settle(item, exists=exists, send_again=send_again, actor=user, source=API)


def refresh_ticket(ticket: Ticket) -> None:
    """Make a ticket due now; raise Conflict before it is at its vendor, and Throttled while it is fresh."""
    if not ticket.remote_id:
        raise Conflict(_("The ticket is not at the vendor."))
    using = str(ticket._state.db)
    now = database_time(using)
    if ticket.synced_at is not None and now - ticket.synced_at < FRESH:
        raise Throttled(wait=max((ticket.synced_at + FRESH - now).total_seconds(), 1))
    if ticket.next_poll_at is None or ticket.next_poll_at > now:
        hint(ticket.provider, [ticket.remote_id], using=using)
        wake(ticket.provider, using=using)


@contextmanager
def conflicts() -> Iterator[None]:
    """Turn what a decision complains of into answers: about a field a 400, about the state of things a 409."""
    try:
        yield
    except ValidationError as error:
        if not hasattr(error, "error_dict"):
            raise Conflict(" ".join(error.messages)) from None
        if "provider" in error.error_dict:  # it may name every account there is
            raise Conflict(_("This account cannot be used.")) from None
        raise serializers.ValidationError(_in_our_words(error)) from None


def _in_our_words(error: ValidationError) -> dict[str, list[Any]]:
    """Return field -> sentences, without the key of another ticket, which the user may not know of."""
    fields = {}
    for name, found in error.error_dict.items():
        is_taken = any(one.code == "taken" for one in found)
        sentences = [_("Something else has this remote id.")] if is_taken else ValidationError(found).messages
        fields["exists" if name == "remote_id" else name] = sentences
    return fields
