from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from django_support_tickets.models import Attachment, Ticket
from tests.attachments.samples import PNG

MEMORY = {"BACKEND": "django.core.files.storage.InMemoryStorage"}

Store = Callable[..., Storage]


@pytest.fixture
def use_storage(settings: Any) -> Store:
    """Make a storage the one for files: `use_storage(BACKEND, **OPTIONS)`; without a BACKEND there is none."""

    def use(backend: str = "", **options: Any) -> Storage:
        others = {name: value for name, value in settings.STORAGES.items() if name != "support_tickets"}
        mine = {"support_tickets": {"BACKEND": backend, "OPTIONS": options}} if backend else {}
        settings.STORAGES = others | mine
        return storages["support_tickets" if backend else "default"]

    return use


@pytest.fixture(autouse=True)
def storage(use_storage: Store) -> Storage:
    """A new storage in memory: it has no `path()` that means anything."""
    return use_storage(MEMORY["BACKEND"])


@pytest.fixture
def keys() -> Callable[[], list[str]]:
    """A function that lists everything that is stored."""
    return lambda: sorted(walk(storages["support_tickets"]))


def walk(storage: Storage, folder: str = "") -> Iterator[str]:
    try:
        folders, names = storage.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        yield f"{folder}/{name}".lstrip("/")
    for name in folders:
        yield from walk(storage, f"{folder}/{name}".lstrip("/"))


@pytest.fixture
def ticket(db: None) -> Ticket:
    return Ticket.objects.create(provider="local", subject="Deposit missing")


@pytest.fixture
def attach(ticket: Ticket) -> Callable[..., Attachment]:
    """Add a file to the ticket: `attach(content, filename, **values)`."""

    def add(content: bytes = PNG, filename: str | None = "receipt.png", **values: Any) -> Attachment:
        values.setdefault("ticket", ticket)
        return Attachment.objects.create(file=ContentFile(content, name=filename), **values)

    return add
