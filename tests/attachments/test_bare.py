"""A storage that can do no more than it must: open, save, delete, and say whether and how much there is."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.core.files.base import File
from django.core.files.storage import Storage

from django_support_tickets.attachments.cleanup import sweep_orphans
from django_support_tickets.attachments.mirroring import mirror
from django_support_tickets.attachments.serving import attachment_response
from django_support_tickets.management.pruning import prune
from django_support_tickets.models import Attachment
from django_support_tickets.outbox.push import push
from tests.attachments import test_scanning
from tests.attachments.conftest import Store
from tests.attachments.samples import PNG
from tests.attachments.test_mirroring import ScriptedDesk, remote

pytestmark = pytest.mark.django_db(transaction=True)

Add = Callable[..., Attachment]


class BareStorage(Storage):
    """It has no `path()`, no `url()`, lists nothing and knows no times."""

    contents: ClassVar[dict[str, bytes]] = {}

    def _open(self, name: str, mode: str = "rb") -> File:  # type: ignore[type-arg]
        return File(io.BytesIO(self.contents[name]), name=name)

    def _save(self, name: str, content: Any) -> str:
        self.contents[name] = b"".join(content.chunks())
        return name

    def exists(self, name: str) -> bool:
        return name in self.contents

    def size(self, name: str) -> int:
        return len(self.contents[name])

    def delete(self, name: str) -> None:
        self.contents.pop(name, None)


@pytest.fixture(autouse=True)
def bare(use_storage: Store) -> type[BareStorage]:
    BareStorage.contents.clear()
    use_storage(f"{__name__}.BareStorage")
    for method in (Storage().path, Storage().url, Storage().listdir, Storage().get_modified_time):
        with pytest.raises(NotImplementedError):
            method("a")
    return BareStorage


def test_a_file_is_stored_scanned_sent_handed_out_and_deleted(
    attach: Add, settings: Any, bare: type[BareStorage]
) -> None:
    settings.SUPPORT_TICKETS_FILE_SCANNER = f"{test_scanning.__name__}.find_virus"
    attachment = attach()
    push("local")
    attachment.refresh_from_db()
    assert (attachment.delivery, attachment.state) == ("delivered", "stored")
    response = attachment_response(attachment)
    assert b"".join(response) == PNG  # type: ignore[arg-type]
    response.close()
    assert list(bare.contents) == [attachment.file.name]
    attachment.ticket.delete()
    assert bare.contents == {}


def test_a_vendors_file_is_kept(settings: Any, bare: type[BareStorage]) -> None:
    ScriptedDesk.answers = [PNG]
    settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {"BACKEND": f"{ScriptedDesk.__module__}.ScriptedDesk"}}
    attachment = remote()
    assert mirror(attachment) == "stored"
    assert bare.contents == {attachment.file.name: PNG}


@pytest.mark.fault(73)
def test_pruning_says_that_orphans_cannot_be_looked_for(attach: Add, bare: type[BareStorage]) -> None:
    attach()
    with pytest.raises(NotImplementedError):
        sweep_orphans()
    assert prune(using="default").files_error == "the storage cannot list its files"
    assert len(bare.contents) == 1
