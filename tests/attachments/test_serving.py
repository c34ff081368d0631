from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage
from django.http.response import HttpResponseBase

from django_support_tickets.attachments.serving import NotServed, attachment_response, signed_url
from django_support_tickets.models import Attachment, Ticket
from tests.attachments.conftest import Store
from tests.attachments.samples import HTML, PDF, PNG

pytestmark = pytest.mark.django_db

Add = Callable[..., Attachment]


class SigningStorage(InMemoryStorage):
    """A storage that makes addresses as S3 does; `changes` are made to their queries."""

    def __init__(self, base: str = "https://bucket.example", **changes: str) -> None:
        super().__init__()
        self.base = base
        self.changes = changes

    def url(self, name: str | None, parameters: Any = None, expire: int = 3600) -> str:
        query = {
            "X-Amz-Signature": "5e1f",
            "X-Amz-Expires": str(expire),
            "response-content-disposition": parameters["ResponseContentDisposition"],
            "response-content-type": parameters["ResponseContentType"],
        }
        query |= self.changes
        return f"{self.base}/{name}?{urlencode({k: v for k, v in query.items() if v})}"


class FailingStorage(FileSystemStorage):
    """A storage that cannot be reached any more."""

    def _open(self, name: str, mode: str = "rb") -> Any:
        raise TimeoutError("https://bucket.example/?secret")


class UnwillingSigner(InMemoryStorage):
    """A storage whose signing fails."""

    def url(self, name: str | None, parameters: Any = None, expire: int = 3600) -> str:
        raise ValueError("no credentials")


def body(response: HttpResponseBase) -> bytes:
    return b"".join(response)  # type: ignore[arg-type]


class TestStreaming:
    @pytest.mark.fault(70)
    def test_a_file_is_saved_and_never_shown(self, attach: Add) -> None:
        response = attachment_response(attach(PDF, "Beleg März.pdf"))
        assert response.status_code == 200
        assert dict(response.items()) == {
            "Content-Type": "application/pdf",
            "Content-Length": str(len(PDF)),
            "Content-Disposition": "attachment; filename=\"Beleg Marz.pdf\"; filename*=UTF-8''Beleg%20M%C3%A4rz.pdf",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-store",
        }
        assert body(response) == PDF

    def test_it_comes_in_pieces(self, attach: Add, use_storage: Store, tmp_path: Path) -> None:
        use_storage("django.core.files.storage.FileSystemStorage", location=str(tmp_path))
        response = attachment_response(attach(PNG + bytes(200_000)))
        pieces = [len(piece) for piece in response]  # type: ignore[attr-defined]
        response.close()
        assert max(pieces) <= 65_536
        assert sum(pieces) == len(PNG) + 200_000

    def test_it_comes_in_pieces_under_asgi_too(self, attach: Add, use_storage: Store, tmp_path: Path) -> None:
        use_storage("django.core.files.storage.FileSystemStorage", location=str(tmp_path))
        response = attachment_response(attach(PNG + bytes(200_000)))

        async def pieces() -> list[bytes]:
            return [piece async for piece in response]  # type: ignore[attr-defined]

        found = asyncio.run(pieces())
        response.close()
        assert max(map(len, found)) <= 65_536
        assert b"".join(found) == PNG + bytes(200_000)

    def test_a_type_that_a_vendor_claims_is_not_passed_on(self, attach: Add) -> None:
        attachment = attach()
        attachment.content_type = "text/html"
        attachment.name = "../evil.html\r\nX: y"
        response = attachment_response(attachment)
        assert response["Content-Type"] == "application/octet-stream"
        assert response["Content-Disposition"].isprintable()


