from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_support_tickets.testing.sandbox import RipioSandbox, Sandbox
from tests.testing.sandbox_client import (
    basic,
    multipart,
    ripio_bearer,
    ripio_create,
    ripio_get,
    ripio_token,
    send,
)

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def vendor(sandbox: Sandbox) -> RipioSandbox:
    return sandbox.ripio


@pytest.fixture
def bearer(vendor: RipioSandbox) -> dict[str, str]:
    return ripio_bearer(vendor)


class TestTokens:
    def test_camel_case_as_documented(self, vendor: RipioSandbox) -> None:
        answer = ripio_token(vendor).json
        assert set(answer) == {"accessToken", "expiresIn", "tokenType", "scope"}
        assert (answer["expiresIn"], answer["tokenType"]) == (36000, "Bearer")
        assert vendor.ledger[0].operation == "token"

    def test_snake_case_as_seen(self, vendor: RipioSandbox) -> None:
        vendor.token_style = "snake"
        vendor.token_lifetime = 60
        answer = ripio_token(vendor).json
        assert (answer["expires_in"], answer["token_type"]) == (60, "Bearer")
        bearer = {"Authorization": f"Bearer {answer['access_token']}"}
        assert ripio_create(vendor, bearer).status == 202

    @pytest.mark.parametrize(
        ("headers", "body", "status", "error"),
        [
            (basic("x", "y") | FORM, b"grant_type=client_credentials", 401, "invalid_client"),
            (FORM, b"grant_type=client_credentials", 401, "invalid_client"),
            ({"Authorization": "Basic \xe9"} | FORM, b"", 401, "invalid_client"),
            (None, b"grant_type=password", 400, "unsupported_grant_type"),
            ({}, b"{}", 400, "invalid_request"),
        ],
    )
    def test_refusals(
        self, vendor: RipioSandbox, headers: dict[str, str] | None, body: bytes, status: int, error: str
    ) -> None:
        good = basic(vendor.client_id, vendor.client_secret)
        given = good | FORM if headers is None else headers or good
        answer = send(f"{vendor.base_url}/oauth2/token/", "POST", body, given)
        assert (answer.status, answer.json) == (status, {"error": error})

    def test_tokens_expire(self, sandbox: Sandbox, vendor: RipioSandbox) -> None:
        remote_id = vendor.add_ticket()
        vendor.token_lifetime = 60
        bearer = ripio_bearer(vendor)
        sandbox.advance(59)
        assert ripio_get(vendor, bearer, remote_id).status == 200
        sandbox.advance(1)
        assert ripio_get(vendor, bearer, remote_id).status == 401
        bearer = ripio_bearer(vendor)
        vendor.expire_tokens()
        assert ripio_get(vendor, bearer, remote_id).status == 401

    def test_tokens_survive_a_reset(self, vendor: RipioSandbox, bearer: dict[str, str]) -> None:
        vendor.reset()
        assert ripio_create(vendor, bearer).status == 202

    def test_no_token_is_answered_by_the_envelope(self, vendor: RipioSandbox) -> None:
        refused = ripio_create(vendor, {})
        assert (refused.status, refused.json["code"], refused.json["type"]) == (
            401,
            40001,
            "NotAuthenticated",
        )
        assert refused.json["detail"]["code"] == "not_authenticated"
        vendor.unauthenticated_status = 403
        refused = ripio_create(vendor, {"Authorization": "Bearer nobody"})
        assert (refused.status, refused.json["status"], refused.json["code"]) == (403, 403, 40001)


