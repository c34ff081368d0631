from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile, File
from django.core.files.storage import InMemoryStorage, Storage
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.db import transaction

from django_support_tickets.attachments.cleanup import KEY
from django_support_tickets.attachments.intake import prepare_attachment, validate_files
from django_support_tickets.attachments.serving import attachment_response
from django_support_tickets.attachments.storing import LARGEST, StorageFailed
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.outbox.claims import claim_next
from django_support_tickets.outbox.leases import START_SECONDS
from django_support_tickets.outbox.push import push
from django_support_tickets.records import AttachmentRules
from tests.attachments.conftest import Store
from tests.attachments.samples import HONEST, HOSTILE, HTML, PDF, PNG, TEXT
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db

Add = Callable[..., Attachment]
Keys = Callable[[], list[str]]
EVERYWHERE = frozenset({"create", "after", "comment"})


def code_of(caught: pytest.ExceptionInfo[ValidationError]) -> str:
    (error,) = caught.value.error_dict["file"]
    return str(error.code)


def rules(**values: Any) -> AttachmentRules:
    return AttachmentRules(moments=EVERYWHERE, **values)


def prepared(ticket: Ticket, content: bytes, name: str = "a.png", **limits: Any) -> Attachment:
    attachment = Attachment(ticket=ticket, file=ContentFile(content, name=name))
    prepare_attachment(attachment, rules(**limits))
    return attachment


class TestStoring:
    @pytest.mark.parametrize("name", HONEST)
    def test_a_file_is_stored_as_it_came(self, attach: Add, name: str) -> None:
        attachment = Attachment.objects.get(pk=attach(HONEST[name], name).pk)
        with attachment.file.open() as file:
            assert file.read() == HONEST[name]
        assert (attachment.name, attachment.size) == (name, len(HONEST[name]))
        assert attachment.sha256 == hashlib.sha256(HONEST[name]).hexdigest()
        assert (attachment.delivery, attachment.state) == (Delivery.QUEUED, Attachment.State.STORED)

    @pytest.mark.fault(69, 73)
    def test_each_file_has_a_random_key_of_its_own(self, attach: Add, keys: Keys) -> None:
        first, second = attach(), attach()
        assert first.name == second.name
        assert keys() == sorted([first.file.name, second.file.name])
        for attachment in (first, second):
            assert KEY.fullmatch(attachment.file.name)
            assert attachment.key.hex not in attachment.file.name

    @pytest.mark.fault(69)
    def test_its_name_is_cleaned_and_the_given_one_kept(self, attach: Add) -> None:
        attachment = attach(PNG, "a.png", name="../x\u202e.html.png", delivery=Delivery.DRAFT)
        attachment.submit()
        for _ in range(2):
            assert (attachment.name, attachment.original_name) == ("x_html.png", "../x\u202e.html.png")
            attachment = Attachment.objects.get()
        assert attach().original_name == ""

    def test_what_the_uploader_calls_it_reaches_neither_row_nor_storage(self, ticket: Ticket) -> None:
        upload = SimpleUploadedFile("a.png", PNG, content_type="text/html")
        attachment = Attachment.objects.create(ticket=ticket, file=upload)
        assert attachment.content_type == upload.content_type == "image/png"

    def test_bytes_without_a_name_are_refused_by_their_kind(self, attach: Add, keys: Keys) -> None:
        for name in (None, ""):
            with pytest.raises(ValidationError) as caught:
                attach(PNG, name)
            assert code_of(caught) == "extension"
        assert attach(PNG, None, name="given.png").name == "given.png"
        assert len(keys()) == 1

    def test_without_a_file_there_is_no_attachment(self, ticket: Ticket) -> None:
        with pytest.raises(ValidationError) as caught:
            Attachment.objects.create(ticket=ticket, name="a.png")
        assert code_of(caught) == "required"
        assert caught.value.message_dict == {"file": ["This field is required."]}

    def test_the_file_of_another_row_is_copied(self, ticket: Ticket, attach: Add, keys: Keys) -> None:
        first = attach()
        again = Attachment.objects.create(ticket=ticket, name=first.name, file=Attachment.objects.get().file)
        assert again.file.name != first.file.name
        assert len(keys()) == 2
        assert again.sha256 == first.sha256

    def test_a_large_upload_is_moved_and_its_temporary_file_is_gone(
        self, ticket: Ticket, use_storage: Store, tmp_path: Path
    ) -> None:
        use_storage("django.core.files.storage.FileSystemStorage", location=str(tmp_path))
        with TemporaryUploadedFile("a.png", "image/png", 0, None) as upload:
            upload.write(PNG * 50_000)
            upload.seek(0)
            upload.size = len(PNG) * 50_000
            path = upload.temporary_file_path()
            attachment = Attachment.objects.create(ticket=ticket, file=upload)
        assert not Path(path).exists()
        assert (tmp_path / attachment.file.name).stat().st_size == attachment.size

    def test_without_a_storage_files_are_refused_with_a_sentence(self, attach: Add, use_storage: Store) -> None:
        use_storage()
        with pytest.raises(ValidationError, match=r"STORAGES has no 'support_tickets'") as caught:
            attach()
        assert code_of(caught) == "no_storage"
        with pytest.raises(ValidationError, match="STORAGES"):
            validate_files([ContentFile(PNG, name="a.png")], rules())

    def test_a_closed_upload_is_a_complaint(self, ticket: Ticket) -> None:
        upload = TemporaryUploadedFile("a.png", "image/png", 10, None)
        upload.close()
        with pytest.raises(ValidationError) as caught:
            Attachment.objects.create(ticket=ticket, file=upload)
        assert code_of(caught) == "unreadable"

    def test_a_file_is_read_in_pieces(self, ticket: Ticket) -> None:
        class Watched(File):  # type: ignore[type-arg]
            longest = 0

            def read(self, size: int = -1) -> bytes:
                assert size > 0
                Watched.longest = max(Watched.longest, size)
                return bytes(self.file.read(size))

        with tempfile.TemporaryFile() as source:
            source.write(PNG + bytes(5_000_000))
            attachment = Attachment.objects.create(ticket=ticket, file=Watched(source, name="a.png"))
        assert attachment.size == len(PNG) + 5_000_000
        assert Watched.longest <= 65_536


