from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from django_support_tickets.testing.sandbox import serve


class Command(BaseCommand):
    """Serve the fake vendors on a fixed port."""

    help = "Serve fake Ripio, Moov, Verifik and Ankra on this machine, for development; Ctrl-C stops."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        parser.add_argument("--port", type=int, default=8800, help="port to listen on (default: 8800)")
        parser.add_argument("--latency", type=float, default=0.0, help="seconds to wait before each answer")
        parser.add_argument("--faults", type=float, default=0.0, help="share of requests that go wrong, 0 to 1")
        parser.add_argument("--seed", type=int, help="make the faults replayable")

    def handle(self, *args: Any, **options: Any) -> None:
        serve(
            options["host"],
            options["port"],
            latency=options["latency"],
            fault_rate=options["faults"],
            seed=options["seed"],
            write=self.stdout.write,
        )
