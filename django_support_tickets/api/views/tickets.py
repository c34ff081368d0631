from __future__ import annotations

from functools import partial
from typing import Any, cast

from django.db.models import Count, IntegerField, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from django_support_tickets.api.decisions import close_ticket, refresh_ticket, settle_item
from django_support_tickets.api.filters import Ordering, TicketFilter, TicketFilterBackend
from django_support_tickets.api.idempotency import Intention, intention_of
from django_support_tickets.api.parsers import StrictJSONParser, UploadParser
from django_support_tickets.api.raising import delete_draft, require_draft, submit_draft
from django_support_tickets.api.scope import is_agent, tickets_for
from django_support_tickets.api.serializers import (
    AgentTicketDetailSerializer,
    AgentTicketSerializer,
    SettlementSerializer,
    TicketSerializer,
)
from django_support_tickets.api.views.guarded import GuardedViewSet, find, make_once
from django_support_tickets.models import Attachment, Comment, Ticket

UNSHOWN = ("digest", "request_digest")


class TicketViewSet(ListModelMixin, RetrieveModelMixin, GuardedViewSet):
    """Tickets: raise them, read what became of them, change drafts, and ask for what the vendor can do.

    Customers see and act on the tickets of their scope; agents act by their Django permissions.
    """

    queryset = Ticket.objects.all()
    serializer_class = TicketSerializer
    agent_serializer_class = AgentTicketSerializer
    #: Used for a single ticket instead of `agent_serializer_class`.
    agent_detail_serializer_class = AgentTicketDetailSerializer
    parser_classes = (StrictJSONParser, UploadParser)
    filter_backends = (TicketFilterBackend, Ordering)
    filterset_class = TicketFilter
    ordering_fields = ("created_at", "updated_at")
    lookup_field = "key"
    lookup_value_regex = "[^/]+"
    tells_accounts = True
    needs = {
        "list": "view_ticket",
        "retrieve": "view_ticket",
        "create": "add_ticket",
        "partial_update": "change_ticket",
        "destroy": "delete_ticket",
        "submit": "change_ticket",
        "close": "change_ticket",
        "refresh": "sync_ticket",
        "settle": "settle_ticket",
    }
    agents_only = frozenset({"settle"})

    def get_queryset(self) -> QuerySet[Ticket]:
        """Return the tickets that the user may know of."""
        return self.shown(tickets_for(self.request.user))

    def shown(self, tickets: QuerySet[Ticket]) -> QuerySet[Ticket]:
        """Return tickets with everything that their serializer shows."""
        tickets = tickets.annotate(comments_count=_count(Comment), attachments_count=_count(Attachment))
        if self.action != "list" and is_agent(self.request.user):
            return tickets.defer(None).defer(*UNSHOWN).select_related("outbox")
        return tickets.defer("raw", *UNSHOWN)

    def get_serializer_class(self) -> type[Any]:
        """Return the serializer for whoever asks, with the most for a single ticket."""
        found = super().get_serializer_class()
        is_single = self.action not in ("list", "metadata")
        return self.agent_detail_serializer_class if is_single and found is self.agent_serializer_class else found

    def get_object(self) -> Ticket:
        """Return the ticket that the address names; raise the same NotFound for a foreign and for a missing one."""
        return find(self.get_queryset(), self.kwargs[self.lookup_field])

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Raise a ticket, or store it as a draft; the same Idempotency-Key and request give the same ticket."""
        intention = intention_of(request)
        make = partial(self._raise, request, intention)
        ticket = make_once(tickets_for(request.user), make, intention=intention)
        response = self.answer(ticket, status.HTTP_201_CREATED)
        response["Location"] = request.build_absolute_uri(f"{request.path}{ticket.key}/")
        return response

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change a draft."""
        ticket = self.get_object()
        require_draft(ticket)
        self.perform_update(self._checked(ticket, request.data))
        return self.answer(ticket)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a draft with its files; they go on counting against the quota."""
        self.perform_destroy(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def perform_create(self, serializer: BaseSerializer[Ticket]) -> None:
        """Store a new ticket."""
        serializer.save()

    def perform_update(self, serializer: BaseSerializer[Ticket]) -> None:
        """Store the changes of a draft."""
        serializer.save()

    def perform_destroy(self, ticket: Ticket) -> None:
        """Delete a draft."""
        delete_draft(ticket)

    @action(detail=True, methods=["post"])
    def submit(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Queue a draft, or what its vendor has refused, for the vendor."""
        ticket = self.get_object()
        values = self._checked(ticket, {}).validated_data
        submit_draft(ticket, values, user=request.user)
        return self.answer(ticket)

    @action(detail=True, methods=["post"])
    def close(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Queue the closing of a ticket at its vendor."""
        ticket = self.get_object()
        close_ticket(ticket, user=request.user)
        return self.answer(ticket, status.HTTP_202_ACCEPTED)

    @action(detail=True, methods=["post"])
    def refresh(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Ask for news: the ticket is fetched with the next pull, and not within this request."""
        ticket = self.get_object()
        refresh_ticket(ticket)
        return self.answer(ticket, status.HTTP_202_ACCEPTED)

    @action(detail=True, methods=["post"])
    def settle(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Say what became of something whose delivery is uncertain."""
        ticket = self.get_object()
        serializer = SettlementSerializer(data=request.data, context={"ticket": ticket})
        serializer.is_valid(raise_exception=True)
        settle_item(**serializer.validated_data, user=request.user)
        return self.answer(ticket)

    def answer(self, ticket: Ticket, code: int = status.HTTP_200_OK) -> Response:
        """Return a ticket as it is stored now."""
        stored = self.shown(Ticket.objects.using(ticket._state.db)).get(pk=ticket.pk)
        return Response(self.get_serializer(stored).data, status=code)

    def _checked(self, ticket: Ticket, data: Any) -> BaseSerializer[Ticket]:
        serializer = self.get_serializer(ticket, data=data, partial=True)
        serializer.is_valid(raise_exception=True)
        return serializer

    def _raise(self, request: Request, intention: Intention | None) -> Ticket:
        context = {**self.get_serializer_context(), "intention": intention}
        serializer = self.get_serializer(data=request.data, context=context)
        serializer.is_valid(raise_exception=True)
        self.perform_create(serializer)
        return cast("Ticket", serializer.instance)


def _count(model: type[Model]) -> Coalesce:
    """Return a subquery, which costs one look into an index for each ticket of a page."""
    rows = model._default_manager.filter(ticket=OuterRef("pk")).order_by().values("ticket")
    return Coalesce(Subquery(rows.annotate(rows=Count("pk")).values("rows")), 0, output_field=IntegerField())
