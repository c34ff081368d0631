"""Write the tables that come from the providers themselves: `python docs/tables.py` after changing one.

A test compares what stands in the files with what this module would write.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import django
from django.apps import apps

ROOT = Path(__file__).resolve().parent.parent
if not apps.ready:
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "docs.site_settings")
    django.setup()

from django_support_tickets import signals
from django_support_tickets.models.submission import Submission
from django_support_tickets.providers import Provider
from django_support_tickets.providers.ankra import AnkraProvider
from django_support_tickets.providers.base import CommonOptions
from django_support_tickets.providers.local import LocalProvider
from django_support_tickets.providers.moov import MoovProvider
from django_support_tickets.providers.ripio import RipioProvider
from django_support_tickets.providers.verifik import VerifikProvider
from django_support_tickets.records import Capabilities

FILES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
ORGANISATION = "3c90c3cc-0d44-4b50-8888-8dd25736052a"


def accounts() -> dict[str, Provider]:
    """Return one account of each kind, by the name that the tables show."""
    return {
        "Ripio": RipioProvider("ripio", base_url="https://ripio.example", client_id="-", client_secret="-"),
        "Moov": MoovProvider("moov", public_key="-", secret_key="-"),
        "Verifik (docs)": VerifikProvider("verifik", token="-", write_dialect="docs"),
        "Verifik (app)": VerifikProvider("verifik", token="-", write_dialect="app"),
        "Ankra": AnkraProvider("ankra", token="-", organisation_id=ORGANISATION),
        "local": LocalProvider("local"),
    }


def capability_table() -> str:
    """Return provider × capability as a Markdown table."""
    known = {name: provider.capabilities for name, provider in accounts().items()}
    rows = [["", *known]]
    for title, read in CAPABILITIES.items():
        rows.append([title, *(read(capabilities) for capabilities in known.values())])
    return markdown(rows)


def status_table(vendor: str) -> str:
    """Return vendor status → our status as a Markdown table; a vendor with two forms of itself gets a column more."""
    maps = {name: provider.capabilities.status_map for name, provider in accounts_of(vendor).items()}
    if len(maps) == 1:
        (known,) = maps.values()
        return markdown(
            [["its status", "ours"], *([f"`{remote}`", f"`{ours.value}`"] for remote, ours in known.items())]
        )
    rows = [["write_dialect", "its status", "ours"]]
    for name, known in maps.items():
        dialect = name.rpartition("(")[2].rstrip(")")
        rows += [[f"`{dialect}`", f"`{remote}`", f"`{ours.value}`"] for remote, ours in known.items()]
    return markdown(rows)


def option_table(vendor: str) -> str:
    """Return the options that only this vendor has, with their defaults, as a Markdown table."""
    provider = next(iter(accounts_of(vendor).values()))
    rows = [["option", "default", "what it is"]]
    for name, parameter in inspect.signature(type(provider).__init__).parameters.items():
        if name not in ("self", "alias", "common"):
            is_needed = parameter.default is inspect.Parameter.empty
            default = "required" if is_needed else shown(parameter.default)
            rows.append([f"`{name}`", default, OPTIONS[name]])
    for name, default in changed_defaults(provider).items():
        rows.append([f"`{name}`", default, COMMON[name]])
    return markdown(rows)


def common_table() -> str:
    """Return the options that every provider has as a Markdown table."""
    parameters = inspect.signature(Provider.__init__).parameters
    rows = [["option", "default", "what it is"]]
    rows += [[f"`{name}`", shown(parameters[name].default), COMMON[name]] for name in CommonOptions.__annotations__]
    return markdown(rows)


def changed_defaults(provider: Provider) -> dict[str, str]:
    """Return the common options whose default is another one at this vendor."""
    parameters = inspect.signature(Provider.__init__).parameters
    names = (name for name in CommonOptions.__annotations__ if name in vars(provider))
    return {name: shown(vars(provider)[name]) for name in names if vars(provider)[name] != parameters[name].default}


def shown(value: object) -> str:
    """Return a default as the table shows it."""
    if value == "" or value is None:
        return "none"
    if isinstance(value, (tuple, list)) and len(value) > 3:
        return "see above"
    return f"`{value!r}`"


def accounts_of(vendor: str) -> dict[str, Provider]:
    return {name: provider for name, provider in accounts().items() if name.lower().startswith(vendor)}


def files(capabilities: Capabilities) -> str:
    """Return in words which files a vendor takes."""
    rules = capabilities.attachments
    if rules is None:
        return "no"
    moments = {"create": "with the ticket", "after": "later", "comment": "with a comment"}
    words = [" and ".join(moments[moment] for moment in moments if moment in rules.moments)]
    if rules.max_count:
        words.append(f"≤ {rules.max_count}")
    if rules.max_bytes:
        words.append(f"≤ {rules.max_bytes // 100_000 / 10:g} MB")
    return ", ".join(words)


def yes(value: object) -> str:
    return "yes" if value else "no"


def limit(value: int | None) -> str:
    return "–" if value is None else str(value)


CAPABILITIES = {
    "raise and look at a ticket": lambda has: "yes",
    "list tickets": lambda has: ("per account" if has.lists_by_customer else "yes") if has.can_list else "no",
    "find a ticket whose answer was lost": lambda has: yes(has.can_find),
    "comment": lambda has: yes(has.can_comment),
    "close": lambda has: yes(has.can_close),
    "webhooks": lambda has: yes(has.has_webhooks),
    "files": files,
    "longest subject": lambda has: limit(has.subject_max),
    "longest description": lambda has: limit(has.description_max),
    "must be given": lambda has: ", ".join(f"`{name}`" for name in sorted(has.required_fields | {"subject"})),
}


def markdown(rows: list[list[str]]) -> str:
    """Return rows as a Markdown table, the first as its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


