"""Settings of the test suite: SQLite and a stock site, unless the environment asks for another cell of the matrix.

TEST_DATABASE: sqlite, postgresql or mariadb. TEST_USE_TZ, TEST_ATOMIC_REQUESTS, TEST_LOGIN_REQUIRED, TEST_UUID_USER: 1
or 0. The servers are looked for on their usual local ports; PGHOST, PGPORT, PGUSER, PGPASSWORD and MARIADB_HOST,
MARIADB_PORT, MARIADB_USER, MARIADB_PASSWORD name others, TEST_DATABASE_NAME another test database.
"""

from __future__ import annotations

import os
from typing import Any


def asks_for(name: str, *, default: bool = False) -> bool:
    """Return whether the environment switches something on."""
    return os.environ.get(f"TEST_{name}", str(int(default))) == "1"


def database() -> dict[str, Any]:
    """Return the database that the environment asks for."""
    match os.environ.get("TEST_DATABASE", "sqlite"):
        case "sqlite":
            return {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        case "postgresql":
            return {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "postgres",
                "HOST": os.environ.get("PGHOST", "127.0.0.1"),
                "PORT": os.environ.get("PGPORT", "5432"),
                "USER": os.environ.get("PGUSER", "postgres"),
                "PASSWORD": os.environ.get("PGPASSWORD", ""),
                "TEST": {"NAME": os.environ.get("TEST_DATABASE_NAME", "test_support_tickets")},
            }
        case "mariadb":
            return {
                "ENGINE": "django.db.backends.mysql",
                "NAME": "support_tickets",
                "HOST": os.environ.get("MARIADB_HOST", "127.0.0.1"),
                "PORT": os.environ.get("MARIADB_PORT", "3306"),
                "USER": os.environ.get("MARIADB_USER", "root"),
                "PASSWORD": os.environ.get("MARIADB_PASSWORD", ""),
                "OPTIONS": {"charset": "utf8mb4"},
                "TEST": {
                    "NAME": os.environ.get("TEST_DATABASE_NAME", "test_support_tickets"),
                    "CHARSET": "utf8mb4",
                    "COLLATION": "utf8mb4_bin",
                },
            }
    raise ValueError("TEST_DATABASE must be sqlite, postgresql or mariadb")


SECRET_KEY = "not-secret"
DATABASES = {"default": {**database(), "ATOMIC_REQUESTS": asks_for("ATOMIC_REQUESTS")}}
USE_TZ = asks_for("USE_TZ", default=True)
ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}  # Django 6.1 asks for it
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "django_support_tickets",
]
if asks_for("UUID_USER"):
    INSTALLED_APPS.append("tests.people")
    AUTH_USER_MODEL = "people.Person"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
if asks_for("LOGIN_REQUIRED"):
    MIDDLEWARE.append("django.contrib.auth.middleware.LoginRequiredMiddleware")
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "support_tickets": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
}