class TestCreate:
    def test_is_accepted_pending(self, vendor: RipioSandbox, bearer: dict[str, str]) -> None:
        answer = ripio_create(vendor, bearer)
        assert answer.status == 202
        assert set(answer.json) == {"ticketId", "status", "issueKey"}
        assert (answer.json["status"], answer.json["issueKey"]) == ("PENDING", None)
        ticket = vendor.tickets[answer.json["ticketId"]]
        assert (ticket["summary"], ticket["description"]) == ("Card blocked", "Since Monday.")
        assert ticket["customerId"] == vendor.CUSTOMER
        assert answer.headers["X-Request-Id"]

    def test_files_are_noted(self, vendor: RipioSandbox, bearer: dict[str, str]) -> None:
        files = [("files", "a.PNG", "image/png", b"one"), ("files", "b.pdf", "application/pdf", b"two\r\n--")]
        remote_id = ripio_create(vendor, bearer, files).json["ticketId"]
        noted = vendor.tickets[remote_id]["files"]
        assert [(file["name"], file["content_type"], file["size"]) for file in noted] == [
            ("a.PNG", "image/png", 3),
            ("b.pdf", "application/pdf", 7),
        ]

    def test_text_at_its_limits(self, vendor: RipioSandbox, bearer: dict[str, str]) -> None:
        assert ripio_create(vendor, bearer, summary="é" * 240, description="𝄞" * 5000).status == 202
        for fields in (
            {"summary": "é" * 241},
            {"description": "x" * 5001},
            {"summary": " "},
            {"description": ""},
        ):
            refused = ripio_create(vendor, bearer, (), **fields)
            assert (refused.status, refused.json["code"], refused.json["status"]) == (400, 20000, 400)

    def test_customers(self, vendor: RipioSandbox, bearer: dict[str, str]) -> None:
        other = "11111111-2222-4333-8444-555555555555"
        for customer in (vendor.CUSTOMER_WITHOUT_EMAIL, other, "not-a-uuid"):
            assert ripio_create(vendor, bearer, customerId=customer).status == 400
        vendor.add_customer(other)
        vendor.add_customer(vendor.CUSTOMER, email=None)
        assert ripio_create(vendor, bearer, customerId=other).status == 202
        assert ripio_create(vendor, bearer).status == 400

    @pytest.mark.parametrize(
        ("names", "size", "status"),
        [
            (["a.pdf"] * 5, 10, 202),
            (["a.pdf"] * 6, 10, 400),
            (["a.exe"], 10, 400),
            (["pdf"], 10, 202),
            (["a.pdf"], 100, 202),
            (["a.pdf"], 101, 400),
            (["a.pdf", "b.pdf"], 75, 202),
            (["a.pdf", "b.pdf"], 76, 400),
        ],
    )
    def test_file_limits(
        self, vendor: RipioSandbox, bearer: dict[str, str], names: list[str], size: int, status: int
    ) -> None:
        vendor.max_file_bytes, vendor.max_total_bytes = 100, 150
        files = [("files", name, "application/pdf", b"x" * size) for name in names]
        assert ripio_create(vendor, bearer, files).status == status

    def test_documented_limits(self, vendor: RipioSandbox) -> None:
        assert (vendor.summary_max, vendor.description_max) == (240, 5000)
        assert (vendor.max_files, vendor.max_file_bytes, vendor.max_total_bytes) == (
            5,
            25_000_000,
            50_000_000,
        )
        assert vendor.extensions == ("jpg", "jpeg", "png", "webp", "mp4", "mov", "avi", "webm", "pdf")

    def test_a_large_file_is_spooled(self, vendor: RipioSandbox, bearer: dict[str, str]) -> None:
        files = [("files", "a.mp4", "video/mp4", b"\r\n--" * 500_000)]
        remote_id = ripio_create(vendor, bearer, files).json["ticketId"]
        assert vendor.tickets[remote_id]["files"][0]["size"] == 2_000_000

    def test_what_else_is_refused(self, vendor: RipioSandbox, bearer: dict[str, str]) -> None:
        assert ripio_create(vendor, bearer, priority="high").status == 400
        assert ripio_create(vendor, bearer, [("file", "a.pdf", "application/pdf", b"x")]).status == 400
        vendor.refuse_unknown_parts = False
        assert ripio_create(vendor, bearer, priority="high").status == 202
        url = f"{vendor.base_url}/api/v1/supportTickets/"
        assert send(url, "POST", {"summary": "x"}, bearer).json["code"] == 20001
        body, headers = multipart({"summary": "x"})
        assert send(url, "POST", body[:-4], headers | bearer).json["code"] == 20001
        assert send(url.rstrip("/"), "POST", body, headers | bearer).status == 404
        vendor.refuse_multiline_summary = True
        assert ripio_create(vendor, bearer, summary="a\nb").status == 400

    def test_feature_off(self, vendor: RipioSandbox, bearer: dict[str, str]) -> None:
        remote_id = vendor.add_ticket()
        vendor.enabled = False
        for refused in (ripio_create(vendor, bearer), ripio_get(vendor, bearer, remote_id)):
            assert refused.status == 403
            assert (refused.json["code"], refused.json["type"]) == (
                20061,
                "SupportTicketsNotEnabledException",
            )


class TestRegistration:
    def test_by_hand(self, vendor: RipioSandbox, bearer: dict[str, str]) -> None:
        first, second = (ripio_create(vendor, bearer).json["ticketId"] for _ in range(2))
        assert vendor.register(first) == "SUP-1"
        vendor.fail(second)
        assert ripio_get(vendor, bearer, first).json == {
            "ticketId": first,
            "status": "CREATED",
            "issueKey": "SUP-1",
        }
        assert ripio_get(vendor, bearer, second).json == {
            "ticketId": second,
            "status": "FAILED",
            "issueKey": None,
        }
        assert vendor.ledger[-1].remote_id == second

    def test_all_that_is_pending(self, vendor: RipioSandbox) -> None:
        ids = [vendor.add_ticket() for _ in range(3)]
        vendor.fail(ids[1])
        assert vendor.process_pending() == [ids[0], ids[2]]
        assert [vendor.tickets[key]["issueKey"] for key in ids] == ["SUP-1", None, "SUP-2"]

    def test_by_time(self, sandbox: Sandbox, vendor: RipioSandbox, bearer: dict[str, str]) -> None:
        vendor.auto_register_after = 30
        remote_id, failed = vendor.add_ticket(), vendor.add_ticket()
        vendor.fail(failed)
        sandbox.advance(29)
        assert ripio_get(vendor, bearer, remote_id).json["status"] == "PENDING"
        sandbox.advance(2)
        assert ripio_get(vendor, bearer, remote_id).json["status"] == "CREATED"
        assert vendor.tickets[failed]["status"] == "FAILED"

    def test_by_number_of_gets(self, vendor: RipioSandbox, bearer: dict[str, str]) -> None:
        vendor.auto_register_after_gets = 2
        remote_id = vendor.add_ticket()
        statuses = [ripio_get(vendor, bearer, remote_id).json["status"] for _ in range(3)]
        assert statuses == ["PENDING", "CREATED", "CREATED"]
        assert vendor.tickets[remote_id]["issueKey"] == "SUP-1"

    def test_unknown_and_deleted(self, vendor: RipioSandbox, bearer: dict[str, str]) -> None:
        remote_id = vendor.add_ticket()
        vendor.delete(remote_id)
        refused = ripio_get(vendor, bearer, remote_id)
        assert (refused.status, refused.json["status"]) == (404, 404)
