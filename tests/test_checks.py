from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.db import connections
from django.test import override_settings
from django.views.debug import SafeExceptionReporterFilter

from django_support_tickets import checks
from django_support_tickets.checks import (
    check_databases,
    check_deployment,
    check_dispatcher,
    check_functions,
    check_providers,
    check_settings,
    check_storage,
    check_values,
)
from django_support_tickets.providers import Provider
from django_support_tickets.records import Capabilities, TicketDraft, TicketRecord, TicketRef

PACKAGE = Path(checks.__file__).parent
RIPIO = "django_support_tickets.providers.ripio.RipioProvider"
OPTIONS = {"base_url": "https://ripio.example", "client_id": "a", "client_secret": "b"}


def complaints(**providers: Any) -> list[str]:
    with override_settings(SUPPORT_TICKETS_PROVIDERS=providers):
        messages = check_providers()
    assert all(message.id == "support_tickets.E003" and message.hint for message in messages)
    return [message.msg for message in messages]


class TestSettings:
    @pytest.mark.django_db  # Django's own checks ask the database what it can do
    def test_the_defaults_are_in_order(self) -> None:
        assert [message for message in run_checks() if str(message.id).startswith("support_tickets")] == []

    @override_settings(SUPPORT_TICKETS_PROVIDRES={})
    def test_a_misspelt_setting_is_named(self) -> None:
        (message,) = check_settings()
        assert message.id == "support_tickets.E001"
        assert "SUPPORT_TICKETS_PROVIDRES" in message.msg

    @pytest.mark.parametrize("value", [None, [], {}, "local"])
    def test_providers_must_be_a_filled_dictionary(self, value: Any) -> None:
        with override_settings(SUPPORT_TICKETS_PROVIDERS=value):
            assert [message.id for message in check_providers()] == ["support_tickets.E002"]

    @override_settings(SUPPORT_TICKETS_DISPATCHER="nowhere.at_all")
    def test_a_dispatcher_must_exist(self) -> None:
        assert [message.id for message in check_dispatcher()] == ["support_tickets.E004"]


