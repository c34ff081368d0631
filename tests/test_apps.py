"""What `django.setup()` loads, and that what is named there exists."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from django.contrib import admin
from django.core import checks as django_checks
from django.utils.module_loading import import_string

from django_support_tickets import admin as our_admin
from django_support_tickets.apps import CHECKS, DEPLOY_CHECKS, RECEIVERS
from django_support_tickets.later import Later

SETUP = """
import json, sys
from django.conf import settings
names = ["admin", "auth", "contenttypes", "messages", "sessions"]
settings.configure(
    INSTALLED_APPS=[*(f"django.contrib.{name}" for name in names), "django_support_tickets"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
)
import django
django.setup()
json.dump(list(sys.modules), sys.stdout)
"""


def test_setup_loads_nothing_but_the_models_and_what_they_need() -> None:
    done = subprocess.run([sys.executable, "-c", SETUP], capture_output=True, text=True, check=True)
    loaded = {name for name in json.loads(done.stdout) if name.startswith("django_support_tickets.")}
    assert {name.split(".")[1] for name in loaded} == {"admin", "apps", "conf", "later", "models", "vocabulary"}
    assert not {name for name in loaded if name.startswith("django_support_tickets.admin.")}
    assert not {"requests", "urllib3", "rest_framework", "django_filters", "celery"} & set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "path",
    [
        *(f"checks.{name}" for name in (*CHECKS, *DEPLOY_CHECKS)),
        *(name for name, _signal, _models in RECEIVERS),
        *(path.removeprefix("django_support_tickets.") for path in our_admin.CLASSES.values()),
    ],
)
def test_what_is_named_is_there(path: str) -> None:
    assert callable(import_string(f"django_support_tickets.{path}"))


def test_all_checks_are_registered() -> None:
    registry = django_checks.registry.registry
    names = {check.path for check in registry.get_checks(include_deployment_checks=True) if isinstance(check, Later)}
    assert names == {f"django_support_tickets.checks.{name}" for name in (*CHECKS, *DEPLOY_CHECKS)}


def test_a_later_function_says_what_it_is_and_passes_everything_on() -> None:
    later = Later("django_support_tickets.vocabulary.TicketRef")
    assert repr(later) == "<Later django_support_tickets.vocabulary.TicketRef>"
    assert later(remote_id="R-1").remote_id == "R-1"


def test_the_admin_has_its_classes() -> None:
    for model, path in our_admin.CLASSES.items():
        assert isinstance(admin.site.get_model_admin(model), import_string(path))
