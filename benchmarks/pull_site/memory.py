from __future__ import annotations

from functools import cache

from benchmarks.pull_site.tickets import number_of, page, ticket
from django_support_tickets.providers import Provider
from django_support_tickets.providers.ankra_records import to_page, to_record
from django_support_tickets.records import Capabilities, Page, TicketDraft, TicketRecord, TicketRef

SIZE = 100
TOTAL: list[int] = []


class InMemory(Provider):
    """The fake Ankra without HTTP: what is left is our own work."""

    capabilities = Capabilities(can_list=True)

    def get(self, ref: TicketRef) -> TicketRecord:
        return to_record(ticket(number_of(ref.remote_id)))

    def create(self, draft: TicketDraft) -> TicketRecord:
        raise NotImplementedError

    def list_changed(self, scope: str, cursor: str | None) -> Page:
        return page_of(int(cursor or 1), TOTAL[0])


@cache
def page_of(number: int, total: int) -> Page:
    """Return a page of the list, made once."""
    found, _is_whole = to_page(page(number, SIZE, total), number)
    assert found is not None
    return found


def fill(total: int) -> None:
    """Let the vendor have the tickets with the first so many numbers."""
    TOTAL[:] = [total]
