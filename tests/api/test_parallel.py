"""Requests at the same moment, each on a connection of its own: on SQLite in a file, else on the server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, connections
from rest_framework.test import APIClient

from django_support_tickets.models import Attachment, Comment, OutboxEntry, Ticket, TicketEvent
from tests.api.conftest import client_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.api.urls")]

User = get_user_model()
URL = "/api/tickets/"
HELLO: dict[str, Any] = {"provider": "local", "subject": "Deposit missing"}

#: The names of the files that the scanner `clear` was given.
scanned: list[str] = []


def clear(file: Any, name: str) -> None:
    scanned.append(name)


@pytest.fixture
def real_database(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    """A database that threads can share: a file in place of SQLite in memory."""
    if connection.vendor != "sqlite" or not connection.is_in_memory_db():
        yield
        return
    in_memory, configured = connections["default"], connections.settings["default"]
    file = str(tmp_path / "tickets.sqlite3")
    in_memory.cursor().execute("VACUUM INTO %s", [file])
    connections.settings["default"] = {**configured, "NAME": file, "OPTIONS": {"timeout": 30}}
    del connections["default"]
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"] = configured
        connections["default"] = in_memory


def at_once(jobs: list[Callable[[], Any]]) -> list[Any]:
    """Return what all jobs return that are let go at the same moment, each in a thread of its own."""
    gate, results = threading.Barrier(len(jobs)), [None] * len(jobs)

    def run(number: int) -> None:
        try:
            connections["default"].ensure_connection()
            gate.wait(60)
            results[number] = jobs[number]()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results


def posting(client: APIClient, data: dict[str, Any], **headers: str) -> Callable[[], Any]:
    return lambda: client.post(URL, data, format="json", headers=headers)


@pytest.mark.race
@pytest.mark.fault(13)
def test_one_idempotency_key_is_one_ticket(real_database: None) -> None:
    user = User.objects.create_user("ann")
    bodies = [HELLO] * 6 + [{**HELLO, "subject": "Other"}] * 2
    answers = at_once([posting(client_of(user), body, **{"Idempotency-Key": "once"}) for body in bodies])
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses in ([201] * 6 + [422] * 2, [201] * 2 + [422] * 6), statuses
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert Ticket.objects.count() == OutboxEntry.objects.count() == 1


@pytest.mark.race
@pytest.mark.fault(13)
@pytest.mark.parametrize(("part", "model"), [("comments", Comment), ("attachments", Attachment)])
def test_one_idempotency_key_is_one_comment_or_file(
    real_database: None, part: str, model: type[Any], settings: Any
) -> None:
    settings.SUPPORT_TICKETS_FILE_SCANNER = f"{__name__}.clear"
    scanned.clear()
    user = User.objects.create_user("ann")
    values = {"subject": "Deposit missing", "requester": user, "remote_id": "R-1", "delivery": "delivered"}
    (ticket,) = Ticket.objects.bulk_create([Ticket(provider="local", **values)])

    def add(words: str) -> Callable[[], Any]:
        file = SimpleUploadedFile("receipt.txt", words.encode())
        said = {"comments": {"body": words, "files": [file]}, "attachments": {"file": file}}[part]
        headers = {"Idempotency-Key": "once"}
        return lambda: client_of(user).post(f"{URL}{ticket.key}/{part}/", said, format="multipart", headers=headers)

    answers = at_once([add(words) for words in ["paid"] * 6 + ["due"] * 2])
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses in ([201] * 6 + [422] * 2, [201] * 2 + [422] * 6), statuses
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert model.objects.count() == OutboxEntry.objects.count() == TicketEvent.objects.count() == 1
    assert Attachment.objects.count() == 1
    if connection.features.has_select_for_update:
        assert scanned == ["receipt.txt"]


@pytest.mark.race
@pytest.mark.fault(85)
def test_the_quota_holds(real_database: None, settings: Any) -> None:
    settings.SUPPORT_TICKETS_QUOTA = {"hour": 3}
    users = [User.objects.create_user(name) for name in ("ann", "bob")]
    answers = at_once([posting(client_of(user), HELLO) for user in users * 6])
    assert sorted(answer.status_code for answer in answers) == [201] * 6 + [429] * 6
    assert sorted(Ticket.objects.values_list("requester__username", flat=True)) == ["ann"] * 3 + ["bob"] * 3


@pytest.mark.race
def test_a_draft_is_submitted_once_or_edited_before(real_database: None) -> None:
    user = User.objects.create_user("ann")
    key = client_of(user).post(URL, {**HELLO, "draft": True}, format="json").json()["key"]
    url = f"{URL}{key}/"
    submits = [lambda: client_of(user).post(f"{url}submit/") for _ in range(4)]
    edits = [lambda: client_of(user).patch(url, {"subject": "Edited"}, format="json") for _ in range(4)]
    answers = at_once([*submits, *edits])
    assert sorted(answer.status_code for answer in answers[:4]) == [200, 409, 409, 409]
    assert {answer.status_code for answer in answers[4:]} <= {200, 409}
    edited = any(answer.status_code == 200 for answer in answers[4:])
    assert Ticket.objects.get().subject == ("Edited" if edited else HELLO["subject"])
    assert OutboxEntry.objects.count() == 1