@pytest.mark.fault(69, 70)
class TestHostileFiles:
    def test_there_are_sixty(self) -> None:
        assert len(HOSTILE) >= 60

    @pytest.mark.parametrize(("name", "content", "code"), HOSTILE, ids=[str(n) for n in range(len(HOSTILE))])
    def test_one_is_refused_or_harmless(self, attach: Add, keys: Keys, name: str, content: bytes, code: str) -> None:
        if code:
            with pytest.raises(ValidationError) as caught:
                attach(content, name)
            assert code_of(caught) == code
            assert keys() == []
            return
        attachment = attach(content, name)
        (key,) = keys()
        assert KEY.fullmatch(key)
        response = attachment_response(attachment)
        assert response["Content-Disposition"].startswith("attachment; ")
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert "html" not in response["Content-Type"]
        response.close()

    @pytest.mark.parametrize(("name", "content", "code"), HOSTILE, ids=[str(n) for n in range(len(HOSTILE))])
    def test_the_form_says_the_same_before_anything_is_stored(self, name: str, content: bytes, code: str) -> None:
        if not code:
            validate_files([ContentFile(content, name=name)], rules())
            return
        with pytest.raises(ValidationError) as caught:
            validate_files([ContentFile(content, name=name)], rules())
        assert code_of(caught) == code


