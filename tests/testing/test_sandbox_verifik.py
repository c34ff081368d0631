from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from django_support_tickets.testing.sandbox import Sandbox, VerifikSandbox
from tests.testing.sandbox_client import Answer, send, verifik, verifik_create

JOINED = "?populates=threads.attachments&populates=threads.client&populates=threads.superAdmin"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def docs(sandbox: Sandbox) -> VerifikSandbox:
    return sandbox.verifik


@pytest.fixture
def app(sandbox: Sandbox) -> VerifikSandbox:
    sandbox.verifik.dialect = "app"
    return sandbox.verifik


class TestDocs:
    def test_create_repeats_the_description_as_first_thread(self, docs: VerifikSandbox) -> None:
        attachment = {
            "filename": "log.txt",
            "url": "https://example.com/log.txt",
            "size": 3,
            "type": "text/plain",
        }
        answer = verifik_create(docs, tags=["api", "key"], attachments=[attachment])
        ticket = answer.json["data"]
        assert (answer.status, answer.json["success"]) == (200, True)
        assert ticket["_id"] == "support_ticket_123456789"
        assert (ticket["status"], ticket["priority"], ticket["tags"]) == ("open", "high", ["api", "key"])
        assert ticket["attachments"] == [attachment]
        assert ticket["threads"] == [
            {
                "author": docs.client_id,
                "message": "Since Monday.",
                "type": "user",
                "timestamp": ticket["createdAt"],
            }
        ]
        assert (ticket["resolution"], ticket["resolvedAt"], ticket["assignedTo"]) == (None, None, None)
        assert len(ticket["createdAt"]) == 20
        docs.create_status = 201
        assert verifik_create(docs).status == 201

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"title": ""}, "TITLE_REQUIRED"),
            ({"description": None}, "DESCRIPTION_REQUIRED"),
            ({"priority": "critical"}, "INVALID_PRIORITY"),
            ({"category": "other"}, "INVALID_CATEGORY"),
            ({"tags": [1]}, "INVALID_TAGS"),
            ({"attachments": ["x"]}, "INVALID_ATTACHMENTS"),
        ],
    )
    def test_create_errors_have_the_code_in_message(
        self, docs: VerifikSandbox, fields: dict[str, Any], code: str
    ) -> None:
        answer = verifik_create(docs, **fields)
        assert (answer.status, answer.json["message"], set(answer.json)) == (400, code, {"error", "message"})
        assert not docs.tickets

    def test_retrieve(self, sandbox: Sandbox, docs: VerifikSandbox) -> None:
        remote_id = verifik_create(docs).json["data"]["_id"]
        sandbox.advance(60)
        file = docs.add_file("log.txt", b"abc")
        docs.reply(remote_id, "Please try again.", attachments=[file])
        docs.reply(remote_id, "Closed by rule.", kind="system")
        docs.set_status(remote_id, "resolved", resolution="Fixed.")
        ticket = verifik(docs, "GET", f"/{remote_id}").json["data"]
        assert [(thread["type"], thread["author"]) for thread in ticket["threads"]] == [
            ("user", docs.client_id),
            ("agent", docs.agent_id),
            ("system", docs.agent_id),
        ]
        assert (ticket["status"], ticket["resolution"]) == ("resolved", "Fixed.")
        assert ticket["resolvedAt"] == ticket["updatedAt"] > ticket["createdAt"]
        shown = {"filename": "log.txt", "url": file["url"], "size": 3, "type": "text/plain"}
        assert ticket["attachments"] == [shown]

    def test_unknown(self, docs: VerifikSandbox) -> None:
        remote_id = docs.add_ticket()
        docs.delete(remote_id)
        answer = verifik(docs, "GET", f"/{remote_id}")
        expected = {"error": "Support ticket not found", "message": "SUPPORT_TICKET_NOT_FOUND"}
        assert (answer.status, answer.json) == (404, expected)

    def test_list(self, docs: VerifikSandbox) -> None:
        ids = [docs.add_ticket(status=status) for status in ("open", "closed", "open")]
        answer = verifik(docs, "GET", "?page=1&limit=2&countByStatus=true").json
        assert [row["_id"] for row in answer["data"]] == [ids[2], ids[1]]
        assert answer["pagination"] == {"page": 1, "limit": 2, "total": 3, "pages": 2}
        assert answer["counts"] == {"open": 2, "pending": 0, "in_progress": 0, "resolved": 0, "closed": 1}
        assert not {"threads", "attachments", "resolution", "resolvedAt"} & set(answer["data"][0])
        assert [row["_id"] for row in verifik(docs, "GET", "?page=2&limit=2").json["data"]] == [ids[0]]
        assert verifik(docs, "GET", "?page=9").json["data"] == []
        assert verifik(docs, "GET", "?status=closed&priority=medium").json["pagination"]["total"] == 1
        assert "counts" not in verifik(docs, "GET").json

    def test_filters_and_page_size_may_be_ignored(self, docs: VerifikSandbox) -> None:
        for _ in range(3):
            docs.add_ticket()
        docs.honour_filters = False
        docs.page_size_parameter = "perPage"
        answer = verifik(docs, "GET", "?status=closed&limit=1").json
        assert answer["pagination"] == {"page": 1, "limit": 20, "total": 3, "pages": 1}
        assert verifik(docs, "GET", "?perPage=1").json["pagination"]["pages"] == 3
        assert verifik(docs, "GET", "?perPage=1000").json["pagination"]["limit"] == 100

    @pytest.mark.parametrize("query", ["status=weird", "category=x", "priority=x", "page=0", "limit=x"])
    def test_bad_parameters(self, docs: VerifikSandbox, query: str) -> None:
        answer = verifik(docs, "GET", f"?{query}")
        assert (answer.status, answer.json["success"], answer.json["code"]) == (
            400,
            False,
            "INVALID_PARAMETERS",
        )

    def test_nothing_else_exists(self, docs: VerifikSandbox) -> None:
        remote_id = docs.add_ticket()
        for method, path, operation in (
            ("POST", "/insert", "create"),
            ("POST", f"/{remote_id}/thread", "comment"),
            ("PUT", f"/{remote_id}", "close"),
            ("DELETE", f"/{remote_id}", "delete"),
            ("POST", "/bulk", "delete"),
        ):
            answer = verifik(docs, method, path, {"ids": [remote_id], "status": "resolved", "message": "x"})
            assert (answer.status, docs.ledger[-1].operation) == (404, operation)
        assert list(docs.tickets) == [remote_id]


