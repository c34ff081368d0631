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
    "changelist": "ticket/",
    "dashboard": "ticket/dashboard/",
    "accounts": "ticket/add/",
    "raise": "ticket/add/?account=ripio",
    "index": "",
    "outbox": "outboxentry/",
    "runs": "syncrun/",
}


@pytest.fixture
def pages(agent: AbstractUser, accounts: Any) -> dict[str, str]:
    ticket = furnish(agent)
    return {**PAGES, "ticket": f"ticket/{ticket.pk}/change/"}


@pytest.mark.parametrize("look", ["light", "dark", "narrow"])
def test_every_page_is_clean_before_axe_and_under_the_policy(
    desk: Desk, pages: dict[str, str], axe: str, look: str, tmp_path: Path
) -> None:
    desk.size(*((360, 1400) if look == "narrow" else (1280, 1100)))
    desk.dark(look == "dark")
    folder = Path(PICTURES) if PICTURES else tmp_path
    found: list[str] = []
    for name, path in pages.items():
        desk.open(path)
        desk.photograph(folder / f"{name}-{look}.png")
        found += [f"{name}: {violation}" for violation in desk.violations(axe)]
        found += [f"{name}: too wide"] * desk.is_too_wide()
    assert not found, "\n".join(found)
