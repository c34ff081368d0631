from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.db import InterfaceError, OperationalError, connection

from django_support_tickets.exceptions import AccessDenied, NotSent
from django_support_tickets.management.commands.sync_tickets import ALREADY_RUNNING
from django_support_tickets.management.progress import Progress
from django_support_tickets.management.stopping import Stopping
from django_support_tickets.management.watching import AFTER_FAILURE, watch
from django_support_tickets.management.working import Order
from django_support_tickets.models import Comment, ProviderState, Ticket, epoch_now
from django_support_tickets.records import CommentRecord, Status, TicketRecord
from django_support_tickets.sync.lock import RunLock
from tests.management.slow import PAGES, write_settings
from tests.sync.conftest import configure, desk, ticket
from tests.transport_server import here

__all__ = ["configure", "desk", "ticket"]


def record(remote_id: str = "R-1", **values: Any) -> TicketRecord:
    return TicketRecord(remote_id=remote_id, **{"status": Status.OPEN, **values})


def run(*args: str, **options: Any) -> tuple[str, str, int]:
    """Return what the command writes to stdout and stderr, and its exit code."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("sync_tickets", *args, stdout=out, stderr=err, **options)
    except CommandError as error:
        return out.getvalue(), err.getvalue() + str(error), error.returncode
    return out.getvalue(), err.getvalue(), 0


@pytest.mark.django_db
class TestOneRound:
    def test_one_line_per_account(self, desk, ticket):
        ticket()
        desk.tickets["R-1"] = record(comments=(CommentRecord(remote_id="c1", body="x"),))
        assert run() == ("desk: 1 fetched, 1 changed, 1 new comment\n", "", 0)
        assert run("desk") == ("desk: nothing to do\n", "", 0)

    def test_failures_are_named(self, desk, ticket):
        one = ticket()
        desk.script = [NotSent("no connection could be made", alias="desk", operation="get", reason="secret")]
        out, _, code = run("--pull-only")
        assert out == f"desk: 1 failed\n  failed: ticket {one.key}: no connection could be made\n"
        assert code == 0

    def test_an_unknown_alias_is_answered_with_the_known_ones(self, desk):
        out, err, code = run("nope")
        assert (out, code) == ("", 1)
        assert err == "There is no account 'nope'; SUPPORT_TICKETS_PROVIDERS has: desk."

    def test_an_account_that_cannot_be_used_is_named(self, settings):
        settings.SUPPORT_TICKETS_PROVIDERS = {"bad": {"BACKEND": "nowhere.Provider"}}
        _, err, code = run()
        assert "'bad'" in err and code == 1

    @pytest.mark.fault(93)
    def test_settings_that_miss_a_key_are_named_at_the_start_and_nothing_is_sent(self, desk, settings):
        backend = "django_support_tickets.providers.ripio.RipioProvider"
        incomplete = {"BACKEND": backend, "OPTIONS": {"base_url": "https://ripio.example", "client_id": "a"}}
        settings.SUPPORT_TICKETS_PROVIDERS = {"ripio": incomplete, **settings.SUPPORT_TICKETS_PROVIDERS}
        Ticket.objects.bulk_create([Ticket(provider=alias, subject="S") for alias in ("ripio", "desk")])
        complaint = "Provider 'ripio': missing 1 required keyword-only argument: 'client_secret'"
        _, err, code = run(skip_checks=False)
        assert code == 1
        assert f"(support_tickets.E003) {complaint}" in err
        assert run()[1:] == (complaint, 1)
        assert set(Ticket.objects.values_list("delivery", flat=True)) == {"queued"}

    @pytest.mark.parametrize("workers", ["0", "x", "-1"])
    def test_workers_are_a_number(self, desk, workers):
        with pytest.raises(CommandError, match="workers"):
            call_command("sync_tickets", "--workers", workers)

    def test_sides(self, desk, ticket):
        ticket()
        desk.tickets["R-1"] = record()
        assert run("--push-only")[0] == "desk: nothing to do\n"
        assert run("--pull-only")[0] == "desk: 1 fetched, 1 changed\n"
        with pytest.raises(CommandError, match="not allowed with"):
            call_command("sync_tickets", "--push-only", "--pull-only")

    def test_json(self, desk, ticket):
        ticket()
        desk.tickets["R-1"] = record()
        result = json.loads(run("--json")[0])
        assert result["account"] == "desk" and result["needs_a_person"] == []
        assert result["pull"]["fetched"] == 1 and result["push"]["delivered"] == 0

    def test_quiet(self, desk, ticket):
        ticket()
        assert run(verbosity=0)[:2] == ("", "")

    def test_dry_run_shows_the_differences_and_writes_nothing(self, desk, ticket):
        one = ticket(remote_status="new", reference="SUP-1")
        own = ticket(None, delivery="queued", next_poll_at=None)
        desk.tickets["R-1"] = record(
            remote_status="open", resolution="Secret", comments=(CommentRecord(remote_id="c1", body="Secret"),)
        )
        out, _, code = run("--dry-run")
        assert out == (
            "desk SUP-1: status: pending -> open, vendor's status: new -> open, resolution changed, +1 new comment\n"
            "desk: would send 1; 1 fetched, 1 changed, 1 new comment\n"
        )
        one.refresh_from_db()
        own.refresh_from_db()
        assert (one.status, own.delivery, code) == ("pending", "queued", 0)
        assert not Comment.objects.exists() and not ProviderState.objects.exists()

    def test_full(self, desk, ticket):
        ticket(next_poll_at=None)
        desk.tickets["R-1"] = record()
        assert "1 fetched" in run("--full")[0]


@pytest.mark.django_db
@pytest.mark.fault(95)
class TestExitCodes:
    def test_a_pull_that_is_running(self, desk, ticket):
        ticket()
        with RunLock("desk", using="default"):
            out, err, code = run()
        assert (out, code) == ("desk: another pull is already running\n", 75)
        assert err == "A pull is already running: desk."
        assert desk.asked == []

    @pytest.mark.parametrize("values", [{"delivery": "uncertain"}, {"close_delivery": "uncertain"}])
    def test_an_uncertain_ticket_needs_a_person(self, desk, ticket, values):
        ticket(next_poll_at=None, **values)
        out, err, code = run()
        assert "needs a person: 1 uncertain" in out and "support_tickets_settle" in out
        assert (err, code) == ("Needs a person: desk.", 1)

    def test_an_uncertain_comment_needs_a_person(self, desk, ticket):
        Comment.objects.bulk_create([Comment(ticket=ticket(next_poll_at=None), body="x", delivery="uncertain")])
        assert run()[2] == 1

    def test_a_refused_account_needs_a_person_until_it_is_accepted(self, desk, ticket):
        ticket()
        desk.script = [AccessDenied("the vendor refuses this account", alias="desk", operation="get", status=401)]
        desk.tickets["R-1"] = record()
        out, _, code = run("--pull-only")
        assert "ended early: desk get: the vendor refuses this account (status 401)" in out and code == 1
        assert run("--pull-only")[2] == 1 and run("--push-only")[2] == 1
        ProviderState.objects.update(paused_until=epoch_now("default") - 1)
        assert run("--pull-only")[2] == 0

    def test_the_brake_needs_a_person(self, desk, ticket):
        for number in range(20):
            ticket(f"R-{number}", digest="not found")
        out, _, code = run("--pull-only")
        assert "20 tickets are not to be found" in out and code == 1

    def test_a_person_comes_before_a_pull_that_is_running(self, desk, ticket):
        ticket(delivery="uncertain")
        with RunLock("desk", using="default"):
            assert run()[2] == 1

    def test_watch_is_not_for_one_round(self, desk):
        assert run("--watch", "--full")[2] == 1


class TestWatch:
    def test_rounds_until_a_signal_comes(self, desk, ticket, transactional_db):
        ticket()
        desk.tickets["R-1"] = record()
        said = []

        def say(result: Any) -> None:
            said.append(result)
            os.kill(os.getpid(), signal.SIGTERM)

        with Stopping() as stopping:
            watch(["desk"], Order(using="default"), stopping=stopping, say=say)
        assert [result.pulled.changed for result in said] == [1]
        assert stopping.signum == signal.SIGTERM and stopping.wait(0)
        assert ProviderState.objects.get(scope="").heartbeat <= epoch_now("default")

    @pytest.mark.parametrize("error", [OperationalError, InterfaceError])
    def test_a_database_that_fails_is_waited_for(self, desk, ticket, transactional_db, caplog, error):
        ticket()
        desk.tickets["R-1"] = record()
        failures, waited = [error("canary of a password")], []

        class Patient(Stopping):
            def wait(self, seconds: float) -> bool:
                waited.append(seconds)
                return self()

        def fail_once(execute, *arguments):
            if failures:
                raise failures.pop()
            return execute(*arguments)

        with Patient() as stopping, connection.execute_wrapper(fail_once):
            say = lambda result: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
            watch(["desk"], Order(using="default"), stopping=stopping, say=say)
        assert waited[0] == AFTER_FAILURE
        assert [record.event for record in caplog.records if record.levelname == "ERROR"] == ["watch.database_failed"]
        assert "canary" not in caplog.text

    def test_by_the_command_with_the_handlers_of_before_put_back(self, desk, ticket, transactional_db):
        ticket()
        desk.script = [lambda ref: os.kill(os.getpid(), signal.SIGINT) or record()]
        before = signal.getsignal(signal.SIGINT)
        assert run("--watch") == ("desk: 1 fetched, 1 changed\n", "", 0)
        assert signal.getsignal(signal.SIGINT) is before

    def test_one_round_that_was_stopped_says_so(self, desk, ticket, transactional_db):
        ticket()
        desk.script = [lambda ref: os.kill(os.getpid(), signal.SIGTERM) or record()]
        out, err, code = run("--pull-only")
        assert (err, code) == ("Stopped; what was not done stays due.", 128 + signal.SIGTERM)
        assert out == "desk: 1 fetched, 1 changed\n"

    def test_a_second_signal_interrupts(self):
        with Stopping() as stopping, pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            assert stopping()
            os.kill(os.getpid(), signal.SIGINT)

    def test_in_another_thread_it_only_waits(self):
        seen = []

        def other() -> None:
            with Stopping() as stopping:
                seen.append(stopping())

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert seen == [False]


class TestProgress:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def test_a_bar_on_a_terminal(self):
        stream = self.Terminal()
        bar = Progress(stream, "desk")
        bar(5, 10)
        assert stream.getvalue() == "\rdesk [###############---------------] 5/10\x1b[K"
        bar.clear()
        assert stream.getvalue().endswith("\r\x1b[K")
        before = stream.getvalue()
        bar(6, 10)  # too soon
        assert stream.getvalue() == before

    def test_through_what_a_command_writes_to(self):
        stream = self.Terminal()
        wrapper = OutputWrapper(stream)
        wrapper.style_func = str.upper
        bar = Progress(wrapper, "desk")
        bar(10, 10)
        bar.clear()
        assert stream.getvalue() == "\rdesk [##############################] 10/10\x1b[K\r\x1b[K"

    def test_a_count_where_the_whole_is_not_known(self):
        stream = self.Terminal()
        Progress(stream, "desk")(7)
        assert stream.getvalue() == "\rdesk 7\x1b[K"

    def test_now_and_then_a_line_elsewhere(self):
        stream = io.StringIO()
        bar = Progress(stream, "desk")
        bar(1, 10)
        assert stream.getvalue() == ""
        bar._shown_at -= 60
        bar(2, 10)
        assert stream.getvalue() == "desk 2/10\n"

    def test_a_terminal_that_has_gone(self):
        stream = self.Terminal()
        stream.close()
        bar = Progress(stream, "desk")
        bar(1, 10)
        bar.clear()


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    """The environment of a process with its own database and a vendor that answers slowly."""
    return write_settings(tmp_path)


@pytest.fixture
def start(site: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start sync_tickets with arguments as a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "ignore", "-m", "tests.management.slow", *args]
        process = subprocess.Popen(command, env=site, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for said in process.stdout:
        if line in said:
            return
    raise AssertionError(process.stderr and process.stderr.read())


@pytest.mark.fault(95)
class TestProcess:
    def test_watch_sends_and_fetches_until_it_is_told_to_end(self, start):
        process = start("--watch", "--json")
        wait_for(process, '"fetched": 1')
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert time.monotonic() - started < here(5)

    @pytest.mark.parametrize("call", ["get", pytest.param("create", marks=pytest.mark.services)])
    def test_a_vendor_that_does_not_answer_cannot_keep_it(self, start, call):
        process = start("--watch", f"--hang-{call}", "--json")
        wait_for(process, "hanging")
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - started < here(5)
        assert "Traceback" not in err and process.returncode in (0, 128 + signal.SIGTERM)

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
    def test_a_second_signal_ends_at_once_and_the_exit_code_names_it(self, start, signum):
        process = start("--pull-only", "--hang-get", "--json")
        wait_for(process, "hanging")
        process.send_signal(signum)
        time.sleep(0.3)
        started = time.monotonic()
        process.send_signal(signum)
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - started < here(1.5)
        assert process.returncode == 128 + signum and "Traceback" not in err

    @pytest.mark.services
    @pytest.mark.fault(50)
    def test_a_walk_that_was_killed_goes_on_where_it_was(self, start, tmp_path):
        process = start("--pull-only", "--slow-list")
        wait_for(process, "page 3")
        process.kill()
        process.wait()
        with closing(sqlite3.connect(tmp_path / "db")) as database:
            (cursor,) = database.execute("SELECT cursor FROM support_tickets_providerstate").fetchone()
        assert cursor in ("1", "2", "3")

        other = start("--pull-only", "--slow-list")
        other.communicate(timeout=120)
        assert other.returncode == ALREADY_RUNNING  # the lease of the dead one
        with closing(sqlite3.connect(tmp_path / "db")) as database, database:
            database.execute("UPDATE support_tickets_providerstate SET run_leased_until = 1")
        said, err = start("--pull-only", "--slow-list").communicate(timeout=120)
        assert [line for line in said.splitlines() if "page" in line] == [
            f"page {n}" for n in range(int(cursor), PAGES)
        ]
        assert err == ""

    def test_a_reader_that_has_gone_is_no_error(self, site):
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-W", "ignore", "-m", "tests.management.slow"]
        done = subprocess.run(command, env=site, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, "")
