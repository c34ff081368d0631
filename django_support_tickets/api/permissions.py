from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from django_support_tickets.api.scope import is_active, is_agent, may


class IsActive(BasePermission):
    """Let in who is logged in and still active, whatever the site's DRF defaults and authentication say."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return is_active(request.user)


class MayAct(BasePermission):
    """Let agents act by their Django permissions, and customers on whatever is in their scope.

    The view says in `needs` which permission an agent needs for each of its actions, and in `agents_only` which of
    them are not for customers. An action that `needs` does not name is denied to everybody.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if view.action in (None, "metadata"):  # answered with 405, or with what the view would take
            return True
        if view.action not in view.needs:
            return False
        if is_agent(request.user):
            return may(request.user, view.needs[view.action])
        return view.action not in view.agents_only
