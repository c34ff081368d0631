from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_support_tickets.testing.sandbox import MoovSandbox, Sandbox
from tests.testing.sandbox_client import Answer, basic, moov, moov_create, send

TICKETS = "/accounts/acct-1/tickets"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def vendor(sandbox: Sandbox) -> MoovSandbox:
    return sandbox.moov


def token(vendor: MoovSandbox, body: Any, headers: dict[str, str] | None = None) -> Answer:
    keys = basic(vendor.public_key, vendor.secret_key) if headers is None else headers
    return send(f"{vendor.base_url}/oauth2/token", "POST", body, keys)


def bearer(vendor: MoovSandbox, scope: str) -> str:
    answer = token(vendor, {"grant_type": "client_credentials", "scope": scope})
    return f"Bearer {answer.json['access_token']}"


class TestTickets:
    def test_create(self, vendor: MoovSandbox) -> None:
        contact = {"email": "a@example.com", "name": "Ann"}
        answer = moov_create(
            vendor, foreignID="f/1 ü", author="Ann A.", contact=contact, extra="ignored", status="closed"
        )
        assert answer.status == 200
        ticket = answer.json
        assert (ticket["number"], ticket["title"], ticket["status"], ticket["foreignID"]) == (
            1,
            "Payout late",
            "new",
            "f/1 ü",
        )
        assert ticket["contact"] == contact
        assert not {"body", "messages", "accountID", "closedOn"} & set(ticket)
        assert ticket["createdOn"] == ticket["latestMessageOn"]
        assert answer.headers["x-request-id"]

    def test_the_body_is_the_first_message(self, vendor: MoovSandbox) -> None:
        remote_id = moov_create(vendor).json["ticketID"]
        vendor.reply(remote_id, "We look into it.")
        messages = moov(vendor, "GET", f"{TICKETS}/{remote_id}/messages").json
        assert [(message["author"], message["body"]) for message in messages] == [
            ("a@example.com", "Since Monday."),
            ("Moov Support", "We look into it."),
        ]
        assert set(messages[0]) == {"author", "body", "sentOn"}
        assert [entry.operation for entry in vendor.ledger] == ["create", "messages"]

    @pytest.mark.parametrize(
        ("fields", "errors"),
        [
            ({"title": ""}, {"title": "is required"}),
            ({"title": 5, "body": None}, {"title": "must be a string", "body": "is required"}),
            ({"contact": {"name": "x"}}, {"contact": {"email": "must be a valid email address"}}),
            ({"contact": {"email": "x", "name": 1}}, {"contact": {"name": "must be a string"}}),
            ({"contact": "x"}, {"contact": {"email": "must be a valid email address"}}),
            (
                {"foreignID": "x" * 65, "author": 1},
                {"foreignID": "must be at most 64 characters", "author": "must be a string"},
            ),
        ],
    )
    def test_invalid_fields_are_mirrored(
        self, vendor: MoovSandbox, fields: dict[str, Any], errors: dict[str, Any]
    ) -> None:
        vendor.foreign_id_max = 64
        answer = moov_create(vendor, **fields)
        assert (answer.status, answer.json) == (422, errors)
        assert not vendor.tickets

    @pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"title": NaN}', b""])
    def test_unreadable_bodies(self, vendor: MoovSandbox, body: bytes) -> None:
        answer = moov(vendor, "POST", TICKETS, body)
        assert answer.status == 400
        assert set(answer.json) == {"error"}

    def test_foreign_ids_need_not_be_unique(self, vendor: MoovSandbox) -> None:
        assert [moov_create(vendor, foreignID="same").status for _ in range(2)] == [200, 200]
        vendor.unique_foreign_id = True
        answer = moov_create(vendor, foreignID="same")
        assert (answer.status, set(answer.json)) == (409, {"error"})
        assert moov_create(vendor, "acct-2", foreignID="same").status == 200

    def test_a_foreign_id_is_taken_before_lists_show_it(self, vendor: MoovSandbox) -> None:
        vendor.unique_foreign_id, vendor.list_lag = True, 30.0
        assert [moov_create(vendor, foreignID="same").status for _ in range(2)] == [200, 409]

    def test_close(self, sandbox: Sandbox, vendor: MoovSandbox) -> None:
        remote_id = moov_create(vendor).json["ticketID"]
        path = f"{TICKETS}/{remote_id}"
        assert moov(vendor, "PATCH", path, {}).json["status"] == "new"
        refused = moov(vendor, "PATCH", path, {"status": "on-hold"})
        assert (refused.status, refused.json) == (422, {"status": "must be closed"})
        sandbox.advance(60)
        closed = moov(vendor, "PATCH", path, {"status": "closed"}).json
        assert closed["closedOn"] == closed["updatedOn"] > closed["createdOn"]
        assert moov(vendor, "PATCH", path, {"status": "closed"}).status == 200
        vendor.close_twice_status = 409
        assert moov(vendor, "PATCH", path, {"status": "closed"}).status == 409
        assert [entry.committed for entry in vendor.ledger] == [True, False, False, True, False, False]
        assert {entry.operation for entry in vendor.ledger[1:]} == {"close"}

    def test_staff_moves_a_ticket(self, vendor: MoovSandbox) -> None:
        remote_id = vendor.add_ticket("acct-2", title="Theirs", foreignID="x", status="on-hold")
        path = f"/accounts/acct-2/tickets/{remote_id}"
        assert moov(vendor, "GET", path).json["status"] == "on-hold"
        vendor.set_status(remote_id, "closed")
        assert moov(vendor, "GET", path).json["closedOn"]
        vendor.set_status(remote_id, "in-progress")
        assert "closedOn" not in moov(vendor, "GET", path).json
        vendor.change(remote_id, latestMessageOn=None, title="Renamed")
        assert moov(vendor, "GET", path).json["latestMessageOn"] is None
        vendor.delete(remote_id)
        assert moov(vendor, "GET", path).status == 404

    def test_accounts_are_apart(self, vendor: MoovSandbox) -> None:
        remote_id = vendor.add_ticket("acct-2")
        for answer in (
            moov(vendor, "GET", f"{TICKETS}/{remote_id}"),
            moov(vendor, "PATCH", f"{TICKETS}/{remote_id}", {"status": "closed"}),
            moov(vendor, "GET", f"{TICKETS}/{remote_id}/messages"),
        ):
            assert (answer.status, answer.body) == (404, b"")
        assert moov(vendor, "GET", TICKETS).json == {"items": []}
        assert moov_create(vendor, "acct-9").status == 403
        vendor.unknown_account_status = 404
        assert moov_create(vendor, "acct-9").status == 404


