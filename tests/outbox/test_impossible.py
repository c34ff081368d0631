"""What nobody can decide (any more): each is refused with a code and a whole sentence, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from django_support_tickets.models import Attachment, Comment, Ticket, TicketEvent
from django_support_tickets.outbox.claims import Claim
from django_support_tickets.outbox.decisions import cancel, close_here, raise_again, request_close, settle
from django_support_tickets.records import AttachmentRules, Capabilities
from tests.outbox.paper import Desk

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]

BARE = Capabilities(can_comment=True, attachments=AttachmentRules(moments=frozenset({"create", "comment"})))
LATE = {"item": "create", "remote_id": "R7"}
NOT_SENT = "It has not been sent yet, so it cannot be raised again."
NOT_THERE = "The ticket is not at the vendor."
CLOSED = "The ticket is closed already."
TRAVELLED = "It may have gone with its ticket or comment, whose delivery is uncertain: settle that first."
AT_VENDOR = {"delivery": "delivered", "remote_id": "R1"}


def complaint_of(act: Callable[[], Any]) -> tuple[str, str, str]:
    """Return the field, the code and the sentence of the one complaint."""
    with pytest.raises(ValidationError) as caught:
        act()
    fields = caught.value.error_dict if hasattr(caught.value, "error_dict") else {NON_FIELD_ERRORS: caught.value}
    ((field, errors),) = fields.items()
    (error,) = errors.error_list if isinstance(errors, ValidationError) else errors
    return "" if field == NON_FIELD_ERRORS else field, str(error.code), error.messages[0]


@pytest.mark.parametrize(
    ("state", "act", "complaint"),
    [
        (
            {"delivery": "uncertain"},
            settle,
            ("", "choose", "Say either which remote id it has, or that it is to be sent again."),
        ),
        (
            {"delivery": "refused"},
            lambda ticket: settle(ticket, send_again=True),
            ("", "overtaken", "Its delivery is not uncertain (any more)."),
        ),
        (
            {"delivery": "uncertain"},
            lambda ticket: settle(ticket, exists="../x"),
            ("remote_id", "invalid", "This cannot be a remote id."),
        ),
        (
            {**AT_VENDOR, "close_delivery": "uncertain"},
            lambda ticket: settle(ticket, exists="R2"),
            ("remote_id", "invalid", "This is not the remote id of the ticket."),
        ),
        (AT_VENDOR, cancel, ("", "overtaken", "It is not queued (any more), so it cannot be cancelled.")),
        (
            AT_VENDOR,
            close_here,
            ("", "supported", "This account's vendor can close tickets: close it there."),
        ),
        ({"delivery": "refused"}, request_close, ("", "not_delivered", NOT_THERE)),
        ({"delivery": "uncertain"}, request_close, ("", "not_delivered", NOT_THERE)),
        ({**AT_VENDOR, "status": "closed"}, request_close, ("", "closed", CLOSED)),
        (
            {**AT_VENDOR, "close_delivery": "queued"},
            request_close,
            ("", "closing", "Its closing is under way already."),
        ),
        (
            {**AT_VENDOR, "close_delivery": "uncertain"},
            request_close,
            ("", "closing", "Its closing is under way already."),
        ),
        ({"delivery": "draft"}, raise_again, ("", "not_sent", NOT_SENT)),
        ({"delivery": "queued"}, raise_again, ("", "not_sent", NOT_SENT)),
    ],
)
def test_at_a_vendor_that_can_all(
    desk: Desk, raised: Raise, state: dict[str, str], act: Callable[[Ticket], Any], complaint: Any
) -> None:
    ticket = raised()
    Ticket.objects.update(**state)
    before = Ticket.objects.values().get()
    assert complaint_of(lambda: act(ticket)) == complaint
    assert Ticket.objects.values().get() == before
    assert not TicketEvent.objects.exists()


@pytest.mark.parametrize(
    ("state", "act", "complaint"),
    [
        (AT_VENDOR, request_close, ("", "unsupported", "This account's vendor has no way to close a ticket.")),
        ({"delivery": "draft"}, close_here, ("", "not_delivered", NOT_THERE)),
        ({"delivery": "queued"}, close_here, ("", "not_delivered", NOT_THERE)),
        ({**AT_VENDOR, "status": "closed"}, close_here, ("", "closed", CLOSED)),
        ({"delivery": "uncertain"}, lambda ticket: cancel(Attachment.objects.get()), ("", "uncertain", TRAVELLED)),
    ],
)
def test_at_a_vendor_that_can_little(
    desk: Desk, raised: Raise, attached: Any, state: dict[str, str], act: Callable[[Ticket], Any], complaint: Any
) -> None:
    desk.capabilities = BARE
    ticket = raised()
    attached(ticket)
    Ticket.objects.update(**state)
    before = Ticket.objects.values().get()
    assert complaint_of(lambda: act(ticket)) == complaint
    assert Ticket.objects.values().get() == before


def test_what_a_worker_holds(desk: Desk, raised: Raise, claimed: Callable[..., Claim]) -> None:
    ticket = raised()
    claimed()
    sentence = "It is being sent and can no longer be cancelled."
    assert complaint_of(lambda: cancel(ticket)) == ("", "in_flight", sentence)


@pytest.mark.fault(12)
def test_an_id_that_is_known_or_taken(desk: Desk, raised: Raise, said: Any) -> None:
    ticket, other = raised(), raised()
    Ticket.objects.update(delivery="uncertain")
    Ticket.objects.filter(pk=other.pk).update(**AT_VENDOR)
    taken = f"Ticket {other.key} has this remote id."
    assert complaint_of(lambda: settle(ticket, exists="R1")) == ("remote_id", "taken", taken)
    TicketEvent.objects.create(ticket=ticket, kind="late_answer", changes={**LATE, "key": str(ticket.key)})
    known = "A late answer of the vendor has named its remote id, R7: it exists."
    assert complaint_of(lambda: settle(ticket, send_again=True)) == ("", "exists", known)

    other.refresh_from_db()
    first, second = said(other), said(other, "And now?")
    Comment.objects.filter(pk=first.pk).update(delivery="delivered", remote_id="C1")
    Comment.objects.filter(pk=second.pk).update(delivery="uncertain")
    taken = f"{first.key} has this remote id."
    assert complaint_of(lambda: settle(second, exists="C1")) == ("remote_id", "taken", taken)
    assert complaint_of(lambda: settle(second, exists="a b"))[:2] == ("remote_id", "invalid")

    copy = Comment(ticket=ticket, body="Of another ticket", remote_id="C9", delivery="delivered")
    Comment.objects.bulk_create([copy])
    settle(second, exists="C9")
    assert Comment.objects.filter(remote_id="C9").count() == 2  # an id is one of its ticket only


def test_a_file_that_is_gone(desk: Desk, raised: Raise, attached: Any) -> None:
    ticket = raised()
    file = attached(ticket)
    file.file.storage.delete(file.file.name)
    Ticket.objects.update(**AT_VENDOR)
    gone = "The file receipt.png is no longer there."
    assert complaint_of(lambda: raise_again(ticket)) == ("file", "gone", gone)
    assert Ticket.objects.get() == ticket
