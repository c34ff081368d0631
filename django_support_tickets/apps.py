from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.utils.translation import gettext_lazy as _

from django_support_tickets.later import Later

#: Functions of `checks`: at every check, and with --deploy.
CHECKS = ("check_settings", "check_providers", "check_dispatcher", "check_functions", "check_values")
DEPLOY_CHECKS = ("check_deployment", "check_storage", "check_databases")
SUBMISSIONS = ("Ticket", "Comment", "Attachment")
#: Functions, the signals that they receive, and of which models.
RECEIVERS = (
    ("receivers.prepare_submission", pre_save, SUBMISSIONS),
    ("receivers.queue_submission", post_save, SUBMISSIONS),
    ("receivers.refuse_delete_in_flight", pre_delete, SUBMISSIONS),
    ("receivers.wake_after_decision", post_save, ("TicketEvent",)),
    ("attachments.cleanup.prepare_draft", pre_save, ("Attachment",)),
    ("attachments.cleanup.delete_file_after_commit", post_delete, ("Attachment",)),
)


class SupportTicketsConfig(AppConfig):
    """Connect the app: its receivers and checks, which are imported when the first of them is called."""

    name = "django_support_tickets"
    label = "support_tickets"
    verbose_name = _("Support tickets")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        for name in CHECKS:
            register(Later(f"{self.name}.checks.{name}"), Tags.compatibility)
        for name in DEPLOY_CHECKS:
            register(Later(f"{self.name}.checks.{name}"), Tags.security, deploy=True)
        for name, signal, models in RECEIVERS:
            receiver = Later(f"{self.name}.{name}")
            for model in models:
                uid = f"{self.label}.{model}.{name}"
                signal.connect(receiver, sender=f"{self.label}.{model}", weak=False, dispatch_uid=uid)
