from __future__ import annotations

import hashlib
import hmac
import json

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from django_support_tickets.models import WebhookDelivery


@csrf_exempt
def bare(request: HttpRequest) -> HttpResponse:
    """The floor: what anybody writes in ten lines. The same HMAC, the same row, no hint, no care for copies."""
    body = request.body
    digest = hmac.new(settings.WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(f"sha256={digest}", request.headers.get("Http-X-Wh-Signature-256", "")):
        return HttpResponse(status=401)
    event = json.loads(body)
    WebhookDelivery.objects.create(
        provider="bare",
        identity=hashlib.sha256(body).hexdigest(),
        event_type=event["eventType"],
        remote_id=event["supportTicket"]["ticketId"],
    )
    return HttpResponse()


urlpatterns = [
    path("bare/", bare),
    path("support-tickets/", include("django_support_tickets.urls")),
]
