from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import transaction
from django.utils import timezone

from django_support_tickets.attachments.mirroring import (
    FAILURES_IN_A_ROW,
    GIVE_UP,
    MirrorCounts,
    due_files,
    mirror,
    mirror_due,
)
from django_support_tickets.attachments.serving import attachment_response
from django_support_tickets.exceptions import (
    AccessDenied,
    Ambiguous,
    Busy,
    InvalidProvider,
    NotSent,
    Refused,
    RemoteNotFound,
)
from django_support_tickets.models import Attachment, Comment, Delivery, ProviderState, Ticket
from django_support_tickets.models.pauses import pause_busy
from django_support_tickets.providers.local import LocalProvider
from django_support_tickets.providers.verifik import VerifikProvider
from django_support_tickets.records import AttachmentRecord, Download, TicketRef
from django_support_tickets.sync import pull
from django_support_tickets.testing.sandbox import AnkraSandbox, Sandbox, VerifikSandbox
from tests.attachments import test_scanning
from tests.attachments.conftest import Store
from tests.attachments.samples import HTML, PDF, PNG

pytestmark = [pytest.mark.django_db, pytest.mark.fault(76)]

State = Attachment.State
Keys = Callable[[], list[str]]
MODULE = "django_support_tickets.providers"


class ScriptedDesk(LocalProvider):
    """A vendor that hands out files as `answers` tell: bytes, an error, or a function that returns one of them."""

    answers: ClassVar[list[Any]] = []
    asked: ClassVar[list[AttachmentRecord]] = []

    @contextlib.contextmanager
    def download(self, ref: TicketRef, attachment: AttachmentRecord) -> Iterator[Download]:
        self.asked.append(attachment)
        answer = self.answers.pop(0) if self.answers else PNG
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        yield Download(chunks=iter([answer[:100], answer[100:]] if isinstance(answer, bytes) else answer))


class FullStorage(FileSystemStorage):
    """A storage that breaks off in the middle of a file."""

    def _save(self, name: str, content: Any) -> str:
        key = super()._save(name, content)
        os.truncate(self.path(key), 10)
        return key


@pytest.fixture
def desk(settings: Any) -> type[ScriptedDesk]:
    ScriptedDesk.answers, ScriptedDesk.asked = [], []
    settings.SUPPORT_TICKETS_PROVIDERS = {
        "desk": {"BACKEND": f"{__name__}.ScriptedDesk", "OPTIONS": {"mirror_attachments": True}}
    }
    return ScriptedDesk


@pytest.fixture
def vendors(settings: Any, sandbox: Sandbox) -> Sandbox:
    """Verifik (in dialect app) and Ankra over real HTTP, as the accounts "verifik" and "ankra"."""
    sandbox.verifik.dialect = "app"
    options = sandbox.options()
    settings.SUPPORT_TICKETS_PROVIDERS = {
        "verifik": {
            "BACKEND": f"{MODULE}.verifik.VerifikProvider",
            "OPTIONS": {**options["verifik"], "rate": None},
        },
        "ankra": {"BACKEND": f"{MODULE}.ankra.AnkraProvider", "OPTIONS": {**options["ankra"], "rate": None}},
    }
    return sandbox


@pytest.fixture
def verifik(vendors: Sandbox) -> VerifikSandbox:
    return vendors.verifik


@pytest.fixture
def ankra(vendors: Sandbox) -> AnkraSandbox:
    return vendors.ankra


def remote(alias: str = "desk", at: str = "T-1", **values: Any) -> Attachment:
    """Make a row of a file that lies at the vendor only, as a pull does; `at` is the ticket there."""
    ticket = Ticket(provider=alias, remote_id=at, subject="Deposit missing", delivery="delivered")
    Ticket.objects.bulk_create([ticket], ignore_conflicts=True)
    ticket = Ticket.objects.get(provider=alias, remote_id=at)
    values = {"name": "receipt.png", "content_type": "text/html", "direction": "in", "state": "remote", **values}
    row = Attachment(ticket=ticket, delivery=Delivery.DELIVERED, **values)
    Attachment.objects.bulk_create([row])
    return Attachment.objects.get(key=row.key)


