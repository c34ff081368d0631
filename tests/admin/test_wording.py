from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone, translation

import django_support_tickets
from django_support_tickets.admin.limits import file_rules, megabytes
from django_support_tickets.admin.wording import MEANINGS, PREFIXES, explain, when
from django_support_tickets.records import AttachmentRules

PACKAGE = Path(django_support_tickets.__file__).parent


@pytest.mark.parametrize(
    ("error", "meaning", "words", "reference"),
    [
        ("the vendor refuses it: No e-mail. [20000] (request r-1)", "The vendor has refused it.", "No e-mail.",
         "code 20000, request r-1"),
        ("the answer was lost or cut", "The connection broke", "", ""),
        ("the answer is not understood: it has no id", "The vendor's answer says nothing", "", "it has no id"),
        ("the answer is not understood: it has no ticket id (request r-1)", "The vendor's answer says nothing", "",
         "it has no ticket id, request r-1"),
        ("a step before it failed: the vendor refuses it: No.", "A step before it failed, so nothing was sent. The "
         "vendor has refused it.", "No.", ""),
        ("Given up after 72 hours: no connection could be made", "It was tried for 72 hours", "", ""),
        ("It was tried 8 times without an outcome. the answer was lost or cut",
         "It was tried 8 times without an outcome. The connection broke", "", ""),
        ("It was tried 3 times and never arrived.", "It was tried 3 times and never arrived.", "", ""),
        ("It could not be handled: KeyError.", "It could not be handled (KeyError).", "", ""),
        ("The answer was lost, and this vendor cannot be searched. the answer proves nothing [500]", "The answer was "
         "lost, and this vendor cannot be searched. The vendor's answer says nothing", "", "code 500"),
        ("Quarantined: It holds a virus.", "The file is quarantined: It holds a virus.", "", ""),
        ("ripio get: the vendor refuses this account (status 401)", "The vendor does not accept", "", "status 401"),
        ("ProgrammingError", "ProgrammingError", "", ""),
        ("given up: [odd] (request", "Given up: [odd] (request", "", ""),
    ],
)  # fmt: skip
def test_errors_are_explained(error: str, meaning: str, words: str, reference: str) -> None:
    found = explain(error)
    assert found is not None
    assert found.meaning.startswith(meaning)
    assert (found.words, found.reference) == (words, reference)
    assert (words in str(found)) if words else (str(found) == found.meaning)


def causes() -> Iterator[tuple[str, str]]:
    """Yield every cause that the package gives an error, up to what is filled in, with its place."""
    kinds = {"NotSent", "Busy", "Refused", "RemoteNotFound", "AccessDenied", "Ambiguous"}
    for path in (path for path in PACKAGE.rglob("*.py") if "testing" not in path.parts):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds and node.args:
                cause = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
                if isinstance(cause, ast.Constant):
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}", str(cause.value)


def test_every_cause_is_explained() -> None:
    assert len(list(causes())) > 20
    for place, cause in causes():
        assert any(cause.startswith(start) for start in MEANINGS), f"{place}: {cause}"


def test_every_reason_of_push_is_explained() -> None:
    source = "".join((PACKAGE / "outbox" / name).read_text() for name in ("delivery.py", "searching.py"))
    reasons = re.findall(r'"((?:It|The|Given) [^"]{12,})"', source)
    assert len(reasons) >= 7
    for reason in reasons:
        text = re.sub(r"\{[^}]*attempts\}", "3", reason)
        text = re.sub(r"\{kind\}", "KeyError", text)
        assert any(re.match(start, text) for start in PREFIXES), reason


def test_no_error_needs_no_words() -> None:
    assert explain("  ") is None


def test_times_have_their_distance() -> None:
    now = timezone.now()
    assert "(in 9 minutes)" in when(now + timedelta(minutes=10)).replace("\xa0", " ")
    assert "(10 minutes ago)" in when(now - timedelta(minutes=10)).replace("\xa0", " ")


@pytest.mark.parametrize(("size", "words"), [(25_000_000, "25 MB"), (10_485_760, "10.4 MB"), (99_999, "0 MB")])
def test_sizes_are_never_more_than_allowed(size: int, words: str) -> None:
    assert megabytes(size) == words
    with translation.override("es"):
        assert megabytes(size) == words.replace(".", ",")


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"max_count": 1, "max_bytes": 1_000_000, "extensions": frozenset({"pdf"})}, "At most 1 file of 1 MB. Kinds:"),
        ({"content_types": frozenset({"image/png", "application/pdf"})}, "Kinds: pdf, png."),
        ({}, "At most 100 files of 67.1 MB each."),
    ],
)  # fmt: skip
def test_rules_for_files_are_said_in_words(rules: dict[str, Any], words: str) -> None:
    assert words in " ".join(file_rules(AttachmentRules(moments=frozenset(), **rules)))


SETUP = """
import sys
from django.conf import settings
apps = ["auth", "contenttypes", "admin", "messages", "sessions"]
settings.configure(INSTALLED_APPS=[f"django.contrib.{app}" for app in apps] + ["django_support_tickets"])
import django
before = set(sys.modules)
django.setup()
from django.contrib import admin
assert any(model.__name__ == "Ticket" for model in admin.site._registry)
sys.exit(bool({"requests", "rest_framework"} & (set(sys.modules) - before)))
"""


def test_the_admin_does_not_load_the_http_client() -> None:
    assert subprocess.run([sys.executable, "-c", SETUP]).returncode == 0
