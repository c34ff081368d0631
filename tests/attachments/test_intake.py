from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile, File
from django.core.files.storage import InMemoryStorage
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.db import transaction

from django_support_tickets.attachments.cleanup import KEY
from django_support_tickets.attachments.intake import prepare_attachment, validate_files
from django_support_tickets.attachments.serving import attachment_response
from django_support_tickets.attachments.storing import LARGEST, StorageFailed
from django_support_tickets.models import Attachment, Comment, Delivery, Ticket
from django_support_tickets.records import AttachmentRules
from tests.attachments.conftest import Store
from tests.attachments.samples import HONEST, HOSTILE, PDF, PNG

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