def age(attachment: Attachment, *, created: timedelta, tried: timedelta = timedelta()) -> None:
    """Shift a row back: it was made so long ago, and fetched in vain so long ago."""
    now = timezone.now()
    Attachment.objects.filter(pk=attachment.pk).update(created_at=now - created, updated_at=now - tried)


def stored(attachment: Attachment) -> bytes:
    with Attachment.objects.get(pk=attachment.pk).file.open() as file:
        return bytes(file.read())


class TestByAddress:
    """Verifik: files lie under addresses that need no token and expire."""

    def hosted(self, verifik: VerifikSandbox, content: bytes = PNG, **values: Any) -> Attachment:
        document = verifik.add_file("receipt.png", content, "image/png", expires_in_days=1)
        values = {"remote_url": document["url"], "remote_id": document["_id"], "size": document["size"], **values}
        return remote("verifik", **values)

    @pytest.mark.fault(75)
    def test_a_file_is_kept_with_our_type_and_no_token_is_sent(self, verifik: VerifikSandbox) -> None:
        attachment = self.hosted(verifik)
        assert mirror(attachment) == State.STORED
        attachment.refresh_from_db()
        assert stored(attachment) == PNG
        assert (attachment.content_type, attachment.size, attachment.error) == ("image/png", len(PNG), "")
        assert attachment.sha256 == hashlib.sha256(PNG).hexdigest()
        assert b"".join(attachment_response(attachment)) == PNG  # type: ignore[arg-type]
        (seen,) = [entry for entry in verifik.ledger if entry.operation == "download"]
        assert "authorization" not in seen.headers

    def test_one_that_is_here_is_not_fetched_again(self, verifik: VerifikSandbox) -> None:
        attachment = self.hosted(verifik)
        assert [mirror(attachment) for _ in range(3)] == [State.STORED] * 3
        assert sum(entry.operation == "download" for entry in verifik.ledger) == 1

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_an_expired_one_is_a_state_and_no_endless_retry(
        self, vendors: Sandbox, verifik: VerifikSandbox, keys: Keys, status: int
    ) -> None:
        verifik.files.expired_status = status
        attachment = self.hosted(verifik)
        vendors.advance(86_401)
        assert mirror(attachment) == State.EXPIRED
        attachment.refresh_from_db()
        assert attachment.state == State.EXPIRED
        assert "refuses" in attachment.error
        assert keys() == []
        assert mirror_due("verifik") == MirrorCounts()
        assert sum(entry.operation == "download" for entry in verifik.ledger) == 1

    @pytest.mark.fault(75)
    @pytest.mark.parametrize("url", ["http://169.254.169.254/latest/", "https://elsewhere.example/a.png", "a.png"])
    def test_an_address_that_is_not_followed_is_a_failure_that_says_so(self, verifik: VerifikSandbox, url: str) -> None:
        attachment = self.hosted(verifik, remote_url=url)
        assert mirror(attachment) == State.FAILED
        assert url not in attachment.error
        assert attachment.error.startswith("its ")

    def test_another_size_than_announced_is_flagged(self, verifik: VerifikSandbox) -> None:
        attachment = self.hosted(verifik, size=1)
        assert mirror(attachment) == State.STORED
        attachment.refresh_from_db()
        assert attachment.error == f"The vendor announced 1 bytes, {len(PNG)} came."
        assert attachment.size == len(PNG)

    def test_another_kind_is_kept_as_opaque_and_flagged(self, verifik: VerifikSandbox) -> None:
        attachment = self.hosted(verifik, HTML, name="../../receipt.png")
        assert mirror(attachment) == State.STORED
        assert "not of the kind that its name says" in attachment.error
        response = attachment_response(attachment)
        assert response["Content-Type"] == "application/octet-stream"
        assert response["Content-Disposition"].startswith('attachment; filename="receipt.png"')
        response.close()

    def test_a_vendor_that_does_not_answer_is_asked_again_later(self, verifik: VerifikSandbox) -> None:
        attachment = self.hosted(verifik)
        verifik.fail_next("download", "server-error")
        assert mirror(attachment) == State.REMOTE
        assert attachment.error
        assert mirror(attachment) == State.STORED
        assert attachment.error == ""

    @pytest.mark.parametrize("fault", ["cut-body", "reset-in-answer", "reset-before", "cut-chunked", "gzip-bomb"])
    def test_half_a_file_is_never_kept(self, verifik: VerifikSandbox, keys: Keys, fault: str) -> None:
        attachment = self.hosted(verifik, PNG * 100)
        verifik.fail_next("download", fault)
        assert mirror(attachment) in (State.REMOTE, State.FAILED)
        assert keys() == []
        assert Attachment.objects.get().error

    @pytest.mark.parametrize("at_once", [True, False])
    def test_a_pull_lists_files_and_fetches_them_at_once_unless_told_not_to(
        self, settings: Any, verifik: VerifikSandbox, at_once: bool
    ) -> None:
        if not at_once:
            settings.SUPPORT_TICKETS_PROVIDERS["verifik"]["OPTIONS"]["mirror_attachments"] = False
        remote_id = verifik.add_ticket("Scan fails")
        Ticket.objects.bulk_create(
            [Ticket(provider="verifik", remote_id=remote_id, subject="Scan fails", delivery="delivered")]
        )
        files = [verifik.add_file(name, PDF, "application/pdf", expires_in_days=1) for name in ("a.pdf", "../b.pdf")]
        verifik.reply(remote_id, "<p>Both attached.</p>", attachments=files)
        for _ in range(2):
            Ticket.objects.update(next_poll_at=timezone.now())
            pull("verifik")
        assert Comment.objects.get().attachments.count() == 2
        assert set(Attachment.objects.values_list("name", "original_name")) == {("a.pdf", ""), ("b.pdf", "../b.pdf")}
        assert set(Attachment.objects.values_list("state", flat=True)) == {"stored" if at_once else "remote"}
        assert set(Attachment.objects.values_list("size", flat=True)) == {len(PDF)}
        assert sum(entry.operation == "download" for entry in verifik.ledger) == (2 if at_once else 0)

    def test_an_account_that_writes_the_other_shape_fetches_on_demand(self, verifik: VerifikSandbox) -> None:
        verifik.dialect = "docs"
        assert not VerifikProvider("verifik", **verifik.options()).mirror_attachments


