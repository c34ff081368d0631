from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("support-tickets/", include("django_support_tickets.api.urls"))]
