from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage
from django.db import transaction

from django_support_tickets.attachments.cleanup import OrphanCounts, sweep_orphans
from django_support_tickets.attachments.storing import discard, random_key
from django_support_tickets.models import Attachment, Ticket
from tests.attachments.conftest import Store
from tests.attachments.samples import PNG

pytestmark = [pytest.mark.fault(73)]

Add = Callable[..., Attachment]
Keys = Callable[[], list[str]]
AT_ONCE = timedelta(seconds=-1)


class StubbornStorage(FileSystemStorage):
    """A storage that deletes nothing."""

    def delete(self, name: str) -> None:
        raise PermissionError("403 for key AKIA")


class BlindStorage(FileSystemStorage):
    """A storage that can tell no times."""

    def get_modified_time(self, name: str) -> object:  # type: ignore[override]
        raise NotImplementedError


@pytest.mark.django_db(transaction=True)
class TestDeleting:
    def test_a_file_goes_with_its_row(self, attach: Add, keys: Keys) -> None:
        attach().delete()
        assert keys() == []

    def test_and_with_its_ticket(self, attach: Add, keys: Keys, ticket: Ticket) -> None:
        attach()
        attach()
        Ticket.objects.all().delete()
        assert keys() == []

    def test_but_only_after_the_commit(self, attach: Add, keys: Keys) -> None:
        attachment = attach()
        with transaction.atomic():
            attachment.delete()
            assert keys() == [attachment.file.name]
        assert keys() == []

    def test_a_rollback_keeps_row_and_file(self, attach: Add, keys: Keys) -> None:
        attachment = attach()
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Attachment.objects.all().delete()
            1 / 0  # noqa: B018
        assert keys() == [attachment.file.name]
        with Attachment.objects.get().file.open() as file:
            assert file.read() == PNG

    def test_a_row_without_a_file_is_deleted_too(self, ticket: Ticket) -> None:
        Attachment.objects.bulk_create([Attachment(ticket=ticket, name="a.png", delivery="delivered")])
        Attachment.objects.get().delete()
        assert not Attachment.objects.exists()

    def test_a_storage_that_fails_does_not_undo_the_deletion(
        self, attach: Add, keys: Keys, use_storage: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        use_storage(f"{__name__}.StubbornStorage", location=str(tmp_path))
        attach().delete()
        assert not Attachment.objects.exists()
        assert len(keys()) == 1
        assert "AKIA" not in caplog.text
        assert sweep_orphans(grace=AT_ONCE) == OrphanCounts(files=1, orphans=1, deleted=0)


@pytest.mark.django_db
class TestSweeping:
    def orphan(self, storage: Storage) -> str:
        return storage.save(random_key(), ContentFile(PNG))

    def test_what_no_row_has_goes_and_the_rest_stays(self, attach: Add, keys: Keys, storage: Storage) -> None:
        kept = [attach().file.name for _ in range(3)]
        for _ in range(2):
            self.orphan(storage)
        assert sweep_orphans(grace=AT_ONCE) == OrphanCounts(files=5, orphans=2, deleted=2)
        assert keys() == sorted(kept)
        assert sweep_orphans(grace=AT_ONCE) == OrphanCounts(files=3)

    def test_a_dry_run_only_counts(self, keys: Keys, storage: Storage) -> None:
        key = self.orphan(storage)
        assert sweep_orphans(grace=AT_ONCE, dry_run=True) == OrphanCounts(files=1, orphans=1)
        assert keys() == [key]

    def test_a_rolled_back_file_goes_after_the_grace_period(self, attach: Add, use_storage: Store, tmp_path: Path):  # type: ignore[no-untyped-def]
        use_storage("django.core.files.storage.FileSystemStorage", location=str(tmp_path))
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            attach()
            1 / 0  # noqa: B018
        assert sweep_orphans() == OrphanCounts(files=1)
        (path,) = tmp_path.glob("*/*")
        yesterday = time.time() - 86_401
        os.utime(path, (yesterday, yesterday))
        assert sweep_orphans() == OrphanCounts(files=1, orphans=1, deleted=1)
        assert not path.exists()

    @pytest.mark.parametrize(
        "name",
        [
            "readme.txt",
            "ab/readme.txt",
            "media/ab/0123",
            "AB/" + "ab" * 16,
            "ab/" + "cd" * 16,
            "ab/" + "ab" * 16 + ".x",
        ],
    )
    def test_what_this_app_has_not_named_is_never_touched(self, keys: Keys, storage: Storage, name: str) -> None:
        storage.save(name, ContentFile(b"somebody else's"))
        assert sweep_orphans(grace=AT_ONCE) == OrphanCounts()
        assert keys() == [name]

    def test_many_files_are_looked_up_in_batches(self, storage: Storage, django_assert_max_num_queries) -> None:  # type: ignore[no-untyped-def]
        for number in range(1200):
            storage.save(f"ab/ab{number:030x}", ContentFile(b""))
        with django_assert_max_num_queries(6):
            assert sweep_orphans(dry_run=True, grace=AT_ONCE).orphans == 1200

    def test_an_empty_or_missing_storage_has_no_orphans(self, use_storage: Store, tmp_path: Path) -> None:
        use_storage("django.core.files.storage.FileSystemStorage", location=str(tmp_path / "new"))
        assert sweep_orphans() == OrphanCounts()
        use_storage()
        assert sweep_orphans() == OrphanCounts()

    def test_a_file_whose_age_is_unknown_stays(self, use_storage: Store, tmp_path: Path) -> None:
        self.orphan(use_storage(f"{__name__}.BlindStorage", location=str(tmp_path)))
        assert sweep_orphans(grace=AT_ONCE) == OrphanCounts(files=1)

    def test_discarding_says_whether_it_worked(self, storage: Storage, use_storage: Store, tmp_path: Path) -> None:
        assert discard(self.orphan(storage))
        use_storage(f"{__name__}.StubbornStorage", location=str(tmp_path))
        assert not discard("ab/key")
