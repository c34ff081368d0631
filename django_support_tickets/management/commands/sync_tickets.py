from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.management.progress import Progress
from django_support_tickets.outbox.push import push
from django_support_tickets.providers import providers
from django_support_tickets.sync import AlreadyRunning, pull


class Command(BaseCommand):
    """Send what is queued and fetch what is due, account by account."""

    help = "Send queued tickets, comments and files to the vendors, and fetch what is due from them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("aliases", nargs="*", metavar="alias", help="Accounts to work for; all by default.")
        side = parser.add_mutually_exclusive_group()
        side.add_argument("--push-only", action="store_true", help="Only send.")
        side.add_argument("--pull-only", action="store_true", help="Only fetch.")
        parser.add_argument(
            "--full", action="store_true", help="Fetch every ticket that is not settled, and all lists."
        )
        parser.add_argument("--dry-run", action="store_true", help="Fetch and show what would change; write nothing.")
        parser.add_argument("--workers", type=int, default=8, help="Calls at the same time (default 8).")
        parser.add_argument("--json", action="store_true", help="Print the counts as JSON.")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="Database alias (default: default).")

    def handle(self, *aliases: str, **options: Any) -> None:
        aliases = tuple(options["aliases"] or providers)
        unknown = [alias for alias in aliases if alias not in providers]
        if unknown:
            raise CommandError(f"Unknown account {unknown[0]!r}; there are: {', '.join(providers) or 'none'}.")
        results = [self.sync(alias, options) for alias in aliases]
        if options["json"]:
            self.stdout.write(json.dumps(results))
        if any(result.get("running") for result in results):
            raise CommandError("A pull is already running.", returncode=75)
        if needing := [str(result["account"]) for result in results if result["needs_a_person"]]:
            raise CommandError(f"Needs a person: {', '.join(needing)}.", returncode=1)

    def sync(self, alias: str, options: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {"account": alias, "needs_a_person": False}
        using, workers = options["database"], options["workers"]
        try:
            if not options["pull_only"] and not options["dry_run"]:
                pushed = push(alias, workers=workers, using=using)
                result["push"] = {
                    name: getattr(pushed, name) for name in ("delivered", "refused", "uncertain", "waiting", "paused")
                }
                result["needs_a_person"] |= bool(pushed.refused or pushed.uncertain)
            if not options["push_only"]:
                bar = Progress(self.stderr, alias)
                pulled = pull(
                    alias, workers=workers, full=options["full"], dry_run=options["dry_run"], progress=bar, using=using
                )
                bar.clear()
                result["pull"] = pulled.as_dict()
                result["needs_a_person"] |= pulled.needs_a_person
        except AlreadyRunning:
            result["running"] = True
        except InvalidProvider as error:
            raise CommandError(str(error)) from None
        if not options["json"]:
            self.stdout.write(f"{alias}: {result}")
        return result
