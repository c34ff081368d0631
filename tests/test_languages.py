"""Every text that a user reads exists in every language, and what is compiled is what is translated."""

from __future__ import annotations

import ast
import gettext
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.functional import Promise

from django_support_tickets.models import Delivery, ProviderState, Ticket
from django_support_tickets.phrases import translate
from django_support_tickets.records import Status
from tests.literals import plain_texts, text_of
from tests.messages import LANGUAGES, PACKAGE, Entry, Message, catalogue, entries, messages_of_the_source

#: Words that are the same in these languages, and names.
SAME = {"AI", "API", "HTML", "Markdown", "MB", "Webhooks", "error", "no", "h", "min", "s", "status", "item", "ok"}
SAME |= {"ticket", "tickets", "Ticket", "Tickets", "site", "webhooks"}


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def translated(language: str) -> list[Entry]:
    return entries(language)


def placeholders(text: str) -> list[str]:
    """Return the parts of a text that are filled in, in any order."""
    named = re.findall(r"%(?:\(\w+\))?[#0\- +]*[\d.]*[diouxXeEfFgGcrsa%]", text)
    return sorted(named + [field for _, field, _, _ in string.Formatter().parse(text.replace("{{", "")) if field])


class TestCatalogues:
    def test_nothing_is_missing_and_nothing_is_stale(self, translated: list[Entry]) -> None:
        asked, there = set(messages_of_the_source()), {entry.message for entry in translated}
        assert sorted(asked - there) == [], "run: make messages, and translate"
        assert sorted(there - asked) == [], "run: make messages"
        assert len(translated) == len(there)

    def test_everything_is_translated_and_nothing_is_a_guess(self, translated: list[Entry], language: str) -> None:
        forms = int(LANGUAGES[language].partition("nplurals=")[2][0])
        for entry in translated:
            assert len(entry.translations) == (forms if entry.message.plural else 1), entry.message
            assert all(text.strip() for text in entry.translations), f"not translated: {entry.message.singular!r}"
            assert "fuzzy" not in entry.flags, entry.message

    def test_placeholders_are_those_of_the_original(self, translated: list[Entry]) -> None:
        for entry in translated:
            originals = [entry.message.singular, *([entry.message.plural] if entry.message.plural else [])]
            for original, text in zip(originals, entry.translations, strict=True):
                assert placeholders(text) == placeholders(original), f"{original!r}: {text!r}"

    def test_sentences_begin_and_end_as_the_original(self, translated: list[Entry]) -> None:
        for entry in translated:
            original, text = entry.message.singular, entry.translations[0]
            assert text == text.strip(), text
            assert text.count("\n") == original.count("\n"), text
            for mark in (".", ":", "…", "?"):
                assert text.endswith(mark) == original.endswith(mark), f"{original!r}: {text!r}"

    def test_only_names_and_words_of_both_languages_stay_as_they_are(self, translated: list[Entry]) -> None:
        for entry in translated:
            if entry.translations[0] == entry.message.singular:
                words = set(re.findall(r"[^\W\d_]+", re.sub(r"%\(\w+\)\w", "", entry.message.singular)))
                assert words <= SAME, f"left in English: {entry.message.singular!r}"

    @pytest.mark.parametrize(
        ("language", "word", "not_this"),
        [("es", "secret", "clave"), ("pt_BR", "ticket", "ticket")],
        indirect=["language"],
    )
    def test_one_word_stands_for_one_thing(self, translated: list[Entry], word: str, not_this: str) -> None:
        for entry in translated:
            original, text = (
                re.sub(r"\w+[_-][\w-]+", "", found)  # names of options and packages
                for found in (entry.message.singular, " ".join(entry.translations))
            )
            if re.search(rf"\b{word}s?\b", original):
                assert not re.search(rf"\b{not_this}s?\b", text), text

    def test_what_is_compiled_is_what_stands_in_the_catalogue(self, translated: list[Entry], language: str) -> None:
        with (catalogue(language) / "django.mo").open("rb") as file:
            compiled = gettext.GNUTranslations(file)
        for entry in translated:
            for number, text in zip((1, 2), entry.translations, strict=False):
                assert lookup(compiled, entry.message, number) == text
        assert len(dict(compiled._catalog)) == 1 + sum(len(entry.translations) for entry in translated)  # type: ignore[attr-defined]


