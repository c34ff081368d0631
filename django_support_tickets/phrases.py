"""What errors, logs and the database say in English, and how it is said to people.

An error of this package is written and stored in English, whatever language is active, and translated when it is shown.
What a vendor, a scanner or a project's own class has said is data and stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_noop as _

#: What may stand before a cause and its colon. What else stands there is a subject: an account and an operation.
BEGINNINGS = (
    _("Given up after 72 hours"),
    _("Provider %(alias)s"),
    _("Quarantined"),
    _("The answer was lost, and the vendor could not be searched"),
    _("The vendor asks to wait"),
    _("The vendor cannot be reached"),
    _("The vendor refuses the account"),
    _("a step before it failed"),
    _("a ticket of nobody here"),
    _("list %(scope)s"),
    _("list"),
    _("the answer is not understood"),
    _("the list is not understood"),
    _("the vendor does not answer"),
    _("ticket %(key)s"),
)
SUBJECT = re.compile(r"\S+( \S+)?")
#: Behind one of these, and its colon, stand the vendor's own words.
CAUSES = (
    _("%(category)s needs the options api and subject, of at most %(limit)s characters"),
    _("a failure with a status of success"),
    _("a database raised %(kind)s"),
    _("a file is not as it was stored"),
    _("a header value is malformed"),
    _("a redirect leads nowhere"),
    _("a signed header is missing or malformed"),
    _("a ticket in it has no usable id"),
    _("an option given as a callable could not be read"),
    _("another run has taken over"),
    _("another thread did not get the access token in time"),
    _("another ticket came back"),
    _("it contradicts itself"),
    _("it could not be stored"),
    _("it did not come in time"),
    _("it does not end within %(pages)s pages"),
    _("it has no access token"),
    _("it has no attachment id"),
    _("it has no thread id"),
    _("it has no ticket id"),
    _("it is another ticket"),
    _("it is empty, and the ticket cannot be read again"),
    _("it is larger than %(limit)s bytes"),
    _("it is no list of messages"),
    _("it is no page of tickets"),
    _("it is redirected too often"),
    _("it is sent encoded"),
    _("it was lost or cut"),
    _("its address is no URL"),
    _("its address is no plain URL"),
    _("its address is not https"),
    _("its address names a user"),
    _("its cursor leads nowhere"),
    _("its host cannot be reached"),
    _("its host did not answer"),
    _("its host does not send it now"),
    _("its host has an address that is not public"),
    _("its host is not in attachment_hosts"),
    _("its host name cannot be resolved"),
    _("its host refuses it"),
    _("no connection could be made"),
    _("no webhook secret is configured"),
    _("no time is left for it within the deadline"),
    _("nothing tells where it ends"),
    _("refused"),
    _("the TLS certificate or handshake is not accepted"),
    _("the TLS certificate or handshake of its host is not accepted"),
    _("the answer did not come in time"),
    _("the answer has no usable id"),
    _("the answer is JSON where a file was expected"),
    _("the answer is larger than %(limit)s bytes"),
    _("the answer is not JSON that can be understood"),
    _("the answer proves nothing"),
    _("the answer was lost or cut"),
    _("the body cannot be read"),
    _("the body is not a JSON object"),
    _("the body is not an event"),
    _("the body is not as long as announced"),
    _("the body is too large"),
    _("the comment is not in it"),
    _("the content length is not a number"),
    _("the credentials are refused"),
    _("the event names no ticket"),
    _("the file is not in it"),
    _("the file is of no type that Ankra takes"),
    _("the host name cannot be resolved"),
    _("the list does not end"),
    _("the process ended before the run did"),
    _("the provider fails again and again"),
    _("the provider gives the event no identity"),
    _("the provider has returned no record"),
    _("the provider raised %(kind)s"),
    _("the proxy makes no connection"),
    _("the remote id cannot be used in a path"),
    _("the request cannot be written"),
    _("the signature is missing or wrong"),
    _("the storage cannot list its files"),
    _("the storage raised %(kind)s"),
    _("the ticket belongs to another organisation"),
    _("the time is too old or too new, or cannot be read"),
    _("the vendor asks to wait"),
    _("the vendor does not know it"),
    _("the vendor has no call to fetch files"),
    _("the vendor redirects"),
    _("the vendor refuses it"),
    _("the vendor refuses this account"),
    _("uncertain"),
    _("without a reason"),
)
#: What is wrong with an account's settings.
COMPLAINTS = (
    _("%(name)s must be a positive number, not %(value)s"),
    _("%(name)s must be a text that is not empty, or a callable that returns one"),
    _("%(name)s must be one of %(known)s, not %(value)s"),
    _("BACKEND %(path)s cannot be imported."),
    _("BACKEND %(path)s is not a Provider."),
    _("BACKEND is missing."),
    _("Provider %(alias)s is not in SUPPORT_TICKETS_PROVIDERS (there: %(known)s)."),
    _("accounts must be a list of Moov account ids"),
    _("api_version must be %(first)s or later, not %(value)s"),
    _("author_types must lead to %(known)s"),
    _("base_url must be an http(s) address"),
    _("base_url must be https"),
    _("base_url must not contain a user, a query or a fragment"),
    _("building it raised %(kind)s."),
    _("give public_key and secret_key or token, not both"),
    _("missing %(count)s required keyword-only argument: %(names)s"),
    _("missing %(count)s required keyword-only arguments: %(names)s"),
    _("must be a dictionary with BACKEND and OPTIONS."),
    _("organisation_id must be a UUID"),
    _("path_prefix must be a path without a slash at its end, not %(value)s"),
    _("public_key and secret_key, or token, must be given"),
    _("timeout must be two numbers of seconds (connect, read)"),
    _("unexpected keyword argument %(name)s"),
    _("unknown key %(names)s; there are BACKEND and OPTIONS."),
)
#: What is stored of a file that did not come, or not as it should.
OF_FILES = (
    _("Fetching failed: %(kind)s."),
    _("It is larger than %(limit)s bytes."),
    _("Its content is not of the kind that its name says."),
    _("STORAGES has no storage for files."),
    _("The file is too large for the scanner."),
    _("The scanner did not answer in time."),
    _("The scanner failed."),
    _("The storage has not kept the file."),
    _("The vendor announced %(announced)s bytes, %(size)s came."),
)
#: Why push has stopped.
OF_PUSH = (
    _("It could not be handled: %(kind)s."),
    # Collected where they are explained.
    "It was tried %(count)s times and never arrived.",
    "It was tried %(count)s times without an outcome.",
    "The answer was lost, and the vendor could not be searched completely.",
    "The answer was lost, and this vendor cannot be searched.",
)
#: What a person would have been told at once of a row that `bulk_create()` has made; collected where it is raised.
OF_ROWS = (
    "At most %(limit)d bytes for all files together.",
    "At most %(limit)d bytes.",
    "At most %(limit)d characters, it has %(length)d.",
    "Files are refused: STORAGES has no %(alias)r.",
    "Files with %(known)s are taken, not with %(extension)r.",
    "Name the account: there are %(names)s.",
    "The content of the file is not what %(extension)r says.",
    "The file is quarantined: %(reason)s",
    "The option %(name)s takes at most %(limit)d characters, it has %(length)d.",
    "The vendor has no option %(names)s.",
    "The vendor knows %(known)s.",
    "The vendor takes %(known)s.",
    "With this category the vendor needs the options %(names)s.",
)
#: The same with a plural, by the placeholder that decides; the first is Django's.
COUNTED = {
    "limit_value": (
        "Ensure this value has at most %(limit_value)d character (it has %(show_value)d).",
        "Ensure this value has at most %(limit_value)d characters (it has %(show_value)d).",
    ),
    "limit": ("At most %(limit)d file.", "At most %(limit)d files."),
}
SENTENCES = COMPLAINTS + OF_FILES + OF_PUSH + OF_ROWS
#: What stands in parentheses at the end.
FACTS = (_("code %(code)s"), _("key %(key)s"), _("request %(id)s"), _("request id %(id)s"), _("status %(status)s"))
IN_PARENTHESES = re.compile(r"(?P<text>.+) \((?P<facts>[^()]*)\)", re.DOTALL)
IN_BRACKETS = re.compile(r"(?P<text>.+)(?P<code> \[[^\[\]]*\])", re.DOTALL)
BETWEEN_SENTENCES = re.compile(r"(?<=\.)\s")
PLACEHOLDER = re.compile(r"%\((\w+)\)[sdr]")


def translate(text: str) -> str:
    """Return a text that this package has written in English in the active language; what is not known stays."""
    said = []
    while text:
        sentence, *rest = BETWEEN_SENTENCES.split(text, maxsplit=1)
        known = _said(sentence, SENTENCES) or _counted(sentence)
        if not known and sentence.isprintable():  # Django's, or of a catalogue of the project's; one line
            known = gettext(sentence)
        if known in ("", sentence):
            said.append(_translate_error(text))
            break
        said.append(known)
        text = "".join(rest)
    return " ".join(said)


def translate_facts(facts: str) -> str:
    """Return "status 401, code 20061" in the active language."""
    return ", ".join(_said(fact, FACTS) or fact for fact in facts.split(", "))


def _translate_error(text: str) -> str:
    """Translate what is no whole sentence: beginnings and a cause, then a code in brackets, then facts."""
    end = ""
    if (found := IN_PARENTHESES.fullmatch(text)) and _are_facts(found["facts"]):
        text, end = found["text"], f" ({translate_facts(found['facts'])})"
    if found := IN_BRACKETS.fullmatch(text):
        text, end = found["text"], found["code"] + end
    return "".join(_parts(text)) + end


def _are_facts(text: str) -> bool:
    return text.isalnum() or any(_said(fact, FACTS) for fact in text.split(", "))


def _parts(text: str) -> Iterator[str]:
    """Yield the parts of a text, each with its colon, up to the cause; what stands behind that is somebody else's."""
    while text:
        if known := _said(text, SENTENCES):
            yield known
            return
        part, colon, rest = text.partition(": ")
        cause, beginning = _said(part, CAUSES), _said(part, BEGINNINGS)
        yield (cause or beginning or part) + colon
        if cause or not (beginning or SUBJECT.fullmatch(part)):
            yield rest
            return
        text = rest


def _said(text: str, templates: tuple[str, ...]) -> str:
    """Return a text in the active language if it is one of the templates, filled in; else ""."""
    for template in templates:
        if found := _pattern(template).fullmatch(text):
            return _filled(gettext(template), found)
    return ""


def _counted(text: str) -> str:
    for name, forms in COUNTED.items():
        for form in forms:
            if found := _pattern(form).fullmatch(text):
                return _filled(ngettext(*forms, int(found[name])), found)
    return ""


def _filled(template: str, found: re.Match[str]) -> str:
    """Return a template with the values as they stood in the English text."""
    return PLACEHOLDER.sub(lambda placeholder: found[placeholder[1]], template)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    begins_open = template.startswith("%")  # where a part in front of it, with its colon, must not get in
    pieces = PLACEHOLDER.split(template)
    pieces[::2] = map(re.escape, pieces[::2])
    pieces[1::2] = [f"(?P<{name}>.+)" for name in pieces[1::2]]
    return re.compile(("(?!.*?: )" if begins_open else "") + "".join(pieces), re.DOTALL)
