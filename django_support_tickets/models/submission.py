from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Delivery(models.TextChoices):
    """Our side of a ticket, comment or file: has the vendor got it?"""

    DRAFT = "draft", _("Draft")
    QUEUED = "queued", _("Queued")
    DELIVERED = "delivered", _("Delivered")
    REFUSED = "refused", _("Refused")
    UNCERTAIN = "uncertain", _("Uncertain")


class Submission(models.Model):
    """Something of ours that is to reach a vendor; a row with delivery "queued" is the whole intent."""

    #: Written by `save()` while the stored row is a draft; frozen from submit on.
    DRAFT_FIELDS: ClassVar[frozenset[str]] = frozenset()
    #: Written by `save()` at any time.
    OPEN_FIELDS: ClassVar[frozenset[str]] = frozenset({"updated_at"})
    #: Of DRAFT_FIELDS: no longer ours after submit, so that a stale value is ignored and not an attempt to edit.
    VENDOR_FIELDS: ClassVar[frozenset[str]] = frozenset()

    key = models.UUIDField(_("key"), default=uuid.uuid4, unique=True, editable=False)
    delivery = models.CharField(_("delivery"), max_length=10, choices=Delivery.choices, default=Delivery.QUEUED)
    delivery_error = models.TextField(_("delivery error"), blank=True, default="")
    submitted_at = models.DateTimeField(_("submitted at"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)
    request_digest = models.CharField(max_length=64, blank=True, default="", editable=False)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert, or update only the fields that are the caller's: a stale instance cannot undo push and pull.

        Raise ValidationError if the text of something submitted would change.
        """
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using):
            if not self._state.adding:
                asked = kwargs.get("update_fields")
                writable = self._writable_fields(using)
                kwargs["update_fields"] = writable if asked is None else writable & frozenset(asked)
                kwargs["force_update"] = bool(kwargs["update_fields"])
            kwargs["using"] = using
            super().save(*args, **kwargs)

    def submit(self) -> None:
        """Queue a draft, or something refused, for its vendor; raise ValidationError if it cannot be sent."""
        if self.delivery == Delivery.REFUSED:
            self.back_to_draft()
        if self.delivery != Delivery.DRAFT:
            raise ValidationError({"delivery": ValidationError(_("Only a draft can be submitted."), code="not_draft")})
        self.delivery = Delivery.QUEUED
        try:
            self.save()
        except ValidationError:
            self.delivery = Delivery.DRAFT
            raise

    def back_to_draft(self) -> bool:
        """Make something refused editable again; return False if it is not refused (any more)."""
        values = {"delivery": Delivery.DRAFT, "delivery_error": "", "submitted_at": None}
        rows = type(self)._base_manager.using(self._state.db)
        changed = rows.filter(pk=self.pk, delivery=Delivery.REFUSED).update(**values, updated_at=timezone.now())
        if changed:
            for name, value in values.items():
                setattr(self, name, value)
        return bool(changed)

    def is_being_submitted(self, update_fields: frozenset[str] | None) -> bool:
        """Return whether the save under way turns this into something queued."""
        is_new = self._state.adding or (update_fields is not None and "delivery" in update_fields)
        return is_new and self.delivery == Delivery.QUEUED

    def _writable_fields(self, using: str) -> frozenset[str]:
        names = ["delivery", *self.DRAFT_FIELDS]
        rows = type(self)._base_manager.using(using).select_for_update()
        stored = rows.filter(pk=self.pk).values(*names).first()
        if stored is None:
            return self.OPEN_FIELDS  # the forced update then says that the row is gone
        if stored["delivery"] == Delivery.DRAFT:
            submitting = {"delivery", "submitted_at"} if self.delivery == Delivery.QUEUED else set()
            return self.DRAFT_FIELDS | self.OPEN_FIELDS | submitting
        self._refuse_edits(stored)
        return self.OPEN_FIELDS

    def _refuse_edits(self, stored: dict[str, Any]) -> None:
        loaded = self.DRAFT_FIELDS - self.VENDOR_FIELDS - self.get_deferred_fields()
        edited = sorted(name for name in loaded if self._differs(name, stored[name]))
        if edited:
            message = _("This was submitted and cannot be edited any more; say more by a comment.")
            raise ValidationError(dict.fromkeys(edited, message), code="frozen")

    def _differs(self, name: str, stored: Any) -> bool:
        field = self._meta.get_field(name)
        value = getattr(self, field.attname)  # type: ignore[union-attr]
        return bool(field.to_python(value) != stored) if not field.is_relation else bool(value != stored)  # type: ignore[union-attr]
