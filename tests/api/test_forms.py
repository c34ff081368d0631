"""A front end that reads nothing but `/providers/` builds forms, and each vendor takes what they allow."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from django_support_tickets.models import Attachment, Comment, Ticket
from django_support_tickets.outbox.push import push
from django_support_tickets.testing.sandbox import Fault, Sandbox
from tests.attachments.samples import HONEST

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.api.urls")]

URL = "/api/tickets/"
BACKENDS = {
    "ripio": "ripio.RipioProvider",
    "moov": "moov.MoovProvider",
    "verifik docs": "verifik.VerifikProvider",
    "verifik app": "verifik.VerifikProvider",
    "ankra": "ankra.AnkraProvider",
}
CONTENTS = {name.rpartition(".")[2]: content for name, content in HONEST.items()}


@pytest.fixture(params=BACKENDS)
def account(request: pytest.FixtureRequest, sandbox: Sandbox, settings: Any, as_customer: APIClient) -> Any:
    """What `/providers/` tells a customer of the only account."""
    name, _space, dialect = request.param.partition(" ")
    vendor = sandbox.vendors[name]
    if dialect:
        sandbox.verifik.dialect = dialect
    options = {**vendor.options(), "rate": None}
    backend = f"django_support_tickets.providers.{BACKENDS[request.param]}"
    settings.SUPPORT_TICKETS_PROVIDERS = {name: {"BACKEND": backend, "OPTIONS": options}}
    ids = {"ripio": sandbox.ripio.CUSTOMER, "moov": sandbox.moov.accounts[0]}
    known = {"customer_id": ids.get(name, ""), "contact_name": "Ann", "contact_email": "ann@example.com"}
    settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: known
    (told,) = as_customer.get("/api/providers/").json()
    return told


def longest(limit: int | None, *, otherwise: int = 2000) -> str:
    return ("Zahlung fehlt. " * 2000)[: (limit or otherwise) - 1] + "."


def form(account: Any) -> dict[str, Any]:
    """Fill in everything that the account tells, up to its limits."""
    texts = {
        "subject": longest(account["subject_max"]),
        "description": longest(account["description_max"]),
        **{name: account[options][-1] for name, options in PLURALS.items() if account[options]},
    }
    assert set(account["required_fields"]) <= set(texts)
    return {"provider": account["alias"], **texts}


PLURALS = {"category": "categories", "priority": "priorities"}


def files(rules: Any, count: int = 0) -> list[SimpleUploadedFile]:
    extensions = [name for name in rules["extensions"] if name in CONTENTS]
    chosen = [extensions[number % len(extensions)] for number in range(count or min(rules["max_count"], 12))]
    return [SimpleUploadedFile(f"{number}.{name}", CONTENTS[name]) for number, name in enumerate(chosen)]


def test_everything_up_to_the_limits_reaches_the_vendor(account: Any, as_customer: APIClient) -> None:
    rules = account["files"]
    travelling = files(rules) if rules and "create" in rules["moments"] else []
    answer = as_customer.post(URL, {**form(account), "files": travelling})
    assert answer.status_code == 201, answer.content
    url = f"{URL}{answer.json()['key']}/"
    push(account["alias"])
    seen = as_customer.get(url).json()
    assert (seen["delivery"], seen["attachments_count"]) == ("delivered", len(travelling)), (
        Ticket.objects.get().delivery_error
    )
    if account["can_comment"]:
        with_files = files(rules) if rules and "comment" in rules["moments"] else []
        data = {"body": longest(account["comment_max"]), "files": with_files}
        assert as_customer.post(f"{url}comments/", data).status_code == 201
    if rules and "after" in rules["moments"]:
        for file in files(rules, 2):
            assert as_customer.post(f"{url}attachments/", {"file": file}).status_code == 201
    if account["can_close"]:
        assert as_customer.post(f"{url}close/").status_code == 202
    push(account["alias"])
    for model in (Comment, Attachment):
        assert set(model.objects.values_list("delivery", flat=True)) <= {"delivered"}
    assert as_customer.get(url).json()["closing"] == ("delivered" if account["can_close"] else "")


@pytest.mark.fault(22)
def test_one_more_is_refused_by_the_name_of_the_field(account: Any, as_customer: APIClient, sandbox: Sandbox) -> None:
    good, calls = form(account), sum(len(vendor.ledger) for vendor in sandbox.vendors.values())
    wrong: list[tuple[str, dict[str, Any]]] = [(name, {name: ""}) for name in account["required_fields"]]
    wrong += [
        (name, {name: good[name] + "x"})
        for name in ("subject", "description")
        if account[f"{name}_max"] is not None and len(good[name]) == account[f"{name}_max"]
    ]
    wrong += [(name, {name: "nonsense"}) for name, options in PLURALS.items() if account[options]]
    wrong += [("options", {"options": '{"nonsense": 1}'})]
    rules = account["files"]
    if rules is None:
        wrong += [("files", {"files": [SimpleUploadedFile("a.txt", b"x")]})]
    elif "create" in rules["moments"]:
        wrong += [("files", {"files": files(rules, rules["max_count"] + 1)})]
        wrong += [("files", {"files": [SimpleUploadedFile("a.exe", b"MZ")]})]
        large = CONTENTS[rules["extensions"][0]].ljust(rules["max_bytes"] + 1, b"x")
        wrong += [("files", {"files": [SimpleUploadedFile(f"a.{rules['extensions'][0]}", large)]})]
    for field, values in wrong:
        answer = as_customer.post(URL, {**good, **values})
        assert answer.status_code in (400, 413)  # a file that no account could take is cut off while it arrives
        assert list(answer.json()) == [field], (field, answer.content)
    assert not Ticket.objects.exists()
    assert not Attachment.objects.exists()
    push(account["alias"])
    assert sum(len(vendor.ledger) for vendor in sandbox.vendors.values()) == calls


@pytest.mark.fault(22)
@pytest.mark.parametrize("account", ["verifik app"], indirect=True)
def test_a_category_that_needs_options(account: Any, as_customer: APIClient) -> None:
    (category, names), *_others = account["required_options"].items()
    options = {name: longest(account["option_max"].get(name), otherwise=50) for name in names}
    good = {**form(account), "category": category}
    too_long = {name: options[name] + "x" for name in account["option_max"]}
    for wrong in ({}, {names[0]: options[names[0]]}, {**options, names[0]: " "}, {**options, **too_long}):
        answer = as_customer.post(URL, {**good, "options": wrong}, format="json")
        assert (answer.status_code, list(answer.json())) == (400, ["options"])
    assert not Ticket.objects.exists()
    answer = as_customer.post(URL, {**good, "options": options}, format="json")
    push(account["alias"])
    assert as_customer.get(f"{URL}{answer.json()['key']}/").json()["delivery"] == "delivered"


@pytest.mark.fault(82)
def test_a_vendors_refusal_is_a_sentence_for_customers_and_its_code_for_staff(
    account: Any, as_customer: APIClient, as_agent: APIClient, sandbox: Sandbox
) -> None:
    body = b'{"code": "vendor-code", "error": "vendor-words", "detail": "vendor-words", "message": "vendor-words"}'
    vendor = sandbox.vendors[account["alias"]]
    vendor.fail_next("create", Fault.ANSWER, status=422, body=body, headers={"Content-Type": "application/json"})
    key = as_customer.post(URL, form(account)).json()["key"]
    push(account["alias"])
    seen = as_customer.get(f"{URL}{key}/")
    assert (seen.json()["delivery"], seen.json()["delivery_text"]) == (
        "refused",
        "The support desk did not accept it.",
    )
    for part in ("", "comments/", "attachments/", "events/"):
        assert b"vendor-" not in as_customer.get(f"{URL}{key}/{part}").content
    assert "vendor-" in as_agent.get(f"{URL}{key}/").json()["delivery_error"]
    assert as_customer.post(f"{URL}{key}/submit/").json()["delivery"] == "queued"
    push(account["alias"])
    assert as_customer.get(f"{URL}{key}/").json()["delivery"] == "delivered"
