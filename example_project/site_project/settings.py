"""Settings of the example project: a stock Django site whose vendors are the sandbox on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

VAR = Path(__file__).resolve().parent.parent / "var"
VAR.mkdir(exist_ok=True)

SECRET_KEY = "example-project-only"
DEBUG = True
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "site_project.urls"
STATIC_URL = "static/"
USE_TZ = True
TIME_ZONE = "UTC"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR / "db.sqlite3",
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
    }
}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_support_tickets",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
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
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": VAR / "media"}},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    # Not below MEDIA_ROOT: files of tickets are never served as they lie.
    "support_tickets": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": VAR / "files"},
    },
}

# Written by the demo: where the fake vendors listen, and with which credentials. A real site reads its environment.
SANDBOX = VAR / "sandbox.json"
BACKENDS = {
    "ripio": "django_support_tickets.providers.ripio.RipioProvider",
    "moov": "django_support_tickets.providers.moov.MoovProvider",
    "verifik": "django_support_tickets.providers.verifik.VerifikProvider",
    "ankra": "django_support_tickets.providers.ankra.AnkraProvider",
}
if SANDBOX.exists():
    SUPPORT_TICKETS_PROVIDERS = {
        alias: {"BACKEND": BACKENDS[alias], "OPTIONS": options}
        for alias, options in json.loads(SANDBOX.read_text()).items()
    }
# `make serve` sends a ticket as soon as it is raised; a real site runs `sync_tickets` or a queue instead.
SUPPORT_TICKETS_DISPATCHER = os.environ.get("SUPPORT_TICKETS_DISPATCHER", "none")