def lookup(compiled: gettext.GNUTranslations, message: Message, number: int) -> str:
    """Return a text as gettext finds it."""
    if message.context and message.plural:
        return compiled.npgettext(message.context, message.singular, message.plural, number)
    if message.context:
        return compiled.pgettext(message.context, message.singular)
    if message.plural:
        return compiled.ngettext(message.singular, message.plural, number)
    return compiled.gettext(message.singular)


class TestSource:
    """Texts that are shown to users are given to gettext."""

    SHOWN = ("ValidationError", "PermissionDenied")

    def test_errors_for_users_are_translatable(self) -> None:
        untranslated = [
            f"{path.relative_to(PACKAGE)}:{node.lineno}"
            for path in PACKAGE.rglob("*.py")
            if "testing" not in path.parts
            for node in self.plain(path.read_text())
        ]
        assert untranslated == []

    def plain(self, source: str) -> Iterator[ast.Call]:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.SHOWN:
                texts = [argument for argument in node.args[:1] if isinstance(argument, (ast.Constant, ast.JoinedStr))]
                values = [
                    value for argument in node.args[:1] if isinstance(argument, ast.Dict) for value in argument.values
                ]
                texts += [value for value in values if isinstance(value, (ast.Constant, ast.JoinedStr))]
                if texts:
                    yield node

    def test_the_templates_hold_no_plain_words(self) -> None:
        for path in (PACKAGE / "templates").rglob("*.html"):
            text = re.sub(
                r"{#.*?#}|{% comment.*?endcomment %}|{% block (bodyclass|coltype) %}.*?{% endblock %}",
                "",
                path.read_text(),
            )
            text = re.sub(r"{% blocktrans.*?endblocktrans(late)? %}", "", text, flags=re.DOTALL)
            text = re.sub(r"{%.*?%}|{{.*?}}|<[^>]*>|&\w+;", " ", text, flags=re.DOTALL)
            assert re.findall(r"[A-Za-z]{2,}", text) == [], path.name


