"""Files in S3: django-storages' backend against moto's server over loopback HTTP."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from benchmarks.attachments import GATE_MEMORY_MB, in_process, make_files
from django_support_tickets.attachments.cleanup import KEY, OrphanCounts, sweep_orphans
from django_support_tickets.attachments.mirroring import mirror
from django_support_tickets.attachments.serving import NotServed, attachment_response
from django_support_tickets.attachments.storing import StorageFailed, random_key, store
from django_support_tickets.models import Attachment, Delivery
from django_support_tickets.outbox.push import push
from django_support_tickets.testing.sandbox import Sandbox
from tests.attachments.conftest import Store, walk
from tests.attachments.samples import PDF, PNG
from tests.attachments.test_mirroring import ScriptedDesk, remote
from tests.attachments.test_sending import digests, expected, push_again, raised
from tests.snippets import pages, snippets
from tests.transport_server import ScriptedServer, Seen, reset

try:
    import boto3
    from botocore.config import Config
    from moto.server import ThreadedMotoServer

    from tests.attachments.buckets import BACKEND, BUCKET, options
except ImportError:
    boto3 = None

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
    # boto leaves its connections to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]

Add = Callable[..., Attachment]
BIG = PNG + bytes(range(256)) * 40_000  # more than one part of a multipart upload


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a fake S3; without its packages the tests are skipped, and fail where CI=true."""
    if boto3 is None:
        refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        refuse("S3 needs django-storages[s3] and moto[server]")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def storage(use_storage: Store, s3: str) -> Storage:
    """An empty bucket as the storage for files."""
    client = boto3.client(
        "s3",
        endpoint_url=s3,
        region_name="eu-central-1",
        aws_access_key_id="access",
        aws_secret_access_key="secret",
    )
    http_post(f"{s3}/moto-api/reset")
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client.close()
    return use_storage(BACKEND, **options(s3))


def http_post(url: str) -> None:
    request(url, "POST")


