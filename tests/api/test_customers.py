"""Who a customer is at a vendor, is for the project's resolver to say and for nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from django_support_tickets.models import Ticket
from docs.tables import accounts

User = get_user_model()

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

URL = "/api/tickets/"
HELLO = {"provider": "desk", "subject": "Hello", "description": "Hi"}
ANN = {"customer_id": "C-ann", "contact_name": "Ann", "contact_email": "ann@example.com"}


def resolve(user: User, alias: str) -> dict[str, str] | None:
    return ANN if user.username == "ann" else None


@pytest.fixture
def resolver(settings: Any) -> None:
    settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = "tests.api.test_customers.resolve"


class TestWithoutResolver:
    def test_a_customer_cannot_raise_where_the_vendor_must_know_them(self, as_customer: APIClient) -> None:
        for draft in (True, False):
            answer = as_customer.post(URL, {**HELLO, "draft": draft}, format="json")
            assert answer.status_code == 400
            (sentence,) = answer.json()["provider"]
            assert "contact_email, customer_id" in sentence
        assert not Ticket.objects.exists()
        assert [account["alias"] for account in as_customer.get("/api/providers/").json()] == ["local"]

    def test_naming_oneself_does_not_help(self, as_customer: APIClient) -> None:
        assert as_customer.post(URL, {**HELLO, **ANN}, format="json").status_code == 400
        answer = as_customer.post(URL, {**HELLO, **ANN, "provider": "local"}, format="json")
        assert answer.json()["contact_email"] == ""
        assert Ticket.objects.get().customer_id == ""

    def test_an_agent_can(self, as_agent: APIClient) -> None:
        assert as_agent.post(URL, {**HELLO, **ANN}, format="json").status_code == 201

    @pytest.mark.fault(80)
    def test_what_staff_has_said_of_a_customer_stays(
        self, as_agent: APIClient, as_customer: APIClient, customer: User
    ) -> None:
        draft = as_agent.post(URL, {**HELLO, **ANN, "requester": customer.pk, "draft": True}, format="json").json()
        url = f"{URL}{draft['key']}/"
        assert as_customer.patch(url, {"subject": "Edited", "customer_id": "C-bob"}, format="json").status_code == 200
        assert as_customer.post(f"{url}submit/").status_code == 200
        ticket = Ticket.objects.get()
        assert {name: getattr(ticket, name) for name in ANN} == ANN
        assert (ticket.subject, ticket.delivery) == ("Edited", "queued")

    @pytest.mark.fault(80)
    def test_but_not_at_another_account(self, as_customer: APIClient, stored: Any, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS["desk-eu"] = settings.SUPPORT_TICKETS_PROVIDERS["desk"]
        draft = stored(provider="desk", delivery="draft", options={"cluster": "7", "topic": "card"}, **ANN)
        url = f"{URL}{draft.key}/"
        answer = as_customer.patch(url, {"provider": "desk-eu"}, format="json")
        assert (answer.status_code, list(answer.json())) == (400, ["provider"])
        assert as_customer.patch(url, {"provider": "local"}, format="json").status_code == 200
        draft.refresh_from_db()
        assert (draft.customer_id, draft.contact_name, draft.contact_email, draft.options) == ("", "", "", {})


class TestWithResolver:
    @pytest.mark.fault(80)
    def test_it_says_who_the_customer_is(self, resolver: None, as_customer: APIClient) -> None:
        forged = {"customer_id": "C-bob", "contact_name": "Bob", "contact_email": "bob@example.com"}
        answer = as_customer.post(URL, {**HELLO, **forged}, format="json")
        assert answer.status_code == 201, answer.content
        ticket = Ticket.objects.get()
        assert {name: getattr(ticket, name) for name in ANN} == ANN
        assert (answer.json()["contact_name"], answer.json()["contact_email"]) == ("Ann", "ann@example.com")

    def test_it_is_asked_once_for_a_ticket(self, settings: Any, as_customer: APIClient, customer: User) -> None:
        asked = []

        def resolve(user: User, alias: str) -> dict[str, str]:
            asked.append((user, alias))
            return ANN

        settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = resolve
        draft = as_customer.post(URL, {**HELLO, "draft": True}, format="json").json()
        assert asked == [(customer, "desk")]
        assert as_customer.post(f"{URL}{draft['key']}/submit/").status_code == 200
        assert asked == [(customer, "desk")] * 2

    def test_an_account_that_it_does_not_offer_is_not_there(self, resolver: None, as_other: APIClient) -> None:
        unoffered = as_other.post(URL, HELLO, format="json")
        missing = as_other.post(URL, {**HELLO, "provider": "nobody"}, format="json")
        assert (unoffered.status_code, unoffered.content) == (missing.status_code, missing.content)
        assert as_other.get("/api/providers/").json() == []

    def test_a_form_asks_for_what_is_left(self, resolver: None, as_customer: APIClient, as_agent: APIClient) -> None:
        (_local, desk) = as_customer.get("/api/providers/").json()
        assert desk["required_fields"] == ["description", "subject"]
        assert as_agent.get("/api/providers/").json()[1]["required_fields"] == [
            "contact_email",
            "customer_id",
            "description",
            "subject",
        ]

    @pytest.mark.fault(80)
    def test_a_draft_is_of_whom_it_was_raised_for(self, resolver: None, as_customer: APIClient, stored: Any) -> None:
        draft = stored(delivery="draft", customer_id="C-bob", contact_email="bob@example.com")
        url = f"{URL}{draft.key}/"
        assert as_customer.patch(url, {**HELLO, "customer_id": "C-bob"}, format="json").status_code == 200
        Ticket.objects.update(customer_id="C-bob")
        assert as_customer.post(f"{url}submit/").status_code == 200
        assert Ticket.objects.get().customer_id == "C-ann"

    def test_somebody_in_the_scope_acts_for_the_requester(
        self, resolver: None, settings: Any, as_other: APIClient, stored: Any
    ) -> None:
        settings.SUPPORT_TICKETS_TICKET_SCOPE = lambda user: Ticket.objects.all()
        settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: {"customer_id": f"C-{user.username}"}
        draft = stored(delivery="draft")
        assert as_other.post(f"{URL}{draft.key}/submit/").status_code == 200
        assert Ticket.objects.get().customer_id == "C-ann"

    def test_what_it_leaves_out_is_missing(self, settings: Any, as_customer: APIClient) -> None:
        settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: {"customer_id": 7, "contact_email": None}
        (sentence,) = as_customer.post(URL, HELLO, format="json").json()["provider"]
        assert "contact_email" in sentence
        assert "customer_id" not in sentence

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("customer_id", "C" * 256),
            ("customer_id", "C\0"),
            ("customer_id", "C\ud800"),
            ("contact_email", "nobody"),
            ("contact_email", f"{'a' * 250}@example.com"),
        ],
    )
    @pytest.mark.parametrize("draft", [True, False])
    def test_what_no_ticket_can_have_is_missing(
        self,
        settings: Any,
        as_customer: APIClient,
        caplog: pytest.LogCaptureFixture,
        name: str,
        value: str,
        draft: bool,
    ) -> None:
        settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: {**ANN, name: value}
        answer = as_customer.post(URL, {**HELLO, "draft": draft}, format="json")
        assert (answer.status_code, list(answer.json())) == (400, ["provider"])
        assert as_customer.post(URL, {"provider": "local", "subject": "Hi", "draft": draft}).status_code == 201
        assert getattr(Ticket.objects.get(), name) == ""
        complaint = f"the customer resolver gives no usable {name} for desk"
        (said, *_again) = [record for record in caplog.records if record.getMessage() == complaint]
        assert (said.event, said.account) == ("api.customer", "desk")  # type: ignore[attr-defined]
        assert value not in caplog.text

    @pytest.mark.parametrize("draft", [True, False])
    def test_a_long_name_is_clipped(self, settings: Any, as_customer: APIClient, draft: bool) -> None:
        settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: {**ANN, "contact_name": "A\0" + "n" * 300}
        assert as_customer.post(URL, {**HELLO, "draft": draft}, format="json").status_code == 201
        assert Ticket.objects.get().contact_name == "A\N{REPLACEMENT CHARACTER}" + "n" * 198

    def test_one_that_does_not_offer_the_account_to_the_requester(
        self, settings: Any, as_other: APIClient, stored: Any
    ) -> None:
        settings.SUPPORT_TICKETS_TICKET_SCOPE = lambda user: Ticket.objects.all()
        settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: ANN if user.username == "bob" else None
        draft = stored(delivery="draft")
        answer = as_other.post(f"{URL}{draft.key}/submit/")
        assert (answer.status_code, answer.json()) == (400, {"provider": ["There is no such account."]})

    def test_it_is_not_asked_about_agents(self, settings: Any, as_agent: APIClient) -> None:
        settings.SUPPORT_TICKETS_CUSTOMER_RESOLVER = lambda user, alias: 1 / 0
        assert as_agent.post(URL, {**HELLO, **ANN}, format="json").status_code == 201
        assert len(as_agent.get("/api/providers/").json()) == 2


class TestOptions:
    """The extras of a vendor may name somebody, or decide something: customers set only those that do not."""

    @pytest.mark.fault(80, 82)
    @pytest.mark.parametrize("draft", [True, False])
    def test_a_customer_sets_those_for_customers(
        self, resolver: None, as_customer: APIClient, as_agent: APIClient, draft: bool
    ) -> None:
        hidden = as_customer.post(URL, {**HELLO, "draft": draft, "options": {"cluster": "7"}}, format="json")
        unknown = as_customer.post(URL, {**HELLO, "draft": draft, "options": {"x": "7"}}, format="json")
        assert (hidden.status_code, hidden.json()) == (400, {"options": ["The vendor has no option cluster."]})
        assert hidden.content == unknown.content.replace(b"option x", b"option cluster")
        assert not Ticket.objects.exists()
        answer = as_customer.post(URL, {**HELLO, "draft": draft, "options": {"topic": "card"}}, format="json")
        assert answer.json()["options"] == Ticket.objects.get().options == {"topic": "card"}
        assert as_agent.post(URL, {**HELLO, **ANN, "options": {"cluster": "7"}}, format="json").status_code == 201

    @pytest.mark.fault(80, 82)
    def test_those_that_staff_has_set_are_hidden_and_stay(
        self, resolver: None, as_customer: APIClient, as_agent: APIClient, stored: Any
    ) -> None:
        draft = stored(provider="desk", delivery="draft", options={"cluster": "7", "topic": "card"})
        url = f"{URL}{draft.key}/"
        assert as_customer.get(url).json()["options"] == {"topic": "card"}
        assert as_customer.get(URL).json()["results"][0]["options"] == {"topic": "card"}
        assert as_agent.get(url).json()["options"] == {"cluster": "7", "topic": "card"}
        assert as_customer.patch(url, {"options": {"cluster": "8"}}, format="json").status_code == 400
        assert as_customer.patch(url, {"options": {"topic": "iban"}}, format="json").status_code == 200
        draft.refresh_from_db()
        assert draft.options == {"cluster": "7", "topic": "iban"}
        assert as_agent.patch(url, {"options": {}}, format="json").json()["options"] == {}

    def test_nothing_is_shown_of_an_account_that_is_gone(self, as_customer: APIClient, stored: Any) -> None:
        key = stored(provider="gone", options={"cluster": "7", "topic": "card"}).key
        assert as_customer.get(f"{URL}{key}/").json()["options"] == {}

    @pytest.mark.fault(80)
    @pytest.mark.parametrize(("vendor", "names"), [("moov", {"author"}), ("ankra", {"acknowledged", "cluster_id"})])
    def test_whoever_a_vendors_option_names_is_for_staff(self, vendor: str, names: set[str]) -> None:
        capabilities = accounts()[vendor.title()].capabilities
        assert names <= capabilities.option_names
        assert not names & capabilities.customer_options
