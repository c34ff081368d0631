"""A list walk may import our own ticket before the push that made it has stored its remote id."""

from __future__ import annotations

from django_support_tickets.models import Attachment, Comment, Ticket, TicketEvent


def absorb_twin(ticket: Ticket, remote_id: str, *, using: str) -> bool:
    """Move what hangs on the imported copy of `ticket` over to it and delete the copy; return False if there is none.

    Runs in the caller's transaction. Raise ProtectedError while something of the copy is being sent.
    """
    copies = Ticket.objects.using(using).of(ticket.provider).filter(remote_id=remote_id, origin=Ticket.Origin.VENDOR)
    copy = copies.exclude(pk=ticket.pk).select_for_update().first()
    if copy is None:
        return False
    for model in (Comment, Attachment, TicketEvent):
        model._base_manager.using(using).filter(ticket=copy).update(ticket=ticket)
    copy.delete()
    return True
