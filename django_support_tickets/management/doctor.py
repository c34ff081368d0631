"""Is all well? Looks at the settings, the database, the vendors and the backlog, and says what needs a look."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.core.checks import ERROR, run_checks
from django.db import Error, connections
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_support_tickets import __version__
from django_support_tickets.conf import settings
from django_support_tickets.management.backlog import Backlog, backlog_of, parked
from django_support_tickets.management.findings import SITE, Finding, Level
from django_support_tickets.management.knocking import ask_webhook_address, try_to_remember, without_secrets
from django_support_tickets.management.probing import ask_account, ask_all, ask_storage
from django_support_tickets.models import ProviderState, SyncRun, epoch_now
from django_support_tickets.phrases import translate
from django_support_tickets.providers import providers

#: What one question to the outside may take, in seconds; all are asked at once.
PATIENCE = 15.0
#: Leases are judged by the database's clock alone; tokens and signatures by ours.
CLOCK_WARNING = 5.0
#: What waits longer shows that nobody sends, or that it cannot be sent.
UNSENT_WARNING = 15 * 60.0
UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
#: Level, subject or topic of a finding -> how people read it; accounts and addresses are their own names.
LABELS: dict[str, Any] = {
    Level.OK: gettext_lazy("ok"),
    Level.WARN: gettext_lazy("warn"),
    Level.FAIL: gettext_lazy("FAIL"),
    SITE: gettext_lazy("site"),
    "address": gettext_lazy("address"),
    "asked": gettext_lazy("asked"),
    "clock": gettext_lazy("clock"),
    "credentials": gettext_lazy("credentials"),
    "database": gettext_lazy("database"),
    "fetching": gettext_lazy("fetching"),
    "files": gettext_lazy("files"),
    "parked": gettext_lazy("parked"),
    "sending": gettext_lazy("sending"),
    "settings": gettext_lazy("settings"),
    "webhooks": gettext_lazy("webhooks"),
}


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
        """Return the findings for people, in aligned columns."""
        rows = [(*map(label_of, (one.level, one.subject, one.topic)), one.text) for one in self.findings]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return ["  ".join((*map(str.ljust, row, widths), row[3])).rstrip() for row in rows]

    def summary(self) -> str:
        """Return how many of the findings need a look."""
        bad = sum(one.level != Level.OK for one in self.findings)
        if not bad:
            return _("All is well.")
        text = ngettext("%(bad)d of %(all)d needs a look.", "%(bad)d of %(all)d need a look.", bad)
        return text % {"bad": bad, "all": len(self.findings)}


def examine(*, using: str, webhook_urls: Sequence[str] = (), patience: float = PATIENCE) -> Report:
    """Look at everything; raise nothing, and take little longer than `patience` seconds."""
    report = Report()
    aliases = list(providers) if isinstance(settings.PROVIDERS, dict) else []
    report.findings += _look_at_settings()
    has_tables = _look_at_database(report, aliases, using=using)
    questions = {SITE: ask_storage} | {alias: partial(ask_account, alias) for alias in aliases}
    questions |= {without_secrets(url): partial(ask_webhook_address, url) for url in webhook_urls}
    answers = ask_all(questions, seconds=patience)
    report.findings += [one for one in answers if one.subject == SITE]
    for alias in aliases:
        report.findings += [one for one in answers if one.subject == alias]
        if has_tables:
            report.findings += _look_at_work(report, alias, using=using)
    known = {SITE, *aliases}
    report.findings += [one for one in answers if one.subject not in known]
    return report


def label_of(name: str) -> str:
    """Return a level, subject or topic as people read it."""
    return str(LABELS.get(name, name))


def age(seconds: float) -> str:
    """Return a duration as people say it: "3 h"."""
    size, name = next(((size, name) for size, name in UNITS if seconds >= size), UNITS[-1])
    return f"{seconds / size:.0f} {name}"


def _look_at_settings() -> list[Finding]:
    messages = run_checks(include_deployment_checks=False)
    ours = [one for one in messages if str(one.id).startswith("support_tickets.") and not one.is_silenced()]
    if errors := [one for one in ours if one.level >= ERROR]:
        return [Finding(Level.FAIL, SITE, "settings", f"{one.id}: {one.msg}") for one in errors]
    text = ngettext(
        "%(count)d account, dispatcher %(dispatcher)s, version %(version)s",
        "%(count)d accounts, dispatcher %(dispatcher)s, version %(version)s",
        len(providers),
    )
    facts = {"count": len(providers), "dispatcher": settings.DISPATCHER, "version": __version__}
    return [Finding(Level.OK, SITE, "settings", text % facts)]


def _look_at_database(report: Report, aliases: Collection[str], *, using: str) -> bool:
    """Report on the database; return whether it can be asked about tickets."""
    try:
        off = abs(epoch_now(using) / 1000 - time.time())
        waiting = parked(aliases, using=using)
    except Error as error:
        report.findings.append(_about_database(SITE, error, using=using))
        return False
    level = Level.WARN if off > CLOCK_WARNING else Level.OK
    text = _("%(alias)s (%(vendor)s), its clock and ours differ by %(seconds).1f s")
    text %= {"alias": using, "vendor": connections[using].vendor, "seconds": off}
    report.findings.append(Finding(level, SITE, "database", text))
    for alias, count in waiting.items():
        text = ngettext(
            "%(count)d ticket waits for %(alias)r, which is not in SUPPORT_TICKETS_PROVIDERS (any more)",
            "%(count)d tickets wait for %(alias)r, which is not in SUPPORT_TICKETS_PROVIDERS (any more)",
            count,
        )
        report.findings.append(Finding(Level.WARN, SITE, "parked", text % {"count": count, "alias": alias}))
    return True


def _look_at_work(report: Report, alias: str, *, using: str) -> list[Finding]:
    try:
        backlog = backlog_of(alias, using=using)
    except Error as error:
        return [_about_database(alias, error, using=using)]
    report.backlogs[alias] = backlog
    return [*try_to_remember(alias), _sending(alias, backlog), _fetching(alias, backlog)]


def _about_database(subject: str, error: Exception, *, using: str) -> Finding:
    text = _("%(alias)s: %(error)s; is it there, and migrated?") % {"alias": using, "error": type(error).__name__}
    return Finding(Level.FAIL, subject, "database", text)


def _sending(alias: str, backlog: Backlog) -> Finding:
    is_slow = backlog.oldest_unsent is not None and backlog.oldest_unsent > UNSENT_WARNING
    needs = is_slow or backlog.uncertain or backlog.refused_last_day or backlog.pause in ("denied", "down")
    level = Level.FAIL if backlog.pause == "denied" else Level.WARN if needs else Level.OK
    return Finding(level, alias, "sending", "; ".join(_phrases_of_sending(backlog)))


def _phrases_of_sending(backlog: Backlog) -> Iterator[str]:
    if backlog.oldest_unsent is None:
        yield _counted(ngettext("%(count)d queued", "%(count)d queued", backlog.queued), backlog.queued)
    else:
        text = ngettext(
            "%(count)d queued, the oldest for %(age)s", "%(count)d queued, the oldest for %(age)s", backlog.queued
        )
        yield text % {"count": backlog.queued, "age": age(backlog.oldest_unsent)}
    if count := backlog.uncertain:
        text = ngettext(
            "%(count)d uncertain: a person must settle it", "%(count)d uncertain: a person must settle them", count
        )
        yield _counted(text, count)
    if count := backlog.refused_last_day:
        yield _counted(ngettext("%(count)d refused in the last day", "%(count)d refused in the last day", count), count)
    if backlog.paused_for is not None:
        why = translate(backlog.pause_detail) or str(ProviderState.Pause(backlog.pause).label)
        yield _("paused for %(age)s: %(why)s") % {"age": age(backlog.paused_for), "why": why}
    if backlog.heartbeat_ago is not None:
        yield _("a worker was alive %(age)s ago") % {"age": age(backlog.heartbeat_ago)}


def _fetching(alias: str, backlog: Backlog) -> Finding:
    needs = backlog.overdue or backlog.last_run == SyncRun.Outcome.FAILED
    phrases = [_counted(ngettext("%(count)d overdue", "%(count)d overdue", backlog.overdue), backlog.overdue)]
    if backlog.last_run_ago is not None:
        phrases.insert(0, _last_run(backlog, age(backlog.last_run_ago)))
    if count := backlog.webhooks_last_day:
        phrases.append(
            _counted(ngettext("%(count)d webhook in the last day", "%(count)d webhooks in the last day", count), count)
        )
    if count := backlog.webhooks_refused:
        phrases.append(
            _counted(ngettext("%(count)d webhook ever refused", "%(count)d webhooks ever refused", count), count)
        )
    return Finding(Level.WARN if needs else Level.OK, alias, "fetching", "; ".join(phrases))


def _last_run(backlog: Backlog, ago: str) -> str:
    error = f" ({translate(backlog.last_run_error)})" if backlog.last_run_error else ""
    outcome = str(SyncRun.Outcome(backlog.last_run).label).lower()
    return _("last run %(age)s ago: %(outcome)s") % {"age": ago, "outcome": outcome} + error


def _counted(text: str, count: int) -> str:
    return text % {"count": count}
