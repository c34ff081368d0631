"""What the API does to tickets: each is one transaction that counts, stores and writes the timeline, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.base import File
from django.db import IntegrityError, router, transaction
from django.db.models import ProtectedError
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, ErrorDetail, PermissionDenied

from django_support_tickets.api import quota
from django_support_tickets.api.scope import is_agent, may
from django_support_tickets.attachments.intake import validate_files
from django_support_tickets.attachments.rules import check_company, require
from django_support_tickets.attachments.storing import StorageFailed
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Submission, Ticket, TicketEvent
from django_support_tickets.models.retries import repeated
from django_support_tickets.outbox.facts import note_decision
from django_support_tickets.outbox.validation import provider_of
from django_support_tickets.providers import Provider

Files = Sequence["File[Any]"]
Kind = OutboxEntry.Item
NO_DRAFT = _("Only a draft can be changed, submitted or deleted.")


class Conflict(APIException):
    """The ticket's state does not allow this."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class Unavailable(APIException):
    """Something that this site needs does not answer; the same request may work later."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = _("This cannot be done now; try again later.")
    default_code = "unavailable"


def provider_for(ticket: Ticket) -> Provider:
    """Return the provider of a ticket's account; raise ValidationError, without naming others, if there is none."""
    with complaints():
        return provider_of(ticket)


def check_uploads(files: Files, provider: Provider, *, user: Any, field: str = "files") -> None:
    """Raise ValidationError if a vendor would not take these uploads, of which nothing is stored.

    Raise PermissionDenied for an agent who may not add files.
    """
    if is_agent(user) and not may(user, "add_attachment"):
        raise PermissionDenied()
    with complaints(field):
        validate_files(files, provider.capabilities.attachments)


def raise_ticket(values: Mapping[str, Any], files: Files, *, user: Any) -> Ticket:
    """Store a ticket with its files and return it; raise ValidationError, or Throttled over the quota."""
    using = router.db_for_write(Ticket)

    def store() -> Ticket:
        with transaction.atomic(using=using), complaints():
            quota.lock(values["requester"].pk, using=using)
            ticket = Ticket(**values)
            ticket.save(using=using)
            quota.refuse_too_many_tickets(ticket.requester_id, using=using)
            _add_files(files, ticket=ticket, comment=None, user=user)
            if ticket.delivery == Delivery.QUEUED:
                _note(ticket, Kind.CREATE, user=user)
            return ticket

    return repeated(store, using=using)


def submit_draft(ticket: Ticket, values: Mapping[str, Any], *, user: Any) -> None:
    """Queue a draft, or what its vendor has refused, with these last changes; raise Conflict for anything else."""
    using = router.db_for_write(Ticket, instance=ticket)
    with transaction.atomic(using=using), complaints():
        quota.lock(ticket.requester_id, using=using)
        if ticket.delivery == Delivery.REFUSED:
            ticket.back_to_draft()
        hold_draft(ticket, using=using)
        ticket.refresh_from_db(using=using)  # as the last edit has left it: all of it is written
        for name, value in values.items():
            setattr(ticket, name, value)
        ticket.submit()
        _note(ticket, Kind.CREATE, user=user)
        if ticket.requester_id is not None:
            quota.refuse_too_many_tickets(ticket.requester_id, using=using)


def edit_draft(ticket: Ticket, values: Mapping[str, Any]) -> None:
    """Store changes of a draft; raise Conflict if it is none (any more)."""
    using = router.db_for_write(Ticket, instance=ticket)
    with transaction.atomic(using=using), complaints():
        hold_draft(ticket, using=using)
        for name, value in values.items():
            setattr(ticket, name, value)
        ticket.save(using=using, update_fields={*values, "updated_at"})


def delete_draft(ticket: Ticket) -> None:
    """Delete a draft with its files, which count on; raise Conflict if it is none (any more)."""
    using = router.db_for_write(Ticket, instance=ticket)
    with transaction.atomic(using=using):
        quota.lock(ticket.requester_id, using=using)
        hold_draft(ticket, using=using)
        quota.count_deleted(ticket, using=using)
        try:
            ticket.delete(using=using)
        except ProtectedError:
            raise Conflict(_("It is being sent.")) from None


