"""The suite's settings for a server in a process of its own; TEST_WEBHOOK_DATABASE names its database.

With SQLite, a file: the site's own database, and behind a router another for the tickets; else TEST_DATABASE says at
which server it is. ATOMIC_REQUESTS is on.
"""

from __future__ import annotations

import os
from typing import Any

from tests.settings import *  # noqa: F403
from tests.settings import database

ROOT_URLCONF = "tests.webhooks.urls"
AUTH_USER_MODEL = "auth.User"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_support_tickets"]
SUPPORT_TICKETS_DISPATCHER = os.environ.get("TEST_WEBHOOK_DISPATCHER", "none")
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
# The tables as the models say, which is done in an instant.
MIGRATION_MODULES: dict[str, None] = dict.fromkeys(("auth", "contenttypes", "support_tickets"))
SUPPORT_TICKETS_PROVIDERS = {
    "ripio": {
        "BACKEND": "django_support_tickets.providers.ripio.RipioProvider",
        "OPTIONS": {
            "base_url": "http://127.0.0.1:9",
            "client_id": "id",
            "client_secret": "secret",
            "webhook_secrets": ["test-webhook-secret"],
        },
    }
}

_name = os.environ["TEST_WEBHOOK_DATABASE"]
if _name.endswith(".sqlite3"):
    _options = {"timeout": 30, "init_command": "PRAGMA synchronous=OFF"}
    _file = {"ENGINE": "django.db.backends.sqlite3", "ATOMIC_REQUESTS": True, "OPTIONS": _options}
    DATABASES: dict[str, Any] = {"default": {**_file, "NAME": f"{_name}.site"}, "tickets": {**_file, "NAME": _name}}
    DATABASE_ROUTERS = ["tests.webhooks.served_settings.Router"]
else:
    DATABASES = {"default": {**database(), "NAME": _name, "ATOMIC_REQUESTS": True}}


class Router:
    """Keep the tickets in a database of their own."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "tickets" if model._meta.app_label == "support_tickets" else None

    db_for_write = db_for_read
