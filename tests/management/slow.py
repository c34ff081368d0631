"""A process with a vendor of its own: `python -m tests.management.slow [sync_tickets arguments]`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import django
from django.apps import apps
from django.core.management import call_command, execute_from_command_line
from django.utils import timezone

from django_support_tickets.providers import Provider
from django_support_tickets.records import Capabilities, Page, Status, TicketDraft, TicketRecord, TicketRef

ROOT = Path(__file__).resolve().parents[2]
PAGES = 6
SECONDS_A_PAGE = 0.2


class SlowProvider(Provider):
    """Answer at once, or never where the remote id says so; with --slow-list it has a list, and takes its time."""

    capabilities = Capabilities(can_list="--slow-list" in sys.argv)

    def get(self, ref: TicketRef) -> TicketRecord:
        if ref.remote_id == "hang":
            hang()
        return TicketRecord(remote_id=ref.remote_id, status=Status.OPEN)

    def create(self, draft: TicketDraft) -> TicketRecord:
        hang()
        raise NotImplementedError

    def list_changed(self, scope: str, cursor: str | None) -> Page:
        number = int(cursor or 0)
        print(f"page {number}", flush=True)  # noqa: T201 -- the test waits for it
        time.sleep(SECONDS_A_PAGE)
        return Page(records=(), next_cursor=str(number + 1) if number + 1 < PAGES else None)


def write_settings(folder: Path) -> dict[str, str]:
    """Write the settings of a site with a database of its own; return the environment of its processes."""
    (folder / "site_settings.py").write_text(
        "from tests.settings import *\n"
        f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': {str(folder / 'db')!r},"
        " 'OPTIONS': {'transaction_mode': 'IMMEDIATE'}}}\n"
        "SUPPORT_TICKETS_PROVIDERS = {'desk': {'BACKEND': 'tests.management.slow.SlowProvider'}}\n"
        "INSTALLED_APPS = ['django.contrib.auth', 'django.contrib.contenttypes', 'django_support_tickets']\n"
        "AUTH_USER_MODEL = 'auth.User'\n"
        "ROOT_URLCONF = __name__\n"
        "urlpatterns = []\n"
    )
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings", "PYTHONPATH": f"{folder}:{ROOT}"}


def hang() -> None:
    print("hanging", flush=True)  # noqa: T201 -- the test waits for it
    time.sleep(60)


def main(args: list[str]) -> None:
    """Make a ticket that is due, and run sync_tickets; with --hang-get or --hang-create the vendor never answers."""
    django.setup()
    call_command("migrate", verbosity=0)
    model = apps.get_model("support_tickets", "Ticket")
    ticket = model(provider="desk", subject="S", description="D")
    if "--hang-create" not in args:
        ticket.remote_id = "hang" if "--hang-get" in args else "R-1"
        ticket.delivery, ticket.next_poll_at = "delivered", timezone.now()
    model.objects.bulk_create([ticket], ignore_conflicts=True)
    execute_from_command_line(
        ["manage.py", "sync_tickets", *(arg for arg in args if not arg.startswith(("--hang", "--slow")))]
    )


if __name__ == "__main__":
    main(sys.argv[1:])
