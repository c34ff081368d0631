from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.test import Client, override_settings
from pytest_django.live_server_helper import LiveServer

from django_support_tickets.testing.sandbox import Sandbox
from tests.browser.desk import PATIENCE, Desk

# Without Selenium (make test) there is nothing to collect; make test-all installs it.
collect_ignore_glob = [] if importlib.util.find_spec("selenium") else ["test_*.py"]

BACKENDS = {
    "ripio": "django_support_tickets.providers.ripio.RipioProvider",
    "moov": "django_support_tickets.providers.moov.MoovProvider",
    "ankra": "django_support_tickets.providers.ankra.AnkraProvider",
    "verifik": "django_support_tickets.providers.verifik.VerifikProvider",
}


def missing(what: str) -> None:
    """Skip loudly, or fail where CI=true: there nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI=true")
    pytest.skip(f"{what} is missing (apt-get install chromium chromium-driver; pip install selenium)")


@pytest.fixture(scope="session")
def live_server() -> Iterator[LiveServer]:
    """The site under a strict policy; a server takes over the middleware that is set when it starts."""
    with override_settings(MIDDLEWARE=["tests.browser.csp.strict_policy", *django_settings.MIDDLEWARE]):
        server = LiveServer("127.0.0.1")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def chromium(live_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser without a window and with a new, empty profile; it goes before the server does."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    for name, path in programs.items():
        if path is None:
            missing(name)
    if importlib.util.find_spec("selenium") is None:
        missing("selenium")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(programs["chromium"])
    for switch in (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
        "--disable-dev-shm-usage",  # a container's /dev/shm may be too small for a page
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs["chromedriver"]))
    driver.set_script_timeout(PATIENCE)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core: the file that AXE_CORE names, else the one of the package axe-playwright-python."""
    if path := os.environ.get("AXE_CORE"):
        return Path(path).read_text()
    # The package without its Playwright (pip install --no-deps): it is only asked for the script that it carries.
    package = importlib.util.find_spec("axe_playwright_python")
    if package is None or package.origin is None:
        missing("axe-core: set AXE_CORE to axe.min.js, or pip install --no-deps axe-playwright-python; it")
    return (Path(str(package.origin)).parent / "axe.min.js").read_text()  # type: ignore[union-attr]


@pytest.fixture
def agent(transactional_db: None) -> AbstractUser:
    people: Any = get_user_model()
    return people.objects.create_superuser("agent", "agent@example.com", "secret")


@pytest.fixture
def accounts(sandbox: Sandbox, settings: Any) -> Sandbox:
    """Four vendors on this machine, worked for as soon as something is committed."""
    options = sandbox.options()
    options["ankra"]["rate"] = 50
    settings.SUPPORT_TICKETS_PROVIDERS = {
        alias: {"BACKEND": backend, "OPTIONS": options[alias]} for alias, backend in BACKENDS.items()
    }
    settings.SUPPORT_TICKETS_DISPATCHER = "inline"
    return sandbox


@pytest.fixture
def desk(chromium: Any, live_server: Any, accounts: Sandbox, agent: AbstractUser) -> Iterator[Desk]:
    """The browser, logged in as an agent."""
    client = Client()
    client.force_login(agent)
    desk = Desk(chromium, live_server.url)
    desk.log_in(client.cookies["sessionid"].value)
    yield desk
    assert desk.complaints() == []