OPTIONS = {
    "base_url": "The vendor's address; may be a callable.",
    "client_id": "From Ripio, on registration as a partner; may be a callable.",
    "client_secret": "From Ripio; may be a callable.",
    "token_path": "Where access tokens are fetched.",
    "token_leeway": "So many seconds before its end an access token is not used any more.",
    "file_field_name": "Name of the multipart part that carries a file.",
    "max_files": "Files per ticket.",
    "max_file_bytes": "Bytes per file.",
    "max_total_bytes": "Bytes of all files of a ticket.",
    "allowed_extensions": "File name extensions that are sent.",
    "summary_max": "Characters of a subject.",
    "description_max": "Characters of a description.",
    "signature_headers": "Headers in which the signature of a webhook is looked for; the first that is there counts.",
    "require_sha256_prefix": "Refuse a signature without `sha256=` before it.",
    "public_key": "API key; may be a callable. Give the two keys, or `token`.",
    "secret_key": "Secret of the API key; may be a callable.",
    "token": "The vendor's token; may be a callable, which is called at each use.",
    "accounts": "Moov accounts whose tickets are listed even while none of ours is open there.",
    "api_version": "Sent as `X-Moov-Version`; `v2025.07.00` or later.",
    "path_prefix": "Path of the ticket resource.",
    "auth_scheme": 'Word before the token in the `Authorization` header, `"Bearer"` or `""`.',
    "write_dialect": 'In which of its two documented shapes to write: `"docs"` or `"app"`. Both are read, always.',
    "message_format": 'Dialect app: send texts as `"html"` or `"text"`.',
    "close_status": 'Dialect app: the status that ends a ticket, `"resolved"` or `"cancelled"`.',
    "expiration_days": "Dialect app: days that Verifik keeps a file; None leaves it out.",
    "organisation_id": "UUID of the organisation; pinned in every request.",
    "page_size": "Tickets per page of a list, 100 at most.",
    "author_types": "Ankra's `author_type` → ours, for words that are not known.",
    "allowed_content_types": "Content types of files that are sent.",
    "max_download_bytes": "Bytes of a file that is fetched, where the ticket does not say how large it is.",
}
COMMON = {
    "timeout": "Seconds to connect, and to wait for each piece of an answer.",
    "deadline": "Seconds that a whole call may take.",
    "upload_deadline": "Seconds that a call with files, or a search, may take.",
    "settle_seconds": "Seconds that a lost request may still take effect; none: twice the longest deadline.",
    "rate": "Calls per second, all workers of a process together; none: no limit.",
    "max_response_bytes": "Bytes of an answer that are read.",
    "proxies": 'As in requests: `{"https": "http://proxy:3128"}`. The environment\'s proxies are never used.',
    "verify": "Check certificates: True, or the path of a file of certificates to trust.",
    "reference": "Send our key with a ticket, by which it is found again after a lost answer.",
    "import_unknown": "Store tickets that are found at the vendor and were not raised here; only staff see them.",
    "mirror_attachments": "Fetch the vendor's files at once, not when somebody opens them.",
    "attachment_hosts": "Other hosts from which the vendor's files may be fetched.",
    "webhook_secrets": "Secrets that are good at the moment, the newest first; a list, or a callable that returns one.",
    "webhook_tolerance": "Seconds that a webhook's time may differ from ours; none: it does not matter.",
}


