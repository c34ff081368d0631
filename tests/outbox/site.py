"""Settings of the worker processes that tests and benchmarks start: one database, given by its address.

SUPPORT_TICKETS_TEST_DATABASE is sqlite:///path (with ?transaction_mode=IMMEDIATE or without),
postgresql://user@host:port/name or mysql://user@host:port/name,
SUPPORT_TICKETS_TEST_FILES the folder of attachments, SUPPORT_TICKETS_TEST_PROVIDERS the JSON of
SUPPORT_TICKETS_PROVIDERS.
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ENGINES = {"postgresql": "postgresql", "mysql": "mysql", "sqlite": "sqlite3"}


def database(address: str) -> dict[str, Any]:
    """Return the entry of DATABASES for an address."""
    parts = urlsplit(address)
    engine = f"django.db.backends.{ENGINES[parts.scheme]}"
    if parts.scheme == "sqlite":
        options = {
            "transaction_mode": dict(parse_qsl(parts.query)).get("transaction_mode", "DEFERRED"),
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        return {"ENGINE": engine, "NAME": parts.path, "OPTIONS": {"timeout": 30, **options}}
    return {
        "ENGINE": engine,
        "NAME": parts.path.lstrip("/"),
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": {"charset": "utf8mb4"} if parts.scheme == "mysql" else {},
    }


if os.environ.get("SUPPORT_TICKETS_TEST_DATABASE", "").startswith("mysql"):
    try:
        import MySQLdb  # noqa: F401
    except ImportError:  # a driver in pure Python is good enough for tests
        import pymysql

        pymysql.install_as_MySQLdb()

SECRET_KEY = "not-secret"
USE_TZ = True
DATABASES = {"default": database(os.environ.get("SUPPORT_TICKETS_TEST_DATABASE", "sqlite:///:memory:"))}
# Tables are made from the models at once; the migrations are tested elsewhere.
MIGRATION_MODULES = dict.fromkeys(("auth", "contenttypes", "support_tickets"))
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_support_tickets"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "support_tickets": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": os.environ.get("SUPPORT_TICKETS_TEST_FILES", "")},
    },
}
LOGGING_CONFIG = None
SUPPORT_TICKETS_PROVIDERS = json.loads(os.environ.get("SUPPORT_TICKETS_TEST_PROVIDERS", "null")) or {
    "local": {"BACKEND": "django_support_tickets.providers.local.LocalProvider"}
}