class TestApp:
    def test_insert(self, app: VerifikSandbox) -> None:
        answer = verifik_create(app)
        ticket = answer.json["data"]
        assert (answer.status, set(answer.json)) == (201, {"data"})
        assert len(ticket["_id"]) == 24
        assert (ticket["number"], ticket["status"], ticket["subject"]) == (1, "pending", None)
        assert [len(thread) for thread in ticket["threads"]] == [24]
        assert ticket["createdAt"].endswith("Z")
        assert len(ticket["createdAt"]) == 24
        assert not {"description", "priority", "tags", "resolution"} & set(ticket)
        assert app.options()["write_dialect"] == "app"
        assert verifik(app, "POST", "", {"title": "x"}).status == 404

    @pytest.mark.parametrize(
        "fields",
        [
            {"title": "x" * 201},
            {"title": None},
            {"category": "technical"},
            {"threads": []},
            {"threads": ["x"]},
            {"threads": [{"message": ""}]},
            {"threads": [{"message": "x" * 20_001}]},
            {"threads": [{"message": "x", "attachments": ["unknown"]}]},
            {"category": "smartCheck"},
        ],
    )
    def test_insert_errors_have_the_code_in_code(self, app: VerifikSandbox, fields: dict[str, Any]) -> None:
        answer = verifik_create(app, **fields)
        assert (answer.status, answer.json["code"], set(answer.json)) == (
            400,
            "BadRequest",
            {"code", "message"},
        )

    def test_smart_check_needs_subject_and_api(self, app: VerifikSandbox) -> None:
        ticket = verifik_create(app, category="smartCheck", subject="Lookup", api="v2/co/cedula").json["data"]
        assert (ticket["subject"], ticket["api"]) == ("Lookup", "v2/co/cedula")

    def test_threads_are_joined_when_asked_for(self, app: VerifikSandbox) -> None:
        file = app.add_file("a.png", b"png", "image/png")
        created = verifik_create(app, threads=[{"message": "<p>One</p>", "attachments": [file["_id"]]}])
        remote_id = created.json["data"]["_id"]
        app.reply(remote_id, "<p>Two</p>")
        bare = verifik(app, "GET", f"/{remote_id}").json["data"]["threads"]
        assert [len(thread) for thread in bare] == [24, 24]
        own, agent = verifik(app, "GET", f"/{remote_id}{JOINED}").json["data"]["threads"]
        assert (own["message"], own["superAdmin"], own["client"]["_id"]) == (
            "<p>One</p>",
            None,
            app.client_id,
        )
        assert own["attachments"] == [file]
        assert (agent["message"], agent["client"], agent["superAdmin"]["_id"]) == (
            "<p>Two</p>",
            None,
            app.agent_id,
        )
        joined = verifik(app, "GET", f"/{remote_id}?populates=threads&populates=client").json["data"]
        assert joined["threads"][0]["attachments"] == [file["_id"]]
        assert joined["client"]["email"]

    def test_reply(self, app: VerifikSandbox) -> None:
        remote_id = verifik_create(app).json["data"]["_id"]
        answer = verifik(app, "POST", f"/{remote_id}/thread", {"message": "<p>More</p>"})
        assert answer.status == 201
        assert (answer.json["data"]["message"], answer.json["data"]["supportTicket"]) == (
            "<p>More</p>",
            remote_id,
        )
        assert [thread["message"] for thread in app.tickets[remote_id]["threads"]][1:] == ["<p>More</p>"]
        assert (app.ledger[-1].operation, app.ledger[-1].committed) == ("comment", True)
        too_many = {"message": "x", "attachments": [app.add_file("a.pdf", b"")["_id"] for _ in range(11)]}
        assert verifik(app, "POST", f"/{remote_id}/thread", too_many).status == 400
        assert verifik(app, "POST", "/nobody/thread", {"message": "x"}).json["code"] == "NotFound"

    def test_put_and_delete_do_not_answer_the_ticket(self, app: VerifikSandbox) -> None:
        remote_id, other = (verifik_create(app).json["data"]["_id"] for _ in range(2))
        answer = verifik(app, "PUT", f"/{remote_id}", {"status": "resolved", "title": "Renamed"})
        assert (answer.status, answer.json) == (200, {"status": "completed"})
        assert (app.tickets[remote_id]["status"], app.tickets[remote_id]["title"]) == ("resolved", "Renamed")
        assert verifik(app, "PUT", f"/{remote_id}", {"status": "closed"}).status == 400
        assert verifik(app, "PUT", f"/{remote_id}", {"assignee": "x"}).status == 403
        assert verifik(app, "DELETE", f"/{remote_id}").json == {"status": "completed"}
        assert verifik(app, "POST", "/bulk", {"ids": [other]}).json == {"status": "completed"}
        assert verifik(app, "POST", "/bulk", {}).status == 400
        assert app.tickets == {}

    def test_an_empty_list_is_a_404(self, app: VerifikSandbox) -> None:
        answer = verifik(app, "GET")
        assert (answer.status, answer.json["code"]) == (404, "NotFound")
        verifik_create(app)
        assert verifik(app, "GET", "?page=2").status == 404
        assert verifik(app, "GET", "?page=x").json["code"] == "BadRequest"

    def test_list(self, sandbox: Sandbox, app: VerifikSandbox) -> None:
        ids = []
        for title, status in (("First", "pending"), ("Second", "resolved"), ("Third", "progress")):
            ids.append(app.add_ticket(title, status=status))
            sandbox.advance(1)
        app.reply(ids[0], "news")
        answer = verifik(app, "GET", "?page=1&limit=2&sort=-updatedAt&countByStatus=true").json
        assert [row["_id"] for row in answer["data"]] == [ids[0], ids[2]]
        assert (answer["limit"], answer["page"], answer["pages"], answer["total"]) == (2, 1, 2, 3)
        assert answer["counts"] == {"all": 3, "open": 2, "closed": 1}
        assert all(isinstance(thread, str) for thread in answer["data"][0]["threads"])
        app.rows_carry_threads = True
        assert verifik(app, "GET").json["data"][0]["threads"][0]["message"] == ""

    @pytest.mark.parametrize(
        ("query", "titles"),
        [
            ("status=resolved", ["Second"]),
            ("%3Fwhere_status=resolved", ["Second"]),
            ("%3Fin_status=resolved&%3Fin_status=pending", ["Second", "First"]),
            ("%3Fin_status[]=resolved,pending", ["Second", "First"]),
            ("%3Flike_title=IR", ["Third", "First"]),
            ("%3Flike_number=2", ["Second"]),
            ("%3Fwhere_status=resolved&%3Flike_title=first", ["Second", "First"]),
        ],
    )
    def test_filters(self, app: VerifikSandbox, query: str, titles: list[str]) -> None:
        for title, status in (("First", "pending"), ("Second", "resolved"), ("Third", "progress")):
            app.add_ticket(title, status=status)
        assert [row["title"] for row in verifik(app, "GET", f"?{query}").json["data"]] == titles


