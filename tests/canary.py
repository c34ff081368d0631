"""Secrets and personal data that must not turn up where they do not belong, and a day on which everything fails."""

from __future__ import annotations

import base64
import contextlib
import json
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from io import StringIO
from types import FrameType, TracebackType
from typing import Any

from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.db import transaction

from django_support_tickets.exceptions import ProviderError
from django_support_tickets.models import Attachment, Comment, OutboxEntry, Ticket
from django_support_tickets.providers import providers
from django_support_tickets.providers.ripio import RipioProvider
from django_support_tickets.records import CommentDraft, TicketDraft, TicketRecord, TicketRef
from django_support_tickets.sync import hint_all
from django_support_tickets.testing.sandbox import Fault, Sandbox

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgAAIAAAUAAXpeqz8AAAAASUVORK5CYII="
)
BACKENDS = {
    "ripio": "ripio.RipioProvider",
    "moov": "moov.MoovProvider",
    "verifik": "verifik.VerifikProvider",
    "ankra": "ankra.AnkraProvider",
}
#: Those that a fake vendor makes itself are added by `accounts()`.
SECRETS = {
    "ripio secret": "canarysecret0000ripio1111client2222",
    "ripio webhook": "canarysecret0000ripio1111webhook2222",
    "moov public": "canarysecret0000moov1111public2222",
    "moov secret": "canarysecret0000moov1111secret2222",
    "moov webhook": "canarysecret0000moov1111webhook2222",
    "ankra token": "canarysecret0000ankra1111token2222",
}
# What people wrote, who they are, and what the vendor wrote.
WORDS = {
    "subject": "Canarysubject of mine",
    "description": "Canarydescription at noon",
    "comment": "Canarycomment, please",
    "name": "Canarycontact Someone",
    "e-mail": "canaryperson@example.com",
    "file": "canaryfilename.png",
    "answer": "Canaryanswer of an agent",
}
#: By its first part each is known also where it was quoted for an address.
TRACES = {name: re.split(r"[^a-z]", word.lower())[0] for name, word in WORDS.items()}


class ExplodingProvider(RipioProvider):
    """A class of a project's own that falls over in the middle of a send, with everything in its hands."""

    def create(self, draft: TicketDraft) -> TicketRecord:
        raise KeyError(f"{draft.description} {self._client_secret}")

    def get(self, ref: TicketRef) -> TicketRecord:
        raise LookupError(f"{WORDS['answer']} {self._client_secret}")


def forms(secret: str) -> Iterator[str]:
    """Yield how a secret may be written."""
    yield secret
    yield secret.encode().hex()
    # Wherever it stands in a text that is encoded: the part that does not depend on its neighbours.
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + secret.encode()).decode()
        yield encoded[(4 if before else 0) : -4]


def leaks(text: str, *, words: bool = True) -> list[str]:
    """Return which canaries a text holds."""
    found = [name for name, secret in SECRETS.items() if any(form in text for form in forms(secret))]
    folded = text.lower()
    return found + [name for name, trace in TRACES.items() if words and trace in folded]


def accounts(sandbox: Sandbox) -> dict[str, Any]:
    """Give the fake vendors the canaries as credentials; return the accounts there, and one that falls over."""
    sandbox.ripio.client_secret = SECRETS["ripio secret"]
    sandbox.ripio.webhook_secrets = [SECRETS["ripio webhook"]]
    sandbox.moov.public_key, sandbox.moov.secret_key = SECRETS["moov public"], SECRETS["moov secret"]
    sandbox.moov.webhook_secrets = [SECRETS["moov webhook"]]
    sandbox.ankra.token, SECRETS["verifik token"] = SECRETS["ankra token"], sandbox.verifik.token
    sandbox.verifik.dialect = "app"
    found: dict[str, Any] = {
        name: {
            "BACKEND": f"django_support_tickets.providers.{BACKENDS[name]}",
            "OPTIONS": {**options, "rate": None, "settle_seconds": 0.001, "timeout": (1.0, 1.0), "deadline": 2.0},
        }
        for name, options in sandbox.options().items()
    }
    found["exploding"] = {"BACKEND": f"{__name__}.ExplodingProvider", "OPTIONS": found["ripio"]["OPTIONS"]}
    return found


def facts(sandbox: Sandbox) -> dict[str, dict[str, str]]:
    """Return what a ticket of each account needs beside its text."""
    ripio = {"customer_id": sandbox.ripio.CUSTOMER}
    return {
        "ripio": ripio,
        "exploding": ripio,
        "moov": {"customer_id": "acct-1"},
        "verifik": {"category": "billing"},
        "ankra": {"category": "technical", "priority": "high"},
    }


def raise_ticket(sandbox: Sandbox, alias: str) -> Ticket:
    """Raise a ticket that is full of canaries, with a file where the vendor takes one."""
    rules = providers[alias].capabilities.attachments
    with transaction.atomic():
        ticket = Ticket.objects.create(
            provider=alias,
            subject=WORDS["subject"],
            description=WORDS["description"],
            contact_name=WORDS["name"],
            contact_email=WORDS["e-mail"],
            **facts(sandbox)[alias],
        )
        if rules is not None and rules.moments & {"create", "after"}:
            file = ContentFile(PICTURE, name=WORDS["file"])
            Attachment.objects.create(ticket=ticket, file=file, name=WORDS["file"])
    return ticket


