from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.contrib.site_settings")
app = Celery("site")
app.config_from_object("django.conf:settings", namespace="CELERY")
