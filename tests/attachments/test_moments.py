"""Until when a file can be added, and what becomes of those of drafts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.db import transaction

from django_support_tickets.attachments.intake import prepare_attachment
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.outbox.claims import claim_next
from django_support_tickets.outbox.leases import START_SECONDS
from django_support_tickets.outbox.push import push
from django_support_tickets.records import AttachmentRules
from tests.attachments.samples import HTML, PNG, TEXT
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db

Add = Callable[..., Attachment]
Keys = Callable[[], list[str]]


@pytest.mark.django_db(transaction=True)
class TestMoments:
    """Until when a file can still travel with what it belongs to."""

    CREATE = AttachmentRules(moments=frozenset({"create"}))
    COMMENT = AttachmentRules(moments=frozenset({"create", "comment"}))

    def try_to_add(self, ticket: Ticket, given: AttachmentRules, comment: Comment | None = None) -> str:
        attachment = Attachment(ticket=ticket, comment=comment, file=ContentFile(PNG, name="a.png"))
        try:
            with transaction.atomic():  # as a save does
                prepare_attachment(attachment, given)
        except ValidationError as error:
            return str(error.error_dict["file"][0].code)
        return ""

    def test_with_a_ticket_that_waits(self, ticket: Ticket) -> None:
        assert self.try_to_add(ticket, self.CREATE) == ""

    def test_with_a_draft(self, db: None) -> None:
        draft = Ticket.objects.create(provider="local", subject="Later", delivery=Delivery.DRAFT)
        assert self.try_to_add(draft, self.CREATE) == ""

    def test_not_with_one_that_is_under_way_or_was_sent(self, ticket: Ticket) -> None:
        OutboxEntry.objects.update(lease_token=ticket.key)
        assert self.try_to_add(ticket, self.CREATE) == "too_late"
        OutboxEntry.objects.update(lease_token=None)
        push("local")
        ticket.refresh_from_db()
        assert self.try_to_add(ticket, self.CREATE) == "too_late"

    @pytest.mark.fault(6)
    def test_when_the_lease_of_a_worker_that_died_has_run_out(self, ticket: Ticket) -> None:
        claim_next("local", 1, using="default")
        assert self.try_to_add(ticket, self.CREATE) == "too_late"
        pass_time(START_SECONDS + 1)
        assert self.try_to_add(ticket, self.CREATE) == ""
        push("local")
        comment = Comment.objects.create(ticket=ticket, body="See the picture.")
        claim_next("local", 1, using="default")
        assert self.try_to_add(ticket, self.COMMENT, comment) == "too_late"
        pass_time(START_SECONDS + 1)
        assert self.try_to_add(ticket, self.COMMENT, comment) == ""

    def test_with_a_comment_that_waits(self, ticket: Ticket) -> None:
        push("local")
        comment = Comment.objects.create(ticket=ticket, body="See the picture.")
        assert self.try_to_add(ticket, self.COMMENT, comment) == ""
        assert self.try_to_add(ticket, self.CREATE, comment) == "too_late"

    def test_also_while_another_item_of_the_ticket_is_under_way(self, ticket: Ticket) -> None:
        comment = Comment.objects.create(ticket=ticket, body="See the picture.")
        OutboxEntry.objects.update(lease_token=ticket.key, sent_at=1, item="create", item_id=ticket.pk)
        assert self.try_to_add(ticket, self.COMMENT, comment) == ""

    def test_not_with_a_comment_that_is_under_way_or_was_sent(self, ticket: Ticket) -> None:
        push("local")
        ticket.refresh_from_db()
        comment = Comment.objects.create(ticket=ticket, body="See the picture.")
        OutboxEntry.objects.update(lease_token=ticket.key)
        assert self.try_to_add(ticket, self.COMMENT, comment) == "too_late"
        OutboxEntry.objects.update(lease_token=ticket.key, sent_at=1, item="comment", item_id=comment.pk)
        assert self.try_to_add(ticket, self.COMMENT, comment) == "too_late"
        OutboxEntry.objects.update(lease_token=None, sent_at=None)
        push("local")
        comment.refresh_from_db()
        assert self.try_to_add(ticket, self.COMMENT, comment) == "too_late"

    def test_with_a_draft_comment(self, ticket: Ticket) -> None:
        comment = Comment.objects.create(ticket=ticket, body="Later.", delivery=Delivery.DRAFT)
        assert self.try_to_add(ticket, self.COMMENT, comment) == ""


@pytest.mark.django_db(transaction=True)
class TestDrafts:
    def test_a_draft_is_looked_at_when_it_is_added(self, attach: Add, keys: Keys) -> None:
        with pytest.raises(ValidationError):
            attach(HTML, delivery=Delivery.DRAFT)
        assert keys() == []
        assert attach(delivery=Delivery.DRAFT).sha256

    def test_an_account_that_is_not_configured_yet_does_not_matter(self, attach: Add) -> None:
        draft = Ticket.objects.create(provider="nobody", subject="Later", delivery=Delivery.DRAFT)
        assert attach(ticket=draft, delivery=Delivery.DRAFT).sha256

    def test_a_submitted_draft_is_checked_again_and_sent(self, attach: Add) -> None:
        draft = attach(delivery=Delivery.DRAFT)
        draft.submit()
        assert push("local").delivered == 2  # the ticket and its file  # with its ticket
        draft.refresh_from_db()
        assert draft.delivery == Delivery.DELIVERED

    @pytest.mark.fault(74)
    def test_a_draft_whose_file_was_changed_or_lost_is_not_submitted(self, attach: Add, storage: Storage) -> None:
        draft = attach(delivery=Delivery.DRAFT)
        for content, code in ((PNG + b"!", "changed"), (None, "unreadable"), (b"", "empty")):
            storage.delete(draft.file.name)
            if content is not None:
                storage.save(draft.file.name, ContentFile(content))
            with pytest.raises(ValidationError) as caught:
                Attachment.objects.get().submit()
            assert caught.value.error_dict["file"][0].code == code
        assert Attachment.objects.get().delivery == Delivery.DRAFT

    def test_rows_made_in_bulk_are_counted_when_they_are_submitted(self, ticket: Ticket, storage: Storage) -> None:
        key = storage.save("ab/made-elsewhere", ContentFile(TEXT))
        Attachment.objects.bulk_create([Attachment(ticket=ticket, name="a.log", file=key, delivery=Delivery.DRAFT)])
        row = Attachment.objects.get()
        row.submit()
        row.refresh_from_db()
        assert (row.size, row.content_type) == (len(TEXT), "text/plain")
        assert row.sha256 == hashlib.sha256(TEXT).hexdigest()

    @pytest.mark.fault(74)
    def test_rows_made_in_bulk_are_checked_before_they_are_sent(self, ticket: Ticket, storage: Storage) -> None:
        key = storage.save("ab/made-elsewhere", ContentFile(HTML))
        push("local")
        Attachment.objects.bulk_create([Attachment(ticket=ticket, name="a.png", file=key)])
        assert push("local").refused == 1
        assert "not what 'png' says" in Attachment.objects.get().delivery_error
