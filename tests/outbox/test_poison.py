"""Items that cannot be sent, or are taken away under a worker's hands, stop no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.db import connection

from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.outbox.claims import Claim
from django_support_tickets.outbox.delivery import deliver
from django_support_tickets.outbox.leases import START_SECONDS
from django_support_tickets.outbox.push import push
from django_support_tickets.providers import providers
from django_support_tickets.records import AttachmentRules, Capabilities
from tests.outbox.conftest import PICTURE
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db
Raise = Callable[..., Ticket]
Claimed = Callable[..., Claim]


class TestPoison:
    @pytest.mark.fault(23)
    def test_an_item_that_ends_its_worker_eight_times_is_set_aside_with_a_reason(
        self, desk: Desk, raised: Raise, claimed: Claimed
    ) -> None:
        raised("ends its worker")
        for _ in range(8):
            claimed()
            pass_time(START_SECONDS + 1)
        raised("harmless")
        counts = push("paper")
        assert (counts.refused, counts.delivered) == (1, 1)
        poison = Ticket.objects.get(subject="ends its worker")
        assert poison.delivery == Delivery.REFUSED
        assert poison.delivery_error == "It was tried 8 times without an outcome."

    @pytest.mark.fault(23)
    def test_what_cannot_be_prepared_is_refused_after_eight_tries_and_never_sent(
        self, desk: Desk, settings: Any, unforeseen: None
    ) -> None:
        settings.SUPPORT_TICKETS_OUTGOING_FILTERS = ["nowhere.mask"]
        Ticket.objects.bulk_create([Ticket(subject="In bulk")])
        for tries in range(1, 8):
            assert push("paper").waiting == 1
            entry = OutboxEntry.objects.get()
            assert (entry.attempts, entry.last_error, entry.lease_token) == (tries, "ModuleNotFoundError", None)
            pass_time(3600)
        assert push("paper").refused == 1
        ticket = Ticket.objects.get()
        assert (ticket.delivery, desk.calls) == (Delivery.REFUSED, [])
        assert ticket.delivery_error == "It could not be handled: ModuleNotFoundError."

    @pytest.mark.fault(23)
    def test_a_file_of_a_comment_of_another_ticket_is_refused_and_keeps_no_worker_busy(
        self, desk: Desk, raised: Raise, said: Any
    ) -> None:
        rules = AttachmentRules(moments=frozenset({"create", "comment"}))
        desk.capabilities = Capabilities(can_comment=True, attachments=rules)
        first, second = raised(), raised()
        push("paper")
        second.refresh_from_db()
        comment, held = said(second), 0
        Ticket.objects.filter(pk=second.pk).update(delivery=Delivery.UNCERTAIN)
        with pytest.raises(ValidationError, match="comment of another ticket"):
            Attachment.objects.create(ticket=first, comment=comment, file=ContentFile(PICTURE, name="receipt.png"))
        Attachment.objects.bulk_create(
            [Attachment(ticket=first, comment=comment, file=ContentFile(PICTURE, name="receipt.png"))]
        )

        def stop() -> bool:
            nonlocal held
            held += 1
            return held > 50

        assert push("paper", stop=stop).refused == 1
        assert held < 50 and desk.files == []

    @pytest.mark.fault(15)
    def test_an_item_that_is_cancelled_under_a_workers_hands_frees_its_ticket(
        self, desk: Desk, raised: Raise, said: Any, claimed: Claimed
    ) -> None:
        ticket = raised()
        push("paper")
        said(ticket)
        claim = claimed()

        def cancel(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if sql.startswith("UPDATE") and "outboxentry" in sql and Comment.objects.exclude(delivery="draft").exists():
                Comment.objects.update(delivery=Delivery.DRAFT)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(cancel):
            assert deliver(claim, providers["paper"]) == "waiting"
        assert "comment" not in desk.calls
        said(ticket, "And now?")
        assert push("paper").delivered == 1

    @pytest.mark.fault(23, 74)
    def test_a_row_that_cannot_be_handled_stops_no_other(self, desk: Desk, raised: Raise, attached: Any) -> None:
        desk.capabilities = Capabilities(can_find=True, attachments=AttachmentRules(moments=frozenset({"create"})))
        poison = raised("without its file")
        attached(poison)
        Attachment.objects.update(file="")
        raised("harmless")
        assert push("paper").delivered == 1
        for _ in range(40):
            pass_time(3601)
            push("paper")
        poison.refresh_from_db()
        assert poison.delivery in (Delivery.REFUSED, Delivery.UNCERTAIN)
        assert poison.delivery_error
        assert not OutboxEntry.objects.exists()
