from __future__ import annotations

import json
import os

SECRET_KEY = "not-secret"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("BENCH_PUSH_DATABASE", "bench_push"),
        "HOST": os.environ.get("PGHOST", "127.0.0.1"),
        "PORT": os.environ.get("PGPORT", "5432"),
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
    }
}
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_support_tickets"]
SUPPORT_TICKETS_PROVIDERS = {
    "moov": {
        "BACKEND": "django_support_tickets.providers.moov.MoovProvider",
        "OPTIONS": {
            "public_key": "public",
            "secret_key": "secret",
            **json.loads(os.environ.get("BENCH_PUSH_OPTIONS", "{}")),
        },
    }
}
