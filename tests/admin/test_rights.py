"""Who may do what: every page of the admin, seen and posted to by everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import URLPattern, reverse

from django_support_tickets.admin.tickets import TicketAdmin
from django_support_tickets.models import (
    Attachment,
    Comment,
    Delivery,
    OutboxEntry,
    ProviderState,
    SyncRun,
    Ticket,
    TicketEvent,
    WebhookDelivery,
)
from tests.admin.conftest import PNG, url

Make = Callable[..., Any]
MODELS = (Ticket, OutboxEntry, WebhookDelivery, ProviderState, SyncRun)
VIEWS = [f"view_{model._meta.model_name}" for model in MODELS]
#: What a page needs besides the permission to view tickets, to be asked for or to be posted to.
NEEDS = {
    "add": "add_ticket",
    "reply": "add_comment",
    "settle": "settle_ticket",
    "settle_item": "settle_ticket",
    "sync": "sync_ticket",
    "send": "sync_ticket",
    "cancel": "change_ticket",
    "cancel_item": "change_ticket",
    "submit_item": "add_comment",
    "edit": "change_ticket",
    "close": "change_ticket",
    "close_here": "change_ticket",
    "raise_again": "add_ticket",
    "change": "change_ticket",
    "delete": "delete_ticket",
    "file": "view_attachment",
    "fetch_file": "sync_ticket",
}
#: Pages that can be looked at with the permission to view; of the others even the look needs more.
READABLE = ("changelist", "change", "history", "dashboard")
SECRET = "only for staff"


@pytest.fixture
def desk(make_ticket: Make, make_comment: Make) -> dict[str, Any]:
    """One row of everything, with words that nobody outside may read."""
    ticket = make_ticket(delivery_error=SECRET, raw={"note": SECRET}, subject=SECRET, reference="S-1")
    comment = make_comment(ticket, body=SECRET, delivery=Delivery.UNCERTAIN)
    file = Attachment(ticket=ticket, name=f"{SECRET}.png", file="00/0", state="stored", delivery="delivered")
    Attachment.objects.bulk_create([file])
    TicketEvent.objects.create(ticket=ticket, kind="refused", source="push", changes={"reason": SECRET})
    rows = {
        "outboxentry": OutboxEntry.objects.create(ticket=ticket, provider="local", last_error=SECRET),
        "webhookdelivery": WebhookDelivery.objects.create(provider="local", identity="1", remote_id=SECRET),
        "providerstate": ProviderState.objects.create(provider="local", pause_detail=SECRET),
        "syncrun": SyncRun.objects.create(provider="local", error=SECRET),
    }
    return {"ticket": ticket, "comment": comment, "file": file, **rows}


def pages(desk: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (model, page, address) of every page that the admin has for our models."""
    for model in MODELS:
        prefix = f"support_tickets_{model._meta.model_name}_"
        row = desk[str(model._meta.model_name)]
        for pattern in admin.site._registry[model].urls:
            if isinstance(pattern, URLPattern) and pattern.name:
                page = pattern.name.removeprefix(prefix)
                address = reverse(f"admin:{pattern.name}", args=arguments(page, row, desk))
                yield str(model._meta.model_name), page, address


def arguments(page: str, row: Any, desk: dict[str, Any]) -> list[Any]:
    match page:
        case "changelist" | "add" | "dashboard":
            return []
        case "settle_item" | "cancel_item" | "submit_item":
            return [row.pk, "comment", desk["comment"].key]
        case "file" | "fetch_file":
            return [row.pk, desk["file"].key]
    return [row.pk]


def state() -> list[Any]:
    """Return everything that an action could change."""
    return [list(model._base_manager.order_by("pk").values()) for model in (*MODELS, Comment, Attachment, TicketEvent)]


FORGED = {
    "post": "yes",
    "_save": "",
    "_submit": "",
    "subject": "forged",
    "body": "forged",
    "answer": "again",
    "delivery": "queued",
    # What inlines and editable lists would read.
    "form-TOTAL_FORMS": "1",
    "form-INITIAL_FORMS": "1",
    "comments-TOTAL_FORMS": "1",
    "comments-INITIAL_FORMS": "0",
    "comments-0-body": "forged",
}


