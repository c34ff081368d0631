from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, storages
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models import ProtectedError, RestrictedError
from django.db.models.signals import pre_delete
from django.utils import timezone

from django_support_tickets.conf import Settings
from django_support_tickets.management import pruning
from django_support_tickets.management.pruning import KINDS, prune, retention
from django_support_tickets.models import (
    Attachment,
    Comment,
    Delivery,
    EpochNow,
    OutboxEntry,
    ProviderState,
    SyncRun,
    Ticket,
    TicketEvent,
    WebhookDelivery,
)

pytestmark = [pytest.mark.django_db, pytest.mark.fault(89)]

KEPT_FOR_EVER = dict.fromkeys(Settings.RETENTION)
YEAR = timedelta(days=365)


class UnlistedStorage(InMemoryStorage):
    def listdir(self, path: str) -> Any:
        raise NotImplementedError


class BrokenStorage(InMemoryStorage):
    def listdir(self, path: str) -> Any:
        raise PermissionError("AKIA-canary")


@pytest.fixture
def keep(settings: Any) -> Callable[..., None]:
    """Keep these kinds for so many days, the others for ever."""

    def keep(**days: int) -> None:
        settings.SUPPORT_TICKETS_RETENTION = {**KEPT_FOR_EVER, **days}

    return keep


def old_ticket(**values: Any) -> Ticket:
    """Store a ticket that nobody has touched for a year."""
    then = timezone.now() - YEAR
    ticket = Ticket(**{"provider": "local", "subject": "S", "created_at": then, **values})
    Ticket.objects.bulk_create([ticket])
    Ticket.objects.filter(pk=ticket.pk).update(updated_at=then)
    return ticket


def settled(**values: Any) -> Ticket:
    return old_ticket(**{"delivery": Delivery.DELIVERED, "remote_id": "R-1", "status": "closed", **values})


def run(*arguments: str) -> str:
    output = StringIO()
    call_command("support_tickets_prune", *arguments, stdout=output)
    return output.getvalue()


class TestRetention:
    def test_every_kind_is_known(self) -> None:
        assert set(KINDS) == set(Settings.RETENTION)

    def test_what_is_left_out_keeps_its_default(self, settings: Any) -> None:
        settings.SUPPORT_TICKETS_RETENTION = {"sync_runs": 7}
        assert retention() == {**Settings.RETENTION, "sync_runs": 7}

    def test_by_default_no_ticket_is_ever_removed(self) -> None:
        tickets = [settled(), old_ticket(delivery=Delivery.DRAFT), old_ticket(delivery=Delivery.REFUSED)]
        prune(using="default")
        assert Ticket.objects.count() == len(tickets)


