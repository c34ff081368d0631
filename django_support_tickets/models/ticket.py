from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self

from django.conf import settings as django_settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from django_support_tickets.conf import settings
from django_support_tickets.models.submission import Delivery, Submission
from django_support_tickets.vocabulary import Status, TicketRef

#: As `digest`: the ticket was erased. Whatever its vendor has to say, nothing is fetched of it any more.
ERASED = "erased"


def only_alias() -> str:
    """Return the provider's alias where only one is configured, else ""."""
    aliases = list(settings.PROVIDERS)
    return aliases[0] if len(aliases) == 1 else ""


def empty_list() -> list[str]:
    """Return a new empty list, the default of `tags`."""
    return []


class TicketQuerySet(models.QuerySet["Ticket"]):
    """Questions about tickets."""

    def of(self, alias: str) -> Self:
        """Return the tickets of one account."""
        return self.filter(provider=alias)

    def due(self, alias: str, *, now: datetime) -> Self:
        """Return the tickets of an account that are to be fetched now."""
        return self.of(alias).filter(next_poll_at__lte=now, remote_id__isnull=False).exclude(digest=ERASED)

    def queued(self) -> Self:
        """Return the tickets with something of their own to send: themselves, or their closing."""
        return self.filter(Q(delivery=Delivery.QUEUED) | Q(close_delivery=Delivery.QUEUED))

    def unsettled(self) -> Self:
        """Return the tickets at a vendor that are neither closed nor failed."""
        return self.filter(remote_id__isnull=False).exclude(status__in=[Status.CLOSED, Status.FAILED])

    def needing_a_person(self) -> Self:
        """Return the tickets that nothing but a decision moves on."""
        stuck = [Delivery.UNCERTAIN, Delivery.REFUSED]
        return self.filter(Q(delivery__in=stuck) | Q(close_delivery=Delivery.UNCERTAIN) | Q(status=Status.FAILED))


_Manager = models.Manager.from_queryset(TicketQuerySet)


class TicketManager(_Manager["Ticket"]):
    """Leave the vendor's answer, up to 64 kB, in the database until somebody looks at it."""

    def get_queryset(self) -> TicketQuerySet:
        return TicketQuerySet(self.model, using=self._db).defer("raw")


