"""Whatever can run in the README and in the documentation runs here; what cannot is no code block."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core import checks, mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import get_commands, load_command_class
from django.test import override_settings
from django.urls import clear_url_caches, include, path, resolve

from django_support_tickets.conf import Settings
from django_support_tickets.models import Comment, Ticket
from django_support_tickets.outbox.push import push
from django_support_tickets.signals import comment_added, ticket_changed
from django_support_tickets.sync import pull
from django_support_tickets.testing.sandbox import Fault, Sandbox, VendorSandbox
from tests.snippets import ROOT, Snippet, blocks, pages, snippets

EXAMPLES = ROOT / "docs" / "examples"
PAGES = {str(page.relative_to(ROOT)): page for page in pages()}
#: Languages of blocks that are no code to run: output, files of other programs, directives.
OTHER = {"text", "ini", "console", "toctree", "include", "literalinclude"}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)
SECRETS = ("RIPIO_CLIENT_ID", "RIPIO_CLIENT_SECRET", "RIPIO_WEBHOOK_SECRET", "MOOV_PUBLIC_KEY", "MOOV_SECRET_KEY")
SECRETS += ("MOOV_WEBHOOK_SECRET", "VERIFIK_TOKEN", "ANKRA_TOKEN", "ACME_API_KEY")
BACKENDS = "django_support_tickets.providers"
VENDORS: dict[str, Any] = {**Sandbox().vendors}
VENDORS["vendor"] = VENDORS["ripio"]  # any that sends webhooks
VENDOR_MEMBER = re.compile(rf"`(?:sandbox\.)?({'|'.join(VENDORS)})\.(\w+)")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give what the pages take for granted: secrets in the environment, the modules `shop.tickets` and `acme`."""
    for name in SECRETS:
        monkeypatch.setenv(name, f"value-of-{name}")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    shop = ModuleType("shop")
    monkeypatch.setitem(sys.modules, "shop", shop)
    monkeypatch.setitem(sys.modules, "shop.tickets", module(EXAMPLES / "site.py"))
    yield
    sys.modules.pop("acme", None)