def live_through(sandbox: Sandbox, *, command: Callable[..., object]) -> None:
    """Raise, send, fetch, comment and fail at every account; `command` runs sync_tickets."""
    for alias in accounts(sandbox):
        raise_ticket(sandbox, alias)
    command()
    for ticket in Ticket.objects.filter(delivery="delivered"):
        if providers[ticket.provider].capabilities.can_comment:
            Comment.objects.create(ticket=ticket, body=WORDS["comment"])
    answer_as_agents(sandbox)
    command("--full")
    for fault in (Fault.RESET_AFTER_COMMIT, Fault.ANSWER, Fault.HTML_PAGE, Fault.UNAUTHORIZED, Fault.REDIRECT):
        fail_once(sandbox, fault)
        command()
        forget_pauses()
        command("--full")


def answer_as_agents(sandbox: Sandbox) -> None:
    for alias, vendor in sandbox.vendors.items():
        for ticket in Ticket.objects.filter(provider=alias, remote_id__isnull=False):
            if alias != "ripio":
                vendor.reply(str(ticket.remote_id), WORDS["answer"])  # type: ignore[attr-defined]


def fail_once(sandbox: Sandbox, fault: Fault) -> None:
    """Have every vendor fail at a new ticket; what it answers echoes what it was sent."""
    echo = " ".join([*WORDS.values(), *(f"Bearer {secret}" for secret in SECRETS.values())])
    body = json.dumps({"detail": echo, "message": echo, "error": echo, "code": "40000"}).encode()
    details: dict[str, Any] = {"status": 400, "body": body} if fault is Fault.ANSWER else {}
    if fault is Fault.REDIRECT:
        details = {"location": f"https://elsewhere.example/?token={SECRETS['ankra token']}"}
    for alias, vendor in sandbox.vendors.items():
        vendor.fail_next("create", fault, **details)
        raise_ticket(sandbox, alias)


def forget_pauses() -> None:
    """Let the time pass that accounts are paused for, and that lost answers are waited for."""
    from django_support_tickets.models import ProviderState

    ProviderState.objects.update(paused_until=None, pause="", pause_detail="", failures=0, denials=0)
    OutboxEntry.objects.update(not_before=0)
    for alias in providers:
        with contextlib.suppress(Exception):
            hint_all(alias)


def provider_errors(sandbox: Sandbox) -> Iterator[BaseException]:
    """Yield an error of every kind from every operation of every account."""
    for alias in accounts(sandbox):
        vendor = sandbox.vendors.get(alias, sandbox.ripio)
        for fault in (
            Fault.RESET_BEFORE,
            Fault.RESET_AFTER_COMMIT,
            Fault.HTML_PAGE,
            Fault.UNAUTHORIZED,
            Fault.CUT_BODY,
        ):
            for operation in ("create", "get", "comment", "probe", "find"):
                vendor.clear_failures()
                vendor.fail_next("*", fault, times=None)
                try:
                    ask(alias, operation, facts(sandbox)[alias])
                except NotImplementedError:
                    continue
                except Exception as error:
                    yield error
        vendor.clear_failures()


def ask(alias: str, operation: str, values: dict[str, str]) -> None:
    """Call one operation of a provider, as a project's own code might."""
    provider, ref = providers[alias], TicketRef(remote_id="a1b2c3d4-0000-4000-8000-000000000000", customer_id="acct-1")
    match operation:
        case "create":
            provider.create(draft_of(values))
        case "find":
            provider.find(draft_of(values))
        case "get":
            provider.get(ref)
        case "comment":
            provider.add_comment(ref, CommentDraft(key="0", body=WORDS["comment"]))
        case _:
            provider.probe()


def draft_of(values: dict[str, str]) -> TicketDraft:
    return TicketDraft(
        key="a1b2c3d4-0000-4000-8000-000000000001",
        subject=WORDS["subject"],
        description=WORDS["description"],
        contact_name=WORDS["name"],
        contact_email=WORDS["e-mail"],
        **values,
    )


def shown(error: BaseException) -> str:
    """Return all that can be seen of an error from outside: text, representation, pickle, causes."""
    texts = [str(error), repr(error), "".join(traceback.format_exception(error))]
    if isinstance(error, ProviderError):
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- its own
        texts += [str(copy), repr(copy), repr(copy.__dict__), pickle.dumps(error, protocol=0).decode("latin-1")]
    return "\n".join(texts)


def frames_of(error: BaseException) -> Iterator[tuple[FrameType, str]]:
    """Yield the frames of an error and of what it came from, each with its place."""
    seen: BaseException | None = error
    while seen is not None:
        trace: TracebackType | None = seen.__traceback__
        while trace is not None:
            yield trace.tb_frame, f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
            trace = trace.tb_next
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def sync(*arguments: str) -> str:
    """Run sync_tickets; return what it printed."""
    output = StringIO()
    try:
        call_command("sync_tickets", *arguments, stdout=output, stderr=output)
    except CommandError as error:
        output.write(str(error))
    return output.getvalue()
