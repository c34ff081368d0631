"""Include as `path("", include("django_support_tickets.api.urls"))`; the namespace is `support_tickets_api`."""

from __future__ import annotations

from importlib import import_module

from django.apps import apps
from rest_framework.routers import SimpleRouter

from django_support_tickets.api.views import (
    AccountViewSet,
    AttachmentViewSet,
    CommentViewSet,
    EventViewSet,
    TicketViewSet,
)

app_name = "support_tickets_api"

PART = r"tickets/(?P<ticket_key>[^/]+)"

router = SimpleRouter()
router.register("tickets", TicketViewSet, basename="ticket")
router.register(f"{PART}/comments", CommentViewSet, basename="comment")
router.register(f"{PART}/attachments", AttachmentViewSet, basename="attachment")
router.register(f"{PART}/events", EventViewSet, basename="event")
router.register("providers", AccountViewSet, basename="provider")

urlpatterns = router.urls

if apps.is_installed("drf_spectacular"):
    import_module("django_support_tickets.api.schema")
