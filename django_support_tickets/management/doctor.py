"""Is all well? Looks at the settings, the database, the vendors and the backlog, and says what needs a look."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.core.checks import ERROR, run_checks
from django.db import DatabaseError, connections

from django_support_tickets import __version__
from django_support_tickets.conf import settings
from django_support_tickets.management.backlog import Backlog, backlog_of, parked
from django_support_tickets.management.probing import (
    SITE,
    Finding,
    Level,
    ask_account,
    ask_all,
    ask_storage,
    ask_webhook_address,
)
from django_support_tickets.models import epoch_now
from django_support_tickets.providers import providers

#: What one question to the outside may take, in seconds; all are asked at once.
PATIENCE = 15.0
#: Leases are judged by the database's clock alone; tokens and signatures by ours.
CLOCK_WARNING = 5.0
#: What waits longer shows that nobody sends, or that it cannot be sent.
UNSENT_WARNING = 15 * 60.0
UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


@dataclass(slots=True)
class Report:
    """What was found."""

    findings: list[Finding] = field(default_factory=list)
    backlogs: dict[str, Backlog] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        """Return whether nothing needs a look."""
        return all(finding.level == Level.OK for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON takes it."""
        return {
            "version": __version__,
            "well": self.is_well,
            "findings": [
                {"level": one.level.lower(), "subject": one.subject, "topic": one.topic, "text": one.text}
                for one in self.findings
            ],
            "accounts": {alias: backlog.as_dict() for alias, backlog in self.backlogs.items()},
        }

    def lines(self) -> list[str]:
        """Return the report for people, in aligned columns."""
        rows = [(str(one.level), one.subject, one.topic, one.text) for one in self.findings]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join((*map(str.ljust, row, widths), row[3])).rstrip() for row in rows]
        bad = sum(one.level != Level.OK for one in self.findings)
        return [*lines, "", "All is well." if not bad else f"{bad} of {len(rows)} need a look."]


def examine(*, using: str, webhook_urls: Sequence[str] = (), patience: float = PATIENCE) -> Report:
    """Look at everything; raise nothing, and take little longer than `patience` seconds."""
    report = Report()
    aliases = list(providers) if isinstance(settings.PROVIDERS, dict) else []
    report.findings += _look_at_settings()
    has_tables = _look_at_database(report, aliases, using=using)
    questions = {SITE: ask_storage} | {alias: partial(ask_account, alias) for alias in aliases}
    questions |= {url: partial(ask_webhook_address, url) for url in webhook_urls}
    answers = ask_all(questions, seconds=patience)
    report.findings += [one for one in answers if one.subject == SITE]
    for alias in aliases:
        report.findings += [one for one in answers if one.subject == alias]
        if has_tables:
            report.backlogs[alias] = backlog = backlog_of(alias, using=using)
            report.findings += [_sending(alias, backlog), _fetching(alias, backlog)]
    known = {SITE, *aliases}
    report.findings += [one for one in answers if one.subject not in known]
    return report


def age(seconds: float) -> str:
    """Return a duration as people say it: "3 h"."""
    size, name = next(((size, name) for size, name in UNITS if seconds >= size), UNITS[-1])
    return f"{seconds / size:.0f} {name}"


def _look_at_settings() -> list[Finding]:
    messages = run_checks(include_deployment_checks=False)
    errors = [one for one in messages if str(one.id).startswith("support_tickets.") and one.level >= ERROR]
    if errors:
        return [Finding(Level.FAIL, SITE, "settings", f"{one.id}: {one.msg}") for one in errors]
    text = f"{len(providers)} accounts, dispatcher {settings.DISPATCHER}, version {__version__}"
    return [Finding(Level.OK, SITE, "settings", text)]


def _look_at_database(report: Report, aliases: Collection[str], *, using: str) -> bool:
    """Report on the database; return whether it can be asked about tickets."""
    try:
        off = abs(epoch_now(using) / 1000 - time.time())
        waiting = parked(aliases, using=using)
    except DatabaseError as error:
        text = f"{using}: {type(error).__name__}; is it there, and migrated?"
        report.findings.append(Finding(Level.FAIL, SITE, "database", text))
        return False
    level = Level.WARN if off > CLOCK_WARNING else Level.OK
    text = f"{using} ({connections[using].vendor}), its clock and ours differ by {off:.1f} s"
    report.findings.append(Finding(level, SITE, "database", text))
    for alias, count in waiting.items():
        text = f"{count} tickets wait for {alias!r}, which is not in SUPPORT_TICKETS_PROVIDERS (any more)"
        report.findings.append(Finding(Level.WARN, SITE, "parked", text))
    return True


def _sending(alias: str, backlog: Backlog) -> Finding:
    is_slow = backlog.oldest_unsent is not None and backlog.oldest_unsent > UNSENT_WARNING
    needs = is_slow or backlog.uncertain or backlog.refused_last_day or backlog.pause in ("denied", "down")
    level = Level.FAIL if backlog.pause == "denied" else Level.WARN if needs else Level.OK
    return Finding(level, alias, "sending", "; ".join(_phrases_of_sending(backlog)))


def _phrases_of_sending(backlog: Backlog) -> Iterator[str]:
    oldest = f", the oldest for {age(backlog.oldest_unsent)}" if backlog.oldest_unsent is not None else ""
    yield f"{backlog.queued} queued{oldest}"
    if backlog.uncertain:
        yield f"{backlog.uncertain} uncertain: a person must settle them"
    if backlog.refused_last_day:
        yield f"{backlog.refused_last_day} refused in the last day"
    if backlog.paused_for is not None:
        yield f"paused for {age(backlog.paused_for)}: {backlog.pause_detail or backlog.pause}"
    if backlog.heartbeat_ago is not None:
        yield f"a worker was alive {age(backlog.heartbeat_ago)} ago"


def _fetching(alias: str, backlog: Backlog) -> Finding:
    needs = backlog.overdue or backlog.last_run == "failed"
    phrases = [f"{backlog.overdue} overdue"]
    if backlog.last_run_ago is not None:
        error = f" ({backlog.last_run_error})" if backlog.last_run_error else ""
        phrases.insert(0, f"last run {age(backlog.last_run_ago)} ago: {backlog.last_run}{error}")
    if backlog.webhooks_last_day or backlog.webhooks_refused:
        phrases.append(f"{backlog.webhooks_last_day} webhooks in the last day, {backlog.webhooks_refused} ever refused")
    return Finding(Level.WARN if needs else Level.OK, alias, "fetching", "; ".join(phrases))