def request(url: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request(method, f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


class Breaking:
    """An S3 that breaks off in the middle of what it is sent, or of what it sends once it `has_files`."""

    has_files = False

    def __init__(self) -> None:
        self.server = ScriptedServer(self.answer)

    def answer(self, sock: socket.socket, seen: Seen) -> object:
        if seen.method in ("PUT", "POST"):
            return reset(sock)
        if not self.has_files:
            return sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(BIG)}\r\nETag: a\r\nLast-Modified: Sat, 21 Nov 2026 10:00:00 GMT"
        )
        sock.sendall(head.encode() + b"\r\n\r\n" + (b"" if seen.method == "HEAD" else BIG[: len(BIG) // 2]))
        return seen.method == "HEAD"


@pytest.fixture
def broken(use_storage: Store, storage: Storage) -> Iterator[Callable[..., None]]:
    """A function after which the storage is a Breaking one."""
    breaking = Breaking()
    config = Config(retries={"total_max_attempts": 1}, signature_version="s3v4", read_timeout=60)
    with breaking.server as server:

        def break_it(*, has_files: bool = False) -> None:
            breaking.has_files = has_files
            use_storage(BACKEND, **options(server.url, client_config=config))

        yield break_it


@pytest.mark.parametrize("content", [PNG, BIG], ids=["small", "in parts"])
def test_a_file_goes_up_and_comes_down(attach: Add, storage: Storage, content: bytes) -> None:
    attachment = attach(content, "Bild.png")
    assert list(walk(storage)) == [attachment.file.name]
    assert KEY.fullmatch(attachment.file.name)
    response = attachment_response(attachment, may_redirect=False)
    assert response["Content-Length"] == str(len(content))
    assert hashlib.sha256(b"".join(response)).hexdigest() == attachment.sha256  # type: ignore[arg-type]
    response.close()


@pytest.mark.fault(77)
def test_an_address_is_signed_for_a_minute_and_for_one_file(attach: Add) -> None:
    attachment = attach(PDF, "Beleg März.pdf")
    response = attachment_response(attachment)
    assert response.status_code == 302
    query = parse_qs(urlsplit(response["Location"]).query)
    assert query["X-Amz-Expires"] == ["60"]
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert attachment.file.name in response["Location"]
    answer, body = request(response["Location"])
    assert (answer.status, body) == (200, PDF)
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert answer.headers["Cache-Control"] == "private, no-store"


@pytest.mark.fault(77)
def test_a_signed_address_is_in_no_log(attach: Add, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("django", "django_support_tickets"):
        caplog.set_level(logging.DEBUG, logger=name)
    attachment = attach()
    first, second = attachment_response(attachment)["Location"], attachment_response(attach())["Location"]
    assert "X-Amz-Signature" in first
    assert urlsplit(first).path != urlsplit(second).path
    ours = " ".join(record.getMessage() for record in caplog.records if record.name.startswith("django"))
    assert "X-Amz" not in ours
    assert attachment.file.name not in ours


@pytest.mark.parametrize(
    "changes",
    [{"querystring_auth": False}, {"signature_version": "s3"}, {"custom_domain": "cdn.example.com"}],
    ids=["public", "version 2", "domain"],
)
def test_settings_that_promise_less_get_no_redirect(
    attach: Add, use_storage: Store, s3: str, changes: dict[str, Any]
) -> None:
    attachment = attach()
    use_storage(BACKEND, **options(s3, **changes))
    response = attachment_response(attachment)
    assert (response.status_code, b"".join(response)) == (200, PNG)  # type: ignore[arg-type]
    response.close()


@pytest.mark.fault(73)
@pytest.mark.parametrize("file_overwrite", [True, False])
def test_nothing_is_ever_overwritten(
    attach: Add, use_storage: Store, storage: Storage, s3: str, file_overwrite: bool
) -> None:
    use_storage(BACKEND, **options(s3, file_overwrite=file_overwrite))
    first, second = attach(PNG), attach(PNG + b"other")
    for attachment, content in ((first, PNG), (second, PNG + b"other")):
        with attachment.file.open() as file:
            assert file.read() == content


@pytest.mark.fault(73)
def test_the_same_key_twice_becomes_another_one(storage: Storage) -> None:
    key = random_key()
    assert storage.save(key, ContentFile(PNG)) == key
    again = storage.save(key, ContentFile(PDF))
    assert again != key
    assert KEY.fullmatch(again)


def test_our_type_is_kept_and_not_the_uploaders(ticket: Any, storage: Any) -> None:
    upload = ContentFile(PNG, name="a.png")
    upload.content_type = "text/html"  # type: ignore[attr-defined]
    attachment = Attachment.objects.create(ticket=ticket, file=upload)
    assert storage.bucket.Object(attachment.file.name).content_type == "image/png"


@pytest.mark.fault(73)
def test_orphans_are_swept(attach: Add, storage: Storage) -> None:
    kept = attach()
    storage.save(random_key(), ContentFile(PNG))
    storage.save("readme.txt", ContentFile(PNG))
    assert sweep_orphans() == OrphanCounts(files=2)
    assert sweep_orphans(grace=timedelta(seconds=-5)) == OrphanCounts(files=2, orphans=1, deleted=1)
    assert sorted(walk(storage)) == sorted([kept.file.name, "readme.txt"])


def test_a_vendors_file_is_kept(settings: Any, storage: Storage) -> None:
    ScriptedDesk.answers = [BIG]
    settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {"BACKEND": f"{ScriptedDesk.__module__}.ScriptedDesk"}}
    attachment = remote()
    assert mirror(attachment) == "stored"
    assert storage.size(attachment.file.name) == len(BIG)


def test_the_documentation_names_these_settings(s3: str) -> None:
    (block,) = (text for page in pages() for text in snippets(page) if BACKEND in text)
    names: dict[str, Any] = {"STORAGES": {}}
    exec(block, names)  # noqa: S102 -- the documentation's own code
    documented, ours = names["STORAGES"]["support_tickets"]["OPTIONS"], options(s3)
    for values in (documented, ours):
        values["transfer_config"] = vars(values["transfer_config"])
    for_the_fake = {"bucket_name", "access_key", "secret_key", "endpoint_url", "addressing_style"}
    assert {**documented, **{name: ours[name] for name in for_the_fake}} == ours


@pytest.mark.fault(40)
@pytest.mark.parametrize("direction", ["store", "hand_out"])
def test_a_large_file_needs_no_memory(storage: Storage, s3: str, tmp_path: Path, direction: str) -> None:
    make_files(tmp_path)
    _, grown = in_process("tests.attachments.buckets", direction, tmp_path, s3)
    assert grown <= GATE_MEMORY_MB


class TestBreaking:
    """What fails half-way leaves no row without a file, and no half a file at a vendor."""

    @pytest.mark.fault(73, 74)
    @pytest.mark.parametrize("content", [PNG, BIG], ids=["small", "in parts"])
    def test_a_file_that_cannot_be_stored_is_no_attachment(
        self, attach: Add, broken: Callable[..., None], content: bytes
    ) -> None:
        broken()
        with pytest.raises(StorageFailed):
            attach(content)
        assert not Attachment.objects.exists()

    @pytest.mark.fault(74)
    def test_the_address_of_the_storage_is_in_no_error(
        self, broken: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        broken()
        with pytest.raises(StorageFailed) as caught:
            store(ContentFile(PNG), size=len(PNG), content_type="image/png")
        assert BUCKET not in f"{caught.value}"
        assert BUCKET not in "".join(record.getMessage() for record in caplog.records if "django" in record.name)

    @pytest.mark.fault(74)
    def test_half_a_file_is_not_served(self, attach: Add, broken: Callable[..., None]) -> None:
        attachment = attach(BIG)
        broken(has_files=True)
        with pytest.raises(NotServed) as caught:
            attachment_response(attachment, may_redirect=False)
        assert (caught.value.status, caught.value.code) == (503, "storage")

    @pytest.mark.fault(74)
    def test_half_a_file_is_not_sent(
        self, settings: Any, sandbox: Sandbox, broken: Callable[..., None], use_storage: Store, s3: str
    ) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {
            "ankra": {
                "BACKEND": "django_support_tickets.providers.ankra.AnkraProvider",
                "OPTIONS": {**sandbox.ankra.options(), "rate": None},
            }
        }
        ticket = raised("ankra")
        attachment = Attachment.objects.create(ticket=ticket, file=ContentFile(BIG[:5_000_000], name="a.png"))
        broken(has_files=True)
        push("ankra")
        ((_, made),) = sandbox.ankra.tickets.items()
        assert made["attachments"] == []
        use_storage(BACKEND, **options(s3))
        for _ in range(3):
            push_again("ankra")
        assert [file["size_bytes"] for file in made["attachments"]] == [5_000_000]
        attachment.refresh_from_db()
        assert attachment.delivery == Delivery.DELIVERED

    @pytest.mark.fault(74)
    def test_half_a_file_leaves_no_doubt_at_a_vendor_that_cannot_be_searched(
        self, settings: Any, sandbox: Sandbox, broken: Callable[..., None], use_storage: Store, s3: str
    ) -> None:
        ripio = sandbox.ripio
        backend = "django_support_tickets.providers.ripio.RipioProvider"
        settings.SUPPORT_TICKETS_PROVIDERS = {"ripio": {"BACKEND": backend, "OPTIONS": ripio.options()}}
        ticket = raised("ripio", 2, customer_id=ripio.CUSTOMER)
        broken(has_files=True)
        push("ripio")
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.QUEUED
        assert [entry for entry in ripio.ledger if entry.operation == "create"] == []
        use_storage(BACKEND, **options(s3))
        push_again("ripio")
        ticket.refresh_from_db()
        assert ticket.delivery == Delivery.DELIVERED
        ((_, made),) = ripio.tickets.items()
        assert digests(made["files"]) == expected(0, 1)

    @pytest.mark.fault(74)
    def test_a_draft_is_not_refused_because_the_storage_is_down(self, attach: Add, broken: Callable[..., None]) -> None:
        draft = attach(BIG, delivery=Delivery.DRAFT)
        broken(has_files=True)
        with pytest.raises(StorageFailed):
            draft.submit()
        assert Attachment.objects.get().delivery == Delivery.DRAFT

    @pytest.mark.fault(74)
    def test_a_missing_object_is_not_there(self, attach: Add, storage: Storage) -> None:
        attachment = attach(delivery=Delivery.DRAFT)
        storage.delete(attachment.file.name)
        with pytest.raises(NotServed) as caught:
            attachment_response(attachment, may_redirect=False)
        assert caught.value.status == 404
        with pytest.raises(ValidationError, match="cannot be read"):
            attachment.submit()
