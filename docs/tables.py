"""Write the tables that come from the providers' own capabilities: `python docs/tables.py` after changing one.

A test compares what stands in the files with what this module would write.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings as django_settings

if not django_settings.configured:
    django_settings.configure(USE_I18N=False)

from django_support_tickets.providers import Provider
from django_support_tickets.providers.ankra import AnkraProvider
from django_support_tickets.providers.local import LocalProvider
from django_support_tickets.providers.moov import MoovProvider
from django_support_tickets.providers.ripio import RipioProvider
from django_support_tickets.providers.verifik import VerifikProvider
from django_support_tickets.records import Capabilities

ROOT = Path(__file__).resolve().parent.parent
FILES = (ROOT / "README.md", ROOT / "docs" / "providers.md")
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


def status_table() -> str:
    """Return vendor status → our status as a Markdown table."""
    rows = [["vendor", "its status", "ours"]]
    for name, provider in accounts().items():
        for remote, status in provider.capabilities.status_map.items():
            rows.append([name, f"`{remote}`", f"`{status.value}`"])
    return markdown(rows)


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
        words.append(f"≤ {rules.max_bytes / 1_000_000:.3g} MB")
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


TABLES = {"capabilities": capability_table, "statuses": status_table}


def filled(text: str) -> str:
    """Return a document with each table between its two markers written anew."""

    def table(match: re.Match[str]) -> str:
        return f"{match[1]}\n{TABLES[match[2]]()}\n{match[4]}"

    return re.sub(r"(<!-- table: (\w+) -->)\n(.*?)(<!-- end -->)", table, text, flags=re.S)


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