@pytest.mark.fault(86)
class TestThoseWhoOnlyLook:
    def test_every_forged_post_is_refused_and_changes_nothing(
        self, staff: Callable[..., Client], desk: dict[str, Any]
    ) -> None:
        client, before, seen = staff(*VIEWS), state(), set()
        for model, page, address in pages(desk):
            answer = client.post(address, {**FORGED, "form-0-id": "1"})
            # A history is the same however it is asked for.
            assert answer.status_code == {"history": 200, "dashboard": 405}.get(page, 403), (model, page)
            seen.add(page)
        assert seen >= NEEDS.keys()
        assert state() == before

    def test_every_forged_list_action_is_refused(self, staff: Callable[..., Client], desk: dict[str, Any]) -> None:
        client, before = staff(*VIEWS), state()
        paths = [reverse(f"admin:support_tickets_{model._meta.model_name}_changelist") for model in MODELS]
        for name in (*TicketAdmin.actions, "delete_selected", "nonsense", ""):
            values = {"action": name, "_selected_action": [desk["ticket"].pk], "select_across": "1", "index": "0"}
            for path in paths:
                assert client.post(path, values).status_code == 403, name
        assert state() == before

    def test_nothing_else_is_offered_to_them(self, staff: Callable[..., Client], desk: dict[str, Any]) -> None:
        page = staff(*VIEWS).get(url("change", desk["ticket"].pk)).content.decode()
        assert SECRET in page
        assert "You may read this ticket but not reply." in page
        assert 'method="post"' not in page.replace('<form id="logout-form" method="post"', "")
        assert url("file", desk["ticket"].pk, desk["file"].key) not in page

    def test_what_needs_more_is_not_even_shown(self, staff: Callable[..., Client], desk: dict[str, Any]) -> None:
        client = staff(*VIEWS)
        for model, page, address in pages(desk):
            expected = {200} if page in READABLE else {403, 405}
            assert {client.get(address).status_code} <= expected, (model, page)


@pytest.mark.fault(86)
@pytest.mark.parametrize("needed", sorted({*NEEDS.values()}))
def test_one_permission_opens_its_doors(staff: Callable[..., Client], desk: dict[str, Any], needed: str) -> None:
    """It is needed, it is enough beside the right to view, and nothing else does instead."""
    everything = {"view_ticket", *NEEDS.values()}
    without, alone = staff(*everything - {needed}), staff(needed, "view_attachment")
    enough = staff("view_ticket", "view_attachment", needed)
    for model, page, address in pages(desk):
        if model != "ticket" or NEEDS.get(page) != needed:
            continue
        assert without.post(address).status_code == 403, page
        if needed != "change_ticket" and page not in ("add", "delete"):  # these need nothing else
            assert alone.post(address).status_code == 403, page
        assert enough.post(address).status_code in (200, 302), page


@pytest.mark.fault(82, 86)
@pytest.mark.parametrize("who", ["nobody", "a customer", "staff without permissions"])
def test_others_learn_nothing(
    staff: Callable[..., Client], desk: dict[str, Any], django_user_model: Any, who: str
) -> None:
    client = staff() if who.startswith("staff") else Client()
    if who == "a customer":
        client.force_login(django_user_model.objects.create_user("customer"))
    before = state()
    for model, page, address in pages(desk):
        for answer in (client.get(address), client.post(address, FORGED)):
            assert answer.status_code in (302, 403, 405), (model, page)
            assert SECRET not in answer.content.decode()
            assert answer.status_code != 302 or "/login/" in answer.url
    assert state() == before


@pytest.mark.fault(86)
def test_the_ticket_is_none_of_its_items(staff: Callable[..., Client], make_ticket: Make) -> None:
    """What a comment may be done to with the permission to comment may not so be done to the ticket."""
    ticket = make_ticket(delivery=Delivery.DRAFT)
    client = staff("view_ticket", "add_comment", "change_ticket", "settle_ticket")
    before = state()
    for page in ("submit_item", "cancel_item", "settle_item"):
        for kind in ("ticket", "nonsense"):
            assert client.post(url(page, ticket.pk, kind, ticket.key), {"answer": "again"}).status_code == 404, page
    assert state() == before


@pytest.mark.fault(86)
def test_files_need_their_own_permission(staff: Callable[..., Client], make_ticket: Make) -> None:
    client = staff("view_ticket", "add_comment", "add_attachment", "view_attachment")
    ticket = make_ticket()
    client.post(url("reply", ticket.pk), {"body": "x", "uploads": [SimpleUploadedFile("a.png", PNG)]})
    file = ticket.attachments.get()
    path = url("file", ticket.pk, file.key)
    assert client.get(path).status_code == 200
    assert staff("view_ticket").get(path).status_code == 403
    assert staff("view_attachment").get(path).status_code == 403


@pytest.mark.fault(86)
def test_who_may_reply_need_not_be_allowed_to_add_files(staff: Callable[..., Client], make_ticket: Make) -> None:
    ticket = make_ticket()
    client = staff("view_ticket", "add_comment")
    client.post(url("reply", ticket.pk), {"body": "x", "uploads": [SimpleUploadedFile("a.png", PNG)]})
    assert ticket.comments.count() == 1
    assert not ticket.attachments.exists()


def test_the_dashboard_is_linked_for_those_who_may_see_it(staff: Callable[..., Client]) -> None:
    index = reverse("admin:app_list", args=["support_tickets"])
    assert url("dashboard") in staff("view_ticket").get(index).content.decode()
    assert url("dashboard") not in staff("view_outboxentry").get(index).content.decode()