def module(path: Path) -> ModuleType:
    """Import a file that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def python(page: Path, *, kind: str) -> list[Snippet]:
    return [block for block in blocks(page) if block.language == "python" and kind_of(block.text) == kind]


def kind_of(text: str) -> str:
    """Return what a block is: settings, urls, tests, or code that runs as it stands."""
    for kind in ("settings", "urls"):
        if text.startswith(f"# {kind}.py"):
            return kind
    return "tests" if re.search(r"^def test_", text, re.MULTILINE) else "code"


def having(kind: str) -> list[str]:
    return [name for name, page in PAGES.items() if python(page, kind=kind)]


def run(block: Snippet, page: Path, names: dict[str, Any]) -> dict[str, Any]:
    """Execute a block, with the line numbers of its page."""
    code = "\n" * block.line + block.text
    exec(compile(code, str(page), "exec"), names)  # noqa: S102 -- the documentation's own code
    return names


class TestBlocks:
    @pytest.mark.parametrize("name", PAGES)
    def test_every_block_says_what_it_is(self, name: str) -> None:
        strange = {block.language for block in blocks(PAGES[name])} - OTHER - {"python"}
        assert strange == set()
        assert PAGES[name].read_text().count("```") % 2 == 0

    @pytest.mark.django_db  # Django's own checks ask the database what it can do
    @pytest.mark.parametrize("name", having("settings"))
    def test_settings_pass_the_checks(self, name: str) -> None:
        for block in python(PAGES[name], kind="settings"):
            if "boto3" in block.text and importlib.util.find_spec("boto3") is None:
                continue  # an extra; tests/attachments/test_s3.py runs it
            given = {"INSTALLED_APPS": [], "STORAGES": {}, "BASE_DIR": ROOT, "os": importlib.import_module("os")}
            names = run(block, PAGES[name], given)
            values = {key: value for key, value in names.items() if key.startswith("SUPPORT_TICKETS_")}
            assert values or re.search("INSTALLED_APPS|LOGGING|STORAGES", block.text), (
                f"{name}:{block.line} sets nothing"
            )
            with override_settings(**values):
                found = [message for message in checks.run_checks() if str(message.id).startswith("support_tickets.E")]
            # The queues are extras, which need not be installed.
            ours = [error for error in found if not re.search("No module named '(celery|django_tasks)'", error.msg)]
            assert ours == [], f"{name}:{block.line}"

    @pytest.mark.parametrize("name", having("urls"))
    def test_urls_lead_to_us(self, name: str) -> None:
        for block in python(PAGES[name], kind="urls"):
            site = ModuleType("documented_urls")
            site.__dict__["urlpatterns"] = []
            run(block, PAGES[name], site.__dict__)
            clear_url_caches()
            found = resolve("/support-tickets/webhooks/ripio/", urlconf=site)  # type: ignore[arg-type]
            assert found.view_name == "support_tickets:webhook"

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("name", having("code"))
    def test_code_runs(
        self, name: str, support_tickets_sandbox: Sandbox, settings: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        names = given(support_tickets_sandbox, settings)
        try:
            for block in python(PAGES[name], kind="code"):
                if "ticket.refresh_from_db()" in block.text:
                    push("ankra")
                run(block, PAGES[name], names)
                assert_printed(block, capsys.readouterr().out)
        finally:
            for signal in (comment_added, ticket_changed):
                signal.disconnect(names.get("mail_the_requester"))
                signal.disconnect(names.get("note_the_change"))

    @pytest.mark.parametrize("name", having("tests"))
    def test_tests_pass(
        self, name: str, request: pytest.FixtureRequest, support_tickets_sandbox: Sandbox, settings: Any
    ) -> None:
        settings.ROOT_URLCONF = urlconf()
        for block in python(PAGES[name], kind="tests"):
            names = run(block, PAGES[name], {})
            for test in [value for key, value in names.items() if key.startswith("test_")]:
                test(**{fixture: request.getfixturevalue(fixture) for fixture in signature(test).parameters})
                support_tickets_sandbox.reset()


def urlconf() -> ModuleType:
    """Return the addresses of a site that includes ours where the pages say."""
    site = ModuleType("documented_urls")
    site.__dict__["urlpatterns"] = [path("support-tickets/", include("django_support_tickets.urls"))]
    return site


def given(sandbox: Sandbox, settings: Any) -> dict[str, Any]:
    """Return the names that the pages take for granted, on a site with an account at every fake vendor."""
    classes = {"ripio": "RipioProvider", "moov": "MoovProvider", "ankra": "AnkraProvider", "verifik": "VerifikProvider"}
    settings.SUPPORT_TICKETS_PROVIDERS = {
        alias: {"BACKEND": f"{BACKENDS}.{alias}.{name}", "OPTIONS": {**sandbox.vendors[alias].options(), "rate": None}}
        for alias, name in classes.items()
    } | {"desk": {"BACKEND": f"{BACKENDS}.local.LocalProvider"}}
    settings.ROOT_URLCONF = urlconf()
    user = get_user_model().objects.create_user("ana", "ana@example.com", "-", is_staff=True, is_superuser=True)
    ticket = Ticket.objects.create(provider="ankra", category="technical", subject="Slow", description="Since Monday.")
    push("ankra")
    ticket.refresh_from_db()
    return {
        "user": user,
        "customer_id": sandbox.ripio.CUSTOMER,
        "uploaded": SimpleUploadedFile("receipt.png", PNG),
        "ticket_at_ankra": ticket,
        "Ticket": Ticket,
    }


def assert_printed(block: Snippet, printed: str) -> None:
    """Compare what `print(…)  # this` says it prints with what it did; "…" stands for anything."""
    lines = printed.splitlines()
    for said in re.findall(r"^print\(.*\)  # (.+)$", block.text, re.MULTILINE):
        pattern = re.escape(said).replace("…", ".+")
        assert re.fullmatch(pattern, lines.pop(0)), f"line {block.line}: {said!r}, not {printed!r}"


@pytest.mark.django_db(transaction=True)
def test_the_recipe_mails_the_requester(support_tickets_sandbox: Sandbox, settings: Any) -> None:
    ana = get_user_model().objects.create_user("ana", "ana@example.com")
    ankra = support_tickets_sandbox.ankra
    backend = f"{BACKENDS}.ankra.AnkraProvider"
    settings.SUPPORT_TICKETS_PROVIDERS = {"ankra": {"BACKEND": backend, "OPTIONS": {**ankra.options(), "rate": None}}}
    (recipe,) = (text for text in snippets(PAGES["README.md"]) if "def mail_the_requester" in text)
    names: dict[str, Any] = {}
    exec(recipe, names)  # noqa: S102 -- the README's own code
    try:
        ticket = Ticket.objects.create(
            requester=ana, category="technical", subject="Cluster unreachable", description="Nodes are NotReady."
        )
        Comment.objects.create(ticket=ticket, body="It is urgent.")
        push("ankra")
        ticket.refresh_from_db()
        ankra.reply(ticket.remote_id, "Please try again.")
        pull("ankra", full=True)
    finally:
        comment_added.disconnect(names["mail_the_requester"])
    (letter,) = mail.outbox
    assert letter.to == ["ana@example.com"]
    assert letter.body == "Please try again."


class TestConsole:
    """Commands that the pages show exist, and take these arguments."""

    LINES = [
        (name, line.removeprefix("$ "))
        for name, page in PAGES.items()
        for block in blocks(page)
        if block.language == "console"
        for line in block.text.splitlines()
    ]
    LINES += [
        ("README.md", line.strip()) for line in re.findall(r"^    ((?:python|make) .+)$", pages()[0].read_text(), re.M)
    ]

    @pytest.mark.parametrize(("name", "line"), [one for one in LINES if "manage.py" in one[1]])
    def test_management_commands(self, name: str, line: str) -> None:
        words = shlex.split(line.partition("#")[0])
        command, *arguments = words[words.index("manage.py") + 1 :]
        assert command in get_commands(), line
        app = get_commands()[command]
        if apps.get_app_config("support_tickets").name == app:
            load_command_class(app, command).create_parser("manage.py", command).parse_args(arguments)

    @pytest.mark.parametrize(("name", "line"), [one for one in LINES if one[1].startswith("make ")])
    def test_make_targets(self, name: str, line: str) -> None:
        target = line.split()[1]
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line


class TestNames:
    """What the pages call the fake vendors' own exists."""

    TEXTS = {name: page.read_text() for name, page in PAGES.items()}

    def test_faults(self) -> None:
        named = {word for text in self.TEXTS.values() for word in re.findall(r"\bFault\.(\w+)", text)}
        assert named - {fault.name for fault in Fault} == set()
        assert len(named) > 2

    def test_members_of_every_vendor(self) -> None:
        table = self.TEXTS["docs/testing.md"].partition("have in common:")[2].partition("\n\nand what")[0]
        named = re.findall(r"`(\w+)[(`]", "\n".join(row.split("|")[1] for row in table.splitlines() if row))
        assert "list_lag" in named
        assert [name for name in named if not hasattr(VendorSandbox, name)] == []

    def test_members_of_one_vendor(self) -> None:
        named = {found for text in self.TEXTS.values() for found in re.findall(VENDOR_MEMBER, text)}
        assert [one for one in named if not hasattr(VENDORS[one[0]], one[1])] == []
        assert len(named) > 5


