"""A support agent's day in a real browser, against vendors that answer over real HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from django_support_tickets.models import Delivery, Ticket
from django_support_tickets.records import Status
from django_support_tickets.testing.sandbox import Fault, Sandbox
from tests.browser.desk import Desk

pytestmark = pytest.mark.browser
PICTURE = b"\x89PNG\r\n\x1a\n0000"


def test_a_ticket_is_raised_answered_and_closed(desk: Desk, accounts: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "screen.png").write_bytes(PICTURE)
    desk.open("")
    desk.follow("Dashboard")
    assert "Support desk dashboard" in desk.text
    desk.follow("Tickets")
    desk.follow("ADD TICKET")
    desk.follow("ankra")

    # What the vendor would refuse is said at its field; nothing is stored.
    desk.fill(subject="Cluster unreachable")
    desk.press("Submit")
    assert "required" in desk.one(".field-description .errorlist").text.lower()
    assert not Ticket.objects.exists()

    # A draft first, with a file, then submitted.
    desk.fill(description="Nodes are NotReady.\nSince 12:00.", category="technical")
    desk.one("[name='uploads']").send_keys(str(tmp_path / "screen.png"))
    desk.press("Save as draft")
    assert "The draft was saved. Nothing was sent." in desk.text
    assert Ticket.objects.get().delivery == Delivery.DRAFT
    assert "Remove these files" in desk.text
    desk.press("Submit")
    assert "The ticket was submitted." in desk.text
    ticket = Ticket.objects.get()
    assert ticket.delivery == Delivery.DELIVERED
    assert "screen.png" in desk.text

    # The vendor answers; the agent fetches it and replies.
    assert ticket.remote_id
    accounts.ankra.reply(ticket.remote_id, "<b>Which</b> version?")
    desk.press("Fetch news now")
    desk.open(f"ticket/{ticket.pk}/change/")
    assert "<b>Which</b> version?" in desk.text
    desk.fill(body="1.31.2, since yesterday.")
    desk.press("Send reply")
    assert "The reply was submitted." in desk.text
    assert ticket.comments.get(body="1.31.2, since yesterday.").delivery == Delivery.DELIVERED

    # Closing asks once more, then happens.
    desk.press("Close at the vendor…")
    desk.press("Close at the vendor")
    desk.open(f"ticket/{ticket.pk}/change/")
    assert Ticket.objects.get().status == Status.CLOSED
    assert "Closed" in desk.one(".st-badges").text


def test_a_lost_answer_is_settled_by_looking(desk: Desk, accounts: Sandbox) -> None:
    accounts.ripio.fail_next("create", Fault.RESET_AFTER_COMMIT)
    desk.open("ticket/add/?account=ripio")
    assert "Say everything now; more cannot be said later" in desk.text
    desk.fill(subject="Deposit missing", description="Since noon.", customer_id=accounts.ripio.CUSTOMER)
    desk.press("Submit")
    assert "Nobody can tell whether the vendor has got this ticket." in desk.text
    assert "Ripio answers the customer by email" in desk.text
    desk.press("Settle…")
    desk.one("input[value='exists']").click()
    desk.press("Settle")
    assert "Give the id that the vendor shows for it." in desk.text
    remote_id = next(iter(accounts.ripio.tickets))
    desk.fill(remote_id=remote_id)
    desk.press("Settle")
    assert "It counts as delivered." in desk.text
    ticket = Ticket.objects.get()
    assert (ticket.delivery, ticket.remote_id) == (Delivery.DELIVERED, remote_id)
    assert "Settled by a person" in desk.text


def test_a_refusal_is_mended_and_sent_again(desk: Desk, accounts: Sandbox) -> None:
    desk.open("ticket/add/?account=ripio")
    desk.fill(subject="Card blocked", description="It is.", customer_id=accounts.ripio.CUSTOMER_WITHOUT_EMAIL)
    desk.press("Submit")
    assert "The vendor has refused it." in desk.text
    desk.press("Edit and submit again")
    desk.fill(customer_id=accounts.ripio.CUSTOMER)
    desk.press("Submit")
    assert Ticket.objects.get().delivery == Delivery.DELIVERED


def test_everything_can_be_done_with_the_keyboard(desk: Desk, accounts: Sandbox) -> None:
    desk.open("ticket/")
    for selector in (".object-tools a.addlink", "a[href='?account=ankra']"):
        with desk.leaving():
            desk.tab_to(selector).send_keys(Keys.ENTER)
    desk.tab_to("[name='subject']")
    # One key chooses "technical": keys that come slowly would each begin a new search in the list.
    desk.keys("Cluster unreachable", Keys.TAB, "Nodes are NotReady.", Keys.TAB, "t")
    with desk.leaving():
        desk.tab_to("[name='_submit']").send_keys(Keys.ENTER)
    assert Ticket.objects.get().delivery == Delivery.DELIVERED
    desk.tab_to("summary.st-button").send_keys(Keys.ENTER)
    desk.tab_to("[name='body']")
    desk.keys("Any news?", Keys.TAB)
    with desk.leaving():
        desk.tab_to(".st-reply button").send_keys(Keys.ENTER)
    assert Ticket.objects.get().comments.get(body="Any news?").delivery == Delivery.DELIVERED
    # The Enter key in a field saves a draft and sends nothing.
    desk.open("ticket/add/?account=ankra")
    desk.tab_to("[name='subject']")
    with desk.leaving():
        desk.keys("Later", Keys.ENTER)
    assert Ticket.objects.get(subject="Later").delivery == Delivery.DRAFT


def test_several_are_selected_and_filtered(desk: Desk, accounts: Sandbox) -> None:
    for subject in ("First", "Second"):
        desk.open("ticket/add/?account=ankra")
        desk.fill(subject=subject, description="Since noon.", category="technical")
        desk.press("Submit")
    desk.open("ticket/")
    desk.follow("ankra")
    desk.one("#action-toggle").click()
    desk.fill(action="Fetch news now")
    with desk.leaving():
        desk.one("button[name='index']").click()  # "Go", later "Run"
    assert "2 tickets are due now." in desk.text
    desk.fill(q="Second")
    desk.press("Search")
    assert "1 result" in desk.text
    desk.follow("Second")
    assert "Conversation" in desk.text


def test_the_pages_read_without_scripts_too(desk: Desk, accounts: Sandbox) -> None:
    desk.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        desk.open("ticket/add/?account=ankra")
        desk.fill(subject="No script", description="Since noon.", category="technical")
        desk.press("Submit")
        assert "The ticket was submitted." in desk.text
        desk.press("Raise again…")
        desk.press("Raise again")
        assert "This is the new draft." in desk.text
    finally:
        desk.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert Ticket.objects.count() == 2