def require_draft(ticket: Ticket) -> None:
    """Raise Conflict if a ticket, as it was read, is no draft."""
    if ticket.delivery != Delivery.DRAFT:
        raise Conflict(NO_DRAFT)


def hold_draft(ticket: Ticket, *, using: str) -> None:
    """Keep everybody else from submitting a draft until the transaction ends; raise Conflict if it is none."""
    # By an UPDATE, which locks on every database; the instance may be older than what is stored.
    drafts = Ticket.objects.using(using).filter(pk=ticket.pk, delivery=Delivery.DRAFT)
    if not drafts.update(updated_at=timezone.now()):
        raise Conflict(NO_DRAFT)


def add_comment(ticket: Ticket, values: Mapping[str, Any], files: Files, *, user: Any) -> Comment:
    """Queue a comment with the files that travel with it; raise ValidationError, or Throttled over the quota."""
    using = router.db_for_write(Comment, instance=ticket)

    def store() -> Comment:
        with transaction.atomic(using=using), complaints():
            quota.lock(user.pk, using=using)
            comment = Comment(ticket=ticket, created_by=user, **values)
            comment.save(using=using)
            quota.refuse_too_many_comments(user.pk, using=using)
            _add_files(files, ticket=ticket, comment=comment, user=user)
            _note(comment, Kind.COMMENT, user=user)
            return comment

    return repeated(store, using=using)


def add_file(ticket: Ticket, file: File[Any], values: Mapping[str, Any], *, user: Any) -> Attachment:
    """Queue a file, or add it to a draft; raise ValidationError, or Throttled over the quota."""
    using = router.db_for_write(Attachment, instance=ticket)

    def store() -> Attachment:
        with transaction.atomic(using=using), complaints("file"):
            quota.lock(user.pk, using=using)
            if "key" in values and Attachment.objects.using(using).filter(key=values["key"]).exists():
                raise IntegrityError  # the same request, at the same time, has had the file stored and scanned
            (attachment,) = _add_files([file], ticket=ticket, comment=None, user=user, **values)
            if ticket.delivery != Delivery.DRAFT:
                _note(attachment, Kind.UPLOAD, user=user)
            return attachment

    return repeated(store, using=using)


@contextmanager
def complaints(files: str = "files") -> Iterator[None]:
    """Turn what models, validation and storage raise into answers; complaints about files go to the field `files`."""
    try:
        yield
    except ValidationError as error:
        detail = serializers.as_serializer_error(error)
        if "file" in detail:
            detail[files] = detail.pop("file")
        if "provider" in detail:  # it may name every account there is
            detail["provider"] = [ErrorDetail(gettext("This account cannot be used."), "unusable")]
        raise serializers.ValidationError(detail) from None
    except StorageFailed:
        raise Unavailable() from None


def _add_files(files: Files, *, ticket: Ticket, comment: Comment | None, user: Any, **values: Any) -> list[Attachment]:
    using, added = str(ticket._state.db), []
    owner = {"ticket": ticket, "comment": comment, "created_by": user}
    if files:
        quota.refuse_too_many_files(user.pk, coming=len(files), using=using)
    if len(files) > 1:  # before the first of them is stored and scanned
        rules = require(provider_of(ticket).capabilities.attachments)
        check_company(Attachment(**owner), [file.size for file in files], rules)
    for file in files:
        file.seek(0)
        attachment = Attachment(file=file, name=file.name or "", **owner, **values)
        attachment.save(using=using)
        added.append(attachment)
    return added


def _note(item: Submission, operation: OutboxEntry.Item, *, user: Any) -> None:
    """Write into the timeline who has submitted what."""
    note_decision(item, TicketEvent.Kind.SUBMITTED, actor=user, source=TicketEvent.Source.API, item=operation)