class TestList:
    def numbers(self, vendor: MoovSandbox, query: str = "") -> list[int]:
        return [ticket["number"] for ticket in moov(vendor, "GET", f"{TICKETS}?{query}").json["items"]]

    def test_newest_first_by_cursor(self, vendor: MoovSandbox) -> None:
        for _ in range(5):
            vendor.add_ticket()
        page = moov(vendor, "GET", f"{TICKETS}?count=2").json
        assert [ticket["number"] for ticket in page["items"]] == [5, 4]
        vendor.add_ticket()
        cursor = page["nextPage"]["cursor"]
        page = moov(vendor, "GET", f"{TICKETS}?count=2&cursor={cursor}").json
        assert [ticket["number"] for ticket in page["items"]] == [3, 2]
        last = moov(vendor, "GET", f"{TICKETS}?cursor={page['nextPage']['cursor']}").json
        assert [ticket["number"] for ticket in last["items"]] == [1]
        assert "nextPage" not in last
        assert vendor.ledger[-1].operation == "list"

    def test_a_cursor_outlives_its_ticket(self, vendor: MoovSandbox) -> None:
        ids = [vendor.add_ticket() for _ in range(4)]
        cursor = moov(vendor, "GET", f"{TICKETS}?count=2").json["nextPage"]["cursor"]
        vendor.delete(ids[2])
        assert self.numbers(vendor, f"cursor={cursor}") == [2, 1]

    def test_filters(self, vendor: MoovSandbox) -> None:
        vendor.add_ticket(foreignID="a&b=ü")
        vendor.add_ticket(status="closed", foreignID="a&b=ü")
        vendor.add_ticket(status="closed")
        assert self.numbers(vendor, "status=closed") == [3, 2]
        assert self.numbers(vendor, "foreignID=a%26b%3D%C3%BC") == [2, 1]
        assert self.numbers(vendor, "foreignID=a%26b%3D%C3%BC&status=closed") == [2]
        assert self.numbers(vendor, "foreignID=none") == []

    def test_counts(self, vendor: MoovSandbox) -> None:
        for _ in range(4):
            vendor.add_ticket()
        vendor.default_count, vendor.max_count = 2, 3
        assert [len(self.numbers(vendor, query)) for query in ("", "count=9", "count=x", "count=0")] == [
            2,
            3,
            2,
            2,
        ]

    @pytest.mark.parametrize("cursor", ["x", "%C3%BC", "bm90LWEtbnVtYmVy"])
    def test_bad_cursor(self, vendor: MoovSandbox, cursor: str) -> None:
        answer = moov(vendor, "GET", f"{TICKETS}?cursor={cursor}")
        assert (answer.status, answer.json) == (400, {"error": "invalid cursor"})


