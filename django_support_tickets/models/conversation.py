from __future__ import annotations

from datetime import datetime
from typing import IO, Any, ClassVar

from django.conf import settings as django_settings
from django.core.files.base import File
from django.core.files.storage import Storage, storages
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from django_support_tickets.conf import settings
from django_support_tickets.models.submission import Delivery, Submission
from django_support_tickets.models.ticket import Ticket
from django_support_tickets.vocabulary import AuthorType, BodyFormat


class Comment(Submission):
    """One message of a ticket's conversation, written here or at the vendor.

    `remote_id` is the vendor's id; where it gives none, "~" and a digest of what it does give.
    """

    DRAFT_FIELDS: ClassVar[frozenset[str]] = frozenset({"ticket", "body", "body_format"})

    # No index of its own: that of (ticket, remote_id) serves as one.
    ticket = models.ForeignKey(
        Ticket, on_delete=models.CASCADE, related_name="comments", db_index=False, verbose_name=_("ticket")
    )
    remote_id = models.CharField(_("remote id"), max_length=255, null=True, blank=True, editable=False)  # noqa: DJ001
    author_type = models.CharField(
        _("author"), max_length=8, choices=AuthorType.choices, default=AuthorType.CUSTOMER, editable=False
    )
    author_name = models.CharField(_("author's name"), max_length=200, blank=True, default="", editable=False)
    body = models.TextField(_("text"))
    body_format = models.CharField(max_length=8, choices=BodyFormat.choices, default=BodyFormat.TEXT, editable=False)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True, editable=False)
    created_by = models.ForeignKey(
        django_settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("written by"),
    )

    class Meta:
        verbose_name = _("comment")
        verbose_name_plural = _("comments")
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["delivery", "created_at"], name="st_comment_delivery")]
        constraints = [
            models.UniqueConstraint(fields=["ticket", "remote_id"], name="st_comment_remote_id"),
            models.CheckConstraint(condition=~Q(remote_id=""), name="st_comment_remote_id_set"),
            models.CheckConstraint(condition=Q(delivery__in=Delivery.values), name="st_comment_delivery_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_author_type_display()} {self.key}"

    def __repr__(self) -> str:
        return f"<Comment {self.key} {self.delivery}>"


class AttachmentStorage(Storage):
    """Look the configured storage up at each use, so that a project without one can still run.

    Every method raises InvalidStorageError while STORAGES lacks the alias of SUPPORT_TICKETS_ATTACHMENT_STORAGE.
    """

    @property
    def target(self) -> Storage:
        """Return the storage that is configured now; raise InvalidStorageError if there is none."""
        return storages[settings.ATTACHMENT_STORAGE]

    def open(self, name: str, mode: str = "rb") -> File[Any]:
        return self.target.open(name, mode)

    def save(self, name: str | None, content: IO[Any], max_length: int | None = None) -> str:
        return self.target.save(name, content, max_length)

    def delete(self, name: str) -> None:
        self.target.delete(name)

    def exists(self, name: str) -> bool:
        return self.target.exists(name)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        return self.target.listdir(path)

    def size(self, name: str) -> int:
        return self.target.size(name)

    def url(self, name: str | None, *args: Any, **kwargs: Any) -> str:
        return self.target.url(name, *args, **kwargs)

    def path(self, name: str) -> str:
        return self.target.path(name)

    def get_modified_time(self, name: str) -> datetime:
        return self.target.get_modified_time(name)


def attachment_storage() -> Storage:
    """Return the storage of files, the same object for models and migrations."""
    return AttachmentStorage()


def storage_key(attachment: Attachment, filename: str) -> str:
    """Return a random name: neither the uploader's nor the vendor's name ever reaches a path."""
    key = attachment.key.hex
    return f"{key[:2]}/{key}"


class Attachment(Submission):
    """A file of a ticket; `file` is empty while it lies at the vendor only.

    `name` is safe to show and to send; `original_name` is what its uploader or vendor calls it, where that is not.
    """

    class Direction(models.TextChoices):
        """Which way a file travels."""

        OUT = "out", _("To the vendor")
        IN = "in", _("From the vendor")

    class State(models.TextChoices):
        """What is known of the stored bytes."""

        REMOTE = "remote", _("At the vendor only")
        STORED = "stored", _("Stored")
        QUARANTINED = "quarantined", _("Quarantined")
        EXPIRED = "expired", _("Expired at the vendor")
        FAILED = "failed", _("Could not be fetched")

    DRAFT_FIELDS: ClassVar[frozenset[str]] = frozenset({"ticket", "comment", "name"})

    # No index of its own: that of (ticket, remote_id) serves as one.
    ticket = models.ForeignKey(
        Ticket, on_delete=models.CASCADE, related_name="attachments", db_index=False, verbose_name=_("ticket")
    )
    comment = models.ForeignKey(
        Comment,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="attachments",
        verbose_name=_("comment"),
    )
    remote_id = models.CharField(_("remote id"), max_length=255, null=True, blank=True, editable=False)  # noqa: DJ001
    remote_url = models.TextField(_("address at the vendor"), blank=True, default="", editable=False)
    file = models.FileField(_("file"), storage=attachment_storage, upload_to=storage_key, max_length=255, blank=True)
    name = models.CharField(_("name"), max_length=255)
    original_name = models.CharField(_("original name"), max_length=255, blank=True, default="", editable=False)
    content_type = models.CharField(_("content type"), max_length=100, blank=True, default="", editable=False)
    size = models.BigIntegerField(_("size in bytes"), null=True, blank=True, editable=False)
    sha256 = models.CharField(max_length=64, blank=True, default="", editable=False)
    direction = models.CharField(max_length=3, choices=Direction.choices, default=Direction.OUT, editable=False)
    state = models.CharField(_("state"), max_length=11, choices=State.choices, default=State.STORED, editable=False)
    error = models.TextField(_("error"), blank=True, default="", editable=False)
    created_by = models.ForeignKey(
        django_settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("added by"),
    )

    class Meta:
        verbose_name = _("attachment")
        verbose_name_plural = _("attachments")
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["delivery", "created_at"], name="st_attachment_delivery")]
        constraints = [
            models.UniqueConstraint(fields=["ticket", "remote_id"], name="st_attachment_remote_id"),
            models.CheckConstraint(condition=~Q(remote_id=""), name="st_attachment_remote_id_set"),
            models.CheckConstraint(condition=Q(delivery__in=Delivery.values), name="st_attachment_delivery_known"),
        ]

    def __str__(self) -> str:
        return str(self.name)

    def __repr__(self) -> str:
        return f"<Attachment {self.key} {self.delivery} {self.state}>"


