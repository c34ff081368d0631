"""The views of the API and plain views of the same rows, called in turns and in this process."""

from __future__ import annotations

import statistics
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from django.contrib.auth import get_user_model
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from rest_framework.test import force_authenticate

from benchmarks.api_site.filling import fill
from benchmarks.report import note, report
from django_support_tickets.api.serializers import AgentTicketDetailSerializer, AgentTicketSerializer, TicketSerializer
from django_support_tickets.api.views import TicketViewSet
from django_support_tickets.models import Attachment, Comment, Ticket

RUNS = 25
LIST_GATE, DETAIL_GATE = 2.5, 3.0
PAGE = 50

Call = Callable[[], HttpResponseBase]


@dataclass(frozen=True)
class Figure:
    """One thing to measure: our view, the plain one, and how many times slower ours may be."""

    name: str
    ours: Call
    floor: Call
    gate: float


def run(rows: int) -> int:
    fill(rows)
    users = {user.username: user for user in get_user_model()._default_manager.all()}
    figures = [
        *_figures("agent", users["agent"], Ticket.objects.all(), AgentTicketSerializer, AgentTicketDetailSerializer),
        *_figures(
            "customer", users["customer"], Ticket.objects.filter(requester=users["customer"]), *[TicketSerializer] * 2
        ),
    ]
    held = [_report(figure, *_measure(figure)) for figure in figures]
    note(f"{rows} tickets, medians of {RUNS} runs in turns")
    return int(not all(held))


def _figures(name: str, user: Any, tickets: Any, listed: Any, single: Any) -> list[Figure]:
    newest_first = tickets.order_by("-created_at", "-id")
    middle = newest_first[tickets.count() // 2]
    position = middle.created_at
    cursor = quote(b64encode(urlencode({"p": str(position)}).encode()).decode())
    lists = TicketViewSet.as_view({"get": "list"})
    detail = TicketViewSet.as_view({"get": "retrieve"})
    older = newest_first.filter(created_at__lt=position)
    return [
        Figure(f"{name}-first-page", _call(lists, user), _floor(newest_first, listed), LIST_GATE),
        Figure(f"{name}-deep-page", _call(lists, user, f"?cursor={cursor}"), _floor(older, listed), LIST_GATE),
        Figure(
            f"{name}-detail",
            _call(detail, user, key=str(middle.key)),
            _floor(tickets.filter(key=middle.key), single),
            DETAIL_GATE,
        ),
    ]


def _call(view: Any, user: Any, query: str = "", **kwargs: str) -> Call:
    def call() -> HttpResponseBase:
        # Asked for anew, as with each request of a site: permissions are cached on the user.
        person = get_user_model()._default_manager.get(pk=user.pk)
        request = RequestFactory().get(f"/api/tickets/{query}")
        force_authenticate(request, person)
        answer = view(request, **kwargs)
        assert answer.status_code == 200, answer.data
        return answer.render()

    return call


def _floor(tickets: QuerySet[Ticket], serializer: Any) -> Call:
    shown = {field.name for field in Ticket._meta.concrete_fields}
    names = [name for name in serializer.Meta.fields if name in shown]

    def view(request: HttpRequest) -> HttpResponseBase:
        get_user_model()._default_manager.get(username="agent")
        rows = tickets.annotate(comments_count=_count(Comment), attachments_count=_count(Attachment))
        found = list(rows.values(*names, "close_delivery", "comments_count", "attachments_count")[: PAGE + 1])
        return JsonResponse({"results": found[:PAGE]})

    return lambda: view(RequestFactory().get("/"))


def _count(model: Any) -> Coalesce:
    rows = model.objects.filter(ticket=OuterRef("pk")).order_by().values("ticket").annotate(rows=Count("pk"))
    return Coalesce(Subquery(rows.values("rows")), 0, output_field=IntegerField())


def _measure(figure: Figure) -> tuple[float, float]:
    taken: dict[Call, list[float]] = {figure.ours: [], figure.floor: []}
    for call in taken:
        call()
    for number in range(RUNS):
        for call in list(taken)[:: 1 if number % 2 else -1]:
            started = time.perf_counter()
            call()
            taken[call].append(time.perf_counter() - started)
    return statistics.median(taken[figure.ours]), statistics.median(taken[figure.floor])


def _report(figure: Figure, ours: float, floor: float) -> bool:
    ratio = ours / floor
    return report(
        f"api.{figure.name}",
        ours=f"{1000 * ours:.1f} ms",
        floor=f"{1000 * floor:.1f} ms",
        ratio=f"{ratio:.2f} ×",
        gate=f"≤ {figure.gate:.1f} ×",
        held=ratio <= figure.gate,
    )
