"""What is kept in English is said to people in their language, and what others have said stays as it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import translation

from django_support_tickets.admin.wording import explain
from django_support_tickets.exceptions import AccessDenied, ProviderError, Refused
from django_support_tickets.models import Attachment, Comment, ProviderState, SyncRun, Ticket
from django_support_tickets.outbox.push import push
from django_support_tickets.phrases import translate
from django_support_tickets.providers import providers
from django_support_tickets.providers.handler import InvalidProvider
from django_support_tickets.records import AttachmentRules, Capabilities
from django_support_tickets.sync import pull
from tests.literals import plain_texts, text_of
from tests.messages import PACKAGE, messages_of_the_source
from tests.outbox.conftest import attached, desk, raised
from tests.outbox.paper import Desk

__all__ = ["attached", "desk", "raised"]

#: Where errors are made and stored.
ROOMS = ("attachments", "outbox", "providers", "sync", "transport", "webhooks")
#: What no person is shown: what vendors say, texts of internal errors, and causes for a log.
NOT_SHOWN = {
    "jwt expired",
    "token expired",
    "first again",
    "set_config('synchronous_commit', 'off', true)",
    "chunk size",
    "deadline exceeded",
    "no address of the host accepts a connection",
    "a stored file does not have the length and SHA-256 that were recorded",
    "a stored file cannot be opened",
    "a stored file cannot be read",
    "a stored file is longer than it was recorded",
    "not sent",
    "never arrived",
    "cannot be settled by search",
    "A pull of X is already running.",
    "Yield the pieces under ASGI too, where Django would read the whole file first.",
}


@pytest.fixture
def spanish() -> Iterator[None]:
    with translation.override("es"):
        yield


def errors_of_the_source() -> Iterator[tuple[str, str]]:
    """Yield what the package says in English and does not give to gettext, with its place."""
    for room in ROOMS:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            yield from ((place, text) for place, text in plain_texts(path) if text not in NOT_SHOWN)


class TestTranslating:
    @pytest.mark.usefixtures("spanish")
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("no connection could be made", "no se pudo establecer una conexión"),
            ("ticket 6f-1: no connection could be made", "ticket 6f-1: no se pudo establecer una conexión"),
            ("desk get: the vendor refuses this account (status 401, code 20061)",
             "desk get: el proveedor rechaza esta cuenta (estado 401, código 20061)"),
            ("list acct-1: the list does not end", "lista acct-1: la lista no termina"),
            ("desk 6f-1: refused", "desk 6f-1: rechazado"),
            ("ticket 6f-1: the vendor refuses it (422)", "ticket 6f-1: el proveedor lo rechaza (422)"),
            ("ticket R-1: it could not be stored (DataError)", "ticket R-1: no se pudo almacenar (DataError)"),
            ("the answer is not understood: it has no ticket id",
             "la respuesta no se entiende: no tiene id de ticket"),
            ("The vendor asks to wait: desk get: the vendor asks to wait (status 429)",
             "El proveedor pide esperar: desk get: el proveedor pide esperar (estado 429)"),
            ("It is larger than 5 bytes.", "Tiene más de 5 bytes."),
            ("The vendor knows high, low. At most 240 characters, it has 312.",
             "El proveedor conoce high, low. Como máximo 240 caracteres; tiene 312."),
            ("At most 1 file.", "Como máximo 1 archivo."),
            ("At most 2 files.", "Como máximo 2 archivos."),
            ("Enter a valid email address.", "Introduzca una dirección de correo electrónico válida."),
            ("Ensure this value has at most 64 characters (it has 65).",
             "Asegúrese de que este valor tenga menos de 64 caracteres (tiene 65)."),
            ("Provider 'v': write_dialect must be one of 'docs', 'app', not 'x'",
             "Proveedor 'v': write_dialect debe ser uno de 'docs', 'app', no 'x'"),
            ("Provider 'v': timeout must be two numbers of seconds (connect, read)",
             "Proveedor 'v': timeout debe ser dos números de segundos (conexión, lectura)"),
        ],
    )  # fmt: skip
    def test_what_is_ours_is_said_in_spanish(self, text: str, said: str) -> None:
        assert translate(text) == said

    @pytest.mark.usefixtures("spanish")
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("the vendor refuses it: no connection could be made [20000] (request r-1)",
             "el proveedor lo rechaza: no connection could be made [20000] (solicitud r-1)"),
            ("the vendor refuses it: No. This field is required.",
             "el proveedor lo rechaza: No. This field is required."),
            ("the vendor refuses it: too long (max 5, min 1)", "el proveedor lo rechaza: too long (max 5, min 1)"),
            ("a step before it failed: the credentials are refused: it is another ticket",
             "falló un paso anterior: se rechazan las credenciales: it is another ticket"),
            ("EICAR in receipt.png", "EICAR in receipt.png"),
            ("The desk of ours is closed: the vendor refuses it", "The desk of ours is closed: the vendor refuses it"),
            ("", ""),
            (" ", " "),
            (": ", ": "),
        ],
    )  # fmt: skip
    def test_what_others_have_said_stays(self, text: str, said: str) -> None:
        assert translate(text) == said

    @pytest.mark.parametrize("language", ["en", None])
    def test_in_english_everything_stays(self, language: str | None) -> None:
        with translation.override(language):
            for place, text in errors_of_the_source():
                assert translate(text) == text, place

    @pytest.mark.usefixtures("spanish")
    def test_a_long_text_of_many_parts_takes_no_time(self) -> None:
        for part in ("a b: ", "a. ", "x must be one of y, not z ", "(a) ", "[a] "):
            assert translate(part * 4000).startswith(part[:1])


class TestNoneIsMissing:
    @pytest.mark.parametrize("language", ["es", "pt-br"])
    def test_every_error_has_words(self, language: str) -> None:
        found = list(errors_of_the_source())
        assert len(found) > 100
        with translation.override(language):
            assert [(place, text) for place, text in found if translate(text) == text] == []

    @pytest.mark.parametrize("name", ["outbox/validation.py", "attachments/rules.py", "attachments/intake.py"])
    def test_what_is_said_of_a_row_can_be_said_again_from_the_database(self, name: str) -> None:
        for message, places in messages_of_the_source().items():
            if name in places and not message.plural:
                text = message.singular.replace("%(limit)d", "5").replace("%(length)d", "9")
                text = text.replace("%(known)s", "a, b").replace("%(names)s", "a, b").replace("%(reason)s", "odd")
                text = text.replace("%(name)s", "a").replace("%(extension)r", "'exe'").replace("%(alias)r", "'s'")
                assert "%" not in text
                with translation.override("es"):
                    assert translate(text) != text

    def test_what_vendors_and_logs_say_is_named_only_as_long_as_it_is_there(self) -> None:
        there = {text for room in ROOMS for path in (PACKAGE / room).rglob("*.py") for _, text in plain_texts(path)}
        assert NOT_SHOWN - there == set()

    def test_the_text_of_an_f_string_is_read_with_what_it_fills_in(self) -> None:
        expression = ast.parse("f'it is larger than {limit} bytes'", mode="eval").body
        assert text_of(expression) == "it is larger than X bytes"


@pytest.mark.django_db
@pytest.mark.usefixtures("spanish")
class TestStoring:
    """Whatever language a worker has, English is stored."""

    def test_the_complaint_about_a_row_that_no_save_has_prepared(self, desk: Desk) -> None:
        desk.capabilities = Capabilities(subject_max=5)
        Ticket.objects.bulk_create([Ticket(subject="Deposit missing")])
        push("paper")
        error = Ticket.objects.get().delivery_error
        assert error == "At most 5 characters, it has 15."
        assert str(explain(error)) == "Como máximo 5 caracteres; tiene 15."

    def test_that_of_django(self, desk: Desk) -> None:
        Ticket.objects.bulk_create([Ticket(subject="Deposit missing", contact_email="no address")])
        push("paper")
        error = Ticket.objects.get().delivery_error
        assert error == "Enter a valid email address."
        assert str(explain(error)) == "Introduzca una dirección de correo electrónico válida."

    def test_that_about_a_file(self, desk: Desk, raised: Any, attached: Any) -> None:
        desk.capabilities = Capabilities(attachments=AttachmentRules(moments=frozenset({"create"}), max_bytes=10))
        ticket = raised()
        Attachment.objects.bulk_create([Attachment(ticket=ticket, name="receipt.png")])
        push("paper")
        error = Attachment.objects.get().delivery_error
        assert error == "This field is required."
        assert str(explain(error)).startswith("Este campo es ")  # Django REST framework has a translation too

    def test_what_a_vendor_has_no_way_to_take(self, desk: Desk, raised: Any, settings: Any) -> None:
        ticket = raised()
        push("paper")
        desk.capabilities = Capabilities(no_comment_reason="Ripio answers the customer by email")
        Comment.objects.bulk_create([Comment(ticket=ticket, body="Any news?", submitted_at=ticket.created_at)])
        push("paper")
        error = Comment.objects.get().delivery_error
        assert error == "Ripio answers the customer by email"
        assert str(explain(error)) == "Ripio responde al cliente por correo electrónico"

    def test_that_it_takes_no_comments(self, desk: Desk, raised: Any) -> None:
        ticket = raised()
        push("paper")
        desk.capabilities = Capabilities()
        Comment.objects.bulk_create([Comment(ticket=ticket, body="Any news?", submitted_at=ticket.created_at)])
        push("paper")
        error = Comment.objects.get().delivery_error
        assert error == "This account's vendor takes no comments."
        assert str(explain(error)) == "El proveedor de esta cuenta no acepta comentarios."

    def test_a_refusal_and_the_vendors_own_words(self, desk: Desk, raised: Any) -> None:
        desk.at("create", Refused("the vendor refuses it", code="7", reason="Falta el asunto.", request_id="r-1"))
        ticket = raised()
        push("paper")
        ticket.refresh_from_db()
        assert ticket.delivery_error == "the vendor refuses it: Falta el asunto. [7] (request r-1)"
        found = explain(ticket.delivery_error)
        assert found is not None
        assert str(found) == "El proveedor lo rechazó. El proveedor dice: «Falta el asunto.»"
        assert found.reference == "código 7, solicitud r-1"

    def test_why_an_account_is_paused(self, desk: Desk, raised: Any) -> None:
        desk.at("create", AccessDenied("the vendor refuses this account", alias="paper", operation="create"))
        raised()
        assert push("paper").paused == "The vendor refuses the account: the vendor refuses this account"
        assert ProviderState.objects.get().pause_detail == "the vendor refuses this account"
        pull("paper")
        assert SyncRun.objects.get().error == "The vendor refuses the account: the vendor refuses this account"

    def test_errors_are_english_wherever_they_are_raised(self, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {}}
        with pytest.raises(InvalidProvider, match="BACKEND is missing"):
            providers["desk"]
        assert str(ProviderError("no connection could be made", alias="a", operation="b", status=500)) == (
            "a b: no connection could be made (status 500)"
        )

    def test_json_is_english(self, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
        Ticket.objects.bulk_create([Ticket(subject="S", delivery="uncertain")])
        with pytest.raises(SystemExit):
            call_command("support_tickets_doctor", "--json")
        assert "1 uncertain: a person must settle it" in capsys.readouterr().out
