"""A process that forks workers, each of which may end at a named point; it is told what to do on its standard input.

A line is JSON: alias, workers, and optionally point, after and signal. The answer is the wait status of the worker, and
for one that stopped itself, its process id: it goes on when it is told {"continue": pid}.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import sys
from typing import Any

import django


def work(order: dict[str, Any]) -> None:
    """Push, and end or stand still at the point."""
    from django_support_tickets.outbox.push import push
    from tests.simulator.points import Point, ending

    if "point" not in order:
        push(order["alias"], workers=order["workers"])
        return
    number = signal.Signals[order["signal"]]
    with ending(Point.named(order["point"]), lambda: os.kill(os.getpid(), number), after=order["after"]):
        push(order["alias"], workers=order["workers"])


def obey(order: dict[str, Any]) -> dict[str, int]:
    """Return what became of the worker."""
    if "continue" in order:
        os.kill(order["continue"], signal.SIGCONT)
        return {"status": os.waitpid(order["continue"], 0)[1]}
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work(order)
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(pid, os.WUNTRACED)[1]
    return {"status": status, "stopped": pid} if os.WIFSTOPPED(status) else {"status": status}


def warm_up() -> None:
    """Import and compile what a worker would at its first push, once for all of them; leave no connection open."""
    for name in ("providers.ankra", "providers.moov", "providers.ripio", "providers.verifik"):
        importlib.import_module(f"django_support_tickets.{name}")
    importlib.import_module("tests.simulator.points")
    from django.db import connections

    from django_support_tickets.models import Comment, Ticket

    ticket = Ticket.objects.create(provider="local", subject="A case")
    Comment.objects.create(ticket=ticket, body="Any news?")
    work({"alias": "local", "workers": 1})
    ticket.delete()
    connections.close_all()


def main() -> None:
    """Obey until the input ends."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.outbox.site")
    django.setup()
    logging.disable(logging.CRITICAL)
    warm_up()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(obey(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
