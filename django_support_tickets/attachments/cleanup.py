"""What happens to stored files when rows come and go, and to those that no row has."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import connections, router, transaction
from django.utils import timezone

from django_support_tickets.attachments.intake import prepare_attachment
from django_support_tickets.attachments.storing import discard, file_storage, has_storage
from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.models import Attachment, Delivery
from django_support_tickets.providers import providers
from django_support_tickets.records import AttachmentRules

logger = logging.getLogger(__name__)

#: A file without a row is left alone for so long: its row may not be committed yet.
GRACE = timedelta(days=1)
BATCH = 500
# Only what this app has named is ever deleted, whatever else lies in the storage.
FOLDER = re.compile(r"[0-9a-f]{2}")
KEY = re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{30}(_[A-Za-z0-9]{7})?")
# Of an account that is not configured (yet), nothing is known.
ANY_MOMENT = AttachmentRules(moments=frozenset({"create", "after", "comment"}))


@dataclass(slots=True)
class OrphanCounts:
    """What a sweep has found: stored files of this app, those without a row, and those of them that are gone now."""

    files: int = 0
    orphans: int = 0
    deleted: int = 0


def prepare_draft(instance: Attachment, raw: bool, **kwargs: Any) -> None:
    """Check a new file of a draft as one that is submitted: nothing is stored that was not looked at."""
    if not raw and instance._state.adding and instance.delivery == Delivery.DRAFT:
        prepare_attachment(instance, _rules_of(instance.ticket.provider))


def delete_file_after_commit(instance: Attachment, using: str, **kwargs: Any) -> None:
    """Delete the stored file once its row is really gone; a rollback keeps both."""
    if instance.file:
        transaction.on_commit(partial(discard, str(instance.file.name)), using=using, robust=True)


def sweep_orphans(*, grace: timedelta = GRACE, dry_run: bool = False) -> OrphanCounts:
    """Delete stored files that no row of any database has, and that are older than `grace`; return what was found.

    They are left by transactions that were rolled back and by processes that died. Only keys of this app's form are
    touched. Raise NotImplementedError where the storage cannot list its files.
    """
    counts, before, databases = OrphanCounts(), timezone.now() - grace, _databases()
    for keys in _batches() if databases and has_storage() else ():
        counts.files += len(keys)
        for key in sorted(set(keys) - _owned(keys, databases)):
            if _is_older(key, before):
                counts.orphans += 1
                counts.deleted += not dry_run and discard(key)
    return counts


def _rules_of(alias: str) -> AttachmentRules | None:
    try:
        return providers[alias].capabilities.attachments
    except InvalidProvider:
        return ANY_MOMENT


def _batches() -> Iterator[list[str]]:
    storage = file_storage()
    try:
        folders, _ = storage.listdir("")
    except FileNotFoundError:  # nothing was ever stored
        return
    for folder in filter(FOLDER.fullmatch, folders):
        names = (f"{folder}/{name}" for name in storage.listdir(folder)[1])
        keys = [name for name in names if KEY.fullmatch(name)]
        for start in range(0, len(keys), BATCH):
            yield keys[start : start + BATCH]


def _databases() -> list[str]:
    """Return the databases that have attachments: a row in any of them owns its file."""
    table = Attachment._meta.db_table
    aliases = [alias for alias in connections if router.allow_migrate_model(alias, Attachment)]
    return [alias for alias in aliases if table in connections[alias].introspection.table_names()]


def _owned(keys: Sequence[str], databases: Sequence[str]) -> set[str]:
    return {
        name
        for using in databases
        for name in Attachment.objects.using(using).filter(file__in=keys).values_list("file", flat=True)
    }


def _is_older(key: str, before: datetime) -> bool:
    try:
        return file_storage().get_modified_time(key) <= before
    except Exception as error:  # gone meanwhile, or the storage does not say: not to be deleted
        logger.info("a file has no time: %s", type(error).__name__, extra={"event": "attachments.no_time"})
        return False
