"""The stock site with drf-spectacular, to write and to check docs/openapi.yaml."""

from __future__ import annotations

from django_support_tickets import __version__
from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "drf_spectacular"]
ROOT_URLCONF = "tests.api.openapi_urls"
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
SPECTACULAR_SETTINGS = {
    "TITLE": "django-support-tickets",
    "DESCRIPTION": "Raise support tickets at your vendors' desks, and read what became of them.",
    "VERSION": __version__,
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "Status": "django_support_tickets.records.Status",
        "Delivery": "django_support_tickets.models.Delivery",
    },
}
