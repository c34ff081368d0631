from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import InMemoryStorage
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, ProgrammingError, connection
from django.utils import timezone

from django_support_tickets.exceptions import NotSent
from django_support_tickets.management.doctor import Report, age, examine
from django_support_tickets.management.findings import Level
from django_support_tickets.models import (
    Delivery,
    EpochNow,
    OutboxEntry,
    ProviderState,
    SyncRun,
    Ticket,
    TicketEvent,
)
from django_support_tickets.providers import Provider
from django_support_tickets.records import Probe, TicketDraft, TicketRecord, TicketRef
from django_support_tickets.testing.sandbox import Fault, Sandbox
from tests.transport_server import here

pytestmark = pytest.mark.django_db

RIPIO = "django_support_tickets.providers.ripio.RipioProvider"
VERIFIK = "django_support_tickets.providers.verifik.VerifikProvider"
#: Lets the vendor that hangs go.
released = threading.Event()


class OddProvider(Provider):
    """A provider of a project's own, whose answers to a doctor are options."""

    def __init__(self, alias: str, *, mood: str = "", **common: Any) -> None:
        super().__init__(alias, **common)
        self.mood = mood

    def get(self, ref: TicketRef) -> TicketRecord:
        raise NotImplementedError

    def create(self, draft: TicketDraft) -> TicketRecord:
        raise NotImplementedError

    def probe(self) -> Probe:
        if self.mood == "broken":
            raise ValueError("canary-token-1234")
        if self.mood == "hanging":
            released.wait(60)
        if self.mood == "ending":
            return Probe(token_expires_at=datetime.now(UTC) + timedelta(days=3))
        if self.mood == "lasting":
            return Probe(token_expires_at=datetime(2999, 1, 1, tzinfo=UTC))
        return Probe(warnings=("The moon is full.",) if self.mood == "warning" else ())


class DemandingProvider(OddProvider):
    def __init__(self, alias: str, **options: Any) -> None:
        raise ImproperlyConfigured("canary-token-1234")


class BrokenStorage(InMemoryStorage):
    """A storage whose credentials are wrong, and says so with its key."""

    def _save(self, name: str, content: Any) -> str:
        raise PermissionError("AKIA-canary")


class ForgetfulStorage(InMemoryStorage):
    def _open(self, name: str, mode: str = "rb") -> Any:
        from django.core.files.base import ContentFile

        return ContentFile(b"something else")


@pytest.fixture
def account(settings: Any) -> Callable[..., None]:
    """Configure one account, "desk"."""

    def configure(backend: str = f"{__name__}.OddProvider", **options: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {"BACKEND": backend, "OPTIONS": options}}

    return configure


def found(report: Report, topic: str) -> tuple[str, str]:
    """Return level and text of the one finding on a topic."""
    (finding,) = [finding for finding in report.findings if finding.topic == topic]
    return finding.level, finding.text


def doctor(*arguments: str) -> tuple[int, str]:
    """Run the command; return exit code and output."""
    output = StringIO()
    try:
        call_command("support_tickets_doctor", *arguments, stdout=output)
    except SystemExit as ending:
        return int(str(ending.code)), output.getvalue()
    return 0, output.getvalue()


