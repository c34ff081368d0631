"""Every page of ours in light and dark, wide and narrow, under a strict policy and before axe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AbstractUser

from tests.browser.desk import Desk
from tests.browser.scenery import furnish

pytestmark = pytest.mark.browser

#: Where to keep the pictures; without it they are taken and thrown away.
PICTURES = os.environ.get("SUPPORT_TICKETS_SCREENSHOTS")
PAGES = {
    "index": "",
    "changelist": "ticket/",
    "changelist-searched": "ticket/?q=deposit&attention=person",
    "dashboard": "ticket/dashboard/",
    "accounts": "ticket/add/",
    "raise-ripio": "ticket/add/?account=ripio",
    "raise-moov": "ticket/add/?account=moov",
    "raise-ankra": "ticket/add/?account=ankra",
    "raise-verifik": "ticket/add/?account=verifik",
    "outbox": "outboxentry/",
    "webhooks": "webhookdelivery/",
    "states": "providerstate/",
    "runs": "syncrun/",
}


@pytest.fixture
def pages(agent: AbstractUser, accounts: Any) -> dict[str, str]:
    """The address of every page, by the name of its picture."""
    desk = furnish(agent)
    ticket, uncertain = desk["ticket"], desk["uncertain"]
    return {
        **PAGES,
        **{name: f"ticket/{one.pk}/change/" for name, one in desk.items()},
        "settle": f"ticket/{uncertain.pk}/settle/",
        "delete": f"ticket/{ticket.pk}/delete/",
        "history": f"ticket/{ticket.pk}/history/",
        "entry": f"outboxentry/{desk['queued'].outbox.pk}/change/",
    }


@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
def test_every_page_is_clean_before_axe_and_under_the_policy(
    desk: Desk, pages: dict[str, str], axe: str, look: str, tmp_path: Path
) -> None:
    desk.dark(look == "dark")
    folder = Path(PICTURES) if PICTURES else tmp_path
    found: list[str] = []
    for name, path in pages.items():
        desk.size(*((360, 1400) if look == "narrow" else (1280, 1250 if name == "dashboard" else 800)))
        desk.open(path)
        desk.photograph(folder / f"{name}-{look}.png")
        desk.unfold()
        found += [f"{name}: {violation}" for violation in desk.violations(axe)]
        found += [f"{name}: too wide"] * desk.is_too_wide()
    assert not found, "\n".join(found)


def test_complaints_are_clean_before_axe_too(desk: Desk, pages: dict[str, str], axe: str) -> None:
    for is_dark in (False, True):
        desk.dark(is_dark)
        for name, button, field in (
            ("raise-ripio", "Submit", ".field-subject"),
            ("settle", "Settle", ".st-choice"),
            ("ticket", "Send reply", ".st-field"),
        ):
            desk.open(pages[name])
            desk.press(button)
            assert desk.one(f"{field} .errorlist").is_displayed()
            assert not desk.violations(axe), (name, is_dark)


def test_what_is_wrong_would_be_seen(desk: Desk, pages: dict[str, str], axe: str) -> None:
    """The judges are judged: a faint text, a script inline, a page that is too wide."""
    desk.open(pages["ticket"])
    assert not desk.violations(axe)
    desk.driver.execute_script("document.querySelector('.st-text').style.color = '#bbb'")
    assert "color-contrast" in " ".join(desk.violations(axe))
    desk.driver.execute_script(
        "const one = document.createElement('script'); one.text = 'document.title = 1'; document.head.append(one)"
    )
    assert "Content Security Policy" in " ".join(desk.complaints())
    assert desk.driver.title != "1"
    assert not desk.is_too_wide()
    desk.driver.execute_script("document.querySelector('.st-page').style.minWidth = '3000px'")
    assert desk.is_too_wide()
