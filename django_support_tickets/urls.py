"""Include as `path("support-tickets/", include("django_support_tickets.urls"))`."""

from __future__ import annotations

from django.urls import include, path

from django_support_tickets import webhooks

# A POST to the other spelling would be redirected, and its body lost.
webhook_urls = [
    path("webhooks/<str:alias>/", webhooks.receive, name="webhook"),
    path("webhooks/<str:alias>", webhooks.receive),
]
# Two namespaces: "support_tickets" for the webhooks and "support_tickets_api" for the API.
urlpatterns = [
    path("", include((webhook_urls, "support_tickets"))),
    path("", include("django_support_tickets.api.urls")),
]
