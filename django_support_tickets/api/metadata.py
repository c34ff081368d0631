from __future__ import annotations

from typing import Any

from rest_framework.metadata import SimpleMetadata
from rest_framework.request import Request

from django_support_tickets.api.accounts import accounts_for


class TicketMetadata(SimpleMetadata):
    """Answer OPTIONS with the fields that this user may write, and the accounts with what each of them takes."""

    def determine_metadata(self, request: Request, view: Any) -> dict[str, Any]:
        metadata = dict(super().determine_metadata(request, view))
        if view.action_map.get("post") != "create":
            metadata.pop("actions", None)  # what is posted there is not what the serializer reads
        if getattr(view, "tells_accounts", False):
            metadata["accounts"] = accounts_for(request.user)
        return metadata
