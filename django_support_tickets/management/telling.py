"""What a round of `sync_tickets` has done, for people, in the active language."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, ngettext_lazy

from django_support_tickets.management.working import Result
from django_support_tickets.merge import Difference
from django_support_tickets.models import Ticket
from django_support_tickets.phrases import translate
from django_support_tickets.records import Status

# Attribute of PushCounts or PullCounts -> what is said of so many.
PUSHED: dict[str, Any] = {
    "delivered": ngettext_lazy("%(count)d sent", "%(count)d sent", "count"),
    "refused": ngettext_lazy("%(count)d refused", "%(count)d refused", "count"),
    "uncertain": ngettext_lazy("%(count)d uncertain", "%(count)d uncertain", "count"),
    "waiting": ngettext_lazy("%(count)d to be retried", "%(count)d to be retried", "count"),
}
PULLED: dict[str, Any] = {
    "fetched": ngettext_lazy("%(count)d fetched", "%(count)d fetched", "count"),
    "changed": ngettext_lazy("%(count)d changed", "%(count)d changed", "count"),
    "comments": ngettext_lazy("%(count)d new comment", "%(count)d new comments", "count"),
    "attachments": ngettext_lazy("%(count)d new file", "%(count)d new files", "count"),
    "mirrored": ngettext_lazy("%(count)d file copied", "%(count)d files copied", "count"),
    "listed": ngettext_lazy("%(count)d listed", "%(count)d listed", "count"),
    "unknown": ngettext_lazy("%(count)d unknown", "%(count)d unknown", "count"),
    "imported": ngettext_lazy("%(count)d imported", "%(count)d imported", "count"),
    "missing": ngettext_lazy("%(count)d missing", "%(count)d missing", "count"),
    "found_again": ngettext_lazy("%(count)d found again", "%(count)d found again", "count"),
    "failed": ngettext_lazy("%(count)d failed", "%(count)d failed", "count"),
}


def told(result: Result) -> list[str]:
    """Return a result in lines: one for all, then indented ones for what failed and what needs a person."""
    pushed, pulled = result.pushed, result.pulled
    failures = [translate(one) for one in (*(pushed.failures if pushed else ()), *(pulled.failures if pulled else ()))]
    if pulled is not None and (more := pulled.failed - len(pulled.failures)) > 0:
        failures.append(ngettext("and %(count)d more", "and %(count)d more", more) % {"count": more})
    return [
        f"{result.alias}: {'; '.join(_phrases(result)) or _('nothing to do')}",
        *(f"  {_('failed: %(what)s') % {'what': failure}}" for failure in failures),
        *(f"  {_('needs a person: %(what)s') % {'what': need}}" for need in result.needs),
    ]


def told_difference(difference: Difference) -> str:
    """Return in a line what a merge would change on one ticket."""
    changes = [_change(name, old, new) for name, (old, new) in difference.changes.items()]
    for name, count in (("comments", difference.comments), ("attachments", difference.attachments)):
        changes += [f"+{PULLED[name] % {'count': count}}"] if count else []
    return f"{difference.ticket}: {', '.join(changes)}"


def _phrases(result: Result) -> list[str]:
    phrases = []
    if queued := result.queued:
        phrases.append(ngettext("would send %(count)d", "would send %(count)d", queued) % {"count": queued})
    pushed, pulled = result.pushed, result.pulled
    paused, halted = pushed.paused if pushed else "", pulled.halted if pulled else ""
    if pushed:
        phrases.append(_counted(PUSHED, pushed))
    if paused and paused != halted:
        phrases.append(_("sending is paused: %(why)s") % {"why": translate(paused)})
    if pulled:
        phrases.append(_counted(PULLED, pulled))
    if halted:
        text = _("paused: %(why)s") if halted == paused else _("ended early: %(why)s")
        phrases.append(text % {"why": translate(halted)})
    if result.is_running:
        phrases.append(_("another pull is already running"))
    return [phrase for phrase in phrases if phrase]


def _counted(texts: dict[str, Any], counts: object) -> str:
    found = ((text, getattr(counts, name)) for name, text in texts.items())
    return ", ".join(text % {"count": count} for text, count in found if count)


def _change(name: str, old: Any, new: Any) -> str:
    field = str(Ticket._meta.get_field(name).verbose_name)  # type: ignore[union-attr]
    if new == "changed":
        return _("%(field)s changed") % {"field": field}
    return f"{field}: {_shown(name, old)} -> {_shown(name, new)}"


def _shown(name: str, value: Any) -> str:
    if value in (None, "", []):
        return _("(empty)")
    return str(Status(value).label).lower() if name == "status" and value in Status.values else str(value)
