"""Settings of a site whose tickets, users and content types live in a database of their own: files of SQLite.

ELSEWHERE_FOLDER is where the files are; nothing is said about transactions, so they begin deferred.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.settings import *  # noqa: F403

FOLDER = Path(os.environ["ELSEWHERE_FOLDER"])
DATABASES = {
    alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / f"{alias}.sqlite3"}
    for alias in ("default", "support", "empty")
}
ELSEWHERE = {"admin", "auth", "contenttypes", "people", "sessions", "support_tickets"}
DATABASE_ROUTERS = ["tests.elsewhere_settings.Router"]
USE_TZ = True


class Router:
    """Send everything that tickets refer to to the database "support"."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "support" if model._meta.app_label in ELSEWHERE else "default"

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == ("support" if app_label in ELSEWHERE else "default")
