from __future__ import annotations

import io
import uuid
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from django_support_tickets.exceptions import Ambiguous, Refused
from django_support_tickets.models import Delivery, Ticket, TicketEvent
from django_support_tickets.outbox.decisions import request_close
from django_support_tickets.outbox.push import push
from django_support_tickets.records import Capabilities
from tests.outbox.paper import Desk
from tests.simulator.passing import pass_time

pytestmark = pytest.mark.django_db


@pytest.fixture
def ticket(desk: Desk, raised: Any) -> Ticket:
    """An uncertain one."""
    desk.capabilities = Capabilities()
    desk.at("create", Ambiguous("the answer was lost or cut"))
    ticket: Ticket = raised()
    push("paper")
    return ticket


def settle(*arguments: Any) -> str:
    out = io.StringIO()
    call_command("support_tickets_settle", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_the_timeline_names_who_has_decided(ticket: Ticket) -> None:
    ana = get_user_model().objects.create_user("ana")
    settle(ticket.key, "--exists", "R7", "--by", "ana")
    event = ticket.events.get(kind=TicketEvent.Kind.SETTLED)
    assert (event.actor, event.source) == (ana, "command")


def test_a_user_that_is_not_there_is_named_and_nothing_settled(ticket: Ticket) -> None:
    with pytest.raises(CommandError, match="--by nobody: There is no such user"):
        settle(ticket.key, "--send-again", "--by", "nobody")
    ticket.refresh_from_db()
    assert ticket.delivery == Delivery.UNCERTAIN


def test_it_exists(ticket: Ticket) -> None:
    assert settle(ticket.key, "--exists", "R7") == f"{ticket.key}: exists as R7\n"
    ticket.refresh_from_db()
    assert (ticket.delivery, ticket.remote_id) == (Delivery.DELIVERED, "R7")
    assert ticket.events.latest("pk").source == TicketEvent.Source.COMMAND


def test_it_is_sent_again(ticket: Ticket) -> None:
    assert settle(ticket.key, "--send-again") == f"{ticket.key}: will be sent again\n"
    assert push("paper").delivered == 1


def test_comments_files_and_closings_by_their_keys(desk: Desk, raised: Any, said: Any, attached: Any) -> None:
    ticket = raised()
    push("paper")
    comment, file = said(ticket), attached(ticket)
    request_close(ticket)
    for operation in ("comment", "upload", "close"):
        desk.at(operation, Ambiguous("the answer was lost or cut"))
        desk.at("get", Refused("the vendor refuses it"))
    for _ in range(6):
        push("paper")
        pass_time(61)
    assert settle() == (
        f"{ticket.key} paper closing of R1\n{comment.key} paper comment of R1\n{file.key} paper file of R1\n"
    )
    settle(comment.key, "--exists", "C9")
    settle(file.key, "--exists", "F9")
    settle(ticket.key, "--exists", "R1")
    assert settle() == ""


def test_a_late_answer_is_named(ticket: Ticket) -> None:
    changes = {"item": "create", "key": str(ticket.key), "remote_id": "R7"}
    TicketEvent.objects.create(ticket=ticket, kind="late_answer", source="push", changes=changes)
    assert settle() == f"{ticket.key} paper ticket (a late answer named R7)\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--exists", "R7"], "Name the key"),
        (["KEY"], "Say --exists REMOTE_ID or --send-again"),
        ([str(uuid.UUID(int=1)), "--send-again"], "No ticket, comment or file has the key"),
        (["no-uuid", "--send-again"], "invalid UUID value"),
        (["KEY", "--send-again", "--exists", "R7"], "not allowed with"),
        (["KEY", "--exists", "../x"], "This cannot be a remote id"),
    ],
)
def test_mistakes_are_explained(ticket: Ticket, arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        settle(*[str(ticket.key) if argument == "KEY" else argument for argument in arguments])
    ticket.refresh_from_db()
    assert ticket.delivery == Delivery.UNCERTAIN


def test_what_is_not_uncertain_is_left_alone(desk: Desk, raised: Any) -> None:
    ticket = raised()
    with pytest.raises(CommandError, match="not uncertain"):
        settle(ticket.key, "--send-again")