class TestAdmission:
    @pytest.mark.parametrize("version", ["2022", "latest", "v2026.7.00", "v2026.07.00x"])
    def test_a_malformed_version_is_a_404(self, vendor: MoovSandbox, version: str) -> None:
        answer = moov(vendor, "GET", TICKETS, X_Moov_Version=version)
        assert (answer.status, answer.body) == (404, b"")

    @pytest.mark.parametrize("version", ["v2024.01.00", "v2026.08.00", ""])
    def test_other_versions_are_served(self, vendor: MoovSandbox, version: str) -> None:
        assert moov(vendor, "GET", TICKETS, X_Moov_Version=version).status == 200
        vendor.refuse_old_versions = True
        expected = 200 if version > "v2025.07.00" else 404
        assert moov(vendor, "GET", TICKETS, X_Moov_Version=version).status == expected

    @pytest.mark.parametrize("given", ["", "Basic", "Basic !", "Basic eDp5", "Bearer x", "Digest x"])
    def test_bad_credentials(self, vendor: MoovSandbox, given: str) -> None:
        answer = moov(vendor, "GET", TICKETS, Authorization=given)
        assert (answer.status, answer.body) == (401, b"")
        assert answer.headers["x-request-id"]

    def test_a_version_in_the_path_is_a_403(self, vendor: MoovSandbox) -> None:
        assert moov(vendor, "GET", f"/v1{TICKETS}").status == 403
        assert moov(vendor, "GET", "/elsewhere").status == 404

    def test_scopes(self, vendor: MoovSandbox) -> None:
        read = bearer(vendor, "/accounts/acct-1/tickets.read")
        write = bearer(vendor, "/accounts/acct-1/tickets.write /accounts/acct-2/profile.read")
        assert moov(vendor, "GET", TICKETS, Authorization=read).status == 200
        assert moov(vendor, "GET", "/accounts/acct-2/tickets", Authorization=read).status == 403
        assert moov(vendor, "GET", TICKETS, Authorization=write).status == 403
        draft = {"title": "T", "body": "B", "contact": {"email": "a@example.com"}}
        assert moov(vendor, "POST", TICKETS, draft, Authorization=read).status == 403
        assert moov(vendor, "POST", "/accounts/acct-2/tickets", draft, Authorization=write).status == 200


