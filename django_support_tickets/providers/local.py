from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_support_tickets.providers.base import Provider
from django_support_tickets.records import (
    AttachmentRecord,
    AttachmentRules,
    Capabilities,
    CommentDraft,
    CommentRecord,
    FileDraft,
    Found,
    Status,
    TicketDraft,
    TicketRecord,
    TicketRef,
)

STATUSES: Mapping[str, Status] = {"open": Status.OPEN, "closed": Status.CLOSED}


class LocalProvider(Provider):
    """A desk without a vendor: every ticket is accepted at once, its remote id is our key, and no news ever comes.

    The default of SUPPORT_TICKETS_PROVIDERS, as locmem is for caches.
    """

    capabilities = Capabilities(
        can_find=True,
        can_comment=True,
        can_close=True,
        attachments=AttachmentRules(moments=frozenset({"create", "after", "comment"})),
        sent_fields=frozenset({"contact", "priority", "category", "tags"}),
        status_map=STATUSES,
        final_statuses=frozenset(Status),
    )

    def get(self, ref: TicketRef) -> TicketRecord:
        return TicketRecord(remote_id=ref.remote_id)

    def create(self, draft: TicketDraft) -> TicketRecord:
        return self._record(draft.key, remote_status="open")

    def find(self, draft: TicketDraft) -> Found:
        return Found(records=(self._record(draft.key, remote_status="open"),), complete=True)

    def add_comment(self, ref: TicketRef, draft: CommentDraft) -> CommentRecord:
        return CommentRecord(remote_id=draft.key, body=draft.body)

    def close(self, ref: TicketRef) -> TicketRecord:
        return self._record(ref.remote_id, remote_status="closed")

    def upload(self, ref: TicketRef, file: FileDraft) -> AttachmentRecord:
        return AttachmentRecord(remote_id=file.key, name=file.name, content_type=file.content_type, size=file.size)

    def _record(self, remote_id: str, *, remote_status: str) -> TicketRecord:
        raw: dict[str, Any] = {"id": remote_id, "status": remote_status}
        return TicketRecord(
            remote_id=remote_id,
            key=remote_id,
            status=STATUSES[remote_status],
            remote_status=remote_status,
            raw=raw,
        )