class TestByCall:
    """Ankra: files come by the API, with the token."""

    def attached(self, ankra: AnkraSandbox, content: bytes = PNG, **values: Any) -> Attachment:
        remote_id = ankra.add_ticket("Cluster down")
        file = ankra.files.add(ankra.tickets[remote_id], "shot.png", content, "image/png")
        return remote("ankra", remote_id, **{"remote_id": file, "size": len(content), "name": "shot.png", **values})

    def test_a_file_is_fetched_with_the_token(self, ankra: AnkraSandbox) -> None:
        attachment = self.attached(ankra)
        assert mirror(attachment) == State.STORED
        assert stored(attachment) == PNG
        (seen,) = [entry for entry in ankra.ledger if entry.operation == "download"]
        assert seen.headers["authorization"] == f"Bearer {ankra.token}"

    def test_one_that_is_gone_has_expired(self, ankra: AnkraSandbox) -> None:
        attachment = self.attached(ankra, remote_id="9c1f6a3e-2b5d-4c7a-8f10-3d2e1c0b9a00")
        assert mirror(attachment) == State.EXPIRED

    def test_a_bigger_one_than_announced_is_not_read_to_its_end(self, ankra: AnkraSandbox, keys: Keys) -> None:
        attachment = self.attached(ankra, PNG * 100, size=10)
        assert mirror(attachment) == State.FAILED
        assert "larger than 10 bytes" in attachment.error
        assert keys() == []

    def test_one_that_is_too_large_is_not_fetched_again_by_itself(
        self, settings: Any, ankra: AnkraSandbox, keys: Keys
    ) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS["ankra"]["OPTIONS"]["mirror_attachments"] = True
        attachment = self.attached(ankra, PNG * 100, size=10)
        assert mirror_due("ankra") == MirrorCounts(failed=1)
        age(attachment, created=GIVE_UP - timedelta(hours=1), tried=GIVE_UP - timedelta(hours=1))
        assert mirror_due("ankra") == MirrorCounts()
        assert sum(entry.operation == "download" for entry in ankra.ledger) == 1
        assert keys() == []

    def test_a_cut_one_is_fetched_again(self, settings: Any, ankra: AnkraSandbox) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS["ankra"]["OPTIONS"]["mirror_attachments"] = True
        attachment = self.attached(ankra, PNG * 100)
        ankra.fail_next("download", "cut-body")
        assert mirror_due("ankra") == MirrorCounts(waiting=1)
        age(attachment, created=timedelta(hours=1), tried=timedelta(hours=1))
        assert mirror_due("ankra") == MirrorCounts(stored=1)

    @pytest.mark.fault(75)
    def test_the_token_follows_no_redirect(self, ankra: AnkraSandbox) -> None:
        ankra.files.download_style = "redirect"
        assert mirror(self.attached(ankra)) == State.STORED
        (seen,) = [entry for entry in ankra.ledger if "/files/" in entry.path]
        assert "authorization" not in seen.headers

    @pytest.mark.fault(75)
    def test_a_redirect_to_a_host_that_nobody_has_allowed_is_a_failure_that_says_so(self, ankra: AnkraSandbox) -> None:
        elsewhere = {"Location": "https://storage.example/secret"}
        ankra.fail_next("download", "answer", status=307, headers=elsewhere)
        attachment = self.attached(ankra)
        assert mirror(attachment) == State.FAILED
        assert attachment.error == "its host is not in attachment_hosts"

    def test_an_account_that_is_refused_is_paused_and_the_file_waits(self, ankra: AnkraSandbox) -> None:
        attachment = self.attached(ankra)
        ankra.fail_next("download", "unauthorized")
        assert mirror(attachment) == State.REMOTE
        assert ProviderState.objects.get().pause == ProviderState.Pause.DENIED


