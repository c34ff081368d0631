from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from django_support_tickets.management.pruning import Pruned, prune


class Command(BaseCommand):
    """Remove what SUPPORT_TICKETS_RETENTION says is old enough."""

    help = (
        "Remove rows that are older than SUPPORT_TICKETS_RETENTION allows, and stored files that no row has. Run it "
        "daily; it may be stopped at any time. Exit code 1: the files could not be looked through."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Count only.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="Database to use (default).")

    def handle(self, *args: Any, **options: Any) -> None:
        pruned = prune(using=options["database"], dry_run=options["dry_run"])
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], **pruned.as_dict()}))
        elif options["verbosity"]:
            self._show(pruned, verb="to remove" if options["dry_run"] else "removed")
        if pruned.files_error:
            raise CommandError(f"Orphaned files were not looked for: {pruned.files_error}.")

    def _show(self, pruned: Pruned, *, verb: str) -> None:
        for kind, count in pruned.removed.items():
            self.stdout.write(f"{kind}: {count} {verb}, older than {pruned.days[kind]} days")
        if pruned.kept:
            self.stdout.write(f"{', '.join(pruned.kept)}: kept for ever")
        if pruned.files is not None:
            count = pruned.files.orphans if verb == "to remove" else pruned.files.deleted
            self.stdout.write(f"files without a row: {count} {verb}, of {pruned.files.files}")
