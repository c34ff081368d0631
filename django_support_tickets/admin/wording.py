"""What push and pull write down, in words that a support agent understands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_support_tickets.conf import settings
from django_support_tickets.phrases import translate, translate_facts

UNREACHED = gettext_lazy("The vendor could not be reached, so nothing was sent.")
LOST = gettext_lazy("The connection broke before the vendor's answer was complete: it may have arrived or not.")
UNREADABLE = gettext_lazy("The vendor's answer says nothing that can be relied on: it may have arrived or not.")
DENIED = gettext_lazy("The vendor does not accept this account: whoever runs this site must look at its credentials.")
REFUSED = gettext_lazy("The vendor has refused it.")
BROKEN = gettext_lazy("The connection to this vendor has a fault of its own: tell whoever runs this site.")

# How a cause begins -> what it means to an agent.
MEANINGS: dict[str, Any] = {
    "no connection could be made": UNREACHED,
    "the host name cannot be resolved": UNREACHED,
    "the TLS certificate or handshake is not accepted": UNREACHED,
    "the proxy makes no connection": UNREACHED,
    "no time is left for it": UNREACHED,
    "the answer was lost or cut": LOST,
    "the answer did not come in time": LOST,
    "the answer proves nothing": UNREADABLE,
    "the answer is not": UNREADABLE,
    "the answer is larger": UNREADABLE,
    "the answer is JSON": UNREADABLE,
    "the answer has no usable id": UNREADABLE,
    "the list is not understood": UNREADABLE,
    "another ticket came back": UNREADABLE,
    "the provider raised": BROKEN,
    "the provider has returned no record": BROKEN,
    "the remote id cannot be used": BROKEN,
    "a step before it failed": gettext_lazy("A step before it failed, so nothing was sent."),
    "another thread did not get the access token": UNREACHED,
    "the vendor has no call to fetch files": gettext_lazy("The vendor has no way to hand files out."),
    "the file is of no type": gettext_lazy("The vendor does not take files of this kind."),
    "smartCheck needs": gettext_lazy("Tickets of the category smartCheck need the options api and subject."),
    "the vendor redirects": UNREADABLE,
    "the credentials are refused": DENIED,
    "the vendor refuses this account": DENIED,
    "the vendor refuses it": REFUSED,
    "the vendor does not know it": gettext_lazy("The vendor does not know it (any more)."),
    "the vendor asks to wait": gettext_lazy("The vendor asks to wait."),
    "a file is not as it was stored": gettext_lazy("A stored file is not what it was when it was added."),
    "an option given as a callable": gettext_lazy(
        "This site's own secrets could not be read, so nothing was sent: tell whoever runs it."
    ),
}
# What may stand before the cause, as push writes it.
PREFIXES: dict[str, Any] = {
    r"Given up after 72 hours: ": gettext_lazy("It was tried for 72 hours without success."),
    r"a step before it failed: ": MEANINGS["a step before it failed"],
    r"It was tried (?P<count>\d+) times without an outcome\.": gettext_lazy(
        "It was tried %(count)s times without an outcome."
    ),
    r"It was tried (?P<count>\d+) times and never arrived\.": gettext_lazy(
        "It was tried %(count)s times and never arrived."
    ),
    r"It could not be handled: (?P<kind>\w+)\.": gettext_lazy("It could not be handled (%(kind)s)."),
    r"The answer was lost, and this vendor cannot be searched\.": gettext_lazy(
        "The answer was lost, and this vendor cannot be searched."
    ),
    r"The answer was lost, and the vendor could not be searched completely\.": gettext_lazy(
        "The answer was lost, and the vendor could not be searched completely."
    ),
    r"The answer was lost, and the vendor could not be searched: ": gettext_lazy(
        "The answer was lost, and the vendor could not be searched."
    ),
    r"Quarantined: (?P<reason>.*)": gettext_lazy("The file is quarantined: %(reason)s"),
}
# What the cause itself goes on with, in words of ours.
OWN_WORDS = ("the answer is not understood: ", "the list is not understood: ")
# "cause: words [code] (request id)", as push writes it, and "cause (status 401, code 1)", as pull does.
DESCRIPTION = re.compile(
    r"(?P<cause>.*?)(?:: (?P<words>.*?))?(?: \[(?P<code>[^\[\]]*)\])?(?: \((?P<facts>[^()]*)\))?", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """An error for an agent: what it means, the vendor's own words, and what its support may ask for."""

    meaning: str
    words: str = ""
    reference: str = ""

    def __str__(self) -> str:
        said = _("The vendor says: “%(words)s”") % {"words": self.words} if self.words else ""
        return " ".join(filter(None, (self.meaning, said)))


def explain(error: str) -> Explanation | None:
    """Return what a stored error means, None for no error; one that is not known is its own meaning."""
    text = error.strip()
    if not text:
        return None
    prefix, text = _split(text)
    if not text:
        return Explanation(prefix.strip())
    # What a pull writes begins with the account and the operation.
    for cause in (text, text.partition(": ")[2]):
        meaning = next((str(meaning) for start, meaning in MEANINGS.items() if cause.startswith(start)), "")
        parts = DESCRIPTION.fullmatch(cause)
        if meaning and parts:
            words, facts = parts["words"] or "", translate_facts(parts["facts"] or "")
            code = _("code %(code)s") % {"code": parts["code"]} if parts["code"] else ""
            is_ours = cause.startswith(OWN_WORDS)
            reference = ", ".join(filter(None, (translate(words) if is_ours else "", code, facts)))
            return Explanation(prefix + meaning, "" if is_ours else words, reference)
    said = translate(text)
    return Explanation(prefix + said[:1].upper() + said[1:])


def _split(text: str) -> tuple[str, str]:
    """Return what stands before the cause, in words for an agent with a blank behind, and the cause itself."""
    for start, meaning in PREFIXES.items():
        if match := re.match(start, text, re.DOTALL):
            values = {name: translate(value) for name, value in match.groupdict().items()}
            return f"{str(meaning) % values} ", text[match.end() :].strip()
    return "", text


def when(moment: datetime) -> str:
    """Return a time with its distance from now: "8:46 a.m. (in 3 minutes)"."""
    now = timezone.now()
    distance = _("in %(time)s") % {"time": timeuntil(moment, now)}
    if moment < now:
        distance = _("%(time)s ago") % {"time": timesince(moment, now)}
    return f"{exactly(moment)} ({distance})"


def exactly(moment: datetime) -> str:
    """Return a time as this site and its current time zone write it."""
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return date_format(local, "DATETIME_FORMAT")


def sending() -> str:
    """Return who sends what is due, by SUPPORT_TICKETS_DISPATCHER."""
    if settings.DISPATCHER == "none":
        return _("The next sync_tickets run will send it.")
    return _("It is handed to a worker at once.")


def fetching() -> str:
    """Return who fetches what is due, by SUPPORT_TICKETS_DISPATCHER."""
    if settings.DISPATCHER == "none":
        return _("The next sync_tickets run will fetch it.")
    return _("It is handed to a worker at once.")
