from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from django_support_tickets.management.doctor import Report, examine
from django_support_tickets.management.findings import Level


class Command(BaseCommand):
    """Say in one screen whether all is well."""

    help = gettext_noop(
        "Ask the vendors, the storage and the database whether all is well, and show the backlog of every account. "
        "No ticket is sent, fetched or changed. Exit code 0: all is well; 1: something needs a look."
    )
    # What they find wrong is part of the report.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.description = _(self.help)
        parser.add_argument("--json", action="store_true", help=_("Print one JSON object."))
        parser.add_argument(
            "--webhook-url",
            action="append",
            default=[],
            metavar="URL",
            help=_(
                "Address of an account's webhooks as the vendor knows it, to be tried from here with a forged webhook "
                "and a genuine one, which is about no ticket; may be repeated."
            ),
        )
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections), help=_("Database to use (default).")
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # What machines read is the same in every language.
        with translation.override(None if options["json"] else translation.get_language()):
            report = examine(using=options["database"], webhook_urls=options["webhook_url"])
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict()))
        else:
            self._show(report)
        if not report.is_well:
            sys.exit(1)

    def _show(self, report: Report) -> None:
        styles = {Level.WARN: self.style.WARNING, Level.FAIL: self.style.ERROR}
        for finding, line in zip(report.findings, report.lines(), strict=True):
            self.stdout.write(line, styles.get(finding.level))
        self.stdout.write(f"\n{report.summary()}")
