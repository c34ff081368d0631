from __future__ import annotations

import ast
import logging
import re
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

import django_support_tickets
from django_support_tickets import signals
from django_support_tickets.exceptions import Ambiguous, NotSent, Refused
from django_support_tickets.merge.arrivals import MergeCounts
from django_support_tickets.models import Delivery, Ticket
from django_support_tickets.outbox.push import push
from django_support_tickets.providers import Provider
from django_support_tickets.records import Capabilities, TicketDraft, TicketRecord, TicketRef
from django_support_tickets.sync import pull
from django_support_tickets.testing.sandbox import Sandbox
from django_support_tickets.webhooks import refusals

PACKAGE = Path(django_support_tickets.__file__).parent
OPERATIONS = (PACKAGE.parent / "docs" / "operations.md").read_text()
EVENT = re.compile(r"[a-z]+\.[a-z_]+")
# About the site as a whole: a storage, a scanner, housekeeping of all accounts, a thread.
WITHOUT_ACCOUNT = {
    "attachments.no_time",
    "attachments.not_deleted",
    "attachments.not_signed",
    "attachments.not_stored",
    "attachments.scanner_fails",
    "attachments.scanner_hangs",
    "attachments.unreadable",
    "dashboard.cache_failed",
    "erase.done",
    "prune.done",
    "push.stopped",
}
UNFORESEEN = "uncertain: desk create: the provider raised ValueError (key {key})"
FIELDS = {"event", "account", "operation", "key", "request_id", "duration"}


@cache
def modules() -> list[tuple[Path, ast.Module]]:
    paths = (path for path in sorted(PACKAGE.rglob("*.py")) if not {"testing", "migrations"} & set(path.parts))
    return [(path, ast.parse(path.read_text())) for path in paths]


def is_logging_call(node: Any) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    target = node.func.value
    return isinstance(target, ast.Name) and target.id == "logger" and node.func.attr != "isEnabledFor"


@cache
def logging_calls() -> list[tuple[str, ast.Call]]:
    """Return every call of a logger of ours, with its place."""
    return [
        (f"{path.relative_to(PACKAGE)}:{node.lineno}", node)
        for path, module in modules()
        for node in ast.walk(module)
        if is_logging_call(node)
    ]


def facts_of_calls() -> Iterator[tuple[str, set[str], str]]:
    """Yield of every call of a logger its place, the names in its `extra`, and its event ("push.*" if computed)."""
    for path, module in modules():
        for function in (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)):
            dicts = {
                target.id: node.value
                for node in ast.walk(function)
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for node in ast.walk(function):
                if is_logging_call(node):
                    extra = next(word.value for word in node.keywords if word.arg == "extra")
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", *named(extra, dicts)


def named(extra: ast.expr, dicts: dict[str, ast.expr]) -> tuple[set[str], str]:
    """Return the names in an `extra`, and its event."""
    if isinstance(extra, ast.Name):
        return named(dicts[extra.id], dicts)
    if isinstance(extra, ast.Call) and isinstance(extra.func, ast.Name):
        return (FIELDS, "push.*") if extra.func.id == "log_facts" else ({"account", "key"}, "")
    assert isinstance(extra, ast.Dict)
    names, event = set(), ""
    for key, value in zip(extra.keys, extra.values, strict=True):
        if key is None:
            more, inner = named(value, dicts)
            names, event = names | more, event or inner
        elif isinstance(key, ast.Constant):
            names.add(str(key.value))
            if key.value == "event":
                event = str(value.value) if isinstance(value, ast.Constant) else "*.failed"
    return names, event


def event_names() -> set[str]:
    """Return the names of all events that the code writes out."""
    found = set()
    for _, module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "event" and isinstance(value, ast.Constant):
                        found.add(str(value.value))
                    if isinstance(key, ast.Constant) and key.value == "event" and isinstance(value, ast.JoinedStr):
                        found |= {"push.failed", "pull.failed"}
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "log_facts":
                name = node.args[2]
                found |= {f"push.{name.value}"} if isinstance(name, ast.Constant) else set()
    return found


class Desk(Provider):
    """A vendor in memory whose next answer can be an error."""

    next_error: Exception | None = None

    def __init__(self, alias: str, **common: Any) -> None:
        super().__init__(alias, **common)
        self.capabilities = Capabilities()

    def get(self, ref: TicketRef) -> TicketRecord:
        return TicketRecord(remote_id=ref.remote_id)

    def create(self, draft: TicketDraft) -> TicketRecord:
        time.sleep(0.01)
        error, Desk.next_error = Desk.next_error, None
        if error is not None:
            raise error
        return TicketRecord(remote_id=draft.key)


@pytest.fixture
def desk(settings: Any) -> Any:
    settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {"BACKEND": f"{__name__}.Desk"}}
    Desk.next_error = None
    return Desk


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="django_support_tickets")
    return caplog


