"""A site that wants something else subclasses, as with any other viewset. What is here stands in the README."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import include, path
from rest_framework import serializers
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import BasePermission
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIClient

from django_support_tickets.api.serializers import TicketSerializer
from django_support_tickets.api.views import TicketViewSet
from django_support_tickets.models import Ticket

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class ShortTicketSerializer(TicketSerializer):
    """What the site's own front end shows, and a subject that says where it comes from."""

    age = serializers.SerializerMethodField()

    class Meta(TicketSerializer.Meta):
        fields = ("key", "provider", "subject", "delivery_text", "age")

    def get_age(self, ticket: Ticket) -> int:
        return (ticket.updated_at - ticket.created_at).days

    def create(self, validated_data: dict[str, Any]) -> Ticket:
        return super().create({**validated_data, "tags": ["front end"]})


class NotOnSundays(BasePermission):
    """A rule of the site's own."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return bool(request.headers.get("Day") != "Sunday")


class ShortPages(CursorPagination):
    """Three to a page."""

    page_size = 3
    ordering = ("-created_at", "-id")


class SupportViewSet(TicketViewSet):
    """The site's own door to its tickets."""

    permission_classes = (*TicketViewSet.permission_classes, NotOnSundays)
    serializer_class = ShortTicketSerializer
    agent_serializer_class = None
    pagination_class = ShortPages

    def get_queryset(self) -> Any:
        return super().get_queryset().exclude(category="internal")


router = SimpleRouter()
router.register("support", SupportViewSet, basename="support")
urlpatterns = [path("", include(router.urls))]


def test_permission_serializer_pagination_and_rows_are_the_sites(as_customer: APIClient, stored: Any) -> None:
    for number in range(4):
        stored(subject=f"Ticket {number}", category="internal" if number == 3 else "")
    assert as_customer.get("/support/", headers={"Day": "Sunday"}).status_code == 403
    page = as_customer.get("/support/").json()
    assert [row["subject"] for row in page["results"]] == ["Ticket 2", "Ticket 1", "Ticket 0"]
    assert page["results"][0].keys() == {"key", "provider", "subject", "delivery_text", "age"}


def test_what_is_ours_still_holds(as_customer: APIClient, as_other: APIClient, as_agent: APIClient) -> None:
    answer = as_customer.post("/support/", {"provider": "local", "subject": "Hello"}, format="json")
    assert answer.status_code == 201, answer.content
    assert answer.headers["Location"].endswith(f"/support/{answer.json()['key']}/")
    assert Ticket.objects.get().tags == ["front end"]
    url = f"/support/{answer.json()['key']}/"
    assert as_other.get(url).status_code == 404
    assert as_agent.get(url).json() == as_customer.get(url).json() == answer.json()
    assert as_customer.get(url, headers={"If-None-Match": as_customer.get(url).headers["ETag"]}).status_code == 304
