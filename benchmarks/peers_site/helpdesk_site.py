"""The REST API of django-helpdesk: a page of 50 tickets and one ticket, of TICKETS with three follow-ups each.

`python helpdesk_site.py TICKETS DATABASE ROUNDS`, in an environment that holds django-helpdesk and psycopg; prints JSON
of milliseconds and statements. The database is on PostgreSQL, where PGHOST, PGPORT, PGUSER and PGPASSWORD say.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from types import ModuleType
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command


def configure(database: str) -> None:
    apps = ("auth", "contenttypes", "sessions", "sites", "admin", "messages", "humanize", "staticfiles")
    middleware = ("sessions.middleware.Session", "auth.middleware.Authentication", "messages.middleware.Message")
    processors = ("contrib.auth.context_processors.auth", "contrib.messages.context_processors.messages")
    sys.modules["helpdesk_urls"] = ModuleType("helpdesk_urls")
    settings.configure(
        SECRET_KEY="not-secret",
        ALLOWED_HOSTS=["testserver"],
        USE_TZ=True,
        SITE_ID=1,
        STATIC_URL="/static/",
        LOGIN_URL="/login/",
        ROOT_URLCONF="helpdesk_urls",
        HELPDESK_ACTIVATE_API_ENDPOINT=True,
        HELPDESK_TEAMS_MODE_ENABLED=False,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend",
        INSTALLED_APPS=[*(f"django.contrib.{app}" for app in apps), "rest_framework", "helpdesk"],
        MIDDLEWARE=[f"django.contrib.{name}Middleware" for name in middleware],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        *(f"django.{name}" for name in processors),
                    ]
                },
            }
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": database,
                "HOST": os.environ.get("PGHOST", "127.0.0.1"),
                "PORT": os.environ.get("PGPORT", "5432"),
                "USER": os.environ.get("PGUSER", "postgres"),
                "PASSWORD": os.environ.get("PGPASSWORD", ""),
            }
        },
    )
    django.setup()
    from django.urls import include, path

    sys.modules["helpdesk_urls"].__dict__["urlpatterns"] = [path("", include("helpdesk.urls", namespace="helpdesk"))]
    call_command("migrate", verbosity=0)


def fill(count: int) -> Any:
    """Make the tickets; return one in the middle."""
    from django.contrib.auth.models import User
    from django.utils import timezone
    from helpdesk.models import FollowUp, Queue, Ticket

    queue, now = Queue.objects.create(title="Desk", slug="desk"), timezone.now()
    user = User.objects.create_superuser("root", "root@example.com", "x")
    common = {"queue": queue, "created": now, "modified": now, "priority": 3, "assigned_to": user}
    text = "After the upgrade " * 12
    tickets = Ticket.objects.bulk_create(
        Ticket(title=f"Cannot log in {number}", description=text, status=1 + number % 4, **common)
        for number in range(count)
    )
    FollowUp.objects.bulk_create(
        FollowUp(ticket=ticket, title="c", comment="still broken", date=now, public=True, user=user)
        for ticket in tickets
        for _ in range(3)
    )
    return user, tickets[count // 2]


def main() -> None:
    count, database, rounds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    configure(database)
    from django.db import connection
    from django.test import Client

    user, ticket = fill(count)
    client = Client()
    client.force_login(user)
    found: dict[str, float] = {}
    for name, url in (("list", "/api/tickets/?page_size=50"), ("detail", f"/api/tickets/{ticket.pk}/")):
        taken, statements = [], [0]

        def counted(execute: Any, *arguments: Any, counter: list[int] = statements) -> Any:
            counter[0] += 1
            return execute(*arguments)

        for _ in range(rounds + 1):
            statements[0] = 0
            started = time.perf_counter()
            with connection.execute_wrapper(counted):
                answer = client.get(url)
            assert answer.status_code == 200, answer.status_code
            taken.append(1000 * (time.perf_counter() - started))
        found |= {name: statistics.median(taken[1:]), f"{name} statements": statements[0]}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