def events(caplog: pytest.LogCaptureFixture, name: str) -> list[Any]:
    return [record for record in caplog.records if getattr(record, "event", "") == name]


class TestCode:
    def test_every_record_has_an_event_and_its_account(self) -> None:
        calls = list(facts_of_calls())
        assert len(calls) == len(logging_calls()) > 20
        assert [place for place, names, _ in calls if "event" not in names] == []
        accountless = {event for _, names, event in calls if "account" not in names}
        assert accountless <= WITHOUT_ACCOUNT

    def test_event_names_are_of_one_form(self) -> None:
        names = event_names()
        assert len(names) > 15
        assert [name for name in names if not EVENT.fullmatch(name)] == []

    def test_the_documentation_lists_them_all(self) -> None:
        (section,) = re.findall(r"## Logs\n(.*?)\n## ", OPERATIONS, re.S)
        assert set(re.findall(r"`([a-z]+\.[a-z_]+)`", section)) == event_names()

    def test_no_record_shows_a_traceback(self) -> None:
        """It would show the text of foreign exceptions, which may quote what customers wrote."""
        for place, call in logging_calls():
            assert isinstance(call.func, ast.Attribute)
            assert call.func.attr != "exception", place
            assert "exc_info" not in {keyword.arg for keyword in call.keywords}, place

    def test_no_record_is_formatted_before_it_is_wanted(self) -> None:
        for place, call in logging_calls():
            assert isinstance(call.args[0], ast.Constant), place

    def test_the_example_of_the_documentation_takes_every_record(self) -> None:
        (block,) = re.findall(r"```python\n# settings.py\n(LOGGING.*?)```", OPERATIONS, re.S)
        names: dict[str, Any] = {}
        exec(block, names)  # noqa: S102 -- our own documentation
        example = names["LOGGING"]["formatters"]["event"]
        record = logging.makeLogRecord({"msg": "sent", "levelname": "INFO", "event": "push.delivered"})
        assert (
            logging.Formatter(example["format"], style=example["style"])
            .format(record)
            .endswith("INFO push.delivered sent")
        )