class TestCommand:
    def test_a_site_in_order_exits_with_0(self) -> None:
        code, output = doctor()
        assert code == 0, output
        assert output.rstrip().endswith("All is well.")
        assert "local  credentials  accepted" in output

    def test_what_needs_a_look_exits_with_1(self, account: Any) -> None:
        account(mood="warning")
        code, output = doctor()
        assert code == 1
        assert "warn  desk  credentials  The moon is full." in output
        assert "1 of " in output.splitlines()[-1]

    def test_json(self, account: Any) -> None:
        account(mood="broken")
        code, output = doctor("--json")
        report = json.loads(output)
        assert (code, report["well"]) == (1, False)
        assert report["accounts"]["desk"]["queued"] == 0
        assert {"level": "fail", "subject": "desk", "topic": "credentials"}.items() <= report["findings"][3].items()

    def test_an_account_that_cannot_be_built_stops_nothing(self, account: Any) -> None:
        account(tokn="x")
        code, output = doctor()
        assert code == 1
        assert "E003" in output
        assert "queued" in output

    def test_nor_does_one_whose_class_looks_for_a_setting_that_is_missing(self, account: Any) -> None:
        account(f"{__name__}.DemandingProvider")
        code, output = doctor()
        assert code == 1
        assert "building it raised ImproperlyConfigured" in output
        assert "canary" not in output

    def test_nothing_of_a_foreign_exception_is_printed(self, account: Any) -> None:
        account(mood="broken")
        assert "canary" not in doctor()[1]

    def test_settings_of_the_wrong_form_are_part_of_the_report(self, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = None
        code, output = doctor()
        assert code == 1
        assert "E002" in output

    def test_a_silenced_message_is_not_part_of_it(self, settings: Any) -> None:
        settings.SUPPORT_TICKETS_OWN = "a name of the project's"
        assert found(examine(using="default"), "settings")[0] == Level.FAIL
        settings.SILENCED_SYSTEM_CHECKS = ["support_tickets.E001"]
        assert found(examine(using="default"), "settings")[0] == Level.OK


class TestCredentials:
    def test_a_good_account(self, account: Any, sandbox: Sandbox) -> None:
        account(RIPIO, **sandbox.ripio.options())
        assert found(examine(using="default"), "credentials") == (Level.OK, "accepted")

    def test_a_refused_secret(self, account: Any, sandbox: Sandbox) -> None:
        account(RIPIO, **{**sandbox.ripio.options(), "client_secret": "canary-secret"})
        level, text = found(examine(using="default"), "credentials")
        assert level == Level.FAIL
        assert text.startswith("refused: ")
        assert "status 401" in text
        assert "canary" not in text

    def test_a_busy_vendor_is_no_failure(self, account: Any, sandbox: Sandbox) -> None:
        account(VERIFIK, **sandbox.verifik.options(), rate=None)
        sandbox.verifik.fail_next("*", Fault.RATE_LIMITED)
        level, text = found(examine(using="default"), "credentials")
        assert (level, text.partition(":")[0]) == (Level.WARN, "not proved")

    def test_a_vendor_that_cannot_be_reached(self, account: Any) -> None:
        account(VERIFIK, token="x", base_url="http://127.0.0.1:9", rate=None)
        level, text = found(examine(using="default"), "credentials")
        assert level == Level.FAIL
        assert "no connection could be made" in text

    def test_one_that_hangs_does_not_keep_the_doctor(self, account: Any) -> None:
        account(mood="hanging")
        started = time.monotonic()
        report = examine(using="default", patience=0.1)
        released.set()
        assert time.monotonic() - started < here(2.5)
        assert found(report, "asked") == (Level.FAIL, "no answer within 0 s")

    def test_a_secret_manager_that_is_down(self, account: Any, sandbox: Sandbox) -> None:
        def unreachable() -> str:
            raise ConnectionError("vault canary")

        account(RIPIO, **{**sandbox.ripio.options(), "client_secret": unreachable})
        level, text = found(examine(using="default"), "credentials")
        assert level == Level.FAIL
        assert "canary" not in text

    @pytest.mark.parametrize(
        ("mood", "level", "words"),
        [("ending", Level.WARN, "The token ends on"), ("lasting", Level.OK, "good until 2999-01-01")],
    )
    def test_when_the_token_ends(self, account: Any, mood: str, level: Level, words: str) -> None:
        account(mood=mood)
        seen, text = found(examine(using="default"), "credentials")
        assert seen == level
        assert words in text

    def test_a_vendor_in_another_hour(self, account: Any, sandbox: Sandbox) -> None:
        account(RIPIO, **sandbox.ripio.options())
        sandbox.clock.advance(3600)
        level, text = found(examine(using="default"), "clock")
        assert level == Level.WARN
        assert "differ by 36" in text or "differ by 35" in text


class TestStorage:
    def test_without_one_files_are_refused_and_all_is_well(self, settings: Any) -> None:
        settings.STORAGES = {name: value for name, value in settings.STORAGES.items() if name != "support_tickets"}
        level, text = found(examine(using="default"), "files")
        assert level == Level.OK
        assert "files are refused" in text

    @pytest.mark.parametrize(
        ("backend", "words"),
        [("BrokenStorage", "it raised PermissionError"), ("ForgetfulStorage", "is not what was written")],
    )
    def test_one_that_does_not_work(self, settings: Any, backend: str, words: str) -> None:
        settings.STORAGES = {**settings.STORAGES, "support_tickets": {"BACKEND": f"{__name__}.{backend}"}}
        level, text = found(examine(using="default"), "files")
        assert level == Level.FAIL
        assert words in text
        assert "canary" not in text

    def test_nothing_is_left_behind(self) -> None:
        from django.core.files.storage import storages

        examine(using="default")
        folders, files = storages["support_tickets"].listdir("")
        assert not files
        assert (
            not storages["support_tickets"].exists("doctor") or storages["support_tickets"].listdir("doctor")[1] == []
        )


class TestBacklog:
    @pytest.fixture(autouse=True)
    def desk(self, account: Any) -> None:
        account()

    def ticket(self, **values: Any) -> Ticket:
        return Ticket.objects.bulk_create([Ticket(provider="desk", subject="S", **values)])[0]

    def test_what_has_waited_for_long(self) -> None:
        OutboxEntry.objects.create(
            ticket=self.ticket(), provider="desk", created_at=timezone.now() - timedelta(hours=3)
        )
        level, text = found(examine(using="default"), "sending")
        assert (level, text) == (Level.WARN, "1 queued, the oldest for 3 h")

    def test_rows_that_nothing_has_announced_count_too(self) -> None:
        self.ticket(created_at=timezone.now() - timedelta(days=2))
        assert found(examine(using="default"), "sending") == (Level.WARN, "1 queued, the oldest for 2 d")

    def test_what_waits_for_a_minute_is_fine(self) -> None:
        self.ticket(created_at=timezone.now() - timedelta(minutes=1))
        assert found(examine(using="default"), "sending") == (Level.OK, "1 queued, the oldest for 1 min")

    def test_uncertain_and_refused(self) -> None:
        ticket = self.ticket(delivery=Delivery.UNCERTAIN)
        TicketEvent.objects.create(ticket=ticket, kind=TicketEvent.Kind.REFUSED, source=TicketEvent.Source.PUSH)
        level, text = found(examine(using="default"), "sending")
        assert level == Level.WARN
        assert "1 uncertain" in text
        assert "1 refused in the last day" in text

    @pytest.mark.parametrize(("pause", "level"), [("busy", Level.OK), ("down", Level.WARN), ("denied", Level.FAIL)])
    def test_a_paused_account(self, pause: str, level: Level) -> None:
        state = ProviderState.objects.create(provider="desk", pause=pause, pause_detail="status 401")
        ProviderState.objects.filter(pk=state.pk).update(
            paused_until=EpochNow() + 600_000, heartbeat=EpochNow() - 180_000
        )
        seen, text = found(examine(using="default"), "sending")
        assert seen == level
        assert "paused for 10 min: status 401" in text
        assert "a worker was alive 3 min ago" in text

    def test_nobody_fetches(self) -> None:
        self.ticket(remote_id="R-1", delivery=Delivery.DELIVERED, next_poll_at=timezone.now() - timedelta(hours=1))
        assert found(examine(using="default"), "fetching") == (Level.WARN, "1 overdue")

    @pytest.mark.parametrize(("outcome", "level"), [("done", Level.OK), ("failed", Level.WARN)])
    def test_the_last_run(self, outcome: str, level: Level) -> None:
        run = SyncRun.objects.create(provider="desk", outcome=outcome, error="the vendor does not answer")
        SyncRun.objects.filter(pk=run.pk).update(started_at=run.started_at - timedelta(minutes=3))
        seen, text = found(examine(using="default"), "fetching")
        assert seen == level
        assert f"last run 3 min ago: {outcome} (the vendor does not answer)" in text

    @pytest.mark.fault(18)
    def test_tickets_of_an_account_that_is_gone_are_named(self) -> None:
        Ticket.objects.bulk_create([Ticket(provider="old-desk", subject="S")])
        level, text = found(examine(using="default"), "parked")
        assert level == Level.WARN
        assert text.startswith("1 ticket waits for 'old-desk'")

    def test_no_text_of_a_ticket_is_shown(self) -> None:
        self.ticket(description="canary text", contact_email="canary@example.com", delivery_error="canary reason")
        assert "canary" not in doctor()[1]


class TestDatabase:
    """One that fails at some statements, or at all."""

    @pytest.fixture
    def failing(self) -> Callable[..., Any]:
        def failing(error: type[Exception], *, at: str = "") -> Any:
            def fail(execute: Any, sql: str, *arguments: Any) -> Any:
                if at in sql:
                    raise error("canary of a password")
                return execute(sql, *arguments)

            return connection.execute_wrapper(fail)

        return failing

    @pytest.mark.parametrize("error", [OperationalError, ProgrammingError, InterfaceError])
    def test_one_that_is_down_or_has_no_tables(self, failing: Any, error: type[Exception]) -> None:
        with failing(error):
            code, output = doctor()
        assert code == 1
        assert f"default: {error.__name__}; is it there, and migrated?" in output
        assert "canary" not in output

    @pytest.mark.parametrize("error", [OperationalError, InterfaceError])
    def test_one_that_goes_down_meanwhile(self, failing: Any, error: type[Exception]) -> None:
        with failing(error, at="support_tickets_syncrun"):
            report = examine(using="default")
        assert report.backlogs == {}
        bad = [finding for finding in report.findings if finding.level != Level.OK]
        assert [(one.subject, one.topic) for one in bad] == [("local", "database")]
        assert f"default: {error.__name__}" in bad[0].text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59, "59 s"), (150, "2 min"), (7200, "2 h"), (1e6, "12 d")]
)
def test_ages_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert age(seconds) == words


def test_errors_name_their_cause_without_the_account() -> None:
    from django_support_tickets.management.probing import _without_name

    assert _without_name(NotSent("no way", alias="desk", operation="get", status=500)) == "no way (status 500)"
