"""Files on their way out, from the storage over real HTTP to a fake vendor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, Storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.db.models import F

from django_support_tickets.attachments.intake import validate_files
from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, ProviderState, Ticket
from django_support_tickets.outbox.counts import PushCounts
from django_support_tickets.outbox.push import push
from django_support_tickets.outbox.searching import SENDS
from django_support_tickets.providers import providers
from django_support_tickets.testing.sandbox import Sandbox
from tests.attachments.conftest import Store
from tests.attachments.samples import PDF, PNG

# A push begins with a connection that has no transaction open.
pytestmark = pytest.mark.django_db(transaction=True)

MODULE = "django_support_tickets.providers"
BACKENDS = {"ankra": "ankra.AnkraProvider", "ripio": "ripio.RipioProvider", "verifik": "verifik.VerifikProvider"}
SIZE = 300_000  # more than one of the pieces in which it is sent


class FailingStorage(InMemoryStorage):
    """A storage that fails as `failure` says; what is in it can be changed behind the app's back."""

    failure: type[Exception] | None = None

    def _open(self, name: str, mode: str = "rb") -> Any:
        if FailingStorage.failure is not None:
            raise FailingStorage.failure("bucket AKIASECRET")
        return super()._open(name, mode)


class BreakingStorage(InMemoryStorage):
    """A storage whose files end with an error after the first piece, once `is_broken`."""

    is_broken = False

    def _open(self, name: str, mode: str = "rb") -> Any:
        file = super()._open(name, mode)
        return Breaking(file.read()) if BreakingStorage.is_broken else file


class Breaking(ContentFile):  # type: ignore[type-arg]
    def read(self, size: int = -1) -> bytes:
        if self.tell():
            raise ConnectionResetError("the storage has hung up")
        return bytes(super().read(size))


@pytest.fixture
def vendors(settings: Any, sandbox: Sandbox) -> Sandbox:
    sandbox.verifik.dialect = "app"
    options = sandbox.options()
    settings.SUPPORT_TICKETS_PROVIDERS = {
        alias: {"BACKEND": f"{MODULE}.{backend}", "OPTIONS": {**options[alias], "rate": None}}
        for alias, backend in BACKENDS.items()
    }
    return sandbox


def picture(number: int) -> bytes:
    return PNG + bytes([number]) * (SIZE + number)


def raised(alias: str, files: int = 0, **values: Any) -> Ticket:
    values = {"category": "technical", "description": "See the pictures.", **values}
    with transaction.atomic():
        ticket = Ticket.objects.create(provider=alias, subject="Cluster down", **values)
        for number in range(files):
            content = ContentFile(picture(number), name=f"shot {number}.png")
            Attachment.objects.create(ticket=ticket, file=content)
    return ticket


def push_again(alias: str) -> PushCounts:
    """Push as if the waits and pauses were over."""
    OutboxEntry.objects.update(not_before=0, sent_at=F("sent_at") - 3_600_000)
    ProviderState.objects.update(paused_until=None, pause="")
    return push(alias)


def deliveries() -> list[str]:
    return list(Attachment.objects.order_by("id").values_list("delivery", flat=True))


def digests(files: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(file["size"], file["sha256"]) for file in files]


def expected(*numbers: int) -> list[tuple[int, str]]:
    return [(len(picture(n)), hashlib.sha256(picture(n)).hexdigest()) for n in numbers]


class TestOneAfterTheOther:
    """Ankra: the ticket first, then each file by itself."""

    def at_vendor(self, vendors: Sandbox) -> list[tuple[int, str]]:
        """Return size and digest of the files that Ankra has, in their order."""
        ((_, ticket),) = vendors.ankra.tickets.items()
        contents = [vendors.ankra.files._contents[file["id"]][1] for file in ticket["attachments"]]
        return [(len(content), hashlib.sha256(content).hexdigest()) for content in contents]

    def uploads(self, vendors: Sandbox) -> int:
        return sum(entry.operation == "upload" for entry in vendors.ankra.ledger)

    def test_every_file_arrives_as_it_is(self, vendors: Sandbox) -> None:
        raised("ankra", 3)
        assert push("ankra").delivered == 4
        assert self.at_vendor(vendors) == expected(0, 1, 2)
        assert set(deliveries()) == {Delivery.DELIVERED}
        assert Attachment.objects.exclude(remote_id=None).count() == 3

    @pytest.mark.fault(20)
    @pytest.mark.parametrize(
        ("fault", "sent_again"),
        [("reset-before", 1), ("reset-after-commit", 0), ("server-error", 1), ("cut-body", 0), ("rate-limited", 1)],
    )
    def test_what_breaks_at_the_third_of_five_goes_on_there(
        self, vendors: Sandbox, fault: str, sent_again: int
    ) -> None:
        raised("ankra", 5)
        push("ankra", stop=lambda: self.uploads(vendors) == 2)
        vendors.ankra.fail_next("upload", fault)
        push("ankra")
        assert deliveries()[2:] == [Delivery.QUEUED] * 3
        for _ in range(3):
            push_again("ankra")
        assert set(deliveries()) == {Delivery.DELIVERED}
        assert self.at_vendor(vendors) == expected(0, 1, 2, 3, 4)
        assert self.uploads(vendors) == 5 + sent_again
        assert sum(entry.operation == "create" for entry in vendors.ankra.ledger) == 1

    @pytest.mark.fault(19)
    def test_a_refused_file_does_not_hold_the_others(self, vendors: Sandbox) -> None:
        raised("ankra", 3)
        push("ankra", stop=lambda: self.uploads(vendors) == 1)
        vendors.ankra.fail_next("upload", "answer", status=413, body=b'{"detail": "The file is too large."}')
        push("ankra")
        assert deliveries() == [Delivery.DELIVERED, Delivery.REFUSED, Delivery.DELIVERED]
        assert "too large" in Attachment.objects.order_by("id")[1].delivery_error

    @pytest.mark.fault(77)
    def test_no_address_of_the_storage_is_given_away(self, vendors: Sandbox) -> None:
        raised("ankra", 1)
        push("ankra")
        key = Attachment.objects.get().file.name
        assert all(key.encode() not in entry.body for entry in vendors.ankra.ledger)


