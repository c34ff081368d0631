from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.urls import path


@login_not_required
def protected(request: HttpRequest) -> HttpResponse:
    """Be a view as any other, which is protected from forged forms."""
    return HttpResponse()


urlpatterns = [path("desk/", protected)]