@pytest.mark.django_db
class TestRecords:
    @pytest.mark.parametrize(
        ("error", "event", "level", "message"),
        [
            (None, "push.delivered", logging.INFO, "delivered"),
            (Refused("no", alias="desk", request_id="req-1"), "push.refused", logging.WARNING, "refused: {}"),
            (NotSent("no way", alias="desk", request_id="req-1"), "push.retry", logging.INFO, "retry later: {}"),
            (Ambiguous("cut", alias="desk", request_id="req-1"), "push.uncertain", logging.ERROR, "uncertain: {}"),
            (ValueError("foreign"), "push.uncertain", logging.ERROR, UNFORESEEN),
        ],
    )
    def test_a_push(
        self, desk: Any, logged: Any, error: Exception | None, event: str, level: int, message: str
    ) -> None:
        ticket = Ticket.objects.create(subject="S", description="D")
        desk.next_error = error
        push("desk")
        (record,) = events(logged, event)
        assert set(record.__dict__) >= FIELDS
        assert (record.account, record.operation, record.key) == ("desk", "create", str(ticket.key))
        assert record.request_id == getattr(error, "request_id", "")
        assert record.levelno == level
        assert record.getMessage() == message.format(error, key=ticket.key)
        assert 0.01 <= record.duration < 60

    def test_a_pull(self, desk: Any, logged: Any) -> None:
        pull("desk")
        (record,) = events(logged, "pull.done")
        assert (record.account, record.outcome, record.fetched) == ("desk", "done", 0)
        assert record.duration >= 0

    @pytest.mark.fault(68)
    def test_a_vendors_words_begin_no_line(self, desk: Any, logged: Any) -> None:
        """A provider of a project's own may pass on whatever its vendor says."""
        words = "no\r\nCRITICAL root: \x1b[31mall is lost\u2028\x00"
        Desk.next_error = Refused(words, alias="desk", operation="create", code=words, request_id=words)
        Ticket.objects.create(provider="desk", subject="S", description="D")
        push("desk")
        MergeCounts().fail(f"ticket {words}", "it could not be stored", account="desk")
        messages = [record.getMessage() for record in logged.records if record.name.startswith("django_support")]
        assert sum("all is lost" in message for message in messages) == 2
        assert all(message.isprintable() for message in messages)
        (refused,) = events(logged, "push.refused")
        assert refused.request_id.isprintable()

    def test_every_answer_of_a_vendor(self, settings: Any, sandbox: Sandbox, logged: Any) -> None:
        backend = "django_support_tickets.providers.moov.MoovProvider"
        settings.SUPPORT_TICKETS_PROVIDERS = {"moov": {"BACKEND": backend, "OPTIONS": sandbox.moov.options()}}
        ticket = Ticket.objects.create(
            subject="S", description="D", customer_id="acct-1", contact_email="a@example.com"
        )
        push("moov")
        (record,) = [record for record in events(logged, "http.answered") if record.operation == "create"]
        assert set(record.__dict__) >= FIELDS
        assert record.key == str(ticket.key)
        assert record.request_id
        assert record.levelno == logging.DEBUG

    def test_webhooks(self, settings: Any, sandbox: Sandbox, logged: Any, client: Client) -> None:
        settings.ROOT_URLCONF = "tests.management.webhook_urls"
        backend = "django_support_tickets.providers.ripio.RipioProvider"
        settings.SUPPORT_TICKETS_PROVIDERS = {"ripio": {"BACKEND": backend, "OPTIONS": sandbox.ripio.options()}}
        refusals.clear()
        headers, body = sandbox.ripio.sign({"eventType": "SOMETHING.ELSE"})
        client.post("/support-tickets/webhooks/ripio/", body, content_type="application/json", headers=headers)
        client.post("/support-tickets/webhooks/ripio/", body, content_type="application/json")
        (accepted,) = events(logged, "webhook.accepted")
        assert (accepted.account, accepted.getMessage()) == ("ripio", "webhook accepted")
        (refused,) = events(logged, "webhook.refused")
        assert (refused.account, refused.count) == ("ripio", 1)


@pytest.mark.django_db
def test_signals_are_the_hook_for_metrics(desk: Any, django_capture_on_commit_callbacks: Any) -> None:
    """As the README has it: count what happens, by account."""
    counted: dict[tuple[str, str], int] = {}

    def count(name: str) -> Any:
        def receiver(ticket: Ticket, **kwargs: Any) -> None:
            counted[name, ticket.provider] = counted.get((name, ticket.provider), 0) + 1

        return receiver

    receivers = {name: count(name) for name in ("ticket_delivered", "delivery_refused", "delivery_uncertain")}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver)
    try:
        for error in (None, Refused("no", alias="desk"), ValueError("foreign")):
            Ticket.objects.create(subject="S", description="D")
            desk.next_error = error
            with django_capture_on_commit_callbacks(execute=True):
                push("desk")
    finally:
        for name, receiver in receivers.items():
            getattr(signals, name).disconnect(receiver)
    assert counted == dict.fromkeys([(name, "desk") for name in receivers], 1)
    assert Ticket.objects.filter(delivery=Delivery.DELIVERED).count() == 1
