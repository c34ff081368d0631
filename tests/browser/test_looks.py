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
    desk.size(*((360, 1400) if look == "narrow" else (1280, 900)))
    desk.dark(look == "dark")
    folder = Path(PICTURES) if PICTURES else tmp_path
    found: list[str] = []
    for name, path in pages.items():
        desk.open(path)
        desk.photograph(folder / f"{name}-{look}.png")
        found += [f"{name}: {violation}" for violation in desk.violations(axe)]
        found += [f"{name}: too wide"] * desk.is_too_wide()
    assert not found, "\n".join(found)
