"""The texts to translate: found in the package's code and templates, and in its catalogues.

`python -m tests.messages` (make messages) brings the catalogues up to date and compiles them. Not by GNU gettext, which
does not see the texts inside f-strings.
"""

from __future__ import annotations

import ast
import re
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.utils.translation.template import templatize

PACKAGE = Path(__file__).resolve().parent.parent / "django_support_tickets"
# Language → its plural forms.
LANGUAGES = {"es": "nplurals=2; plural=(n != 1);", "pt_BR": "nplurals=2; plural=(n > 1);"}
# Function → how many of its first arguments are texts, and whether a context comes before them.
FUNCTIONS = {
    "gettext": (1, False),
    "gettext_lazy": (1, False),
    "gettext_noop": (1, False),
    "ngettext": (2, False),
    "ngettext_lazy": (2, False),
    "pgettext": (1, True),
    "pgettext_lazy": (1, True),
    "npgettext": (2, True),
    "npgettext_lazy": (2, True),
}


Translations = tuple[str, ...]


@dataclass(frozen=True, order=True)
class Message:
    """A text to translate."""

    singular: str
    plural: str = ""
    context: str = ""


@dataclass(frozen=True)
class Entry:
    """A text with its translations, one for each plural form."""

    message: Message
    translations: Translations
    flags: str = ""


@cache
def messages_of_the_source() -> dict[Message, set[str]]:
    """Return what the package's code and templates ask to be translated, with the files that do."""
    found: dict[Message, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for message in _of_python(path.read_text()):
            found.setdefault(message, set()).add(path.relative_to(PACKAGE).as_posix())
    for path in (PACKAGE / "templates").rglob("*.*"):
        for message in _of_template(path.read_text(), str(path)):
            found.setdefault(message, set()).add(path.relative_to(PACKAGE).as_posix())
    return found


def _of_python(source: str) -> Iterator[Message]:
    tree = ast.parse(source)
    names = {name: name for name in FUNCTIONS}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation":
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and names.get(node.func.id) in FUNCTIONS:
            count, has_context = FUNCTIONS[names[node.func.id]]
            if isinstance(node.args[0], (ast.Attribute, ast.Name, ast.Starred, ast.Subscript)):
                continue  # a text that is collected where it stands
            texts = [ast.literal_eval(argument) for argument in node.args[: count + has_context]]
            context = texts.pop(0) if has_context else ""
            yield Message(texts[0], texts[1] if count == 2 else "", context)


def _of_template(source: str, name: str) -> Iterator[Message]:
    """Yield the texts of a template, which Django turns into something like Python for xgettext."""
    code = templatize(source, origin=name)
    text = r"u?((?:'(?:[^'\\]|\\.)*')|(?:\"(?:[^\"\\]|\\.)*\"))"
    for match in re.finditer(rf"\b(n?gettext|n?pgettext|_)\s*\(\s*{text}(?:\s*,\s*{text})?(?:\s*,\s*{text})?", code):
        given = [ast.literal_eval(part) for part in match.groups()[1:] if part]
        context = given.pop(0) if "pgettext" in match[1] else ""
        yield Message(given[0], given[1] if match[1].startswith("n") else "", context)


def catalogue(language: str) -> Path:
    """Return the folder of a language."""
    return PACKAGE / "locale" / language / "LC_MESSAGES"


def entries(language: str) -> list[Entry]:
    """Return what stands in a language's .po file, without its head."""
    blocks = (catalogue(language) / "django.po").read_text().strip().split("\n\n")
    return [entry for block in blocks if (entry := _entry(block)) and entry.message.singular]


def _entry(block: str) -> Entry | None:
    flags = " ".join(re.findall(r"^#, (.*)$", block, re.MULTILINE))
    fields = dict(re.findall(r'^(msg\S+) ((?:"(?:[^"\\]|\\.)*"\n?)+)', block, re.MULTILINE))
    texts = {name: "".join(map(_unquoted, re.findall(r'"(?:[^"\\]|\\.)*"', value))) for name, value in fields.items()}
    if "msgid" not in texts:
        return None
    message = Message(texts["msgid"], texts.get("msgid_plural", ""), texts.get("msgctxt", ""))
    translations = tuple(text for name, text in sorted(texts.items()) if name.startswith("msgstr"))
    return Entry(message, translations, flags)


def _unquoted(text: str) -> str:
    return str(ast.literal_eval(text))


def main() -> None:
    """Bring every catalogue up to date: keep what is translated, add what is new, drop what is gone; then compile."""
    sources = messages_of_the_source()
    for language in LANGUAGES:
        path = catalogue(language) / "django.po"
        known = {entry.message: entry.translations for entry in entries(language)} if path.exists() else {}
        forms = {message: known.get(message, ("",) * (2 if message.plural else 1)) for message in sources}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(catalogue_text(language, forms, sources))
        path.with_suffix(".mo").write_bytes(compiled(language, forms))
        missing = sum(not all(translations) for translations in forms.values())
        sys.stdout.write(f"{language}: {len(forms)} texts, {missing} not translated\n")


def catalogue_text(language: str, forms: Mapping[Message, Translations], sources: Mapping[Message, set[str]]) -> str:
    """Return a .po file, sorted by text."""
    blocks = ["# The texts of django-support-tickets. `make messages` brings this file up to date.\n"]
    blocks[0] += f'msgid ""\nmsgstr ""\n{"".join(map(_line, head(language).splitlines(keepends=True)))}'
    for message, translations in sorted(forms.items()):
        lines = [f"#: {' '.join(sorted(sources[message]))}\n"]
        if re.search(r"%[(%sd]", message.singular + message.plural):
            lines.append("#, python-format\n")
        if message.context:
            lines.append(f"msgctxt {_quoted(message.context)}\n")
        lines.append(f"msgid {_quoted(message.singular)}\n")
        if message.plural:
            lines.append(f"msgid_plural {_quoted(message.plural)}\n")
            lines += [f"msgstr[{number}] {_quoted(text)}\n" for number, text in enumerate(translations)]
        else:
            lines.append(f"msgstr {_quoted(translations[0])}\n")
        blocks.append("".join(lines))
    return "\n".join(blocks)


def compiled(language: str, forms: Mapping[Message, Translations]) -> bytes:
    """Return a .mo file: what GNU msgfmt makes of the catalogue, without what is not translated."""
    pairs = {b"": head(language).encode()}
    for message, translations in forms.items():
        if all(translations):
            key = message.singular + (f"\0{message.plural}" if message.plural else "")
            key = f"{message.context}\x04{key}" if message.context else key
            pairs[key.encode()] = "\0".join(translations).encode()
    keys = sorted(pairs)
    start = 28 + 16 * len(keys)
    texts = b"".join(text + b"\0" for text in [*keys, *(pairs[key] for key in keys)])
    places, offset = [], start
    for text in [*keys, *(pairs[key] for key in keys)]:
        places += [len(text), offset]
        offset += len(text) + 1
    numbers = [0x950412DE, 0, len(keys), 28, 28 + 8 * len(keys), 0, start, *places]
    return struct.pack(f"<{len(numbers)}I", *numbers) + texts


def head(language: str) -> str:
    fields = {
        "Project-Id-Version": "django-support-tickets",
        "Language": language,
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
        "Plural-Forms": LANGUAGES[language],
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _line(text: str) -> str:
    return f"{_quoted(text)}\n"


if __name__ == "__main__":
    main()