class TestTogether:
    """Ripio: all files with the ticket, in one request."""

    def test_every_file_arrives_as_it_is(self, vendors: Sandbox) -> None:
        raised("ripio", 3, customer_id=vendors.ripio.CUSTOMER)
        assert push("ripio").delivered == 1
        ((_, ticket),) = vendors.ripio.tickets.items()
        assert digests(ticket["files"]) == expected(0, 1, 2)
        assert [file["name"] for file in ticket["files"]] == ["shot 0.png", "shot 1.png", "shot 2.png"]
        assert set(deliveries()) == {Delivery.DELIVERED}

    @pytest.mark.fault(21)
    @pytest.mark.parametrize("fault", ["unauthorized", "rate-limited"])
    def test_what_is_sent_again_is_sent_whole(self, vendors: Sandbox, fault: str) -> None:
        raised("ripio", 2, customer_id=vendors.ripio.CUSTOMER)
        vendors.ripio.fail_next("create", fault)
        push("ripio")
        push_again("ripio")
        ((_, ticket),) = vendors.ripio.tickets.items()
        assert digests(ticket["files"]) == expected(0, 1)
        first, second = [entry for entry in vendors.ripio.ledger if entry.operation == "create"]
        assert first.body_size == second.body_size > 2 * SIZE

    @pytest.mark.fault(22)
    @pytest.mark.parametrize(
        ("sizes", "code"),
        [
            ([25_000_000, 25_000_000], ""),
            ([25_000_001], "too_large"),
            ([25_000_000, 25_000_000, 1], "too_large_together"),
            ([1] * 5, ""),
            ([1] * 6, "too_many"),
        ],
    )
    def test_its_limits_are_exact(self, vendors: Sandbox, sizes: list[int], code: str) -> None:
        files = [SimpleUploadedFile("a.png", PNG) for _ in sizes]
        for file, size in zip(files, sizes, strict=True):
            file.size = size
        rules = providers["ripio"].capabilities.attachments
        if not code:
            validate_files(files, rules)
            return
        with pytest.raises(ValidationError) as caught:
            validate_files(files, rules)
        assert caught.value.error_dict["file"][0].code == code

    def test_more_than_it_takes_is_refused_before_anything_is_stored(
        self, vendors: Sandbox, keys: Callable[[], list[str]]
    ) -> None:
        with pytest.raises(ValidationError):
            raised("ripio", 6, customer_id=vendors.ripio.CUSTOMER)
        assert not Ticket.objects.exists()


class TestInMessages:
    """Verifik's app: each file as base64 first, then their ids in a thread."""

    def test_every_file_arrives_as_it_is(self, vendors: Sandbox) -> None:
        ticket = raised("verifik", 2, category="billing")
        assert push("verifik").delivered == 1
        with transaction.atomic():
            comment = Comment.objects.create(ticket=ticket, body="And the contract.")
            Attachment.objects.create(ticket=ticket, comment=comment, file=ContentFile(PDF, name="contract.pdf"))
        assert push("verifik").delivered == 1
        files = vendors.verifik.files._by_id.values()
        assert [file.content for file in files] == [picture(0), picture(1), PDF]
        assert [file.name for file in files] == ["shot 0.png", "shot 1.png", "contract.pdf"]
        assert set(deliveries()) == {Delivery.DELIVERED}


