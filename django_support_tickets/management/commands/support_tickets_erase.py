from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from django_support_tickets.management.erasure import Erasure, VendorCopy, erase, find_user


class Command(BaseCommand):
    """Erase what is kept of a user's tickets."""

    help = gettext_noop(
        "Erase what is kept of a user's tickets: those that no vendor has are removed, the others keep only how the "
        "vendor names them; comments, files and webhooks go, and what is queued is cancelled. Lists what the vendors "
        "still have. Run it before the user is deleted; running it again completes it. Exit code 1: something is left."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.description = _(self.help)
        parser.add_argument("user", metavar="USER", help=_("User name (as for logging in) or primary key."))
        parser.add_argument("--dry-run", action="store_true", help=_("Count and list only."))
        parser.add_argument("--json", action="store_true", help=_("Print one JSON object."))
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections), help=_("Database to use (default).")
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = find_user(options["user"], using=options["database"])
        except LookupError as error:
            raise CommandError(str(error)) from None
        result = erase(user, using=options["database"], dry_run=options["dry_run"])
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], **result.as_dict()}))
        else:
            self._show(result, dry_run=options["dry_run"])
        if not result.is_complete:
            raise CommandError(_("Something is left; run this again."))

    def _show(self, result: Erasure, *, dry_run: bool) -> None:
        removed = ngettext(
            "%(count)d ticket that no vendor has", "%(count)d tickets that no vendor has", result.removed
        )
        redacted = ngettext("%(count)d ticket", "%(count)d tickets", result.redacted)
        files = ngettext("%(count)d file", "%(count)d files", result.files)
        text = _("Removed: %(removed)s and %(files)s; redacted: %(redacted)s.")
        if dry_run:
            text = _("To be removed: %(removed)s and %(files)s; to be redacted: %(redacted)s.")
        counts = {"removed": (removed, result.removed), "redacted": (redacted, result.redacted)}
        counts["files"] = (files, result.files)
        self.stdout.write(text % {name: part % {"count": count} for name, (part, count) in counts.items()})
        self._show_what_is_left(result)

    def _show_what_is_left(self, result: Erasure) -> None:
        for key in result.in_flight:
            text = _("Not erased: something of ticket %(key)s is being sent, or its answer is looked for.")
            self.stdout.write(text % {"key": key})
        for key in result.files_left:
            text = _("Not erased: the storage has not deleted the files of ticket %(key)s.")
            self.stdout.write(text % {"key": key})
        if result.vendor_copies:
            self.stdout.write(_("Not erased at the vendors, who must be asked for it:"))
        for copy in result.vendor_copies:
            self.stdout.write(f"  {_described(copy)}")
        if count := result.others_by_email:
            text = ngettext(
                "%(count)d other ticket has the user's e-mail address as contact.",
                "%(count)d other tickets have the user's e-mail address as contact.",
                count,
            )
            self.stdout.write(text % {"count": count})


def _described(copy: VendorCopy) -> str:
    perhaps = "" if copy.is_certain else _("perhaps: its answer was lost")
    return "  ".join(part for part in (copy.account, copy.reference, copy.remote_id, perhaps) if part)
