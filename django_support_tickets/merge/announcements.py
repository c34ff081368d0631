from __future__ import annotations

from django_support_tickets.merge.batch import Batch, News
from django_support_tickets.merge.ownership import visible
from django_support_tickets.models import Ticket
from django_support_tickets.signals import (
    attachment_added,
    comment_added,
    ticket_changed,
    ticket_imported,
    ticket_missing,
)


def announce(batch: Batch) -> None:
    """Send the signals of a batch that has been committed; a receiver that raises is logged and stops nothing."""
    for one in batch.news:
        if one.imported:
            ticket_imported.send_robust(Ticket, ticket=one.ticket)
        else:
            _announce_news(one)


def _announce_news(one: News) -> None:
    if one.found_again:
        ticket_missing.send_robust(Ticket, ticket=one.ticket, missing=False)
    if changes := visible(one.changes):
        ticket_changed.send_robust(Ticket, ticket=one.ticket, changes=changes)
    for comment in one.conversation.new_comments:
        comment.ticket = one.ticket
        comment_added.send_robust(Ticket, ticket=one.ticket, comment=comment)
    for attachment in one.conversation.new_attachments:
        attachment.ticket = one.ticket
        attachment_added.send_robust(Ticket, ticket=one.ticket, attachment=attachment)