class TestTokens:
    SCOPE = "/accounts/acct-1/tickets.read"

    def test_json_form_and_keys_in_the_body(self, vendor: MoovSandbox) -> None:
        keys = {"client_id": vendor.public_key, "client_secret": vendor.secret_key}
        fields = {"grant_type": "client_credentials", "scope": self.SCOPE}
        answers = [
            token(vendor, fields),
            token(vendor, fields | keys, {}),
            token(
                vendor,
                f"grant_type=client_credentials&scope={self.SCOPE}".encode(),
                basic(vendor.public_key, vendor.secret_key) | FORM,
            ),
        ]
        for answer in answers:
            assert set(answer.json) == {"token_type", "access_token", "refresh_token", "expires_in", "scope"}
            access = f"Bearer {answer.json['access_token']}"
            assert moov(vendor, "GET", TICKETS, Authorization=access).status == 200

    def test_expires_in_both_readings(self, sandbox: Sandbox, vendor: MoovSandbox) -> None:
        fields = {"grant_type": "client_credentials", "scope": self.SCOPE}
        assert token(vendor, fields).json["expires_in"] > 1_000_000_000
        vendor.tokens.expires_in_style = "seconds"
        answer = token(vendor, fields).json
        assert answer["expires_in"] == 900
        sandbox.advance(900)
        assert moov(vendor, "GET", TICKETS, Authorization=f"Bearer {answer['access_token']}").status == 401

    def test_refresh_and_revoke(self, vendor: MoovSandbox) -> None:
        first = token(vendor, {"grant_type": "client_credentials", "scope": self.SCOPE}).json
        vendor.expire_tokens()
        second = token(vendor, {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}).json
        access = f"Bearer {second['access_token']}"
        assert moov(vendor, "GET", TICKETS, Authorization=access).status == 200
        reused = token(vendor, {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]})
        assert (reused.status, set(reused.json)) == (422, {"refresh_token"})
        keys = basic(vendor.public_key, vendor.secret_key)
        revoked = send(f"{vendor.base_url}/oauth2/revoke", "POST", {"token": second["access_token"]}, keys)
        assert (revoked.status, revoked.body) == (204, b"")
        assert moov(vendor, "GET", TICKETS, Authorization=access).status == 401
        assert send(f"{vendor.base_url}/oauth2/revoke", "POST", {"token": "x"}).status == 401

    def test_refusals(self, vendor: MoovSandbox) -> None:
        assert token(vendor, {"grant_type": "client_credentials"}).json == {"scope": "is required"}
        assert set(token(vendor, {"grant_type": "password"}).json) == {"error"}
        assert token(vendor, {"grant_type": "client_credentials", "scope": "x"}, {}).status == 401
        vendor.tokens.allowed_origins = ("https://shop.example",)
        fields = {"grant_type": "client_credentials", "scope": self.SCOPE}
        keys = basic(vendor.public_key, vendor.secret_key)
        assert token(vendor, fields).status == 400
        assert token(vendor, fields | {"client_type": "service"}).status == 200
        assert token(vendor, fields, keys | {"Origin": "https://shop.example"}).status == 200
        assert token(vendor, fields, keys | {"Referer": "https://shop.example/cart"}).status == 200


@pytest.mark.moov_sdk
def test_the_official_sdk_reads_every_answer(vendor: MoovSandbox) -> None:
    sdk = pytest.importorskip("moovio_sdk")
    components = pytest.importorskip("moovio_sdk.models.components")
    security = components.Security(username=vendor.public_key, password=vendor.secret_key)
    with sdk.Moov(security=security, server_url=vendor.base_url) as client:
        created = client.support.create_ticket(
            account_id="acct-1",
            title="T",
            body="B",
            contact={"email": "a@example.com", "name": "N"},
            foreign_id="f/1 ü",
        ).result
        vendor.reply(created.ticket_id, "Hello")
        ticket = {"account_id": "acct-1", "ticket_id": created.ticket_id}
        assert client.support.get_ticket(**ticket).result.foreign_id == "f/1 ü"
        vendor.add_ticket()
        page = client.support.list_tickets(account_id="acct-1", count=1).result
        page = client.support.list_tickets(account_id="acct-1", cursor=page.next_page.cursor).result
        assert [item.ticket_id for item in page.items] == [created.ticket_id]
        assert [message.body for message in client.support.list_ticket_messages(**ticket).result] == [
            "B",
            "Hello",
        ]
        assert client.support.update_ticket(**ticket, status="closed").result.closed_on is not None
        for operation in (client.support.get_ticket, client.support.list_ticket_messages):
            with pytest.raises(Exception, match="404"):
                operation(account_id="acct-1", ticket_id="nobody")
        with pytest.raises(Exception, match="is required"):
            client.support.create_ticket(account_id="acct-1", title="", body="", contact={"email": "x"})
