from __future__ import annotations

from django_support_tickets.providers.base import Provider
from django_support_tickets.providers.handler import providers

__all__ = ["Provider", "providers"]
