from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from django_support_tickets.management.pruning import Pruned, prune
from django_support_tickets.phrases import translate


class Command(BaseCommand):
    """Remove what SUPPORT_TICKETS_RETENTION says is old enough."""

    help = gettext_noop(
        "Remove rows that are older than SUPPORT_TICKETS_RETENTION allows, and stored files that no row has. Run it "
        "daily; it may be stopped at any time. Exit code 1: the files could not be looked through."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.description = _(self.help)
        parser.add_argument("--dry-run", action="store_true", help=_("Count only."))
        parser.add_argument("--json", action="store_true", help=_("Print one JSON object."))
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections), help=_("Database to use (default).")
        )

    def handle(self, *args: Any, **options: Any) -> None:
        pruned = prune(using=options["database"], dry_run=options["dry_run"])
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], **pruned.as_dict()}))
        elif options["verbosity"]:
            self._show(pruned, dry_run=options["dry_run"])
        if pruned.files_error:
            why = translate(pruned.files_error)
            raise CommandError(_("Orphaned files were not looked for: %(why)s.") % {"why": why})

    def _show(self, pruned: Pruned, *, dry_run: bool) -> None:
        for kind, count in pruned.removed.items():
            days = ngettext("older than %(days)d day", "older than %(days)d days", pruned.days[kind])
            self.stdout.write(f"{kind}: {_counted(count, dry_run=dry_run)}, {days % {'days': pruned.days[kind]}}")
        if pruned.kept:
            self.stdout.write(_("%(kinds)s: kept for ever") % {"kinds": ", ".join(pruned.kept)})
        if pruned.files is not None:
            count = pruned.files.orphans if dry_run else pruned.files.deleted
            facts = {"removed": _counted(count, dry_run=dry_run), "all": pruned.files.files}
            self.stdout.write(_("files without a row: %(removed)s, of %(all)d") % facts)


def _counted(count: int, *, dry_run: bool) -> str:
    if dry_run:
        return ngettext("%(count)d to remove", "%(count)d to remove", count) % {"count": count}
    return ngettext("%(count)d removed", "%(count)d removed", count) % {"count": count}
