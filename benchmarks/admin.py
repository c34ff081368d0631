"""The admin's list and dashboard over many tickets, on PostgreSQL, beside Django's own list of the same columns.

    python -m benchmarks.admin [--rows N]

100,000 tickets by default, 1,000,000 in the full profile. 50,000 of them lie in the dashboard's window.
The database bench_admin_<N> is kept for some hours, since the window moves on. PGHOST, PGPORT, PGUSER and PGPASSWORD
say where the server is. A line per figure: name, ours, floor or peer, ratio, gate, held; exit 1 if a gate is not held.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django
import psycopg
from django.conf import settings

from benchmarks.report import default_rows, not_run, note, report

SERVER = {
    "HOST": os.environ.get("PGHOST", "127.0.0.1"),
    "PORT": os.environ.get("PGPORT", "5432"),
    "USER": os.environ.get("PGUSER", "postgres"),
    "PASSWORD": os.environ.get("PGPASSWORD", ""),
}
ALIASES = ("ankra", "moov", "ripio", "verifik")
RUNS = 9
PEER_RUNS = 3
WINDOW = 50_000
KEPT = timedelta(hours=6)
# Milliseconds that a page may take, as the median of RUNS.
GATES = {"list, plain": 100, "list, prefix search": 100, "dashboard": 200}
ONE_FILTER = 1000
# A choice of each filter -> what Django's own filter would be asked.
FILTERS = {
    "status=waiting": "status__exact=waiting",
    "account=ankra": "provider__exact=ankra",
    "delivery=delivered": "delivery__exact=delivered",
    "attention=person": "delivery__exact=uncertain",
    "attention=missing": "delivery__exact=refused",
}


def configure(database: str) -> None:
    """Set a stock site up, without a settings module."""
    apps = ["admin", "auth", "contenttypes", "messages", "sessions", "staticfiles"]
    processors = ["template.context_processors.request", "contrib.auth.context_processors.auth"]
    settings.configure(
        SECRET_KEY="not-secret",
        ALLOWED_HOSTS=["testserver"],
        USE_TZ=True,
        STATIC_URL="static/",
        ROOT_URLCONF=f"{__package__}.admin",
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": database, **SERVER}},
        INSTALLED_APPS=[*(f"django.contrib.{app}" for app in apps), "django_support_tickets"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        *(f"django.{name}" for name in processors),
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        SUPPORT_TICKETS_PROVIDERS={
            alias: {"BACKEND": "django_support_tickets.providers.local.LocalProvider"} for alias in ALIASES
        },
    )
    django.setup()


def create_database(name: str) -> None:
    """Create the database if it is not there; raise OperationalError without a server."""
    where = {key.lower(): value for key, value in SERVER.items() if value}
    with psycopg.connect(dbname="postgres", autocommit=True, **where) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f'CREATE DATABASE "{name}"')


def fill(rows: int) -> None:
    """Make `rows` tickets, WINDOW of them in the last 30 days; nothing to do if they are there and young enough."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    from django_support_tickets.models import OutboxEntry, Ticket

    call_command("migrate", verbosity=0)
    newest = Ticket.objects.order_by("-created_at", "-id").values_list("created_at", flat=True).first()
    if newest and timezone.now() - newest < KEPT and Ticket.objects.count() == rows:
        return
    print(f"making {rows} tickets …", file=sys.stderr)
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {Ticket._meta.db_table}, {OutboxEntry._meta.db_table} CASCADE")
    people: Any = get_user_model()
    person, _ = people.objects.get_or_create(username="agent", is_staff=True, is_superuser=True)
    template = Ticket(
        provider="ankra",
        subject="Cannot log in after the upgrade of the node",
        description="Since noon the panel answers with 502. " * 6,
        raw={"note": "x" * 300},
        requester=person,
        delivery="draft",
    )
    Ticket.objects.bulk_create([template])
    with connection.cursor() as cursor:
        cursor.execute(
            MULTIPLY.format(columns=_columns(Ticket), values=_values(Ticket)), {"rows": rows - 1, "in": WINDOW}
        )
        cursor.execute(QUEUE)
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


MULTIPLY = """
INSERT INTO support_tickets_ticket ({columns})
SELECT {values} FROM support_tickets_ticket AS t, generate_series(1, %(rows)s) AS n,
LATERAL (SELECT now() - CASE WHEN n <= %(in)s THEN n * interval '30 days' / %(in)s
                             ELSE interval '30 days' + (n - %(in)s) * interval '2 minutes' END AS at,
                CASE WHEN n %% 50 = 0 THEN 'refused' WHEN n %% 997 = 0 THEN 'uncertain'
                     WHEN n %% 211 = 0 AND n <= %(in)s THEN 'queued' ELSE 'delivered' END AS delivery) AS s
"""
CHANGED = {
    "key": "gen_random_uuid()",
    "provider": f"(ARRAY{list(ALIASES)})[1 + n %% {len(ALIASES)}]",
    "remote_id": "'R-' || n",
    "reference": "'SUP-' || n",
    "contact_email": "'person' || n %% 5000 || '@example.com'",
    "status": "(ARRAY['open','closed','closed','resolved','waiting','in_progress','closed'])[1 + n %% 7]",
    "delivery": "s.delivery",
    "created_at": "s.at",
    "submitted_at": "s.at",
    "delivered_at": "CASE WHEN s.delivery = 'delivered' THEN s.at + (n %% 4000) * interval '1 second' END",
    "last_comment_at": "s.at + interval '1 hour'",
}
QUEUE = """
INSERT INTO support_tickets_outboxentry
    (ticket_id, provider, item, searches, attempts, not_before, last_error, request_id, created_at)
SELECT id, provider, '', 0, 0, 0, '', '', created_at FROM support_tickets_ticket WHERE delivery = 'queued'
"""