def signal_table() -> str:
    """Return our signals, as the comment above each says, as a Markdown table."""
    source = Path(inspect.getfile(signals)).read_text()
    rows = [["signal", "when", "arguments"]]
    for comment, name in re.findall(r"((?:^# .+\n)+)^(\w+) = Signal\(\)", source, re.MULTILINE):
        words = " ".join(line.removeprefix("# ") for line in comment.splitlines())
        when, _, arguments = words.partition(" Arguments: ")
        rows.append([f"`{name}`", when, arguments.rstrip(".")])
    return markdown(rows)


def field_table(model: str) -> str:
    """Return the fields of a model, and who writes them, as a Markdown table."""
    found: type[Submission] = apps.get_model("support_tickets", model)
    rows = [[f"field of `{model}`", "what", "written by"]]
    for field in found._meta.concrete_fields:
        if field.name in ("id", *UNNAMED):
            continue
        is_yours = field.name in found.DRAFT_FIELDS or field.attname in found.DRAFT_FIELDS
        is_open = field.name in found.OPEN_FIELDS and field.name != "updated_at"
        who = "you, until submit" if is_yours else "you" if is_open else "the app"
        if field.name in found.VENDOR_FIELDS:
            who += "; then the vendor"
        rows.append([f"`{field.name}`", str(field.verbose_name), WRITERS.get(field.name, who)])
    return markdown(rows)


#: Fields that only the app reads.
UNNAMED = ("digest", "request_digest")
WRITERS = {"delivery": 'you ("draft"), then the app', "file": "you, once", "created_by": "you, once"}


TABLES: dict[str, Callable[..., str]] = {
    "fields": field_table,
    "signals": signal_table,
    "capabilities": capability_table,
    "statuses": status_table,
    "options": option_table,
    "common_options": common_table,
}


def filled(text: str) -> str:
    """Return a document with each table between its two markers written anew."""

    def table(match: re.Match[str]) -> str:
        name, *arguments = match[2].split()
        return f"{match[1]}\n{TABLES[name](*arguments)}\n{match[4]}"

    return re.sub(r"(<!-- table: ([\w ]+) -->)\n(.*?)(<!-- end -->)", table, text, flags=re.S)


def stale() -> Iterator[Path]:
    """Yield the documents whose tables are not what the providers say."""
    for path in FILES:
        text = path.read_text()
        if filled(text) != text:
            yield path


def main() -> None:
    for path in stale():
        path.write_text(filled(path.read_text()))
        sys.stdout.write(f"{path.relative_to(ROOT)} written\n")


if __name__ == "__main__":
    main()
