from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage

from django_support_tickets.attachments.scanning import (
    FAILED,
    NO_ANSWER,
    SCAN_BYTES,
    SCANS_MAX,
    TOO_LARGE,
    scan,
    scan_again,
)
from django_support_tickets.attachments.serving import NotServed, attachment_response
from django_support_tickets.models import Attachment, Delivery, OutboxEntry, Ticket
from django_support_tickets.outbox.push import push
from tests.attachments.conftest import Store
from tests.attachments.samples import PNG

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.fault(72)]

Add = Callable[..., Attachment]
VIRUS = PNG + b"EICAR"
released = threading.Event()


def find_virus(file: File, name: str) -> str | None:  # type: ignore[type-arg]
    return f"EICAR in {name}" if b"EICAR" in file.read() else None


def clear(file: Any, name: str) -> None:
    return None


def be_down(file: Any, name: str) -> None:
    raise ConnectionRefusedError("clamd at 10.0.0.7")


def hang(file: Any, name: str) -> None:
    released.wait(60)


def read_after_release(file: File, name: str) -> str | None:  # type: ignore[type-arg]
    released.wait(60)
    return find_virus(file, name)


def say_nothing(file: Any, name: str) -> str:
    return ""


@pytest.fixture(autouse=True)
def use(settings: Any) -> Iterator[Callable[[Callable[..., Any]], None]]:
    """Make a function of this module the scanner."""

    def choose(scanner: Callable[..., Any]) -> None:
        settings.SUPPORT_TICKETS_FILE_SCANNER = f"{__name__}.{scanner.__name__}"

    released.clear()
    yield choose
    released.set()
    for thread in threading.enumerate():
        if thread.name == "file-scanner":
            thread.join(timeout=60)


Use = Callable[[Callable[..., Any]], None]


def test_a_clean_file_is_sent(attach: Add, use: Use) -> None:
    use(find_virus)
    attachment = attach()
    assert (attachment.state, attachment.error) == ("stored", "")
    push("local")
    attachment.refresh_from_db()
    assert attachment.delivery == Delivery.DELIVERED


@pytest.mark.parametrize(
    ("scanner", "reason"), [(find_virus, "EICAR in receipt.png"), (be_down, FAILED), (say_nothing, FAILED)]
)
def test_a_file_that_is_not_cleared_is_kept_but_neither_sent_nor_served(
    attach: Add, use: Use, scanner: Callable[..., Any], reason: str
) -> None:
    use(scanner)
    attach(VIRUS)
    attachment = Attachment.objects.get()
    assert (attachment.state, attachment.error) == ("quarantined", reason)
    assert (attachment.delivery, attachment.delivery_error) == (Delivery.REFUSED, f"Quarantined: {reason}")
    with pytest.raises(NotServed) as caught:
        attachment_response(attachment)
    assert (caught.value.status, caught.value.code) == (409, "quarantined")
    assert push("local").delivered == 1  # the ticket, without it
    attachment.refresh_from_db()
    assert attachment.delivery == Delivery.REFUSED
    assert not OutboxEntry.objects.exists()


def test_a_scanner_that_cannot_be_imported_is_down(attach: Add, settings: Any) -> None:
    settings.SUPPORT_TICKETS_FILE_SCANNER = "nowhere.scanner"
    assert attach().state == "quarantined"


def test_a_draft_stays_one_and_is_not_submitted(attach: Add, use: Use) -> None:
    use(be_down)
    draft = attach(delivery=Delivery.DRAFT)
    assert (draft.delivery, draft.state) == (Delivery.DRAFT, "quarantined")
    with pytest.raises(ValidationError) as caught:
        draft.submit()
    assert caught.value.error_dict["file"][0].code == "quarantined"
    use(clear)
    draft.submit()
    draft.refresh_from_db()
    assert (draft.delivery, draft.state, draft.error) == (Delivery.QUEUED, "stored", "")


def test_a_refused_one_can_be_submitted_when_the_scanner_is_back(attach: Add, use: Use, ticket: Ticket) -> None:
    use(be_down)
    attachment = attach()
    use(clear)
    attachment.submit()
    push("local")
    attachment.refresh_from_db()
    assert (attachment.delivery, attachment.state) == (Delivery.DELIVERED, "stored")


def test_staff_can_ask_again(attach: Add, use: Use) -> None:
    use(be_down)
    attachment = attach(VIRUS)
    use(find_virus)
    assert not scan_again(attachment)
    attachment.refresh_from_db()
    assert attachment.error == "EICAR in receipt.png"
    use(clear)
    assert scan_again(attachment)
    attachment.refresh_from_db()
    assert (attachment.state, attachment.error) == ("stored", "")
    assert not scan_again(attachment)


class TestTime:
    def stored(self, storage: Storage) -> str:
        return storage.save("ab/key", ContentFile(VIRUS))

    def test_a_scanner_that_hangs_counts_as_down(self, storage: Storage, use: Use) -> None:
        use(hang)
        assert scan(self.stored(storage), "a.png", seconds=0.05) == NO_ANSWER

    def test_what_it_finds_later_is_too_late(self, storage: Storage, use: Use) -> None:
        use(read_after_release)
        assert scan(self.stored(storage), "a.png", seconds=0.05) == NO_ANSWER
        released.set()
        use(find_virus)
        assert scan(self.stored(storage), "a.png") == "EICAR in a.png"

    def test_hanging_scanners_do_not_pile_up(self, storage: Storage, use: Use) -> None:
        use(hang)
        key = self.stored(storage)
        assert {scan(key, "a.png", seconds=0.01) for _ in range(2 * SCANS_MAX)} == {NO_ANSWER}
        assert sum(thread.name == "file-scanner" for thread in threading.enumerate()) <= SCANS_MAX


@pytest.mark.parametrize(("size", "complaint"), [(SCAN_BYTES, ""), (SCAN_BYTES + 1, TOO_LARGE)])
def test_a_file_that_is_too_large_for_the_scanner_is_not_given_to_it(
    use_storage: Store, tmp_path: Path, use: Use, size: int, complaint: str
) -> None:
    storage = use_storage("django.core.files.storage.FileSystemStorage", location=str(tmp_path))
    use(clear)
    key = storage.save("ab/key", ContentFile(PNG))
    os.truncate(storage.path(key), size)
    assert scan(key, "a.png") == complaint


def test_without_a_scanner_nothing_is_asked(storage: Storage) -> None:
    assert scan("no/such-file", "a.png") == ""
