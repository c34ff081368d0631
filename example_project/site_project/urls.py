from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/support_tickets/ticket/")),
    path("admin/", admin.site.urls),
    path("support-tickets/", include("django_support_tickets.urls")),
]
