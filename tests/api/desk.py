from __future__ import annotations

from typing import Any

from django_support_tickets.providers import Provider
from django_support_tickets.records import AttachmentRules, Capabilities, Status, TicketDraft, TicketRecord, TicketRef

BACKEND = "tests.api.desk.DeskProvider"

CAPABILITIES = Capabilities(
    no_comment_reason="The desk answers by e-mail.",
    attachments=AttachmentRules(
        moments=frozenset({"create"}), max_count=2, max_bytes=1000, max_total_bytes=1500, extensions=frozenset({"txt"})
    ),
    subject_max=40,
    description_max=100,
    required_fields=frozenset({"customer_id", "contact_email", "description"}),
    sent_fields=frozenset({"priority", "category"}),
    categories=("deposit", "card"),
    priorities=("low", "high"),
    status_map={"open": Status.OPEN},
    option_names=frozenset({"cluster", "topic"}),
    customer_options=frozenset({"topic"}),
)


class DeskProvider(Provider):
    """A vendor that wants a lot and is never asked."""

    capabilities = CAPABILITIES

    def __init__(self, alias: str, *, secret: str = "", **common: Any) -> None:
        super().__init__(alias, **common)

    def get(self, ref: TicketRef) -> TicketRecord:
        raise NotImplementedError

    def create(self, draft: TicketDraft) -> TicketRecord:
        raise NotImplementedError
