"""What is said of a file that is not taken, word for word: it is all that its sender gets to know."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile, File
from django.core.files.storage import InMemoryStorage

from django_support_tickets.attachments import rules as checks
from django_support_tickets.attachments.intake import prepare_attachment, validate_files
from django_support_tickets.attachments.storing import StorageFailed
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.records import AttachmentRules
from tests.attachments.conftest import Store
from tests.attachments.samples import HTML, PDF, PNG

pytestmark = pytest.mark.django_db

EVERYWHERE = frozenset({"create", "after", "comment"})


def rules(**values: Any) -> AttachmentRules:
    return AttachmentRules(**{"moments": EVERYWHERE, **values})


def said(call: Callable[[], Any]) -> tuple[str, str]:
    """Return the code and the words of the one complaint that a call raises."""
    with pytest.raises(ValidationError) as caught:
        call()
    (error,) = caught.value.error_dict["file"]
    return str(error.code), str(error.messages[0])


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        (lambda: checks.require(None), "unsupported", "This account's vendor takes no files."),
        (
            lambda: checks.check_name("a.exe", rules(extensions=frozenset({"png", "pdf"}))),
            "extension",
            "Files with pdf, png are taken, not with 'exe'.",
        ),
        (
            lambda: checks.check_name("a.pdf", rules(content_types=frozenset({"image/png", "image/gif"}))),
            "content_type",
            "The vendor takes image/gif, image/png.",
        ),
        (lambda: checks.check_size(0, rules()), "empty", "The file is empty."),
        (lambda: checks.check_size(6, rules(max_bytes=5)), "too_large", "At most 5 bytes."),
        (
            lambda: checks.check_content("a.png", HTML),
            "signature",
            "The content of the file is not what 'png' says.",
        ),
        (lambda: checks.check_together([1, 1, 1], rules(max_count=2)), "too_many", "At most 2 files."),
        (
            lambda: checks.check_together([3, 3], rules(max_total_bytes=5)),
            "too_large_together",
            "At most 5 bytes for all files together.",
        ),
    ],
)
def test_a_complaint(call: Callable[[], Any], code: str, words: str) -> None:
    assert said(call) == (code, words)


def test_what_is_just_within_a_limit_is_taken() -> None:
    checks.check_size(5, rules(max_bytes=5))
    checks.check_together([2, 3], rules(max_total_bytes=5, max_count=2))
    assert checks.require(rules()) == rules()


class TestMoments:
    def test_the_words_say_what_was_sent_already(self, ticket: Ticket) -> None:
        Ticket.objects.update(delivery=Delivery.DELIVERED, remote_id="t-1")
        ticket.refresh_from_db()
        with_ticket = Attachment(ticket=ticket, file=ContentFile(PNG, name="a.png"))
        assert said(lambda: prepare_attachment(with_ticket, rules(moments=frozenset({"create"})))) == (
            "too_late",
            "This account's vendor takes files only together with the ticket, which was sent already.",
        )
        comment = Comment.objects.create(ticket=ticket, body="Hello")
        Comment.objects.update(delivery=Delivery.DELIVERED, remote_id="c-1")
        comment.refresh_from_db()
        with_comment = Attachment(ticket=ticket, comment=comment, file=ContentFile(PNG, name="a.png"))
        assert said(lambda: prepare_attachment(with_comment, rules(moments=frozenset({"comment"})))) == (
            "too_late",
            "This account's vendor takes files only together with the comment, which was sent already.",
        )

    @pytest.mark.parametrize("values", [{"sent_at": 1}, {"lease_token": uuid.UUID(int=1)}])
    def test_a_ticket_of_which_either_mark_is_set_is_under_way(self, ticket: Ticket, values: dict[str, Any]) -> None:
        OutboxEntry.objects.update(**values)
        attachment = Attachment(ticket=ticket, file=ContentFile(PNG, name="a.png"))
        code, _words = said(lambda: prepare_attachment(attachment, rules(moments=frozenset({"create"}))))
        assert code == "too_late"

    def test_a_queued_comment_without_an_entry_is_not_waiting(self, ticket: Ticket) -> None:
        comment = Comment.objects.create(ticket=ticket, body="Hello")
        OutboxEntry.objects.all().delete()
        attachment = Attachment(ticket=ticket, comment=comment, file=ContentFile(PNG, name="a.png"))
        code, _words = said(lambda: prepare_attachment(attachment, rules(moments=frozenset({"comment"}))))
        assert code == "too_late"


class Unreadable(ContentFile):  # type: ignore[type-arg]
    """A file whose bytes cannot be had."""

    def read(self, *args: Any) -> bytes:
        raise ValueError("a text that quotes the path")


class TestReading:
    def test_an_upload_that_cannot_be_read(self, ticket: Ticket, caplog: pytest.LogCaptureFixture) -> None:
        attachment = Attachment(ticket=ticket, file=Unreadable(PNG, name="a.png"))
        with caplog.at_level(logging.WARNING):
            assert said(lambda: prepare_attachment(attachment, rules())) == ("unreadable", "The file cannot be read.")
        (record,) = caplog.records
        assert record.getMessage() == "a file cannot be read: ValueError"
        assert record.__dict__["event"] == "attachments.unreadable"

    def test_a_stored_file_that_cannot_be_read_just_now(self, attach: Any, use_storage: Store) -> None:
        attachment = attach(delivery=Delivery.DRAFT)
        use_storage("tests.attachments.test_wording.Broken")
        attachment = Attachment.objects.get(pk=attachment.pk)
        with pytest.raises(StorageFailed) as caught:
            prepare_attachment(attachment, rules())
        assert str(caught.value) == "The file cannot be read."

    def test_a_stored_file_that_was_exchanged(self, attach: Any, storage: Any) -> None:
        attachment = attach(delivery=Delivery.DRAFT)
        name = attachment.file.name
        storage.delete(name)
        storage.save(name, ContentFile(PNG + b"more"))
        attachment = Attachment.objects.get(pk=attachment.pk)
        assert said(attachment.submit) == ("changed", "The stored file is not the one that was added.")

    def test_a_draft_that_the_scanner_does_not_clear(self, attach: Any, settings: Any) -> None:
        settings.SUPPORT_TICKETS_FILE_SCANNER = "tests.attachments.test_wording.scan"
        attachment = attach(delivery=Delivery.DRAFT)
        attachment.refresh_from_db()
        seen.clear()
        assert said(attachment.submit) == ("quarantined", "The file is quarantined: it was called receipt.png")
        assert seen == ["receipt.png"]

    def test_what_was_cleared_is_not_scanned_again(self, attach: Any, settings: Any) -> None:
        attachment = attach(delivery=Delivery.DRAFT)
        settings.SUPPORT_TICKETS_FILE_SCANNER = "tests.attachments.test_wording.scan"
        seen.clear()
        before = Attachment.objects.values_list("updated_at", flat=True).get()
        attachment.submit()
        assert seen == []
        assert Attachment.objects.values_list("updated_at", flat=True).get() > before

    def test_an_upload_that_was_read_before_is_stored_from_its_beginning(self, ticket: Ticket) -> None:
        upload = File(ContentFile(PDF, name="a.pdf"), name="a.pdf")
        upload.read(4)
        validate_files([upload], rules())
        assert upload.tell() == 0
        upload.read(4)
        attachment = Attachment.objects.create(ticket=ticket, file=upload)
        with Attachment.objects.get(pk=attachment.pk).file.open() as file:
            assert file.read() == PDF

    def test_a_storage_that_does_not_rewind_gets_the_file_from_its_beginning(
        self, ticket: Ticket, use_storage: Store
    ) -> None:
        use_storage("tests.attachments.test_wording.FromWhereItStands")
        attachment = Attachment.objects.create(ticket=ticket, file=ContentFile(PDF, name="a.pdf"))
        with Attachment.objects.get(pk=attachment.pk).file.open() as file:
            assert file.read() == PDF

    def test_an_empty_file_of_a_form_is_empty_and_no_error(self) -> None:
        assert said(lambda: validate_files([ContentFile(b"", name="a.png")], rules()))[0] == "empty"
        pretender = ContentFile(b"", name="a.png")
        pretender.size = 10
        assert said(lambda: validate_files([pretender], rules()))[0] == "signature"
        assert said(lambda: validate_files([ContentFile(PNG, name=None)], rules())) == (
            "extension",
            said(lambda: checks.check_name("file", rules()))[1],
        )


seen: list[str] = []


def scan(file: File[bytes], name: str) -> str:
    """Be a project's scanner that clears nothing."""
    seen.append(name)
    return f"it was called {name}"


class Broken(InMemoryStorage):
    """A storage that opens nothing."""

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        raise TimeoutError("it does not answer")


class FromWhereItStands(InMemoryStorage):
    """A storage that stores what it is given from where it stands."""

    def _save(self, name: str, content: File[Any]) -> str:
        return super()._save(name, ContentFile(content.read()))
