from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path


def protected(request: HttpRequest) -> HttpResponse:
    """Be a view as any other, which is protected from forged forms."""
    return HttpResponse()


urlpatterns = [path("desk/", protected)]
