"""What all views have in common: nothing of it depends on the site's DRF defaults, but for who is logged in."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, ClassVar, TypeVar

from django.db import IntegrityError, connections, router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from rest_framework.exceptions import NotFound, UnsupportedMediaType
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.pagination import BasePagination
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.viewsets import GenericViewSet

from django_support_tickets.api.conditional import add_etag
from django_support_tickets.api.idempotency import Intention
from django_support_tickets.api.metadata import TicketMetadata
from django_support_tickets.api.pagination import NewestFirst
from django_support_tickets.api.parsers import StrictJSONParser
from django_support_tickets.api.permissions import IsActive, MayAct
from django_support_tickets.api.scope import is_agent, tickets_for
from django_support_tickets.api.uploads import discard, watch
from django_support_tickets.models import Submission, Ticket

M = TypeVar("M", bound=Submission)
CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")


class GuardedViewSet(GenericViewSet):  # type: ignore[type-arg]
    """Deny by default, answer in JSON only, tag what can be read, and commit what was answered."""

    permission_classes = (IsActive, MayAct)
    throttle_classes: Sequence[type[BaseThrottle]] = ()
    parser_classes: Sequence[type[BaseParser]] = (StrictJSONParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = DefaultContentNegotiation
    metadata_class = TicketMetadata
    versioning_class = None
    pagination_class: type[BasePagination] | None = NewestFirst
    filter_backends: Sequence[Any] = ()
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    #: Action -> the permission that an agent needs for it; what is not named here is denied.
    needs: ClassVar[Mapping[str, str]] = {}
    #: The actions that are not for customers.
    agents_only: ClassVar[frozenset[str]] = frozenset()
    #: Used instead of `serializer_class` for agents; for customers its additional fields do not exist.
    agent_serializer_class: ClassVar[type[Any] | None] = None

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        """Return the view, which commits by itself also where the site has ATOMIC_REQUESTS."""
        view = super().as_view(actions, **initkwargs)
        for alias in connections:
            transaction.non_atomic_requests(using=alias)(view)
        return view

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """Take requests in UTF-8 only: by another charset a form or a query can say what no database stores."""
        super().initial(request, *args, **kwargs)
        if request.content_params.get("charset", "utf-8").lower() not in CHARSETS:
            raise UnsupportedMediaType(request.content_type)

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Watch what arrives, from before its sender is known."""
        watch(request)
        return super().initialize_request(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Response:
        """Answer with the error, and keep no half of a file."""
        discard(self.request._request)
        with transactions_left_alone():
            return super().handle_exception(exc)

    def get_serializer_class(self) -> type[Any]:
        """Return the serializer for whoever asks."""
        if self.agent_serializer_class is not None and is_agent(self.request.user):
            return self.agent_serializer_class
        return super().get_serializer_class()

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add an ETag to what was read; an If-None-Match that names it is answered with 304."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if request.method in ("GET", "HEAD") and isinstance(response, Response) and response.status_code == 200:
            response.add_post_render_callback(partial(add_etag, request))
        return response


class TicketPartViewSet(GuardedViewSet):
    """Something of one ticket, which is looked for among those that the user may know of before all else."""

    @cached_property
    def ticket(self) -> Ticket:
        """Return the ticket that the address names; raise NotFound."""
        return find(tickets_for(self.request.user).defer("raw"), self.kwargs["ticket_key"])

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows of this ticket only."""
        return super().get_queryset().filter(ticket=self.ticket)


@contextmanager
def transactions_left_alone() -> Iterator[None]:
    """Take back what DRF's exception handler asks for where the site has ATOMIC_REQUESTS: a rollback of what is open.

    These views are in no transaction of the request's; one that is open all the same is a test's or the site's own.
    """
    before = [(one, one.get_rollback()) for one in connections.all(initialized_only=True) if one.in_atomic_block]
    try:
        yield
    finally:
        for one, is_asked in before:
            one.set_rollback(is_asked)


def make_once(rows: QuerySet[M], make: Callable[[], M], *, intention: Intention | None) -> M:
    """Return what `make` stores, or what the same request has stored before among `rows`.

    Raise OtherRequest if its Idempotency-Key was used for another one, NotFound if that is not among them any more.
    """
    if intention is None:
        return make()
    if not intention.is_fulfilled(rows.model):
        try:
            return make()
        except IntegrityError:
            if not intention.is_fulfilled(rows.model):  # by the same request, at the same time
                raise
    return find(rows.using(router.db_for_write(rows.model)), str(intention.key))


def find(rows: QuerySet[M], key: str) -> M:
    """Return the row with this key; raise the same NotFound for one that is not among `rows` and for no key at all."""
    try:
        found = rows.filter(key=uuid.UUID(key)).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound()
    return found