class TestFiles:
    def upload(self, vendor: VerifikSandbox, **fields: Any) -> Answer:
        uri = "data:image/png;base64," + base64.b64encode(b"picture").decode()
        draft = {
            "file": uri,
            "name": "a b.png",
            "size": 7,
            "type": "image/png",
            "source": "support-ticket",
        } | fields
        token = {"Authorization": f"Bearer {vendor.token}"}
        return send(f"{vendor.base_url}/v2/attachments", "POST", draft, token)

    def test_upload_and_download_without_a_token(self, app: VerifikSandbox) -> None:
        answer = self.upload(app, metadata={"x": 1}, expirationDays=1)
        file = answer.json["data"]
        assert answer.status == 201
        assert (file["name"], file["size"], file["type"], file["source"]) == (
            "a b.png",
            7,
            "image/png",
            "support-ticket",
        )
        assert file["metadata"] == {"x": 1}
        assert file["url"].startswith(f"{app.base_url}/files/")
        download = send(file["url"])
        assert (download.status, download.body, download.headers["Content-Type"]) == (
            200,
            b"picture",
            "image/png",
        )
        assert [entry.operation for entry in app.ledger] == ["upload", "download"]

    def test_files_expire(self, sandbox: Sandbox, app: VerifikSandbox) -> None:
        kept, expiring = self.upload(app).json["data"], self.upload(app, expirationDays=1).json["data"]
        sandbox.advance(24 * 3600 + 1)
        assert (send(kept["url"]).status, send(expiring["url"]).status) == (200, 403)
        app.files.expired_status = 404
        assert send(expiring["url"]).status == 404

    def test_delete(self, app: VerifikSandbox) -> None:
        file = self.upload(app).json["data"]
        url = f"{app.base_url}/v2/attachments/{file['_id']}"
        token = {"Authorization": f"Bearer {app.token}"}
        assert send(url, "DELETE").status == 401
        assert send(url, "DELETE", headers=token).status == 200
        assert (send(url, "DELETE", headers=token).status, send(file["url"]).status) == (404, 404)

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({"name": "a.txt"}, 400),
            ({"name": None}, 400),
            ({"file": "cGljdHVyZQ=="}, 400),
            ({"file": "data:image/png;base64,???"}, 400),
            ({"file": 1}, 400),
            ({"expirationDays": "1"}, 400),
            ({"file": "data:image/png;base64," + "eHh4" * 4}, 413),
        ],
    )
    def test_refusals(self, app: VerifikSandbox, fields: dict[str, Any], status: int) -> None:
        app.files.max_bytes = 10
        assert self.upload(app, **fields).status == status

    def test_deleted_files_vanish_from_their_thread(self, app: VerifikSandbox) -> None:
        file = self.upload(app).json["data"]
        created = verifik_create(app, threads=[{"message": "x", "attachments": [file["_id"]]}]).json["data"]
        url = f"{app.base_url}/v2/attachments/{file['_id']}"
        send(url, "DELETE", headers={"Authorization": f"Bearer {app.token}"})
        threads = verifik(app, "GET", f"/{created['_id']}{JOINED}").json["data"]["threads"]
        assert threads[0]["attachments"] == []


