"""Filters of the lists: every choice is fixed, so that none of them costs a query."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_support_tickets.models import Attachment, Comment, Delivery
from django_support_tickets.providers import providers
from django_support_tickets.records import Status

Choices = list[tuple[str, Any]]


class AccountFilter(admin.SimpleListFilter):
    """The accounts of the settings, not those that rows happen to have."""

    title = _("account")
    parameter_name = "account"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return [(alias, alias) for alias in providers]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(provider=self.value()) if self.value() else queryset


class StatusFilter(admin.SimpleListFilter):
    """The vendor's side, of tickets that are there."""

    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return list(Status.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(status=value, delivery=Delivery.DELIVERED) if value else queryset


class DeliveryFilter(admin.SimpleListFilter):
    """Our side: has the vendor got it?"""

    title = _("delivery")
    parameter_name = "delivery"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return list(Delivery.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(delivery=self.value()) if self.value() else queryset


class AttentionFilter(admin.SimpleListFilter):
    """What somebody here has to do."""

    title = _("attention")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        return [("person", _("Needs a person")), ("us", Status.WAITING.label), ("missing", _("Missing at the vendor"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "person":
                return needing_a_person(queryset)
            case "us":
                return queryset.filter(status=Status.WAITING, delivery=Delivery.DELIVERED)
            case "missing":
                return queryset.filter(missing_since__isnull=False)
        return queryset


def needing_a_person(tickets: QuerySet[Any]) -> QuerySet[Any]:
    """Return the tickets that nothing but a decision moves on: about themselves, or about a comment or file."""
    found: QuerySet[Any] = tickets.needing_a_person()  # type: ignore[attr-defined]
    for model in (Comment, Attachment):
        stuck = model._default_manager.using(tickets.db).filter(delivery=Delivery.UNCERTAIN)
        found |= tickets.filter(pk__in=stuck.values("ticket"))
    return found
