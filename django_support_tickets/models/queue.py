from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from django_support_tickets.models.clock import moment_of
from django_support_tickets.models.ticket import Ticket


class OutboxEntry(models.Model):
    """Who is sending something of a ticket, what, and since when; at most one per ticket.

    It says that something must go, never what: the items are the rows whose delivery is "queued". All times are epoch
    milliseconds of the database's clock.
    """

    class Item(models.TextChoices):
        """What kind of item is in flight."""

        CREATE = "create", _("Ticket")
        COMMENT = "comment", _("Comment")
        UPLOAD = "upload", _("File")
        CLOSE = "close", _("Closing")

    ticket = models.OneToOneField(Ticket, on_delete=models.CASCADE, related_name="outbox", verbose_name=_("ticket"))
    provider = models.CharField(_("account"), max_length=64)
    item = models.CharField(_("item"), max_length=7, choices=Item.choices, blank=True, default="")
    item_id = models.BigIntegerField(null=True, blank=True)
    # The mark: committed before the first byte may leave, so that whoever finds it knows that one may have left.
    sent_at = models.BigIntegerField(null=True, blank=True)
    searches = models.PositiveSmallIntegerField(_("searches"), default=0)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    # When the item in flight was first tried: the 72 hours of retrying count from here.
    tried_since = models.BigIntegerField(null=True, blank=True)
    not_before = models.BigIntegerField(default=0)
    leased_until = models.BigIntegerField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    last_error = models.TextField(_("last error"), blank=True, default="")
    request_id = models.CharField(_("request id"), max_length=100, blank=True, default="")
    created_at = models.DateTimeField(_("queued at"), default=timezone.now)

    class Meta:
        verbose_name = _("outbox entry")
        verbose_name_plural = _("outbox")
        indexes = [models.Index(fields=["provider", "not_before"], name="st_outbox_due")]

    def __str__(self) -> str:
        return f"{self.provider} {self.ticket_id} {self.item}"

    @property
    def due_at(self) -> datetime | None:
        """Return when the next attempt may be made."""
        return moment_of(self.not_before or None)

    @property
    def may_be_at_the_vendor(self) -> bool:
        """Return whether a byte of the item in flight may have left."""
        return self.sent_at is not None


class WebhookDelivery(models.Model):
    """A verified webhook, remembered so that its copies have no effect; its body is not kept."""

    provider = models.CharField(_("account"), max_length=64)
    # SHA-256 of what makes it one event: the vendor's nonce or the signed body.
    identity = models.CharField(_("identity"), max_length=64)
    event_type = models.CharField(_("event"), max_length=64, blank=True, default="")
    remote_id = models.CharField(_("remote id"), max_length=255, blank=True, default="")
    received_at = models.DateTimeField(_("received at"), default=timezone.now)

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        indexes = [
            models.Index(fields=["provider", "remote_id"], name="st_webhook_remote"),
            models.Index(fields=["received_at"], name="st_webhook_received"),
        ]
        constraints = [models.UniqueConstraint(fields=["provider", "identity"], name="st_webhook_identity")]

    def __str__(self) -> str:
        return f"{self.provider} {self.event_type} {self.remote_id}"


class ProviderState(models.Model):
    """What all workers share about an account (scope "") or one list scope of it; times in epoch milliseconds."""

    class Pause(models.TextChoices):
        """Why an account is paused."""

        BUSY = "busy", _("The vendor asks to wait")
        DENIED = "denied", _("The vendor refuses the account")
        DOWN = "down", _("The vendor cannot be reached")

    provider = models.CharField(_("account"), max_length=64)
    scope = models.CharField(_("scope"), max_length=255, blank=True, default="")
    paused_until = models.BigIntegerField(null=True, blank=True)
    pause = models.CharField(_("paused because"), max_length=6, choices=Pause.choices, blank=True, default="")
    pause_detail = models.CharField(max_length=500, blank=True, default="")
    # Consecutive failures of the breaker, and of the account being refused (which doubles its pause).
    failures = models.PositiveIntegerField(_("failures"), default=0)
    denials = models.PositiveIntegerField(_("refusals of the account"), default=0)
    run_leased_until = models.BigIntegerField(null=True, blank=True)
    run_token = models.UUIDField(null=True, blank=True)
    cursor = models.TextField(blank=True, default="")
    walk_started_at = models.BigIntegerField(null=True, blank=True)
    next_walk_at = models.BigIntegerField(null=True, blank=True)
    heartbeat = models.BigIntegerField(null=True, blank=True)
    webhooks_refused = models.PositiveIntegerField(_("webhooks refused"), default=0)

    class Meta:
        verbose_name = _("account state")
        verbose_name_plural = _("account states")
        constraints = [models.UniqueConstraint(fields=["provider", "scope"], name="st_state_scope")]

    def __str__(self) -> str:
        return f"{self.provider} {self.scope}".rstrip()

    @property
    def reason(self) -> str:
        """Return why the account is paused; in English, as it is kept (see `phrases`)."""
        with translation.override(None):
            label = str(self.get_pause_display())
        if label.lower() in self.pause_detail.lower():
            return self.pause_detail
        return ": ".join(filter(None, (label, self.pause_detail)))


class SyncRun(models.Model):
    """One run of pull for one account: what it counted and how it ended."""

    class Outcome(models.TextChoices):
        """How a run ended."""

        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        STOPPED = "stopped", _("Stopped")
        FAILED = "failed", pgettext_lazy("outcome of a run", "Failed")

    provider = models.CharField(_("account"), max_length=64)
    started_at = models.DateTimeField(_("started at"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    outcome = models.CharField(_("outcome"), max_length=7, choices=Outcome.choices, default=Outcome.RUNNING)
    counts = models.JSONField(_("counts"), default=dict, blank=True)
    error = models.TextField(_("error"), blank=True, default="")

    class Meta:
        verbose_name = _("synchronisation run")
        verbose_name_plural = _("synchronisation runs")
        indexes = [models.Index(fields=["provider", "-started_at"], name="st_run_newest")]

    def __str__(self) -> str:
        return f"{self.provider} {self.started_at:%Y-%m-%d %H:%M:%S} {self.outcome}"