class TicketEvent(models.Model):
    """One line of a ticket's timeline and audit trail."""

    class Kind(models.TextChoices):
        """What happened."""

        SUBMITTED = "submitted", _("Submitted")
        DELIVERED = "delivered", _("Delivered")
        REFUSED = "refused", _("Refused")
        UNCERTAIN = "uncertain", _("Became uncertain")
        SETTLED = "settled", _("Settled by a person")
        CHANGED = "changed", _("Changed at the vendor")
        COMMENTED = "commented", _("Comment arrived")
        ATTACHED = "attached", _("File arrived")
        MISSING = "missing", _("Not found at the vendor")
        FOUND_AGAIN = "found_again", _("Found at the vendor again")
        CANCELLED = "cancelled", _("Cancelled")
        CLOSED_HERE = "closed_here", _("Closed here")
        RAISED_AGAIN = "raised_again", _("Raised again")
        LATE_ANSWER = "late_answer", _("A late answer arrived")
        DUPLICATE = "duplicate", _("Found more than once at the vendor")

    class Source(models.TextChoices):
        """Which part wrote it."""

        PUSH = "push", _("Push")
        PULL = "pull", _("Pull")
        ADMIN = "admin", _("Admin")
        API = "api", _("API")
        COMMAND = "command", _("Command")
        CODE = "code", _("Code")

    # None for what is left of a draft that was deleted: it goes on counting against somebody's quota.
    ticket = models.ForeignKey(
        Ticket, on_delete=models.CASCADE, null=True, blank=True, related_name="events", verbose_name=_("ticket")
    )
    at = models.DateTimeField(_("at"), default=timezone.now)
    kind = models.CharField(_("what"), max_length=12, choices=Kind.choices)
    source = models.CharField(_("by"), max_length=7, choices=Source.choices)
    actor = models.ForeignKey(
        django_settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("actor"),
    )
    changes = models.JSONField(_("changes"), default=dict, blank=True)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.at:%Y-%m-%d %H:%M:%S}"
