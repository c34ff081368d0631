"""A day of a site whose tickets are not in its default database; prints what came of it as JSON."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from io import StringIO
from typing import Any

import django
from django.core.management import CommandError, call_command
from django.db import connections

TICKETS, CREWS = 24, 3
woken: list[list[Any]] = []


def take_note(alias: str, ticket_id: int | None, using: str) -> None:
    """Be a project's dispatcher."""
    woken.append([alias, using])


def main() -> None:
    django.setup()
    report: dict[str, Any] = {"doctor before": run("support_tickets_doctor", "--database", "empty")}
    for alias in ("default", "support"):
        call_command("migrate", database=alias, verbosity=0)
    report["tables"] = {alias: tables(alias) for alias in ("default", "support")}
    report |= {"webhooks": take_webhooks(), "day": live(), "pushed": push_from_many_sides()}
    sys.stdout.write(json.dumps(report))


def run(*command: str) -> list[Any]:
    """Run a command; return its exit code and output."""
    output, code = StringIO(), 0
    try:
        call_command(*command, stdout=output, stderr=output)
    except SystemExit as ending:
        code = int(str(ending.code))
    except CommandError as error:
        code = error.returncode
        output.write(str(error))
    return [code, output.getvalue()]


def tables(alias: str) -> list[str]:
    names = connections[alias].introspection.table_names()
    return [name for name in names if name.startswith("support_tickets")]


def take_webhooks() -> dict[str, Any]:
    """Take a signed webhook and a forged one; return how many of each the database counts, and who was woken."""
    from django.test import RequestFactory, override_settings

    from django_support_tickets.models import ProviderState, Ticket, WebhookDelivery
    from django_support_tickets.webhooks import receive
    from tests import elsewhere
    from tests.webhooks.cases import RIPIO_BODY, RIPIO_HEADERS, RIPIO_ID, accounts

    ticket = Ticket(provider="ripio", remote_id=RIPIO_ID, subject="S", description="D", delivery="delivered")
    Ticket.objects.bulk_create([ticket])
    dispatcher = f"{elsewhere.__name__}.take_note"
    for body in (RIPIO_BODY, b"forged"):
        request = RequestFactory().post("/", body, content_type="application/json", headers=RIPIO_HEADERS)
        with override_settings(SUPPORT_TICKETS_PROVIDERS=accounts(), SUPPORT_TICKETS_DISPATCHER=dispatcher):
            receive(request, "ripio").close()
    Ticket.objects.all().delete()
    remembered = WebhookDelivery.objects.using("support").count()
    refused = ProviderState.objects.using("support").get(provider="ripio").webhooks_refused
    return {"remembered": remembered, "refused": refused, "woken": elsewhere.woken}


def live() -> dict[str, Any]:
    """Raise, send, fetch, look, prune and erase, all by `--database support`."""
    from django.contrib.auth import get_user_model

    from django_support_tickets.models import Ticket

    user = get_user_model().objects.create_user("jo")
    Ticket.objects.create(subject="S", description="D", requester=user, about=user)
    commands = ("sync_tickets", "support_tickets_doctor", "support_tickets_prune")
    codes = {command: run(command, "--database", "support")[0] for command in commands}
    delivered = Ticket.objects.filter(delivery="delivered", about_id=str(user.pk)).count()
    erased = run("support_tickets_erase", "jo", "--database", "support")
    return {"codes": codes, "delivered": delivered, "erased": erased}


def push_from_many_sides() -> dict[str, Any]:
    """Send tickets from several connections at once while more are raised; return how often each was delivered."""
    from django_support_tickets.models import Ticket, TicketEvent
    from django_support_tickets.outbox.push import push

    errors: list[str] = []

    def work() -> None:
        try:
            for _ in range(3):
                push("local", using="support")
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
        finally:
            connections.close_all()

    keys = [Ticket.objects.create(subject=f"Number {number}", description="D").pk for number in range(TICKETS)]
    crews = [threading.Thread(target=work) for _ in range(CREWS)]
    for crew in crews:
        crew.start()
    for crew in crews:
        crew.join()
    push("local", using="support")
    events = TicketEvent.objects.filter(kind="delivered", ticket__in=keys).values_list("ticket", flat=True)
    return {"times": Counter(Counter(events).values()), "errors": errors}


if __name__ == "__main__":
    main()
