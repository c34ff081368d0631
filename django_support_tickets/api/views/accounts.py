from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from django_support_tickets.api.accounts import accounts_for
from django_support_tickets.api.serializers import AccountSerializer
from django_support_tickets.api.views.guarded import GuardedViewSet


class AccountViewSet(GuardedViewSet):
    """The accounts that the user can raise tickets at, and what each of them takes."""

    serializer_class = AccountSerializer
    pagination_class = None
    needs = {"list": "view_ticket"}

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return all of them: there are as many as SUPPORT_TICKETS_PROVIDERS has aliases."""
        return Response(self.get_serializer(accounts_for(request.user), many=True).data)
