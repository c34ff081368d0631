"""What commands and checks print, in the languages of their users."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, CommandError, call_command, load_command_class
from django.utils import translation

from django_support_tickets.exceptions import AccessDenied, NotSent
from django_support_tickets.management.doctor import examine
from django_support_tickets.management.telling import PULLED, PUSHED, told, told_difference
from django_support_tickets.management.working import Result
from django_support_tickets.merge import Difference
from django_support_tickets.models import Ticket
from django_support_tickets.outbox.push import PushCounts
from django_support_tickets.records import Status, TicketRecord
from django_support_tickets.sync import PullCounts
from tests.messages import PACKAGE
from tests.sync.conftest import configure, desk, ticket

__all__ = ["configure", "desk", "ticket"]

ROOT = PACKAGE.parent
COMMANDS = sorted(path.stem for path in (PACKAGE / "management" / "commands").glob("[a-z]*.py"))
LANGUAGES = ("en", "es", "pt-br")
Speak = Callable[..., str]


@pytest.fixture
def speak() -> Iterator[Speak]:
    """Run a command in a language, and return all that it says."""

    def run(language: str, name: str, *arguments: str) -> str:
        out = io.StringIO()
        with translation.override(language):
            try:
                call_command(name, *arguments, stdout=out, stderr=out)
            except (CommandError, SystemExit) as end:
                out.write(str(end) if isinstance(end, CommandError) else "")
        return out.getvalue()

    yield run


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "support_tickets_sandbox"])
def test_a_database_that_is_not_configured_is_named(name: str) -> None:
    with pytest.raises(CommandError, match="argument --database: invalid choice: 'nowhere'"):
        call_command(name, "--database", "nowhere")


@pytest.mark.django_db
class TestCommands:
    @pytest.mark.parametrize(
        ("language", "words"),
        [
            ("en", ["desk: 1 fetched, 1 changed\n"]),
            ("es", ["desk: 1 consultado, 1 con cambios\n"]),
            ("pt-br", ["desk: 1 consultado, 1 com alterações\n"]),
        ],
    )
    def test_news_are_fetched(self, speak: Speak, desk: Any, ticket: Any, language: str, words: list[str]) -> None:
        ticket()
        desk.tickets["R-1"] = TicketRecord(remote_id="R-1", status=Status.OPEN)
        said = speak(language, "sync_tickets")
        assert [word for word in words if word not in said] == [], said

    @pytest.mark.parametrize(
        ("language", "failure", "end"),
        [
            ("en", "failed: ticket R: no connection could be made", ""),
            ("es", "falló: ticket R: no se pudo establecer una conexión", "1 con error"),
            ("pt-br", "falhou: chamado R: não foi possível estabelecer uma conexão", "1 com erro"),
        ],
    )
    def test_a_failure(self, speak: Speak, desk: Any, ticket: Any, language: str, failure: str, end: str) -> None:
        key = str(ticket().key)
        desk.script = [NotSent("no connection could be made", alias="desk", operation="get")]
        said = speak(language, "sync_tickets", "--pull-only").replace(key, "R")
        assert failure in said
        assert end in said

    @pytest.mark.parametrize(
        ("language", "words"),
        [
            ("es", ["terminó antes: desk get: el proveedor rechaza esta cuenta (estado 401)",
                    "necesita a una persona: el proveedor rechaza la cuenta: revise sus credenciales",
                    "Necesita a una persona: desk."]),
            ("pt-br", ["terminou antes: desk get: o fornecedor recusa esta conta (status 401)",
                       "precisa de uma pessoa: o fornecedor recusa a conta: verifique as credenciais",
                       "Precisa de uma pessoa: desk."]),
        ],
    )  # fmt: skip
    def test_what_needs_a_person(self, speak: Speak, desk: Any, ticket: Any, language: str, words: list[str]) -> None:
        ticket()
        desk.script = [AccessDenied("the vendor refuses this account", alias="desk", operation="get", status=401)]
        said = speak(language, "sync_tickets", "--pull-only")
        assert [word for word in words if word not in said] == [], said

    @pytest.mark.parametrize(
        ("language", "first", "last"),
        [
            ("es", "ok  sitio  configuración  1 cuenta, dispatcher none", "Todo está bien."),
            ("pt-br", "ok  site   configurações   1 conta, dispatcher none", "Está tudo bem."),
        ],
    )
    def test_the_doctor(self, speak: Speak, language: str, first: str, last: str) -> None:
        lines = speak(language, "support_tickets_doctor").splitlines()
        assert lines[0].startswith(first)
        assert lines[-1] == last

    def test_what_the_doctor_asks_in_threads_is_said_in_the_same_language(self, settings: Any) -> None:
        settings.STORAGES = {name: value for name, value in settings.STORAGES.items() if name != "support_tickets"}
        with translation.override("es"):
            (finding,) = [one for one in examine(using="default").findings if one.topic == "files"]
        assert finding.text == "falta 'support_tickets' en STORAGES, así que no se aceptan archivos"

    def test_what_machines_read_is_english(self, speak: Speak, desk: Any) -> None:
        Ticket.objects.bulk_create([Ticket(provider="desk", subject="S", delivery="uncertain")])
        need = "1 uncertain: settle it in the admin or by support_tickets_settle"
        for language in LANGUAGES:
            found = json.loads(speak(language, "sync_tickets", "--json").splitlines()[0])
            assert found["needs_a_person"] == [need]
            texts = [one["text"] for one in json.loads(speak(language, "support_tickets_doctor", "--json"))["findings"]]
            assert "0 queued; 1 uncertain: a person must settle it" in texts

    @pytest.mark.parametrize(
        ("language", "words"),
        [
            ("es", "Eliminado: 1 ticket que ningún proveedor tiene y 0 archivos; vaciado: 0 tickets.\n"
                   "2 tickets más tienen el correo del usuario como contacto.\n"),
            ("pt-br", "Removido: 1 chamado que nenhum fornecedor tem e 0 arquivo; esvaziado: 0 chamado.\n"
                      "2 outros chamados têm o e-mail do usuário como contato.\n"),
        ],
    )  # fmt: skip
    def test_erasing(self, speak: Speak, desk: Any, language: str, words: str) -> None:
        ana = get_user_model().objects.create_user("ana", email="ana@example.com")
        tickets = [Ticket(provider="desk", subject="S", contact_email="ana@example.com") for _ in range(3)]
        tickets[0].requester, tickets[0].delivery = ana, "draft"
        Ticket.objects.bulk_create(tickets)
        assert speak(language, "support_tickets_erase", "ana") == words

    @pytest.mark.parametrize(
        ("language", "unknown", "listed"),
        [
            ("es", "Ese usuario no existe.", "desk ticket"),
            ("pt-br", "Esse usuário não existe.", "desk chamado"),
        ],
    )
    def test_settling(self, speak: Speak, desk: Any, language: str, unknown: str, listed: str) -> None:
        (ticket,) = Ticket.objects.bulk_create([Ticket(provider="desk", subject="S", delivery="uncertain")])
        assert speak(language, "support_tickets_settle") == f"{ticket.key} {listed}\n"
        said = speak(language, "support_tickets_settle", str(ticket.key), "--send-again", "--by", "nobody")
        assert said == f"--by nobody: {unknown}"

    @pytest.mark.parametrize(
        ("language", "words"),
        [("es", "tickets: 0 por eliminar, con más de 1 día"), ("pt-br", "tickets: 0 a remover, com mais de 1 dia")],
    )
    def test_pruning(self, speak: Speak, settings: Any, language: str, words: str) -> None:
        settings.SUPPORT_TICKETS_RETENTION = {"tickets": 1}
        assert words in speak(language, "support_tickets_prune", "--dry-run").splitlines()


class TestPlurals:
    @pytest.mark.parametrize(
        ("language", "lines"),
        [
            ("en", ["nothing to do", "1 sent; 1 new comment, 1 new file", "2 sent; 2 new comments, 2 new files"]),
            ("es", ["nada que hacer", "1 enviado; 1 comentario nuevo, 1 archivo nuevo",
                    "2 enviados; 2 comentarios nuevos, 2 archivos nuevos"]),
            ("pt-br", ["nada a fazer", "1 enviado; 1 comentário novo, 1 arquivo novo",
                       "2 enviados; 2 comentários novos, 2 arquivos novos"]),
        ],
    )  # fmt: skip
    def test_of_what_was_done(self, language: str, lines: list[str]) -> None:
        with translation.override(language):
            for count, line in enumerate(lines):
                pulled = PullCounts(comments=count, attachments=count)
                assert told(Result("desk", pushed=PushCounts(delivered=count), pulled=pulled)) == [f"desk: {line}"]

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_every_count_is_said(self, language: str) -> None:
        with translation.override(language):
            pushed = PushCounts(**dict.fromkeys(PUSHED, 2))
            pulled = PullCounts(**dict.fromkeys(PULLED, 2), failures=["a", "b"])
            (line, *_) = told(Result("desk", pushed=pushed, pulled=pulled))
        assert line.count("2 ") == len(PUSHED) + len(PULLED)

    @pytest.mark.parametrize(
        ("language", "line"),
        [
            ("en", "desk R-1: status: pending -> in progress, resolution changed, subject: (empty) -> x, +1 new file"),
            ("es", "desk R-1: estado: pendiente -> en curso, cambió resolución, asunto: (vacío) -> x, "
                   "+1 archivo nuevo"),
            ("pt-br", "desk R-1: status: pendente -> em andamento, resolução mudou, assunto: (vazio) -> x, "
                      "+1 arquivo novo"),
        ],
    )  # fmt: skip
    def test_of_a_difference(self, language: str, line: str) -> None:
        changes = {"status": ("pending", "in_progress"), "resolution": ("…", "changed"), "subject": ("", "x")}
        with translation.override(language):
            assert told_difference(Difference("desk R-1", changes, attachments=1)) == line

    def test_the_same_pause_is_said_once(self) -> None:
        why = "desk get: the vendor asks to wait (status 429)"
        both = Result("desk", pushed=PushCounts(paused=why), pulled=PullCounts(paused=why, halted=why))
        with translation.override("es"):
            assert told(both) == ["desk: en pausa: desk get: el proveedor pide esperar (estado 429)"]


class TestHelp:
    @pytest.mark.parametrize("language", ["es", "pt-br"])
    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_option_is_explained_in_every_language(self, name: str, language: str) -> None:
        english, spoken = self.texts(name, "en"), self.texts(name, language)
        assert spoken.keys() == english.keys()
        assert len(english) > 3
        assert {option for option, text in english.items() if spoken[option] == text} == set()

    def texts(self, name: str, language: str) -> dict[str, Any]:
        """Return the help of a command's own options, and its description."""
        with translation.override(language):
            command = load_command_class("django_support_tickets", name)
            parser = command.create_parser("manage.py", name)
            own = [action for action in parser._actions if action.dest not in self.djangos()]
            return {"": parser.description} | {action.dest: action.help for action in own}

    def djangos(self) -> set[str]:
        return {action.dest for action in BaseCommand().create_parser("manage.py", "any")._actions}


