"""A stock Django site with one Ripio account, on PostgreSQL; the standard PG* variables say where."""

from __future__ import annotations

import os

SECRET_KEY = "benchmarks-only"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "benchmarks.webhook_site.urls"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "HOST": os.environ.get("PGHOST", "127.0.0.1"),
        "PORT": os.environ.get("PGPORT", "5432"),
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "CONN_MAX_AGE": None,
    }
}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
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
WEBHOOK_SECRET = "benchmarks-webhook-secret"
SUPPORT_TICKETS_PROVIDERS = {
    "ripio": {
        "BACKEND": "django_support_tickets.providers.ripio.RipioProvider",
        "OPTIONS": {
            # Where nobody answers: a webhook calls no vendor. The soak has workers that call one.
            "base_url": os.environ.get("BENCHMARK_VENDOR", "http://127.0.0.1:9"),
            "client_id": "sandbox-ripio-client",
            "client_secret": "sandbox-ripio-secret",
            "webhook_secrets": [WEBHOOK_SECRET],
        },
    }
}
