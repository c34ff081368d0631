from __future__ import annotations

import json
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.exceptions import ParseError

from django_support_tickets.api.parsers import strict_json
from django_support_tickets.api.sentences import Sentences
from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.models import Ticket
from django_support_tickets.providers import providers


class OptionsField(serializers.JSONField):
    """The vendor extras of a ticket: a JSON object, in a form its text; at most 10,000 characters."""

    LIMIT = 10_000
    default_error_messages = {"not_a_dict": _("An object is expected."), "max_length": _("This is too long.")}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if getattr(data, "is_json_string", False):
            data = self._parsed(data)
        if not isinstance(data, dict):
            self.fail("not_a_dict")
        if len(json.dumps(data)) > self.LIMIT:
            self.fail("max_length")
        return data

    def _parsed(self, text: str) -> Any:
        try:
            return strict_json(text.encode())
        except (ParseError, ValueError):
            self.fail("invalid")


class CustomerOptionsField(OptionsField):
    """Those of the vendor extras that customers may set; the others are not there for them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "source": "*"})

    def to_representation(self, ticket: Any) -> Any:
        if not ticket.options:
            return {}
        allowed = customer_options(ticket.provider)
        return {name: value for name, value in ticket.options.items() if name in allowed}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        return {"options": super().to_internal_value(data)}


def customer_options(alias: str) -> frozenset[str]:
    """Return the names of the vendor extras that customers may set at an account, none at one that cannot be used."""
    try:
        return providers[alias].capabilities.customer_options
    except InvalidProvider:
        return frozenset()


class AboutField(serializers.Field):  # type: ignore[type-arg]
    """The object that a ticket is about, as "app_label.model:id"; empty where there is none.

    One that the user may not view is one that does not exist.
    """

    default_error_messages = {"unknown": _("There is no such object.")}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "source": "*"})

    def to_representation(self, ticket: Ticket) -> str:
        if ticket.about_type_id is None:
            return ""
        kind = ContentType.objects.get_for_id(ticket.about_type_id)
        return f"{kind.app_label}.{kind.model}:{ticket.about_id}"

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if data == "":
            return {"about_type": None, "about_id": ""}
        label, colon, pk = str(data).partition(":")
        if not (colon and 0 < len(pk) <= 64 and "\0" not in pk and self._exists(label, pk)):
            self.fail("unknown")
        return {"about_type": ContentType.objects.get_by_natural_key(*label.lower().split(".")), "about_id": pk}

    def _exists(self, label: str, pk: str) -> bool:
        try:
            model = apps.get_model(label)
            user = self.context["request"].user
            may_view = user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")
            return bool(may_view and model._base_manager.filter(pk=pk).exists())
        except (LookupError, ValueError, TypeError, DjangoValidationError):
            return False


class RequesterField(serializers.PrimaryKeyRelatedField):  # type: ignore[type-arg]
    """A user by their primary key; one that is not active does not exist."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"queryset": get_user_model()._default_manager.all(), **kwargs})

    def to_internal_value(self, data: Any) -> Any:
        user = super().to_internal_value(data)
        if not user.is_active:  # which a user model need not have as a column
            self.fail("does_not_exist", pk_value=data)
        return user


class SentenceField(serializers.Field):  # type: ignore[type-arg]
    """A column's value as the sentence that customers read."""

    def __init__(self, sentences: Sentences, **kwargs: Any) -> None:
        self.sentences = sentences
        super().__init__(**{**kwargs, "read_only": True})

    def to_representation(self, value: str) -> str:
        return str(self.sentences.get(value, ""))