class Ticket(Submission):
    """A support ticket at a vendor's desk, raised here or found there."""

    class Origin(models.TextChoices):
        """Where a ticket was raised."""

        HERE = "here", _("Here")
        VENDOR = "vendor", _("At the vendor")

    DRAFT_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"provider", "customer_id", "contact_name", "contact_email", "subject", "description", "options"}
        | {"priority", "category", "tags"}
    )
    OPEN_FIELDS: ClassVar[frozenset[str]] = frozenset({"requester", "about_type", "about_id", "updated_at"})
    VENDOR_FIELDS: ClassVar[frozenset[str]] = frozenset({"priority", "category", "tags"})

    provider = models.CharField(_("account"), max_length=64, default=only_alias)
    remote_id = models.CharField(_("remote id"), max_length=255, null=True, blank=True, editable=False)  # noqa: DJ001
    reference = models.CharField(_("reference"), max_length=64, blank=True, default="", editable=False)
    customer_id = models.CharField(_("customer id"), max_length=255, blank=True, default="")
    origin = models.CharField(_("origin"), max_length=6, choices=Origin.choices, default=Origin.HERE, editable=False)
    requester = models.ForeignKey(
        django_settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,  # that of (requester, -created_at, -id) serves as one
        related_name="support_tickets",
        verbose_name=_("requester"),
    )
    contact_name = models.CharField(_("contact name"), max_length=200, blank=True, default="")
    contact_email = models.EmailField(_("contact e-mail"), blank=True, default="")
    subject = models.CharField(_("subject"), max_length=500)
    description = models.TextField(_("description"), blank=True, default="")
    status = models.CharField(
        _("status"), max_length=11, choices=Status.choices, default=Status.PENDING, editable=False
    )
    remote_status = models.CharField(_("vendor's status"), max_length=64, blank=True, default="", editable=False)
    priority = models.CharField(_("priority"), max_length=64, blank=True, default="")
    category = models.CharField(_("category"), max_length=64, blank=True, default="")
    tags = models.JSONField(_("tags"), blank=True, default=empty_list)
    resolution = models.TextField(_("resolution"), blank=True, default="", editable=False)
    options = models.JSONField(_("vendor options"), blank=True, default=dict)
    about_type = models.ForeignKey(
        ContentType, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("about (type)")
    )
    about_id = models.CharField(_("about (id)"), max_length=64, blank=True, default="")
    about = GenericForeignKey("about_type", "about_id")
    close_delivery = models.CharField(
        _("closing"), max_length=10, choices=Delivery.choices, blank=True, default="", editable=False
    )
    delivered_at = models.DateTimeField(_("delivered at"), null=True, blank=True, editable=False)
    remote_created_at = models.DateTimeField(_("created at the vendor"), null=True, blank=True, editable=False)
    remote_updated_at = models.DateTimeField(_("updated at the vendor"), null=True, blank=True, editable=False)
    resolved_at = models.DateTimeField(_("resolved at"), null=True, blank=True, editable=False)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True, editable=False)
    last_comment_at = models.DateTimeField(_("last comment at"), null=True, blank=True, editable=False)
    raw = models.JSONField(_("vendor's answer"), null=True, blank=True, editable=False)
    digest = models.CharField(max_length=64, blank=True, default="", editable=False)
    synced_at = models.DateTimeField(_("synchronised at"), null=True, blank=True, editable=False)
    next_poll_at = models.DateTimeField(_("next look at"), null=True, blank=True, editable=False)
    missing_since = models.DateTimeField(_("missing since"), null=True, blank=True, editable=False)

    objects = TicketManager()

    class Meta:
        verbose_name = _("ticket")
        verbose_name_plural = _("tickets")
        permissions = [
            ("sync_ticket", "Can fetch and send tickets now"),
            ("settle_ticket", "Can settle tickets whose delivery is uncertain"),
        ]
        indexes = [
            models.Index(fields=["provider", "next_poll_at"], name="st_ticket_poll"),
            models.Index(fields=["requester", "-created_at", "-id"], name="st_ticket_requester"),
            models.Index(fields=["-created_at", "-id"], name="st_ticket_newest"),
            models.Index(fields=["delivery", "-created_at"], name="st_ticket_delivery"),
            models.Index(fields=["close_delivery"], name="st_ticket_closing"),
            # At PostgreSQL one index then serves both for equality and for a prefix; elsewhere the class is ignored.
            models.Index(fields=["reference"], name="st_ticket_reference", opclasses=["varchar_pattern_ops"]),
            models.Index(fields=["contact_email"], name="st_ticket_contact", opclasses=["varchar_pattern_ops"]),
        ]
        constraints = [
            models.UniqueConstraint(fields=["provider", "remote_id"], name="st_ticket_remote_id"),
            models.CheckConstraint(condition=~Q(remote_id=""), name="st_ticket_remote_id_set"),
            models.CheckConstraint(condition=Q(delivery__in=Delivery.values), name="st_ticket_delivery_known"),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="st_ticket_status_known"),
            models.CheckConstraint(
                condition=~Q(delivery=Delivery.DELIVERED) | Q(remote_id__isnull=False), name="st_ticket_delivered_id"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.reference or self.key}"

    def __repr__(self) -> str:
        return f"<Ticket {self.key} {self.provider} {self.delivery}>"

    @property
    def ref(self) -> TicketRef:
        """Return what names this ticket at its vendor; raise ValueError before it is there."""
        if not self.remote_id:
            raise ValueError(f"Ticket {self.key} has no remote id.")
        return TicketRef(remote_id=self.remote_id, customer_id=self.customer_id)
