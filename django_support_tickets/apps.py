from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SupportTicketsConfig(AppConfig):
    """Connect the app: its receivers and checks."""

    name = "django_support_tickets"
    label = "support_tickets"
    verbose_name = _("Support tickets")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_support_tickets import checks, receivers

        receivers.connect()
        checks.connect()
