from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS

from django_support_tickets.management.erasure import Erasure, VendorCopy, erase, find_user


class Command(BaseCommand):
    """Erase what is kept of a user's tickets."""

    help = (
        "Erase what is kept of a user's tickets: those that no vendor has are removed, the others keep only how the "
        "vendor names them; comments, files and webhooks go, and what is queued is cancelled. Lists what the vendors "
        "still have. Run it before the user is deleted; running it again completes it. Exit code 1: something is left."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", metavar="USER", help="User name (as for logging in) or primary key.")
        parser.add_argument("--dry-run", action="store_true", help="Count and list only.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="Database to use (default).")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = find_user(options["user"], using=options["database"])
        except LookupError as error:
            raise CommandError(str(error)) from None
        result = erase(user, using=options["database"], dry_run=options["dry_run"])
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], **result.as_dict()}))
        else:
            self._show(result, would="Would have " if options["dry_run"] else "")
        if not result.is_complete:
            raise CommandError("Something is left; run this again.")

    def _show(self, result: Erasure, *, would: str) -> None:
        done = f"removed {result.removed} tickets that no vendor has, redacted {result.redacted}, {result.files} files."
        self.stdout.write(would + (done if would else done.capitalize()))
        for key in result.in_flight:
            self.stdout.write(f"Not erased: something of ticket {key} is being sent, or its answer is looked for.")
        for key in result.files_left:
            self.stdout.write(f"Not erased: the storage has not deleted the files of ticket {key}.")
        if result.vendor_copies:
            self.stdout.write("Not erased at the vendors, who must be asked for it:")
        for copy in result.vendor_copies:
            self.stdout.write(f"  {_described(copy)}")
        if result.others_by_email:
            self.stdout.write(f"{result.others_by_email} other tickets have the user's e-mail address as contact.")


def _described(copy: VendorCopy) -> str:
    named = "  ".join(part for part in (copy.account, copy.reference, copy.remote_id) if part)
    return named if copy.is_certain else f"{named}  perhaps: its answer was lost"