class TestTokens:
    def session(
        self,
        vendor: VerifikSandbox,
        method: str = "GET",
        path: str = "session?expiresIn=2",
    ) -> Answer:
        token = {"Authorization": f"Bearer {vendor.token}"}
        return send(f"{vendor.base_url}/v2/auth/{path}", method, headers=token)

    def claims(self, token: str) -> dict[str, Any]:
        part = token.split(".")[1]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return claims

    def test_is_a_readable_jwt(self, sandbox: Sandbox, docs: VerifikSandbox) -> None:
        claims = self.claims(docs.token)
        left = claims["exp"] - sandbox.clock.now().timestamp()
        assert claims["clientId"] == docs.client_id
        assert 29.9 < left / 86400 <= 30

    def test_bare_tokens_are_read_too(self, docs: VerifikSandbox) -> None:
        url = docs.base_url + docs.prefix
        assert send(url, headers={"Authorization": docs.token}).status == 200
        assert send(url).json["message"] == "Unauthorized"
        refused = send(url, headers={"Authorization": "Bearer nobody"})
        assert (refused.status, refused.json["code"], refused.json["message"]) == (
            401,
            "Unauthorized",
            "invalid_token",
        )
        assert set(refused.json["signature"]) == {"dateTime", "message"}

    def test_expiry_is_a_403(self, sandbox: Sandbox, docs: VerifikSandbox) -> None:
        sandbox.advance(30 * 86400)
        answer = verifik(docs, "GET")
        assert (answer.status, answer.json) == (403, {"code": "Forbidden", "message": "expired_token"})
        docs.renew_token()
        assert verifik(docs, "GET").status == 200
        docs.expire_tokens()
        assert verifik(docs, "GET").status == 403
        assert self.session(docs).status == 403

    def test_renewal(self, docs: VerifikSandbox) -> None:
        answer = self.session(docs).json
        assert set(answer) == {"accessToken", "tokenType"}
        assert self.claims(answer["accessToken"])["exp"] > self.claims(docs.token)["exp"] + 29 * 86400
        assert docs.ledger[-1].operation == "token"
        assert verifik(docs, "GET").status == 200
        docs.tokens.nested_answer = docs.tokens.renewal_revokes = True
        assert set(self.session(docs, "POST").json) == {"data"}
        assert verifik(docs, "GET").status == 401

    def test_renewal_needs_its_parameters(self, docs: VerifikSandbox) -> None:
        missing = send(f"{docs.base_url}/v2/auth/session")
        assert (missing.status, missing.json["code"]) == (409, "MissingParameter")
        assert self.session(docs, path="session?expiresIn=soon").status == 409

    def test_revoking_kills_the_old_tokens(self, docs: VerifikSandbox) -> None:
        new = self.session(docs, "POST", "renew-and-revoke").json["token"]
        assert verifik(docs, "GET").status == 401
        docs.token = new
        assert verifik(docs, "GET").status == 200


def test_unreadable_bodies(docs: VerifikSandbox) -> None:
    answer = verifik(docs, "POST", "", b"{")
    assert (answer.status, answer.json["code"]) == (400, "BadRequest")