class TestLinks:
    @pytest.mark.parametrize("name", [*PAGES, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
    def test_they_lead_somewhere(self, name: str) -> None:
        page = ROOT / name
        for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{name}: {target}"
            if anchor and file.suffix == ".md":
                assert anchor in anchors(file), f"{name}: {target}"


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return module(ROOT / "docs" / "tables.py")


class TestTables:
    """Tables that are written from the code say what the code says."""

    def test_they_are_fresh(self, tables: ModuleType) -> None:
        stale = [path.name for path in tables.stale()]
        assert stale == [], "run: python docs/tables.py"

    def test_every_kind_of_retention_is_explained(self) -> None:
        text = PAGES["docs/settings.md"].read_text()
        for kind, days in Settings.RETENTION.items():
            assert f"| `{kind}` | {days or 'for ever'} |" in text

    def test_every_option_is_explained(self, tables: ModuleType) -> None:
        for vendor in ("ripio", "moov", "verifik", "ankra"):
            assert "| `base_url` |" in tables.option_table(vendor)
        assert tables.common_table().count("\n") == 1 + len(tables.COMMON)

    def test_every_vendor_has_a_page_with_what_it_must_say(self) -> None:
        for vendor in ("ripio", "moov", "verifik", "ankra"):
            text = (ROOT / "docs" / "vendors" / f"{vendor}.md").read_text()
            for heading in ("At the vendor", "What its statuses mean", "Options", "Traps", "leaves undocumented"):
                assert re.search(rf"^## .*{heading}", text, re.MULTILINE), f"{vendor}: {heading}"

    def test_every_setting_check_and_signal_is_in_the_readme(self) -> None:
        from django_support_tickets import checks as our_checks
        from django_support_tickets import signals
        from django_support_tickets.conf import settings as ours
        from django_support_tickets.providers import http

        text = PAGES["README.md"].read_text()
        for name in ours.names():
            assert f"| `{name}` |" in text, name
        sources = Path(our_checks.__file__).read_text() + Path(http.__file__).read_text()
        for identity in set(re.findall(r"support_tickets\.[EW]\d{3}", sources)):
            assert f"| `{identity}` |" in text, identity
        for name in vars(signals):
            if isinstance(getattr(signals, name), signals.Signal):
                assert f"`{name}`" in text, name
        for command, app in get_commands().items():
            if app == "django_support_tickets":
                assert f"`{command}" in text, command


def test_every_page_can_be_reached_from_the_index() -> None:
    trees = [page for page in PAGES.values() if "```{toctree}" in page.read_text()]
    listed = set()
    for page in trees:
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), re.DOTALL):
            entries = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed |= {(page.parent / f"{entry}.md").resolve() for entry in entries}
    known = {page for page in PAGES.values() if page.name != "README.md" and page != ROOT / "docs" / "index.md"}
    assert {page.name for page in known - listed} == set()