class TestProviders:
    def test_a_complete_account_is_in_order(self) -> None:
        assert complaints(ripio={"BACKEND": RIPIO, "OPTIONS": OPTIONS}) == []

    def test_an_unknown_option_is_named(self) -> None:
        (message,) = complaints(ripio={"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "tokn": "x"}})
        assert message == "Provider 'ripio': unexpected keyword argument 'tokn'"

    @pytest.mark.fault(93)
    def test_a_missing_option_is_named(self) -> None:
        (message,) = complaints(ripio={"BACKEND": RIPIO, "OPTIONS": {"base_url": "https://ripio.example"}})
        assert "'ripio'" in message
        assert "missing" in message
        assert "'client_id'" in message
        assert "'client_secret'" in message

    @pytest.mark.parametrize(
        ("config", "named"),
        [
            ({"OPTIONS": {}}, "BACKEND is missing"),
            ({"BACKEND": "no.such.Thing"}, "no.such.Thing"),
            ({"BACKEND": "django.http.HttpResponse"}, "not a Provider"),
            ({"BACKEND": RIPIO, "OPTION": {}}, "'OPTION'"),
            ({"BACKEND": RIPIO, "OPTIONS": []}, "dictionary"),
            ({"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "base_url": "ftp://x"}}, "base_url"),
            ({"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "base_url": "https://a:b@x"}}, "base_url"),
            ({"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "deadline": 0}}, "deadline"),
            ({"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "timeout": 5}}, "timeout"),
        ],
    )
    def test_what_is_wrong_is_named(self, config: Any, named: str) -> None:
        (message,) = complaints(ripio=config)
        assert "'ripio'" in message
        assert named in message

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("timeout", ("a", None)),
            ("timeout", (5.0,)),
            ("timeout", (5.0, -1.0)),
            ("deadline", "30"),
            ("deadline", float("nan")),
            ("deadline", True),
            ("settle_seconds", "1"),
            ("rate", [1]),
            ("max_response_bytes", 2e6),
            ("proxies", "http://proxy.example"),
            ("proxies", {"https": 1}),
            ("verify", 1),
            ("reference", "no"),
            ("import_unknown", None),
            ("mirror_attachments", 0),
            ("attachment_hosts", "files.example"),
            ("attachment_hosts", [None]),
            ("webhook_secrets", None),
            ("webhook_secrets", 5),
            ("webhook_secrets", ["one", None]),
            ("webhook_tolerance", "300"),
            ("client_id", 5),
            ("base_url", b"https://ripio.example"),
            ("token_leeway", None),
            ("max_files", "5"),
            ("max_files", -1),
            ("allowed_extensions", "pdf"),
            ("allowed_extensions", [1]),
            ("signature_headers", "X-Signature"),
            ("require_sha256_prefix", "yes"),
        ],
    )
    def test_an_option_of_a_wrong_type_is_named(self, option: str, value: Any) -> None:
        (message,) = complaints(ripio={"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, option: value}})
        assert message.startswith(f"Provider 'ripio': {option} must be ")

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("timeout", [5, 15]),
            ("deadline", 30),
            ("rate", None),
            ("verify", "/etc/authority.pem"),
            ("proxies", {"https": "http://proxy.example"}),
            ("attachment_hosts", []),
            ("webhook_secrets", b"one"),
            ("webhook_secrets", lambda: ["one"]),
            ("client_secret", lambda: "one"),
            ("allowed_extensions", {"pdf"}),
            ("summary_max", 240),
        ],
    )
    def test_an_option_of_a_right_type_is_in_order(self, option: str, value: Any) -> None:
        assert complaints(ripio={"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, option: value}}) == []

    def test_every_wrong_option_of_every_account_is_named_at_once(self) -> None:
        verifik = {"token": "x", "write_dialect": "html", "expiration_days": "1"}
        found = complaints(
            ripio={"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "verify": None, "reference": None}},
            verifik={"BACKEND": "django_support_tickets.providers.verifik.VerifikProvider", "OPTIONS": verifik},
        )
        assert found == [
            "Provider 'ripio': verify must be True or False or a text",
            "Provider 'ripio': reference must be True or False",
            "Provider 'verifik': write_dialect must be 'docs' or 'app'",
            "Provider 'verifik': expiration_days must be a number or None",
        ]

    def test_a_wrong_value_is_not_named_since_it_may_be_a_secret(self) -> None:
        (message,) = complaints(ripio={"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "webhook_secrets": {"canary": 1}}})
        assert "canary" not in message

    def test_a_class_of_a_project_is_held_to_the_types_it_declares(self) -> None:
        desk: dict[str, Any] = {"BACKEND": f"{__name__}.OwnProvider"}
        assert complaints(desk={**desk, "OPTIONS": {"since": date(2026, 1, 1), "sizes": (1, 2, 3), "other": 5}}) == []
        assert complaints(desk={**desk, "OPTIONS": {"since": "today", "rate": "1", "sizes": 5}}) == [
            "Provider 'desk': since must be of type date or None",
            "Provider 'desk': rate must be a number or None",
            "Provider 'desk': sizes must be a list",
        ]

    def test_annotations_for_a_type_checker_only_are_left_to_it(self) -> None:
        odd = {"BACKEND": f"{__name__}.OddlyTypedProvider", "OPTIONS": {"note": 5, "deadline": 10.0}}
        assert complaints(desk=odd) == []

    def test_a_callable_value_is_not_called(self) -> None:
        def secret() -> str:
            raise AssertionError("a check must not ask the secret manager")

        assert complaints(ripio={"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, "client_secret": secret}}) == []

    def test_an_alias_must_fit_its_column(self) -> None:
        (message,) = complaints(**{"x" * 65: {"BACKEND": RIPIO, "OPTIONS": OPTIONS}})
        assert "64" in message

    def test_an_alias_must_fit_the_address_of_its_webhooks(self) -> None:
        (message,) = complaints(**{"ripio/eu": {"BACKEND": RIPIO, "OPTIONS": OPTIONS}})
        assert "slash" in message


class TestDeployment:
    @override_settings(SUPPORT_TICKETS_DISPATCHER="inline")
    def test_the_inline_dispatcher_is_warned_of(self) -> None:
        assert "support_tickets.W103" in [message.id for message in check_deployment()]

    @pytest.mark.fault(27)
    def test_plain_http_and_verify_off_are_warned_of(self) -> None:
        options = {**OPTIONS, "base_url": "http://ripio.example", "verify": False}
        with override_settings(SUPPORT_TICKETS_PROVIDERS={"ripio": {"BACKEND": RIPIO, "OPTIONS": options}}):
            ids = {message.id for message in check_deployment()}
        assert {"support_tickets.W101", "support_tickets.W102"} <= ids


class StrangeProvider(Provider):
    """A class of a project's own whose constructor fails in a way of its own."""

    capabilities = Capabilities()

    def __init__(self, alias: str, **options: Any) -> None:
        raise ConnectionError(f"canary {options}")

    def get(self, ref: TicketRef) -> TicketRecord:
        raise NotImplementedError

    def create(self, draft: TicketDraft) -> TicketRecord:
        raise NotImplementedError


class OwnProvider(Provider):
    """A class of a project's own, with options of its own."""

    capabilities = Capabilities()

    def __init__(
        self, alias: str, *, since: date | None = None, sizes: tuple[int, ...] = (), other: Any = None, **common: Any
    ) -> None:
        super().__init__(alias, **common)

    get = StrangeProvider.get
    create = StrangeProvider.create


class OddlyTypedProvider(OwnProvider):
    def __init__(self, alias: str, *, note: NowhereToBeFound = None, **common: Any) -> None:  # type: ignore[name-defined]  # noqa: F821
        super().__init__(alias, **common)


class PublicBucket(InMemoryStorage):
    """Like an S3 storage whose addresses need no signature."""

    querystring_auth = False


class PublicObjects(InMemoryStorage):
    """Like an S3 storage that makes every object public."""

    default_acl = "public-read"


class BrokenStorage(InMemoryStorage):
    def __init__(self) -> None:
        raise ImportError("no boto3")


def ids(messages: list[CheckMessage]) -> list[str]:
    """Return the ids of messages, each of which must come with a hint."""
    assert all(message.hint for message in messages)
    return [str(message.id) for message in messages]


@pytest.fixture
def ripio() -> Callable[..., Any]:
    """Configure one account at Ripio with other options."""

    def configure(**options: Any) -> Any:
        return override_settings(
            SUPPORT_TICKETS_PROVIDERS={"ripio": {"BACKEND": RIPIO, "OPTIONS": {**OPTIONS, **options}}}
        )

    return configure


class TestSecrets:
    @pytest.mark.fault(58)
    @pytest.mark.parametrize("secrets", ["", [""], ["good one", "changeme"], "...", ["<secret>"], [b" "]])
    def test_a_webhook_secret_that_is_none_is_an_error(self, ripio: Any, secrets: Any) -> None:
        with ripio(webhook_secrets=secrets):
            (message,) = check_providers()
        assert ids([message]) == ["support_tickets.E007"]
        assert "'ripio': webhook_secrets" in message.msg

    @pytest.mark.parametrize("secrets", ["a real secret", ["one", "two"], ("three",), [b"bytes"], []])
    def test_real_ones_are_in_order(self, ripio: Any, secrets: Any) -> None:
        with ripio(webhook_secrets=secrets):
            assert check_providers() == []

    def test_a_placeholder_credential_is_an_error(self, ripio: Any) -> None:
        with ripio(client_secret="changeme"):
            (message,) = check_providers()
        assert ids([message]) == ["support_tickets.E007"]
        assert "client_secret" in message.msg
        assert "changeme" not in message.msg

    def test_a_callable_is_not_called(self, ripio: Any) -> None:
        def secrets() -> list[str]:
            raise AssertionError("a check must not ask the secret manager")

        with ripio(webhook_secrets=secrets):
            assert check_providers() == []
            assert "support_tickets.W104" not in ids(check_deployment())

    @pytest.mark.fault(87)
    def test_what_holds_secrets_is_what_error_reports_mask(self) -> None:
        assert checks.SECRET_NAME.pattern == SafeExceptionReporterFilter.hidden_settings.pattern

    def test_nothing_of_a_foreign_exception_is_named(self) -> None:
        (message,) = complaints(desk={"BACKEND": f"{__name__}.StrangeProvider", "OPTIONS": {"token": "canary"}})
        assert message == "Provider 'desk': building it raised ConnectionError."


class TestFunctions:
    @pytest.mark.parametrize(
        ("name", "value", "complaint"),
        [
            ("TICKET_SCOPE", "no.such.function", "cannot be imported"),
            ("TICKET_SCOPE", "nodots", "cannot be imported"),
            ("TICKET_SCOPE", 5, "is not a dotted path"),
            ("CUSTOMER_RESOLVER", "tests.settings.SECRET_KEY", "is not a function"),
            ("FILE_SCANNER", "tests.nowhere", "cannot be imported"),
            ("FILE_SCANNER", len, "is not a dotted path"),
            ("OUTGOING_FILTERS", ["no.such.filter"], "cannot be imported"),
            ("OUTGOING_FILTERS", "no.such.filter", "cannot be imported"),
            ("OUTGOING_FILTERS", None, "is not a dotted path"),
            ("OUTGOING_FILTERS", [len], "is not a dotted path"),
        ],
    )
    def test_what_cannot_be_called_is_named(self, name: str, value: Any, complaint: str) -> None:
        with override_settings(**{f"SUPPORT_TICKETS_{name}": value}):
            messages = check_functions()
        assert ids(messages) == ["support_tickets.E005"]
        assert f"SUPPORT_TICKETS_{name}" in messages[0].msg
        assert complaint in messages[0].msg

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("TICKET_SCOPE", None),
            ("TICKET_SCOPE", len),
            ("CUSTOMER_RESOLVER", "builtins.len"),
            ("FILE_SCANNER", "builtins.len"),
            ("OUTGOING_FILTERS", ["django_support_tickets.outbox.filters.mask_account_numbers"]),
            ("OUTGOING_FILTERS", ()),
        ],
    )
    def test_what_can_is_in_order(self, name: str, value: Any) -> None:
        with override_settings(**{f"SUPPORT_TICKETS_{name}": value}):
            assert check_functions() == []

    def test_a_module_that_falls_over_is_named_and_its_words_are_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "falling_over.py").write_text('raise KeyError("canary")')
        monkeypatch.syspath_prepend(tmp_path)
        path = "falling_over.function"
        with override_settings(SUPPORT_TICKETS_DISPATCHER=path, SUPPORT_TICKETS_FILE_SCANNER=path):
            messages = [*check_dispatcher(), *check_functions()]
        assert ids(messages) == ["support_tickets.E004", "support_tickets.E005"]
        assert all(message.msg.endswith("cannot be imported (KeyError).") for message in messages)

    @pytest.mark.parametrize("value", ["tests.settings.SECRET_KEY", "nodots", ".nowhere", 5, None])
    def test_a_dispatcher_must_be_a_function(self, value: Any) -> None:
        with override_settings(SUPPORT_TICKETS_DISPATCHER=value):
            assert ids(check_dispatcher()) == ["support_tickets.E004"]

    @pytest.mark.parametrize("value", ["none", "inline", "builtins.len"])
    def test_a_dispatcher_that_is_one(self, value: str) -> None:
        with override_settings(SUPPORT_TICKETS_DISPATCHER=value):
            assert check_dispatcher() == []


class TestValues:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("POLL_SCHEDULE", []),
            ("POLL_SCHEDULE", None),
            ("POLL_SCHEDULE", [(10, 60)]),
            ("POLL_SCHEDULE", [(timedelta(hours=1),)]),
            ("POLL_SCHEDULE", [(timedelta(hours=1), timedelta(0))]),
            ("QUOTA", {"hour": "20"}),
            ("QUOTA", {"hour": True}),
            ("QUOTA", {"week": 20}),
            ("QUOTA", {"hour": 0}),
            ("QUOTA", 20),
            ("RETENTION", {"sync_runs": "30"}),
            ("RETENTION", {"webhooks": 30}),
            ("RETENTION", {"sync_runs": 0}),
            ("RETENTION", None),
            ("ATTACHMENT_STORAGE", "nowhere"),
            ("ATTACHMENT_STORAGE", None),
        ],
    )
    def test_a_wrong_form_is_named(self, name: str, value: Any) -> None:
        with override_settings(**{f"SUPPORT_TICKETS_{name}": value}):
            (message,) = check_values()
        assert ids([message]) == ["support_tickets.E006"]
        assert f"SUPPORT_TICKETS_{name}" in message.msg

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("POLL_SCHEDULE", [(timedelta(hours=1), timedelta(minutes=1)), (timedelta(days=9), None)]),
            ("QUOTA", None),
            ("QUOTA", {"hour": 5}),
            ("RETENTION", {}),
            ("RETENTION", {"tickets": 365, "sync_runs": None}),
            ("ATTACHMENT_STORAGE", "default"),
        ],
    )
    def test_a_right_one_is_in_order(self, name: str, value: Any) -> None:
        with override_settings(**{f"SUPPORT_TICKETS_{name}": value}):
            assert check_values() == []

    @pytest.mark.fault(93)
    def test_a_project_without_a_storage_for_files_is_in_order(self, settings: Any) -> None:
        settings.STORAGES = {name: value for name, value in settings.STORAGES.items() if name != "support_tickets"}
        assert check_values() == []
        assert check_storage() == []


class TestDeploymentOptions:
    def test_every_webhook_is_refused_without_secrets(self, ripio: Any) -> None:
        with ripio():
            assert ids(check_deployment()) == ["support_tickets.W104"]

    @pytest.mark.fault(87)
    def test_a_proxy_with_a_password_would_be_shown(self, ripio: Any) -> None:
        with ripio(webhook_secrets=["one"], proxies={"https": "http://me:canary@proxy.example"}):
            (message,) = check_deployment()
        assert ids([message]) == ["support_tickets.W109"]
        assert "canary" not in message.msg

    def test_an_account_that_cannot_be_built_is_reported_once(self, ripio: Any) -> None:
        with ripio(tokn="x"):
            assert check_deployment() == []
            assert ids(check_providers()) == ["support_tickets.E003"]

    def test_no_provider_at_all_is_reported_once(self) -> None:
        with override_settings(SUPPORT_TICKETS_PROVIDERS=None):
            assert check_deployment() == []

    @pytest.mark.parametrize(
        ("tasks", "found"),
        [
            ({}, ["support_tickets.W106"]),
            ({"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}, ["support_tickets.W106"]),
            ({"default": {"BACKEND": "django_tasks.backends.dummy.DummyBackend"}}, ["support_tickets.W106"]),
            ({"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}, []),
        ],
    )
    def test_tasks_need_a_backend_with_workers(self, settings: Any, tasks: Any, found: list[str]) -> None:
        settings.SUPPORT_TICKETS_DISPATCHER = "django_support_tickets.contrib.tasks.wake"
        settings.TASKS = tasks
        assert ids(check_deployment()) == found

    def test_the_vendors_own_warnings_have_hints(self, ripio: Any) -> None:
        with ripio(base_url="http://ripio.example", verify=False, webhook_secrets=["one"]):
            assert set(ids(check_deployment())) == {"support_tickets.W101", "support_tickets.W102"}


class TestStorage:
    def folder(self, settings: Any, location: str, **roots: str) -> list[str]:
        for name, value in roots.items():
            setattr(settings, name, value)
        backend = f"{FileSystemStorage.__module__}.FileSystemStorage"
        options = {"location": location} if location else {}
        settings.STORAGES = {**settings.STORAGES, "support_tickets": {"BACKEND": backend, "OPTIONS": options}}
        return ids(check_storage())

    @pytest.mark.parametrize("location", ["/srv/media", "/srv/media/tickets", "/srv/static/x", ""])
    def test_a_folder_that_is_served(self, settings: Any, location: str) -> None:
        found = self.folder(settings, location, MEDIA_ROOT="/srv/media", STATIC_ROOT="/srv/static")
        assert found == ["support_tickets.W105"]

    @pytest.mark.parametrize("location", ["/srv/tickets", "/srv/mediatickets"])
    def test_a_folder_of_its_own(self, settings: Any, location: str) -> None:
        assert self.folder(settings, location, MEDIA_ROOT="/srv/media", STATIC_ROOT="/srv/static") == []

    def test_the_folder_of_the_default_storage(self, settings: Any) -> None:
        backend = f"{FileSystemStorage.__module__}.FileSystemStorage"
        default = {"BACKEND": backend, "OPTIONS": {"location": "/srv/uploads"}}
        settings.STORAGES = {**settings.STORAGES, "default": default}
        assert self.folder(settings, "/srv/uploads/tickets", MEDIA_ROOT="") == ["support_tickets.W105"]

    def test_a_stock_project_which_has_no_folder_for_uploads(self, settings: Any) -> None:
        here, backend = Path.cwd(), f"{FileSystemStorage.__module__}.FileSystemStorage"
        settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend}}
        assert self.folder(settings, str(here / "ticket-files"), MEDIA_ROOT="") == []
        assert self.folder(settings, "", MEDIA_ROOT="") == ["support_tickets.W105"]
        assert self.folder(settings, str(here / "x"), MEDIA_ROOT=str(here)) == ["support_tickets.W105"]

    def test_the_default_storage_itself(self, settings: Any) -> None:
        settings.SUPPORT_TICKETS_ATTACHMENT_STORAGE = "default"
        assert ids(check_storage()) == ["support_tickets.W105"]

    @pytest.mark.parametrize("backend", ["PublicBucket", "PublicObjects"])
    def test_a_public_bucket(self, settings: Any, backend: str) -> None:
        settings.STORAGES = {**settings.STORAGES, "support_tickets": {"BACKEND": f"{__name__}.{backend}"}}
        assert ids(check_storage()) == ["support_tickets.W105"]

    def test_one_that_cannot_be_built_is_for_its_first_use_to_report(self, settings: Any) -> None:
        settings.STORAGES = {**settings.STORAGES, "support_tickets": {"BACKEND": f"{__name__}.BrokenStorage"}}
        assert check_storage() == []


class TestDatabases:
    @pytest.fixture
    def database(self) -> Any:
        """A database that is configured and never connected to."""
        made: list[str] = []

        def add(engine: str, **options: Any) -> None:
            made.append("elsewhere")
            settings = {"ENGINE": f"django.db.backends.{engine}", "NAME": "nowhere", "OPTIONS": options}
            connections.databases["elsewhere"] = connections.configure_settings({"default": {}, "elsewhere": settings})[
                "elsewhere"
            ]

        yield add
        for alias in made:
            del connections.databases[alias]
            if hasattr(connections._connections, alias):  # type: ignore[attr-defined]
                del connections[alias]

    def found(self) -> list[str]:
        messages = [message for message in check_databases() if "'elsewhere'" in message.msg]
        return ids(messages)

    @pytest.mark.fault(90)
    def test_sqlite_should_begin_immediate(self, database: Any) -> None:
        database("sqlite3")
        assert self.found() == ["support_tickets.W107"]

    @pytest.mark.parametrize("mode", ["IMMEDIATE", "immediate", "EXCLUSIVE"])
    def test_where_it_does_all_is_well(self, database: Any, mode: str) -> None:
        database("sqlite3", transaction_mode=mode)
        assert self.found() == []

    @pytest.mark.fault(91)
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, []),
            ({"isolation_level": "read committed"}, []),
            ({"isolation_level": "repeatable read"}, ["support_tickets.W108"]),
            ({"isolation_level": None}, ["support_tickets.W108"]),
        ],
    )
    def test_mysql_should_read_what_is_committed(self, database: Any, options: Any, expected: list[str]) -> None:
        pytest.importorskip("MySQLdb")
        database("mysql", **options)
        assert self.found() == expected


class TestIds:
    def test_every_id_of_the_code_is_tested(self) -> None:
        sources = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
        used = set(re.findall(r'id="(support_tickets\.[EW]\d{3})"', sources))
        tested = set(re.findall(r"support_tickets\.[EW]\d{3}", Path(__file__).read_text()))
        assert used == tested

    @pytest.mark.django_db
    def test_all_of_them_are_registered(self) -> None:
        with override_settings(
            SUPPORT_TICKETS_DISPATCHER="inline",
            SUPPORT_TICKETS_QUOTA=5,
            SUPPORT_TICKETS_TICKET_SCOPE="nowhere.at_all",
            SUPPORT_TICKETS_ATTACHMENT_STORAGE="default",
        ):
            found = {str(message.id) for message in run_checks(include_deployment_checks=True)}
        assert {
            "support_tickets.E005",
            "support_tickets.E006",
            "support_tickets.W103",
            "support_tickets.W105",
        } <= found