class TestProcess:
    """As an operator runs them: in a process of their own, with no more than a LANGUAGE_CODE."""

    SETTINGS = 'from tests.settings import *\nLANGUAGE_CODE = "{}"\nSUPPORT_TICKETS_ATTACHMENT_STORAGE = "nowhere"\n'

    RUN = """
import sys
from django.core.management import execute_from_command_line
for line in sys.argv[1:]:
    try:
        execute_from_command_line(["manage.py", *line.split()])
    except SystemExit:
        pass
"""

    @pytest.mark.parametrize(
        ("language", "commands"),
        [
            ("es", {
                "check": ["SUPPORT_TICKETS_ATTACHMENT_STORAGE no puede ser 'nowhere'.", "Es un alias en"],
                "sync_tickets --help": ["Envía a los proveedores los tickets", "Solo envía."],
                "support_tickets_doctor": ["FALLO", "base de datos", "¿existe y está migrada?", "aceptadas"],
            }),
            ("pt-br", {
                "check": ["SUPPORT_TICKETS_ATTACHMENT_STORAGE não pode ser 'nowhere'.", "É um alias em"],
                "support_tickets_doctor": ["FALHA", "banco de dados", "existe e está migrado?", "aceitas"],
            }),
        ],
    )  # fmt: skip
    def test_a_site_in_this_language(self, tmp_path: Path, language: str, commands: dict[str, list[str]]) -> None:
        (tmp_path / "spoken_settings.py").write_text(self.SETTINGS.format(language))
        environment = {
            "PYTHONPATH": f"{tmp_path}:{ROOT}",
            "PYTHONUTF8": "1",
            "DJANGO_SETTINGS_MODULE": "spoken_settings",
        }
        command = [sys.executable, "-c", self.RUN, *commands]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8")
        said = " ".join((done.stdout + done.stderr).split())
        assert [word for words in commands.values() for word in words if word not in said] == [], said
