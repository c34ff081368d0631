from __future__ import annotations

import sys
from types import ModuleType

from django.apps import AppConfig


class OnlyModels(AppConfig):
    """The app as nothing but its models."""

    name = "django_support_tickets"
    label = "support_tickets"
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        super().import_models()
        sys.modules[f"{self.name}.admin"] = ModuleType("admin")  # what autodiscovery finds