class TestNowhere:
    """Moov and Verifik's documented API take no files."""

    @pytest.mark.fault(22)
    @pytest.mark.parametrize("alias", ["moov", "verifik"])
    def test_a_file_is_refused_before_anything_is_stored(
        self, settings: Any, sandbox: Sandbox, keys: Callable[[], list[str]], alias: str
    ) -> None:
        sandbox.verifik.dialect = "docs"
        backend = {"moov": "moov.MoovProvider", "verifik": "verifik.VerifikProvider"}[alias]
        options = sandbox.options()[alias]
        settings.SUPPORT_TICKETS_PROVIDERS = {alias: {"BACKEND": f"{MODULE}.{backend}", "OPTIONS": options}}
        values = {"customer_id": sandbox.moov.accounts[0], "contact_email": "a@example.com"} if alias == "moov" else {}
        with pytest.raises(ValidationError) as caught:
            raised(alias, 1, priority="low" if alias == "verifik" else "", **values)
        assert caught.value.error_dict["file"][0].code == "unsupported"
        assert not Ticket.objects.exists()
        assert keys() == []


@pytest.mark.fault(74)
class TestBrokenStorage:
    """What is not as it was stored is never sent, in part or empty."""

    def replace(self, storage: Storage, content: bytes) -> None:
        key = Attachment.objects.get().file.name
        storage.delete(key)
        storage.save(key, ContentFile(content))

    def assert_nothing_arrived(self, vendors: Sandbox) -> None:
        tickets = [*vendors.ankra.tickets.values(), *vendors.ripio.tickets.values()]
        assert all(not ticket.get("attachments") and not ticket.get("files") for ticket in tickets)

    @pytest.mark.parametrize("failure", [FileNotFoundError, TimeoutError, PermissionError, ConnectionResetError])
    @pytest.mark.parametrize("alias", ["ankra", "ripio"])
    def test_a_file_that_cannot_be_opened_is_tried_again(
        self, vendors: Sandbox, use_storage: Store, alias: str, failure: type[Exception]
    ) -> None:
        use_storage(f"{__name__}.FailingStorage")
        ticket = raised(alias, 1, customer_id=vendors.ripio.CUSTOMER if alias == "ripio" else "")
        try:
            FailingStorage.failure = failure
            push(alias)
            self.assert_nothing_arrived(vendors)
            assert deliveries() == [Delivery.QUEUED]
            entry = OutboxEntry.objects.get()
            assert entry.sent_at is None
            assert "a file is not as it was stored" in entry.last_error
            assert "AKIASECRET" not in entry.last_error
        finally:
            FailingStorage.failure = None
        push_again(alias)
        ticket.refresh_from_db()
        assert (ticket.delivery, deliveries()) == (Delivery.DELIVERED, [Delivery.DELIVERED])

    @pytest.mark.fault(23, 33)
    def test_it_is_no_failure_of_the_vendor_and_stops_no_other_ticket(
        self, vendors: Sandbox, use_storage: Store
    ) -> None:
        use_storage(f"{__name__}.FailingStorage")
        for _ in range(6):
            raised("ripio", 1, customer_id=vendors.ripio.CUSTOMER)
        try:
            FailingStorage.failure = FileNotFoundError
            assert push("ripio").waiting == 6
            assert not ProviderState.objects.exclude(pause="").exists()
            raised("ripio", 0, customer_id=vendors.ripio.CUSTOMER)
            assert push("ripio").delivered == 1
        finally:
            FailingStorage.failure = None

    def test_a_file_that_is_gone_for_good_is_refused_in_the_end(self, vendors: Sandbox, storage: Storage) -> None:
        raised("ankra", 1)
        storage.delete(Attachment.objects.get().file.name)
        push("ankra")
        OutboxEntry.objects.update(tried_since=0)
        push_again("ankra")
        self.assert_nothing_arrived(vendors)
        assert deliveries() == [Delivery.REFUSED]
        assert "Given up after 72 hours" in Attachment.objects.get().delivery_error

    @pytest.mark.parametrize("change", ["empty", "shorter", "longer", "other"])
    def test_another_file_is_never_complete_at_the_vendor(
        self, vendors: Sandbox, storage: Storage, change: str
    ) -> None:
        raised("ankra", 1)
        content = {
            "empty": b"",
            "shorter": picture(0)[:-1],
            "longer": picture(0) + b"!",
            "other": picture(0)[:-1] + b"!",
        }
        self.replace(storage, content[change])
        push("ankra")
        OutboxEntry.objects.update(attempts=SENDS)
        for _ in range(2):
            push_again("ankra")
        self.assert_nothing_arrived(vendors)
        assert deliveries() == [Delivery.REFUSED]
        why = Attachment.objects.get().delivery_error
        assert "a file is not as it was stored" in why or "no type that Ankra takes" in why

    def test_a_storage_that_hangs_up_in_the_middle(self, vendors: Sandbox, use_storage: Store) -> None:
        use_storage(f"{__name__}.BreakingStorage")
        raised("ankra", 1)
        try:
            BreakingStorage.is_broken = True
            push("ankra")
            self.assert_nothing_arrived(vendors)
        finally:
            BreakingStorage.is_broken = False
        for _ in range(3):
            push_again("ankra")
        assert deliveries() == [Delivery.DELIVERED]
        ((_, ticket),) = vendors.ankra.tickets.items()
        assert [file["size_bytes"] for file in ticket["attachments"]] == [len(picture(0))]
