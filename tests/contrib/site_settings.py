"""Settings of the site whose workers the tests start and kill: its own processes, its own database, a fake vendor.

SITE_DATABASE names a PostgreSQL database or the file of a SQLite one; SITE_PROVIDERS and SITE_DISPATCHER are the
settings of that name; SITE_BROKER and SITE_PREFIX keep its messages apart; SITE_TIMETABLE is Celery's for its beat.
"""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, database

NAME = os.environ["SITE_DATABASE"]
if NAME.endswith(".sqlite3"):
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": NAME,
            "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL"},
        }
    }
else:
    DATABASES = {"default": {**database(), "NAME": NAME}}

SUPPORT_TICKETS_PROVIDERS = json.loads(os.environ["SITE_PROVIDERS"])
SUPPORT_TICKETS_DISPATCHER = os.environ["SITE_DISPATCHER"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django_support_tickets": {"handlers": ["console"], "level": "INFO"}},
}

if SUPPORT_TICKETS_DISPATCHER.endswith("tasks.wake"):
    INSTALLED_APPS = [*INSTALLED_APPS, "django_tasks_db"]
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

CELERY_BROKER_URL = os.environ.get("SITE_BROKER", "")
CELERY_BEAT_SCHEDULE = json.loads(os.environ.get("SITE_TIMETABLE", "{}"))
CELERY_IMPORTS = ["django_support_tickets.contrib.celery"]
CELERY_TASK_DEFAULT_QUEUE = os.environ.get("SITE_PREFIX", "site")
CELERY_WORKER_PREFETCH_MULTIPLIER = 4
if CELERY_BROKER_URL.startswith("redis"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": f"{CELERY_TASK_DEFAULT_QUEUE}:"}