class TestOutcomes:
    @pytest.mark.parametrize(
        ("answer", "state"),
        [
            (RemoteNotFound("gone", status=404), State.EXPIRED),
            (Ambiguous("gone", status=410), State.EXPIRED),
            (Refused("no permission", status=403), State.FAILED),
            (Refused("too odd"), State.FAILED),
            (NotSent("no connection"), State.REMOTE),
            (Ambiguous("cut", status=200), State.REMOTE),
            (Ambiguous("too long", status=200, is_lasting=True), State.FAILED),
            (Ambiguous("gone behind a redirect", status=404, is_lasting=True), State.EXPIRED),
            (Busy("wait", alias="desk", retry_after=5), State.REMOTE),
            (AccessDenied("no", alias="desk", status=401), State.REMOTE),
            (ZeroDivisionError("a secret"), State.REMOTE),
            (b"", State.STORED),
        ],
    )
    def test_each_answer_has_its_state(self, desk: type[ScriptedDesk], answer: Any, state: State) -> None:
        desk.answers.append(answer)
        attachment = remote()
        assert mirror(attachment) == state
        row = Attachment.objects.get()
        assert (row.state, row.error) == (state, attachment.error)
        assert "secret" not in row.error
        paused = {"Busy": "busy", "AccessDenied": "denied"}.get(type(answer).__name__)
        assert ProviderState.objects.values_list("pause", flat=True).first() == paused

    def test_a_vendor_without_a_call_for_files(self, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {"BACKEND": f"{MODULE}.local.LocalProvider"}}
        attachment = remote()
        assert mirror(attachment) == State.FAILED
        assert attachment.error == "the vendor has no call to fetch files"

    def test_our_own_file_is_not_fetched(self, desk: type[ScriptedDesk]) -> None:
        assert mirror(Attachment(direction="out", state="stored")) == State.STORED
        assert desk.asked == []

    def test_an_endless_one_is_capped(self, desk: type[ScriptedDesk], keys: Keys) -> None:
        piece = bytes(8_000_000)
        desk.answers.append(lambda: iter(lambda: piece, None))
        attachment = remote()
        assert mirror(attachment) == State.FAILED
        assert attachment.error == "It is larger than 67108864 bytes."
        assert keys() == []

    def test_a_file_that_failed_can_be_fetched_by_hand(self, desk: type[ScriptedDesk]) -> None:
        desk.answers += [Refused("not now"), RemoteNotFound("gone", status=404), PNG]
        attachment = remote()
        assert [mirror(attachment) for _ in range(3)] == [State.FAILED, State.EXPIRED, State.STORED]
        assert attachment.error == ""

    @pytest.mark.fault(73)
    def test_two_workers_keep_one_file(self, desk: type[ScriptedDesk], keys: Keys) -> None:
        attachment = remote()
        desk.answers.append(lambda: mirror(Attachment.objects.get()) and PNG + b"late")
        assert mirror(attachment) == State.STORED
        assert len(desk.asked) == 2
        assert stored(attachment) == PNG
        assert keys() == [Attachment.objects.get().file.name] == [attachment.file.name]

    @pytest.mark.fault(73)
    def test_a_row_that_is_deleted_meanwhile_leaves_no_file(self, desk: type[ScriptedDesk], keys: Keys) -> None:
        desk.answers.append(lambda: Ticket.objects.all().delete() and PNG)
        mirror(remote())
        assert keys() == []

    @pytest.mark.fault(72)
    def test_a_file_that_the_scanner_does_not_clear_is_quarantined(
        self, desk: type[ScriptedDesk], settings: Any, keys: Keys
    ) -> None:
        settings.SUPPORT_TICKETS_FILE_SCANNER = f"{test_scanning.__name__}.find_virus"
        desk.answers.append(test_scanning.VIRUS)
        attachment = remote(size=1)
        assert mirror(attachment) == State.QUARANTINED
        assert attachment.error.startswith("The vendor announced 1 bytes")
        assert attachment.error.endswith(" came. EICAR in receipt.png")
        assert mirror(attachment) == State.QUARANTINED
        assert len(keys()) == len(desk.asked) == 1

    @pytest.mark.fault(72)
    def test_asked_for_again_it_is_looked_at_again(self, desk: type[ScriptedDesk], settings: Any, keys: Keys) -> None:
        settings.SUPPORT_TICKETS_FILE_SCANNER = f"{test_scanning.__name__}.be_down"
        attachment = remote()
        assert mirror(attachment) == State.QUARANTINED
        settings.SUPPORT_TICKETS_FILE_SCANNER = f"{test_scanning.__name__}.find_virus"
        assert mirror(attachment) == State.STORED
        assert len(keys()) == len(desk.asked) == 1
        assert Attachment.objects.values_list("state", "error").get() == ("stored", "")

    @pytest.mark.fault(74)
    def test_a_storage_that_keeps_half_of_it_is_noticed(
        self, desk: type[ScriptedDesk], use_storage: Store, tmp_path: Path
    ) -> None:
        use_storage(f"{__name__}.FullStorage", location=str(tmp_path))
        attachment = remote()
        assert mirror(attachment) == State.REMOTE
        assert attachment.error == "The storage has not kept the file."
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_without_a_storage_nothing_is_asked(self, desk: type[ScriptedDesk], use_storage: Store) -> None:
        use_storage()
        assert mirror(remote()) == State.REMOTE
        assert desk.asked == []

    def test_not_inside_a_transaction(self, desk: type[ScriptedDesk]) -> None:
        attachment = remote()
        with transaction.atomic(), pytest.raises(RuntimeError):
            mirror(attachment)
        with transaction.atomic(), pytest.raises(RuntimeError):
            mirror_due("desk")

    def test_an_account_that_is_gone_is_named(self, desk: type[ScriptedDesk]) -> None:
        with pytest.raises(InvalidProvider, match="nobody"):
            mirror(remote("nobody"))


