from __future__ import annotations

import json
import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.management.progress import Progress
from django_support_tickets.management.stopping import Stopping
from django_support_tickets.management.telling import told, told_difference
from django_support_tickets.management.watching import watch
from django_support_tickets.management.working import Order, Result, work
from django_support_tickets.merge import Difference
from django_support_tickets.phrases import translate
from django_support_tickets.providers import providers

#: Exit codes: something needs a person, and another pull of the account was at work (as sysexits.h EX_TEMPFAIL).
NEEDS_A_PERSON = 1
ALREADY_RUNNING = 75


class Command(BaseCommand):
    """Send what is queued and fetch what is due, account by account."""

    help = gettext_noop(
        "Send queued tickets, comments and files to the vendors and fetch what is due from them. Exit code 0: all is "
        "well; 1: something needs a person; 75: another pull of an account was already running."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.description = _(self.help)
        parser.add_argument("aliases", nargs="*", metavar="alias", help=_("Accounts to work for; all by default."))
        side = parser.add_mutually_exclusive_group()
        side.add_argument("--push-only", action="store_true", help=_("Send only."))
        side.add_argument("--pull-only", action="store_true", help=_("Fetch only."))
        parser.add_argument(
            "--full", action="store_true", help=_("Fetch all tickets that are not settled, and all lists.")
        )
        parser.add_argument(
            "--dry-run", action="store_true", help=_("Ask the vendors, show the differences, write nothing.")
        )
        parser.add_argument("--watch", action="store_true", help=_("Go on until SIGTERM or Ctrl-C."))
        parser.add_argument("--workers", type=_positive, default=8, help=_("Calls at the same time per account (8)."))
        parser.add_argument("--json", action="store_true", help=_("Print one JSON object per account."))
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections), help=_("Database to use (default).")
        )

    def handle(self, *args: Any, **options: Any) -> None:
        aliases = self._aliases(options["aliases"])
        order = Order(
            using=options["database"],
            workers=options["workers"],
            pushes=not options["pull_only"],
            pulls=not options["push_only"],
            full=options["full"],
            dry_run=options["dry_run"],
        )
        if options["watch"] and (order.full or order.dry_run):
            raise CommandError(_("--watch goes on for ever; --full and --dry-run are for one round."))
        self.as_json, self.verbosity = options["json"], options["verbosity"]
        with Stopping() as stopping:
            try:
                if options["watch"]:
                    watch(aliases, order, stopping=stopping, say=self._say)
                    return
                results = [self._work(alias, order, stopping) for alias in aliases if not stopping()]
            except KeyboardInterrupt:
                stopping.calm()
                code = 128 + (stopping.signum or signal.SIGINT)
                raise CommandError(_("Interrupted; what was not done stays due."), returncode=code) from None
        self._end(results, stopping)

    def _aliases(self, asked: list[str]) -> list[str]:
        known = list(providers)
        for alias in asked:
            if alias not in known:
                message = _("There is no account %(alias)r; SUPPORT_TICKETS_PROVIDERS has: %(known)s.")
                raise CommandError(message % {"alias": alias, "known": ", ".join(known)})
        try:
            for alias in asked or known:
                providers[alias]
        except InvalidProvider as error:
            raise CommandError(translate(str(error))) from None
        return asked or known

    def _work(self, alias: str, order: Order, stopping: Stopping) -> Result:
        progress = Progress(self.stderr, alias) if self.verbosity else None

        def report(difference: Difference) -> None:
            if progress is not None:
                progress.clear()
            if not self.as_json:
                self._print([told_difference(difference)])

        result = work(alias, order, stop=stopping, progress=progress, report=report)
        if progress is not None:
            progress.clear()
        self._say(result)
        return result

    def _say(self, result: Result) -> None:
        if self.as_json:
            self._print([json.dumps(result.as_dict())])
        elif self.verbosity:
            self._print(told(result))

    def _print(self, lines: Iterable[str]) -> None:
        try:
            for line in lines:
                self.stdout.write(line)
            self.stdout.flush()
        except BrokenPipeError:
            # The reader has gone (`| head`): the work goes on, and neither this nor the interpreter's last flush fails.
            self.stdout = type(self.stdout)(open(os.devnull, "w"))  # noqa: SIM115
            if sys.stdout is sys.__stdout__:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def _end(self, results: list[Result], stopping: Stopping) -> None:
        if needing := [result.alias for result in results if result.needs]:
            message = _("Needs a person: %(accounts)s.") % {"accounts": ", ".join(needing)}
            raise CommandError(message, returncode=NEEDS_A_PERSON)
        if running := [result.alias for result in results if result.is_running]:
            message = _("A pull is already running: %(accounts)s.") % {"accounts": ", ".join(running)}
            raise CommandError(message, returncode=ALREADY_RUNNING)
        if stopping.signum is not None:
            raise CommandError(_("Stopped; what was not done stays due."), returncode=128 + stopping.signum)


def _positive(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ArgumentTypeError(_("%(value)r is not a number of at least 1") % {"value": value})
    return int(value)