@pytest.mark.fault(72, 74, 76)
class TestRefusing:
    @pytest.mark.parametrize(
        ("values", "status", "code"),
        [
            ({"state": "remote"}, 409, "remote"),
            ({"state": "quarantined"}, 409, "quarantined"),
            ({"state": "expired"}, 410, "expired"),
            ({"state": "failed"}, 409, "failed"),
            ({"state": "unheard-of"}, 404, "missing"),
            ({"file": ""}, 404, "missing"),
            ({"sha256": ""}, 409, "unchecked"),
        ],
    )
    def test_what_is_not_here_and_checked_is_not_served(
        self, attach: Add, values: dict[str, str], status: int, code: str
    ) -> None:
        Attachment.objects.filter(pk=attach().pk).update(**values)
        with pytest.raises(NotServed) as caught:
            attachment_response(Attachment.objects.get())
        assert (caught.value.status, caught.value.code) == (status, code)
        assert str(caught.value).endswith(".")

    def test_a_missing_file_is_a_404(self, attach: Add, storage: Storage) -> None:
        attachment = attach()
        storage.delete(attachment.file.name)
        with pytest.raises(NotServed) as caught:
            attachment_response(attachment)
        assert (caught.value.status, caught.value.code) == (404, "missing")

    @pytest.mark.parametrize("content", [b"", PNG[:-1], PNG + HTML])
    def test_another_file_is_not_served(self, attach: Add, use_storage: Store, tmp_path: Path, content: bytes) -> None:
        storage = use_storage("django.core.files.storage.FileSystemStorage", location=str(tmp_path))
        attachment = attach()
        storage.delete(attachment.file.name)
        storage.save(attachment.file.name, ContentFile(content))
        with pytest.raises(NotServed) as caught:
            attachment_response(attachment)
        assert (caught.value.status, caught.value.code) == (503, "changed")

    def test_a_storage_that_is_down_is_a_503(
        self, attach: Add, use_storage: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        attachment = attach()
        use_storage(f"{__name__}.FailingStorage", location=str(tmp_path))
        with pytest.raises(NotServed) as caught:
            attachment_response(attachment)
        assert (caught.value.status, caught.value.code) == (503, "storage")
        assert "TimeoutError" in caplog.text
        assert "secret" not in caplog.text


@pytest.mark.fault(77)
class TestRedirecting:
    def use(self, use_storage: Store, **changes: str) -> Storage:
        return use_storage(f"{__name__}.SigningStorage", **changes)

    def test_where_the_storage_signs_the_browser_is_sent_there(self, attach: Add, use_storage: Store) -> None:
        self.use(use_storage)
        attachment = attach(PDF, "a.pdf")
        response = attachment_response(attachment)
        assert response.status_code == 302
        assert response["Location"].startswith(f"https://bucket.example/{attachment.file.name}?")
        assert "X-Amz-Expires=60&" in response["Location"]
        assert (response["Cache-Control"], response["Referrer-Policy"]) == ("private, no-store", "no-referrer")

    def test_unless_the_door_does_not_want_it(self, attach: Add, use_storage: Store) -> None:
        self.use(use_storage)
        response = attachment_response(attach(), may_redirect=False)
        assert (response.status_code, body(response)) == (200, PNG)

    @pytest.mark.parametrize(
        "changes",
        [
            {"X-Amz-Signature": ""},
            {"X-Amz-Expires": "3600"},
            {"X-Amz-Expires": "soon"},
            {"X-Amz-Expires": ""},
            {"response-content-disposition": ""},
            {"response-content-disposition": "inline"},
            {"response-content-type": "text/html"},
            {"base": "http://bucket.example"},
            {"base": "http://minio:9000"},
            {"base": "//bucket.example"},
            {"base": "/media"},
        ],
    )
    def test_an_address_that_promises_less_is_not_used(
        self, attach: Add, use_storage: Store, changes: dict[str, str]
    ) -> None:
        self.use(use_storage, **changes)
        attachment = attach()
        assert signed_url(attachment) == ""
        assert attachment_response(attachment).status_code == 200

    def test_a_storage_that_cannot_sign_streams(
        self, attach: Add, use_storage: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert attachment_response(attach()).status_code == 200
        assert not caplog.records
        use_storage(f"{__name__}.UnwillingSigner")
        assert attachment_response(attach()).status_code == 200
        assert "no address was signed: ValueError" in caplog.text

    def test_a_quarantined_file_gets_no_address(self, attach: Add, use_storage: Store, ticket: Ticket) -> None:
        self.use(use_storage)
        attachment = attach()
        attachment.state = "quarantined"
        with pytest.raises(NotServed):
            attachment_response(attachment)