class TestRuns:
    def due(self) -> list[str]:
        return [row.name for row in due_files("desk", using="default")]

    def test_only_accounts_that_want_it_fetch_at_once(self, desk: type[ScriptedDesk], settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS["desk"]["OPTIONS"]["mirror_attachments"] = False
        remote()
        assert mirror_due("desk") == MirrorCounts()
        assert desk.asked == []

    def test_every_outcome_is_counted(self, desk: type[ScriptedDesk]) -> None:
        desk.answers += [PNG, RemoteNotFound("gone", status=404), Refused("no"), NotSent("no"), PNG]
        for _ in range(5):
            remote()
        assert mirror_due("desk") == MirrorCounts(stored=2, expired=1, failed=1, waiting=1)

    def test_only_files_of_the_account_that_lie_at_the_vendor(self, desk: type[ScriptedDesk]) -> None:
        remote(name="due.png")
        remote("other")
        for state in (State.STORED, State.QUARANTINED, State.EXPIRED, State.FAILED):
            remote(state=state)
        remote(direction="out")
        age(remote(), created=GIVE_UP)
        assert self.due() == ["due.png"]

    @pytest.mark.parametrize(
        ("created", "tried", "is_due"),
        [(0, 0, False), (70, 59, False), (70, 61, True), (600, 250, False), (600, 310, True)],
    )
    def test_the_wait_doubles(self, desk: type[ScriptedDesk], created: int, tried: int, is_due: bool) -> None:
        attachment = remote(error="no connection")
        age(attachment, created=timedelta(seconds=created), tried=timedelta(seconds=tried))
        assert bool(self.due()) == is_due

    @pytest.mark.parametrize("error", [NotSent("no"), ZeroDivisionError()])
    def test_in_the_end_it_is_given_up(self, desk: type[ScriptedDesk], error: Exception) -> None:
        desk.answers.append(error)
        attachment = remote(error="no connection")
        age(attachment, created=timedelta(hours=40), tried=timedelta(hours=21))
        assert mirror_due("desk") == MirrorCounts(failed=1)
        assert self.due() == []

    def test_a_vendor_that_is_down_ends_the_run(self, desk: type[ScriptedDesk]) -> None:
        desk.answers += [NotSent("no connection")] * 10
        for _ in range(5):
            remote()
        counts = mirror_due("desk")
        assert (counts.waiting, counts.halted) == (FAILURES_IN_A_ROW, "no connection")

    def test_an_account_that_asks_to_wait_is_left_alone(self, desk: type[ScriptedDesk]) -> None:
        desk.answers.append(Busy("wait", alias="desk", retry_after=60))
        for _ in range(2):
            remote()
        assert mirror_due("desk") == MirrorCounts(waiting=2)
        assert len(desk.asked) == 1

    def test_files_under_addresses_do_not_wait_for_the_account(self, verifik: VerifikSandbox) -> None:
        TestByAddress().hosted(verifik)
        pause_busy("verifik", retry_after=60, detail="", using="default")
        assert mirror_due("verifik") == MirrorCounts(stored=1)

    def test_it_stops_when_told(self, desk: type[ScriptedDesk]) -> None:
        for _ in range(3):
            remote()
        assert mirror_due("desk", stop=lambda: len(desk.asked) == 2) == MirrorCounts(stored=2)
        assert mirror_due("desk", limit=0) == MirrorCounts()
