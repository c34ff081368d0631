"""What happened, announced after commit; nothing of ours listens, and a receiver steers nothing."""

from __future__ import annotations

from django.dispatch import Signal

# A ticket has reached its vendor and has a remote id. Arguments: ticket: Ticket.
ticket_delivered = Signal()

# The vendor has refused a ticket, comment, file or closing. Arguments: ticket: Ticket, item: Ticket, Comment or
# Attachment, reason: str (English, and the vendor's words; for staff).
delivery_refused = Signal()

# Nobody can tell whether the vendor has it; a person must settle it. Arguments: ticket: Ticket, item: Ticket, Comment
# or Attachment.
delivery_uncertain = Signal()

# A pull has changed a ticket. Arguments: ticket: Ticket, changes: dict[str, tuple[old, new]].
ticket_changed = Signal()

# A comment has arrived from the vendor (not our own echo). Arguments: ticket: Ticket, comment: Comment.
comment_added = Signal()

# A file has appeared at the vendor. Arguments: ticket: Ticket, attachment: Attachment.
attachment_added = Signal()

# A ticket of nobody here was found at the vendor and imported. Arguments: ticket: Ticket.
ticket_imported = Signal()

# A ticket is not to be found at the vendor any more, or is again. Arguments: ticket: Ticket, missing: bool.
ticket_missing = Signal()
