"""A stock Django site with one Ankra account; BENCH_PULL_DATABASE says where its rows are, as "vendor:name"."""

from __future__ import annotations

import json
import os
from typing import Any

from benchmarks.pull_site.tickets import ORGANISATION


def database(vendor: str, name: str) -> dict[str, Any]:
    """Return the settings of a database; servers are where the usual variables say."""
    if vendor == "sqlite":
        pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        options = {"transaction_mode": "IMMEDIATE", "timeout": 30, "init_command": pragmas}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": options}
    engine, prefix, port, user = {
        "postgresql": ("postgresql", "PG", "5432", "postgres"),
        "mariadb": ("mysql", "MARIADB_", "3306", "root"),
    }[vendor]
    return {
        "ENGINE": f"django.db.backends.{engine}",
        "NAME": name,
        "HOST": os.environ.get(f"{prefix}HOST", "127.0.0.1"),
        "PORT": os.environ.get(f"{prefix}PORT", port),
        "USER": os.environ.get(f"{prefix}USER", user),
        "PASSWORD": os.environ.get(f"{prefix}PASSWORD", ""),
        **({"OPTIONS": {"charset": "utf8mb4"}} if vendor == "mariadb" else {}),
    }


SECRET_KEY = "benchmarks-only"
USE_TZ = True
DATABASES = {"default": database(*os.environ["BENCH_PULL_DATABASE"].split(":", 1))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django_support_tickets",
    "benchmarks.pull_site",
]
SUPPORT_TICKETS_PROVIDERS = {
    "ankra": {
        "BACKEND": "django_support_tickets.providers.ankra.AnkraProvider",
        "OPTIONS": {
            "token": "benchmarks",
            "organisation_id": ORGANISATION,
            "page_size": 100,
            "rate": None,
            **json.loads(os.environ.get("BENCH_PULL_OPTIONS", "{}")),
        },
    },
    # The same vendor without the wire.
    "memory": {"BACKEND": "benchmarks.pull_site.memory.InMemory", "OPTIONS": {}},
}