def _columns(model: Any) -> str:
    return ", ".join(f'"{field.column}"' for field in model._meta.concrete_fields if not field.primary_key)


def _values(model: Any) -> str:
    columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    return ", ".join(CHANGED.get(column, f't."{column}"') for column in columns)


def plain_site() -> Any:
    """Return an admin site with Django's own list of tickets: the same columns, filters and searched columns."""
    from django.contrib import admin

    from django_support_tickets.models import Ticket

    class PlainAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
        list_display = ("subject", "status", "delivery", "provider", "reference", "requester", "created_at")
        list_filter = ("provider", "status", "delivery")
        list_select_related = ("requester",)
        search_fields = ("key", "reference", "remote_id", "contact_email", "subject")
        ordering = ("-created_at", "-id")

    site = admin.AdminSite(name="plain")
    site.register(Ticket, PlainAdmin)
    return site


def milliseconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    answer = call()
    taken = (time.perf_counter() - started) * 1000
    if getattr(answer, "status_code", 200) != 200:
        raise RuntimeError(f"{answer.status_code} from {answer.request['PATH_INFO']}")
    return taken


def measure(ours: Callable[[], Any], peer: Callable[[], Any]) -> tuple[float, float]:
    """Return the medians of both, run in turns after one run that does not count."""
    taken: tuple[list[float], list[float]] = ([], [])
    ours(), peer()
    for number in range(RUNS):
        taken[0].append(milliseconds(ours))
        if number < PEER_RUNS:
            taken[1].append(milliseconds(peer))
    return statistics.median(taken[0]), statistics.median(taken[1])


def run(rows: int) -> int:
    from django.contrib.auth import get_user_model
    from django.core.cache import cache
    from django.db import connection
    from django.test import Client

    fill(rows)
    people: Any = get_user_model()
    client = Client()
    client.force_login(people.objects.get(username="agent"))
    term = f"SUP-{rows - 7}"

    def get(path: str) -> Callable[[], Any]:
        return lambda: client.get(path)

    def dashboard() -> Any:
        cache.clear()
        return client.get("/admin/support_tickets/ticket/dashboard/")

    def window() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT provider, created_at::date, status, count(*) FROM support_tickets_ticket"
                " WHERE created_at > now() - interval '30 days' GROUP BY 1, 2, 3"
            )
            cursor.fetchall()

    ours, plain = "/admin/support_tickets/ticket/", "/plain/support_tickets/ticket/"
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "list, plain": (get(ours), get(plain)),
        **{f"list, {one}": (get(f"{ours}?{one}"), get(f"{plain}?{peer}")) for one, peer in FILTERS.items()},
        "list, prefix search": (get(f"{ours}?q={term}"), get(f"{plain}?q={term}")),
        "list, words": (get(f"{ours}?q=upgrade+of+the"), get(f"{plain}?q=upgrade")),
        "dashboard": (dashboard, window),
    }
    held = [show(name, *measure(*pair)) for name, pair in pairs.items()]
    note(f"{rows} tickets; peer: Django's own list, for the dashboard one aggregate over its window")
    return int(not all(held))


def show(name: str, ours: float, peer: float) -> bool:
    """Print a line; return whether the gate is held."""
    gate = ONE_FILTER if "=" in name else GATES.get(name)
    return report(
        f"admin.{name}",
        ours=f"{ours:.1f} ms",
        floor=f"{peer:.1f} ms",
        ratio=f"{ours / peer:.2f} ×",
        gate=f"≤ {gate:.0f} ms" if gate else "–",
        held=ours <= gate if gate else None,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="The [admin] gates.")
    parser.add_argument("--rows", type=int, default=default_rows(), help="tickets in the table")
    rows = max(parser.parse_args().rows, WINDOW + 1)
    name = f"bench_admin_{rows}"
    try:
        create_database(name)
    except psycopg.OperationalError as error:
        return not_run("admin", f"no PostgreSQL server: {error}")
    configure(name)
    return run(rows)


if __name__ == "__main__":
    sys.exit(main())
elif settings.configured:
    # Imported by Django as the site's URLs.
    from django.contrib import admin
    from django.urls import path

    urlpatterns = [path("admin/", admin.site.urls), path("plain/", plain_site().urls)]
