"""The OpenAPI description, for sites that have drf-spectacular; `urls` imports this only there."""

from __future__ import annotations

from django_support_tickets.api.schema import components, examples, operations, words

__all__ = ["components", "examples", "operations", "words"]
