"""Sixty hostile files, from uploaders and from vendors, on a real disk and through both doors (figure F11)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client
from django.urls import reverse

import tests.api.urls
import tests.urls
from django_support_tickets.attachments.mirroring import mirror
from django_support_tickets.merge import Fetched, merge
from django_support_tickets.models import Attachment, Ticket, epoch_now
from django_support_tickets.records import AttachmentRecord, TicketRecord
from tests.attachments.conftest import Store
from tests.attachments.samples import HOSTILE
from tests.attachments.test_mirroring import ScriptedDesk

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__), pytest.mark.fault(69, 70)]

urlpatterns = [*tests.urls.urlpatterns, *tests.api.urls.urlpatterns]
STORED = re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{30}")
#: Headers with which no browser shows a file, whatever is in it.
HARMLESS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}


@pytest.fixture
def disk(use_storage: Store, tmp_path: Path) -> Iterator[Path]:
    """A folder of files with something beside it; at the end everything that is new lies in it, under a random key."""
    (tmp_path / "neighbour.png").write_bytes(b"mine")
    folder = tmp_path / "a" / "b" / "files"
    use_storage("django.core.files.storage.FileSystemStorage", location=str(folder))
    yield folder
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path for path in found if folder not in path.parents} == {tmp_path / "neighbour.png"}
    assert (tmp_path / "neighbour.png").read_bytes() == b"mine"
    keys = {path.relative_to(folder).as_posix() for path in found if folder in path.parents}
    assert keys == set(Attachment.objects.exclude(file="").values_list("file", flat=True))
    assert all(map(STORED.fullmatch, keys))


@pytest.fixture
def staff(settings: Any) -> AbstractBaseUser:
    settings.SUPPORT_TICKETS_QUOTA = None
    return get_user_model().objects.create_superuser("staff", password="password")


def assert_harmless(response: Any, content: bytes, *, shown: str) -> None:
    assert response.status_code == 200
    assert b"".join(response.streaming_content) == content
    assert {name: response[name] for name in HARMLESS} == HARMLESS
    assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))
    assert not re.search("html|xml|svg|script", response["Content-Type"])
    disposition = response["Content-Disposition"]
    assert re.fullmatch(r"attachment; filename=\"[ -!#-~]+\"; filename\*=UTF-8''[A-Za-z0-9._~%-]+", disposition)
    assert disposition.endswith(f"''{quote(shown, safe='')}")


def doors(attachment: Attachment) -> list[str]:
    """Return the two addresses at which a file is handed out."""
    ticket = attachment.ticket
    return [
        f"/api/tickets/{ticket.key}/attachments/{attachment.key}/content/",
        reverse("admin:support_tickets_ticket_file", args=[ticket.pk, attachment.key]),
    ]


def form(name: str, content: bytes) -> bytes:
    """Return a form with a file as a program writes it that has no manners."""
    escaped = name.encode("utf-8", "surrogateescape" if "\ud800" not in name else "replace")
    escaped = escaped.replace(b'"', b"%22")
    head = b'--boundary\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n' % escaped
    return head + b"Content-Type: text/html\r\n\r\n" + content + b"\r\n--boundary--\r\n"


# All of them in one test: each needs the site's addresses, which are slow to build anew.


def test_uploaded_ones_are_refused_or_harmless(client: Client, staff: AbstractBaseUser, disk: Path) -> None:
    ticket = Ticket.objects.create(provider="local", subject="S", requester=staff)
    client.force_login(staff)
    for number, (name, content, code) in enumerate(HOSTILE):
        answer = client.post(
            f"/api/tickets/{ticket.key}/attachments/",
            form(name, content),
            content_type="multipart/form-data; boundary=boundary",
        )
        # Django cuts names at their last slash and at control characters, which makes some of them harmless.
        assert answer.status_code in ((400,) if code in ("signature", "empty") else (201, 400)), number
        if answer.status_code == 201:
            attachment = Attachment.objects.get(key=answer.json()["key"])
            for door in doors(attachment):
                assert_harmless(client.get(door), content, shown=attachment.name)
    assert Attachment.objects.count() > len(HOSTILE) / 3


def test_those_of_vendors_are_harmless(client: Client, staff: AbstractBaseUser, settings: Any, disk: Path) -> None:
    settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {"BACKEND": f"{ScriptedDesk.__module__}.ScriptedDesk"}}
    Ticket.objects.bulk_create(
        [Ticket(provider="desk", subject="S", remote_id="1", delivery="delivered", requester=staff)]
    )
    ticket = Ticket.objects.get()
    client.force_login(staff)
    for number, (name, content, code) in enumerate(HOSTILE):
        ScriptedDesk.answers, ScriptedDesk.asked = [content], []
        arrive(ticket, AttachmentRecord(remote_id=f"F-{number}", name=name, content_type="text/html"))
        attachment = Attachment.objects.get(remote_id=f"F-{number}")
        assert mirror(attachment) == "stored", number
        assert bool(attachment.error) or code != "signature", number
        for door in doors(attachment):
            assert_harmless(client.get(door), content, shown=attachment.name)


def arrive(ticket: Ticket, file: AttachmentRecord) -> None:
    """Merge a file into a ticket as a pull does."""
    record = TicketRecord(remote_id=str(ticket.remote_id), attachments=(file,))
    merge(ticket.provider, [Fetched(record=record, started_at=epoch_now("default"))])