class TestPeoplesRooms:
    """Where texts are written for people, every one of them is translated: there, or when it is shown."""

    ROOMS = (
        "admin",
        "api",
        "management",
        "checks.py",
        "receivers.py",
        "vocabulary.py",
        "models",
        "providers/options.py",
    )
    #: Settings; what OpenAPI says; permissions, which Django stores and shows by their names; a name for a log.
    NOT_TRANSLATED = {
        '{"local": {"BACKEND": "django_support_tickets.providers.local.LocalProvider"}}',
        "read committed",
        "the request ends before its Content-Length",
        "A key, the beginning of a reference, or words of a subject.",
        "app_label.model:id; for staff.",
        "For staff.",
        "Can fetch and send tickets now",
        "Can settle tickets whose delivery is uncertain",
        "address of X",
    }
    #: What is given to these is shown, also a single word.
    SINKS = ("CommandError", "ArgumentTypeError", "CheckWarning", "Error", "LookupError", "Finding", "Need", "write")
    SHOWN_KEYWORDS = ("help", "hint", "description", "epilog")

    @pytest.fixture
    def paths(self) -> list[Path]:
        found = [PACKAGE / room for room in self.ROOMS]
        paths = sorted(path for room in found for path in ([room] if room.suffix else room.rglob("*.py")))
        return [path for path in paths if "schema" not in path.parts]  # OpenAPI is English

    def test_no_sentence_is_plain(self, paths: list[Path], language: str) -> None:
        found = [(place, text) for path in paths for place, text in plain_texts(path)]
        assert {text for _, text in found} >= self.NOT_TRANSLATED, "named in vain"
        with translation.override(translation.to_language(language)):
            plain = [one for one in found if one[1] not in self.NOT_TRANSLATED and translate(one[1]) == one[1]]
        assert plain == []

    def test_no_word_is_printed_plainly(self, paths: list[Path]) -> None:
        calls = [(path, node) for path in paths for node in ast.walk(ast.parse(path.read_text()))]
        found = [(path.name, node.lineno, text) for path, node in calls for text in self.plain_words(node)]
        assert found == []

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("raise CommandError('stopped')", ["stopped"]),
            ("raise CommandError(_('stopped'))", []),
            ("self.stdout.write(f'{count} removed')", ["X removed"]),
            ("self.stdout.write(f'{alias}: {text}')", []),
            ("parser.add_argument('--json', help='Print it')", ["Print it"]),
            ("raise CommandError(f'--by {name}: {text}')", []),
            ("CheckWarning(text, hint='mend', id='x.W1')", ["mend"]),
            ("Finding(Level.OK, SITE, 'files', 'fine')", ["fine"]),
        ],
    )
    def test_what_is_printed_plainly_is_seen(self, code: str, words: list[str]) -> None:
        assert [text for node in ast.walk(ast.parse(code)) for text in self.plain_words(node)] == words

    def plain_words(self, node: ast.AST) -> list[str]:
        """Return the literals with letters in them that a call gives to people."""
        if not isinstance(node, ast.Call):
            return []
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        # Before the text, a finding has codes.
        shown = [*node.args[3 if name == "Finding" else 0 :]] if name in self.SINKS else []
        shown += [keyword.value for keyword in node.keywords if keyword.arg in self.SHOWN_KEYWORDS]
        texts = [text_of(value) for value in shown if isinstance(value, (ast.Constant, ast.JoinedStr))]
        names = r"--[\w-]+|[A-Z]+"  # of options and settings
        return [text for text in texts if re.search(r"[^\W\d_]", re.sub(names, "", text))]

    def test_the_admin_shows_no_column_without_a_name_in_every_language(self) -> None:
        shown = {(ProviderState, name) for name in ("failures", "denials", "webhooks_refused", "provider", "scope")}
        for model in apps.get_app_config("support_tickets").get_models():
            described = admin.site.get_model_admin(model) if admin.site.is_registered(model) else None
            names = {*(described.list_display if described else ()), *((described.fields or ()) if described else ())}
            shown |= {(model, str(name)) for name in names if isinstance(name, str)}
        columns = {model: {field.name: field for field in model._meta.fields} for model, _ in shown}
        plain = [
            f"{model.__name__}.{name}"
            for model, name in shown
            if name in columns[model] and not isinstance(columns[model][name].verbose_name, Promise)
        ]
        assert plain == []


class TestUse:
    @pytest.mark.parametrize(
        ("language", "words"),
        [
            ("es", ("Abierto", "Borrador", "ticket", "hace 3 días")),
            ("pt-br", ("Aberto", "Rascunho", "chamado", "há 3 dias")),
        ],
    )
    def test_words_are_found_by_django(self, language: str, words: tuple[str, ...]) -> None:
        with translation.override(language):
            ago = translation.gettext("%(time)s ago") % {"time": "3 días" if language == "es" else "3 dias"}
            found = (str(Status.OPEN.label), str(Delivery.DRAFT.label), str(Ticket._meta.verbose_name), ago)
        assert found == words

    def test_plurals(self) -> None:
        text, texts = "%(count)d ticket is due now.", "%(count)d tickets are due now."
        with translation.override("es"):
            forms = [translation.ngettext(text, texts, count) for count in (0, 1, 2)]
        assert ["tickets" in form for form in forms] == [True, False, True]
        with translation.override("pt-br"):
            forms = [translation.ngettext(text, texts, count) for count in (0, 1, 2)]
        assert ["chamados" in form for form in forms] == [False, False, True]

    @pytest.mark.parametrize(("language", "words"), [("es", "Tickets de soporte"), ("pt-br", "Chamados de suporte")])
    def test_the_admin_speaks_it(self, admin_client: Client, language: str, words: str) -> None:
        ticket = Ticket.objects.create(subject="Hola")
        with translation.override(language):
            page = admin_client.get(reverse("admin:support_tickets_ticket_change", args=[ticket.pk]))
        assert words in page.content.decode()
