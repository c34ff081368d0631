"""A database with many tickets, made once and kept: one row of each table by the ORM, the others by the server."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection
from django.db.models import Model
from django.utils import timezone

from django_support_tickets.models import Attachment, Comment, Ticket

User = get_user_model()
#: Every so many-th ticket is the customer's own.
OWN = 100
COMMENTS = 3


def fill(rows: int) -> None:
    """Make the tables hold `rows` tickets, with three comments and one file each; nothing to do if they do."""
    call_command("migrate", verbosity=0)
    if Ticket.objects.count() == rows:
        return
    for model in (Attachment, Comment, Ticket, User):
        model._default_manager.all()._raw_delete("default")
    customer = User.objects.create_user("customer")
    agent = User.objects.create_user("agent", is_staff=True)
    agent.user_permissions.add(Permission.objects.get(codename="view_ticket"))
    _multiply_tickets(rows, customer_id=customer.pk)
    _multiply_parts(COMMENTS)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _multiply_tickets(rows: int, *, customer_id: int) -> None:
    values = {
        "subject": "Cannot log in after the upgrade of the node",
        "description": "Since noon the panel answers with 502. " * 10,
        "tags": ["panel", "login"],
        "delivery": "delivered",
        "status": "open",
        "raw": {"comments": "x" * 1000},
        "created_at": timezone.now() - timedelta(days=2000),
    }
    template = Ticket.objects.bulk_create([Ticket(provider="local", remote_id="R-0", **values)])[0]
    _multiply(
        Ticket,
        template.pk,
        "generate_series(1, %(rows)s) AS n",
        {
            "key": "gen_random_uuid()",
            "remote_id": "'R-' || n",
            "reference": "'SUP-' || n",
            "created_at": "t.created_at + n * interval '90 seconds'",
            "requester_id": f"CASE WHEN n %% {OWN} = 0 THEN {customer_id} END",
        },
        rows=rows - 1,
    )


def _multiply_parts(comments: int) -> None:
    first = Ticket.objects.order_by("pk")[0]
    source = "support_tickets_ticket AS other, generate_series(1, %(times)s) AS n"
    values = {"key": "gen_random_uuid()", "ticket_id": "other.id", "remote_id": "'p' || other.id || '-' || n"}
    for model, times in ((Comment, comments), (Attachment, 1)):
        fields: dict[str, Any] = {"body": "We look into it."} if model is Comment else {"name": "log.txt"}
        template = model._default_manager.bulk_create([model(ticket=first, delivery="draft", **fields)])[0]
        _multiply(model, template.pk, source, {**values, "delivery": "'delivered'"}, times=times)
        model._default_manager.filter(pk=template.pk)._raw_delete("default")


def _multiply(model: type[Model], pk: int, source: str, changed: dict[str, str], **numbers: int) -> None:
    columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    values = ", ".join(changed.get(column, f't."{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} AS t, {source} WHERE t.id = %(pk)s",
            {"pk": pk, **numbers},
        )
