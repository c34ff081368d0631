from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from django_support_tickets.testing.sandbox import serve


class Command(BaseCommand):
    """Serve the fake vendors on a fixed port."""

    help = gettext_noop("Serve fake Ripio, Moov, Verifik and Ankra on this machine, for development; Ctrl-C stops.")
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.description = _(self.help)
        parser.add_argument("--host", default="127.0.0.1", help=_("Address to listen on (127.0.0.1)."))
        parser.add_argument("--port", type=int, default=8800, help=_("Port to listen on (8800)."))
        parser.add_argument("--latency", type=float, default=0.0, help=_("Seconds to wait before each answer."))
        parser.add_argument("--faults", type=float, default=0.0, help=_("Share of requests that go wrong, 0 to 1."))
        parser.add_argument("--seed", type=int, help=_("Makes the faults replayable."))

    def handle(self, *args: Any, **options: Any) -> None:
        serve(
            options["host"],
            options["port"],
            latency=options["latency"],
            fault_rate=options["faults"],
            seed=options["seed"],
            write=self.say,
        )

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()  # nothing more is written before the end, also where it is kept in a log