@pytest.mark.fault(71)
class TestLimits:
    @pytest.mark.parametrize("size", [1, 99, 100])
    def test_up_to_the_limit_a_file_is_taken(self, ticket: Ticket, size: int) -> None:
        assert prepared(ticket, b"x" * size, "a.txt", max_bytes=100).size == size

    @pytest.mark.parametrize(("size", "code"), [(0, "empty"), (101, "too_large"), (10_000, "too_large")])
    def test_beyond_it_is_not(self, ticket: Ticket, keys: Keys, size: int, code: str) -> None:
        with pytest.raises(ValidationError) as caught:
            prepared(ticket, b"x" * size, "a.txt", max_bytes=100)
        assert code_of(caught) == code
        assert keys() == []

    @pytest.mark.parametrize("claimed", [0, 1, 10**12])
    def test_a_claimed_size_proves_nothing(self, ticket: Ticket, claimed: int) -> None:
        upload = SimpleUploadedFile("a.txt", b"x" * 101)
        upload.size = claimed
        with pytest.raises(ValidationError) as caught:
            prepare_attachment(Attachment(ticket=ticket, file=upload), rules(max_bytes=100))
        assert code_of(caught) in ("too_large", "empty")

    def test_reading_stops_at_the_limit(self, ticket: Ticket) -> None:
        class Endless(File):  # type: ignore[type-arg]
            size = 10
            pieces = 0

            def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
                while True:
                    Endless.pieces += 1
                    yield b"x" * 1000

            def read(self, size: int = -1) -> bytes:
                Endless.pieces += 1
                return b"x" * 1000

        attachment = Attachment(ticket=ticket, file=Endless(None, name="a.txt"))
        with pytest.raises(ValidationError) as caught:
            prepare_attachment(attachment, rules(max_bytes=5000))
        assert code_of(caught) == "too_large"
        assert Endless.pieces <= 7

    def test_without_a_limit_of_the_vendors_there_is_ours(self, ticket: Ticket) -> None:
        upload = SimpleUploadedFile("a.png", PNG)
        upload.size = LARGEST + 1
        with pytest.raises(ValidationError) as caught:
            prepare_attachment(Attachment(ticket=ticket, file=upload), rules())
        assert code_of(caught) == "too_large"

    def test_files_are_counted_together(self, attach: Add, ticket: Ticket) -> None:
        attach()
        attach(delivery=Delivery.DRAFT)
        refused = attach()
        Attachment.objects.filter(pk=refused.pk).update(delivery=Delivery.REFUSED)
        with pytest.raises(ValidationError) as caught:
            prepared(ticket, PNG, max_count=2)
        assert code_of(caught) == "too_many"
        with pytest.raises(ValidationError) as caught:
            prepared(ticket, PNG, max_total_bytes=3 * len(PNG) - 1)
        assert code_of(caught) == "too_large_together"
        prepared(ticket, PNG, max_count=3, max_total_bytes=3 * len(PNG))

    def test_a_limit_is_the_tickets_where_each_file_goes_by_itself(self, attach: Add, ticket: Ticket) -> None:
        comment = Comment.objects.create(ticket=ticket, body="See the picture.")
        attach(comment=comment)
        with pytest.raises(ValidationError) as caught:
            prepared(ticket, PNG, max_count=1)
        assert code_of(caught) == "too_many"
        attachment = Attachment(ticket=ticket, file=ContentFile(PNG, name="a.png"))
        prepare_attachment(attachment, AttachmentRules(moments=frozenset({"create", "comment"}), max_count=1))

    def test_files_of_other_sends_are_not_counted(self, attach: Add, ticket: Ticket) -> None:
        """A limit without a number of files is that of one send, be it the ticket's or a comment's."""
        comment = Comment.objects.create(ticket=ticket, body="See the picture.")
        attach(comment=comment)
        attach(ticket=Ticket.objects.create(provider="local", subject="Another"))
        prepared(ticket, PNG, max_total_bytes=len(PNG))
        with pytest.raises(ValidationError) as caught:
            prepare_attachment(
                Attachment(ticket=ticket, comment=comment, file=ContentFile(PNG, name="a.png")),
                rules(max_total_bytes=len(PNG)),
            )
        assert code_of(caught) == "too_large_together"
        Attachment.objects.update(comment=None, direction=Attachment.Direction.IN)
        prepared(ticket, PNG, max_count=1, max_total_bytes=len(PNG))

    def test_a_draft_is_not_counted_beside_itself(self, attach: Add) -> None:
        attach(delivery=Delivery.DRAFT)
        prepare_attachment(Attachment.objects.get(), rules(max_count=1, max_total_bytes=len(PNG)))

    def test_101_files_are_too_many_for_anybody(self) -> None:
        with pytest.raises(ValidationError) as caught:
            validate_files([ContentFile(PNG, name="a.png") for _ in range(101)], rules())
        assert code_of(caught) == "too_many"

    def test_a_vendor_that_takes_none_says_so(self, ticket: Ticket) -> None:
        with pytest.raises(ValidationError) as caught:
            prepare_attachment(Attachment(ticket=ticket, file=ContentFile(PNG, name="a.png")), None)
        assert code_of(caught) == "unsupported"

    def test_what_a_vendor_lists_is_what_it_takes(self, ticket: Ticket) -> None:
        assert prepared(ticket, b"PK", "plan.docx", extensions=frozenset({"docx"})).content_type.endswith("stream")
        for name, content, limits, code in (
            ("a.gif", b"GIF89a", {"extensions": frozenset({"png"})}, "extension"),
            ("a.pdf", PDF, {"content_types": frozenset({"image/png"})}, "content_type"),
        ):
            with pytest.raises(ValidationError) as caught:
                prepared(ticket, content, name, **limits)
            assert code_of(caught) == code


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
            assert code_of(caught) == code
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