class TestRows:
    def test_webhook_deliveries(self, keep: Any) -> None:
        keep(webhook_deliveries=90)
        for days in (1, 89, 91, 400):
            received_at = timezone.now() - timedelta(days=days)
            WebhookDelivery.objects.create(provider="desk", identity=str(days), received_at=received_at)
        assert prune(using="default").removed == {"webhook_deliveries": 2}
        assert set(WebhookDelivery.objects.values_list("identity", flat=True)) == {"1", "89"}

    def test_the_last_run_of_each_account_stays(self, keep: Any) -> None:
        keep(sync_runs=30)
        for provider, days in (("one", 100), ("one", 50), ("two", 200), ("three", 60), ("three", 1)):
            SyncRun.objects.create(provider=provider, started_at=timezone.now() - timedelta(days=days))
        assert prune(using="default").removed == {"sync_runs": 2}
        assert sorted(SyncRun.objects.values_list("provider", flat=True)) == ["one", "three", "two"]

    def test_lists_that_nobody_walks(self, keep: Any) -> None:
        keep(list_states=30)
        day = 86_400_000
        for scope, days in (("", 100), ("living", 0), ("gone", 31)):
            state = ProviderState.objects.create(provider="moov", scope=scope)
            ProviderState.objects.filter(pk=state.pk).update(next_walk_at=EpochNow() - days * day - 1000)
        assert prune(using="default").removed == {"list_states": 1}
        assert set(ProviderState.objects.values_list("scope", flat=True)) == {"", "living"}

    def test_events_of_what_is_still_to_be_sent_stay(self, keep: Any) -> None:
        keep(events=30)
        then = timezone.now() - YEAR
        done, queued = settled(), old_ticket(delivery=Delivery.UNCERTAIN)
        for ticket in (done, queued):
            TicketEvent.objects.create(ticket=ticket, at=then, kind="submitted", source="code")
        TicketEvent.objects.create(ticket=done, kind="changed", source="pull")
        assert prune(using="default").removed == {"events": 1}
        assert set(TicketEvent.objects.values_list("ticket", "kind")) == {
            (queued.pk, "submitted"),
            (done.pk, "changed"),
        }

    def test_many_rows_go_in_batches(self, keep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        keep(webhook_deliveries=1)
        then = timezone.now() - YEAR
        rows = [WebhookDelivery(provider="desk", identity=str(i), received_at=then) for i in range(pruning.BATCH + 7)]
        WebhookDelivery.objects.bulk_create(rows)
        assert prune(using="default").removed == {"webhook_deliveries": pruning.BATCH + 7}
        assert not WebhookDelivery.objects.exists()


class TestTickets:
    @pytest.fixture(autouse=True)
    def a_month(self, keep: Any) -> None:
        keep(tickets=30, drafts=30)

    def test_settled_and_refused_ones_go_with_all_they_have(self) -> None:
        ticket = settled()
        old_ticket(delivery=Delivery.REFUSED)
        TicketEvent.objects.create(ticket=ticket, kind="closed_here", source="admin")
        assert prune(using="default").removed == {"drafts": 0, "tickets": 2}
        assert not Ticket.objects.exists()
        assert not TicketEvent.objects.exists()

    def test_drafts(self) -> None:
        old_ticket(delivery=Delivery.DRAFT)
        edited = Ticket.objects.create(provider="local", subject="S", delivery=Delivery.DRAFT)
        assert prune(using="default").removed["drafts"] == 1
        assert Ticket.objects.get() == edited

    @pytest.mark.parametrize(
        "values",
        [
            {"delivery": Delivery.QUEUED, "remote_id": None},
            {"delivery": Delivery.UNCERTAIN, "remote_id": None},
            {"status": "open"},
            {"status": "unknown"},
            {"close_delivery": Delivery.QUEUED},
            {"close_delivery": Delivery.UNCERTAIN},
            {"last_comment_at": timezone.now()},
        ],
    )
    def test_what_is_not_over_stays(self, values: dict[str, Any]) -> None:
        settled(**values)
        assert prune(using="default").removed["tickets"] == 0

    def test_a_ticket_with_something_to_send_stays(self) -> None:
        announced, unannounced = settled(), settled(remote_id="R-2")
        OutboxEntry.objects.create(ticket=announced, provider="local")
        Comment.objects.bulk_create([Comment(ticket=unannounced, body="Hello?", delivery=Delivery.QUEUED)])
        Comment.objects.update(updated_at=timezone.now() - YEAR)
        assert prune(using="default").removed["tickets"] == 0

    @pytest.mark.parametrize("error", [ProtectedError, RestrictedError])
    def test_one_that_rows_of_the_project_protect_keeps_none_of_the_others(self, error: Any) -> None:
        """A signal stands for a foreign key of theirs with on_delete=PROTECT or RESTRICT."""
        protected, _other = settled(), settled(remote_id="R-2")

        def protect(instance: Ticket, **kwargs: Any) -> None:
            if instance == protected:
                raise error("An order needs it.", {instance})

        pre_delete.connect(protect, sender=Ticket)
        try:
            assert prune(using="default").removed["tickets"] == 1
        finally:
            pre_delete.disconnect(protect, sender=Ticket)
        assert Ticket.objects.get() == protected

    def test_what_counts_as_settled_is_the_vendors_to_say(self, settings: Any) -> None:
        backend = "django_support_tickets.providers.ripio.RipioProvider"
        options = {"base_url": "https://ripio.example", "client_id": "a", "client_secret": "b"}
        settings.SUPPORT_TICKETS_PROVIDERS = {
            "ripio": {"BACKEND": backend, "OPTIONS": options},
            "broken": {"BACKEND": "no.such.Thing"},
        }
        settled(provider="ripio", status="open")
        settled(provider="broken", status="open")
        assert prune(using="default").removed["tickets"] == 1
        assert Ticket.objects.get().provider == "broken"

    def test_files_go_after_the_commit(self, django_capture_on_commit_callbacks: Any) -> None:
        file = ContentFile(b"%PDF-1.4 harmless", name="a.pdf")
        draft = Ticket.objects.create(provider="local", subject="S", delivery=Delivery.DRAFT)
        attachment = Attachment.objects.create(ticket=draft, file=file, name="a.pdf", delivery=Delivery.DRAFT)
        then = timezone.now() - YEAR
        Ticket.objects.update(updated_at=then)
        assert prune(using="default").removed["drafts"] == 0  # its file is young
        Attachment.objects.update(updated_at=then)
        with django_capture_on_commit_callbacks(execute=True):
            assert prune(using="default").removed["drafts"] == 1
            assert storages["support_tickets"].exists(attachment.file.name)
        assert not storages["support_tickets"].exists(attachment.file.name)


class TestFiles:
    KEY = "ab/ab" + "0" * 30

    @pytest.fixture(autouse=True)
    def store(self, settings: Any) -> None:
        settings.STORAGES = {**settings.STORAGES}  # a new, empty one

    def test_orphans_go_after_a_day(self, keep: Any) -> None:
        keep()
        storages["support_tickets"].save(self.KEY, ContentFile(b"x"))
        files = prune(using="default").files
        assert files is not None
        assert (files.files, files.orphans) == (1, 0)

    @pytest.mark.parametrize(
        ("backend", "words"), [("UnlistedStorage", "cannot list"), ("BrokenStorage", "raised PermissionError")]
    )
    def test_a_storage_that_cannot_be_looked_through(self, settings: Any, backend: str, words: str) -> None:
        settings.STORAGES = {**settings.STORAGES, "support_tickets": {"BACKEND": f"{__name__}.{backend}"}}
        with pytest.raises(CommandError) as caught:
            run()
        assert words in str(caught.value)
        assert "canary" not in str(caught.value)

    def test_a_database_that_cannot_be_asked_is_not_taken_for_the_storage(self) -> None:
        storages["support_tickets"].save(self.KEY, ContentFile(b"x"))

        def fail(execute: Any, sql: str, *arguments: Any) -> Any:
            if sql.startswith("SELECT") and '."file" IN' in sql.replace("`", '"'):
                raise OperationalError("canary of a password")
            return execute(sql, *arguments)

        with connection.execute_wrapper(fail), pytest.raises(CommandError) as caught:
            run()
        assert str(caught.value) == "Orphaned files were not looked for: a database raised OperationalError."
        assert storages["support_tickets"].exists(self.KEY)


class TestCommand:
    def test_a_dry_run_removes_nothing_and_counts_the_same(self, keep: Any) -> None:
        keep(tickets=30, sync_runs=5)
        settled()
        text = run("--dry-run")
        assert "tickets: 1 to remove, older than 30 days" in text
        assert Ticket.objects.exists()
        assert "tickets: 1 removed, older than 30 days" in run()
        assert not Ticket.objects.exists()
        assert "tickets: 0 removed" in run()

    def test_json(self, keep: Any) -> None:
        keep(tickets=30)
        settled()
        report = json.loads(run("--json"))
        assert report["removed"] == {"tickets": 1}
        assert report["dry_run"] is False
        assert set(report["kept"]) == set(KINDS) - {"tickets"}

    def test_it_says_what_is_kept(self) -> None:
        assert "drafts, tickets, events: kept for ever" in run()