class TroubledStorage(InMemoryStorage):
    """A storage in trouble: "full", "half" or "down"."""

    trouble = ""

    def _save(self, name: str, content: Any) -> str:
        if TroubledStorage.trouble == "full":
            raise OSError("no space left for AKIASECRET")
        half = ContentFile(content.read(10)) if TroubledStorage.trouble == "half" else content
        return super()._save(name, half)

    def _open(self, name: str, mode: str = "rb") -> Any:
        if TroubledStorage.trouble == "down" and mode == "rb":
            raise TimeoutError("AKIASECRET")
        return super()._open(name, mode)


@pytest.mark.fault(73, 74)
class TestTroubledStorage:
    @pytest.fixture(autouse=True)
    def troubled(self, use_storage: Store) -> Iterator[None]:
        use_storage(f"{__name__}.TroubledStorage")
        yield
        TroubledStorage.trouble = ""

    @pytest.mark.parametrize("trouble", ["full", "half"])
    def test_what_it_does_not_keep_is_no_attachment(
        self, attach: Add, keys: Keys, caplog: pytest.LogCaptureFixture, trouble: str
    ) -> None:
        TroubledStorage.trouble = trouble
        with pytest.raises(StorageFailed) as caught, transaction.atomic():
            attach()
        assert not Attachment.objects.exists()
        assert keys() == []
        assert "AKIASECRET" not in f"{caplog.text} {caught.value}"
        TroubledStorage.trouble = ""
        assert attach().sha256

    def test_a_draft_is_not_refused_because_it_is_down(self, attach: Add) -> None:
        draft = attach(delivery=Delivery.DRAFT)
        TroubledStorage.trouble = "down"
        with pytest.raises(StorageFailed), transaction.atomic():
            draft.submit()
        TroubledStorage.trouble = ""
        draft = Attachment.objects.get()
        assert draft.delivery == Delivery.DRAFT
        draft.submit()


class TestTransactions:
    @pytest.mark.fault(73)
    def test_a_rollback_leaves_no_row(self, attach: Add, keys: Keys) -> None:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            attach()
            1 / 0  # noqa: B018
        assert not Attachment.objects.exists()
        assert len(keys()) == 1  # which the orphan sweep takes away
