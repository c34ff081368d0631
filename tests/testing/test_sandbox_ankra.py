from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from django_support_tickets.testing.sandbox import AnkraSandbox, Sandbox
from tests.testing.sandbox_client import Answer, ankra, ankra_create, multipart, send

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def vendor(sandbox: Sandbox) -> AnkraSandbox:
    return sandbox.ankra


class TestAdmission:
    @pytest.mark.parametrize("given", ["", "Bearer x", "Basic eDp5"])
    def test_token(self, vendor: AnkraSandbox, given: str) -> None:
        answer = ankra(vendor, "GET", Authorization=given)
        assert (answer.status, set(answer.json)) == (401, {"detail"})

    def test_organisation(self, vendor: AnkraSandbox) -> None:
        other = "11111111-2222-4333-8444-555555555555"
        assert ankra(vendor, "GET", x_ankra_organisation_id=other).status == 403
        assert ankra(vendor, "GET", x_ankra_organisation_id=vendor.organisation_id.upper()).status == 200
        assert ankra(vendor, "GET", x_ankra_organisation_id="").status == 200
        vendor.require_organisation = True
        assert ankra(vendor, "GET", x_ankra_organisation_id="").json["detail"] == "permission_denied"
        foreign = vendor.add_ticket(organisation_id=other)
        assert ankra(vendor, "GET", f"/{foreign}").status == 404


class TestCreate:
    def test_full_ticket(self, vendor: AnkraSandbox) -> None:
        answer = ankra_create(vendor, severity="high", category="bug")
        ticket = answer.json
        assert answer.status == 201
        assert (ticket["subject"], ticket["source"], ticket["category"], ticket["severity"]) == (
            "Cluster down",
            "api",
            "bug",
            "high",
        )
        assert (ticket["status"], ticket["ai_review_status"]) == ("open", "passed")
        assert (ticket["comments"], ticket["attachments"], ticket["is_tracked_by_team"]) == ([], [], False)
        assert ticket["organisation_id"] == vendor.organisation_id
        vendor.create_status = 200
        assert ankra_create(vendor).status == 200

    def test_defaults(self, vendor: AnkraSandbox) -> None:
        ticket = ankra(vendor, "POST", "", {"subject": "S", "description": "D"}).json
        assert (ticket["source"], ticket["category"], ticket["severity"]) == ("portal", "technical", None)

    @pytest.mark.parametrize(
        ("fields", "name"),
        [
            ({"subject": ""}, "subject"),
            ({"subject": "x" * 201}, "subject"),
            ({"description": None}, "description"),
            ({"description": "x" * 10_001}, "description"),
            ({"category": "x"}, "category"),
            ({"severity": "urgent"}, "severity"),
            ({"source": "email"}, "source"),
            ({"cluster_id": "x"}, "cluster_id"),
        ],
    )
    def test_invalid_fields(self, vendor: AnkraSandbox, fields: dict[str, Any], name: str) -> None:
        answer = ankra_create(vendor, **fields)
        assert answer.status == 422
        assert [item["loc"] for item in answer.json["detail"]] == [["body", name]]
        assert set(answer.json["detail"][0]) == {"loc", "msg", "type"}

    def test_limits_count_characters(self, vendor: AnkraSandbox) -> None:
        assert ankra_create(vendor, subject="é" * 200, description="𝄞" * 10_000).status == 201

    def test_unreadable_bodies(self, vendor: AnkraSandbox) -> None:
        for body in (b"{", b"[1]", b"[" * 100_000):
            assert ankra(vendor, "POST", "", body).status == 422

    def test_flagged_until_acknowledged(self, vendor: AnkraSandbox) -> None:
        refused = ankra_create(vendor, subject="Please FLAG ME")
        assert (refused.status, list(refused.json)) == (409, ["detail"])
        assert not vendor.tickets
        accepted = ankra_create(vendor, subject="Please FLAG ME", acknowledged=True)
        assert (accepted.status, accepted.json["ai_review_status"]) == (201, "flagged")

    def test_flagged_when_told(self, vendor: AnkraSandbox) -> None:
        vendor.flag_next_review(["Name the cluster."])
        assert "Name the cluster." in ankra_create(vendor).json["detail"]
        assert ankra_create(vendor).status == 201


class TestReview:
    def review(self, vendor: AnkraSandbox, **fields: Any) -> Answer:
        draft = {"subject": "Node lost", "description": "D", "category": "bug", "source": "api"} | fields
        return ankra(vendor, "POST", "/review", draft)

    def test_passes_and_is_used(self, vendor: AnkraSandbox) -> None:
        review = self.review(vendor).json
        assert (review["quality"], review["quality_flags"], review["duplicate_candidates"]) == (
            "pass",
            [],
            [],
        )
        assert set(review) == {
            "review_id",
            "enrichment",
            "quality",
            "quality_flags",
            "clarifying_questions",
            "duplicate_candidates",
            "recommended_action",
            "expires_at",
        }
        ticket = ankra_create(vendor, review_id=review["review_id"], subject="Ignored", severity="low").json
        assert (ticket["subject"], ticket["category"], ticket["severity"]) == ("Node lost", "bug", "low")
        assert [entry.operation for entry in vendor.ledger] == ["review", "create"]

    def test_flags(self, vendor: AnkraSandbox) -> None:
        candidate = {"candidate_id": "x", "summary": "s", "status_label": "Open", "confidence": "high"}
        vendor.flag_next_review(["Vague."], ["Which cluster?"], [candidate])
        review = self.review(vendor).json
        assert (review["quality"], review["quality_flags"]) == ("flag", ["Vague."])
        assert (review["clarifying_questions"], review["duplicate_candidates"]) == (
            ["Which cluster?"],
            [candidate],
        )
        assert ankra_create(vendor, review_id=review["review_id"]).status == 409
        assert ankra_create(vendor, review_id=review["review_id"], acknowledged=True).status == 201

    def test_expires(self, sandbox: Sandbox, vendor: AnkraSandbox) -> None:
        review_id = self.review(vendor).json["review_id"]
        sandbox.advance(3601)
        assert ankra_create(vendor, review_id=review_id).status == 404
        assert ankra_create(vendor, review_id=5).status == 404
        assert self.review(vendor, subject="").status == 422


class TestList:
    def subjects(self, vendor: AnkraSandbox, query: str) -> list[str]:
        return [row["subject"] for row in ankra(vendor, "GET", f"?{query}").json["result"]]

    def test_pages(self, vendor: AnkraSandbox) -> None:
        for number in range(5):
            vendor.add_ticket(f"Ticket {number}")
        answer = ankra(vendor, "GET", "?page=2&page_size=2").json
        assert [row["subject"] for row in answer["result"]] == ["Ticket 2", "Ticket 1"]
        assert answer["pagination"] == {"page": 2, "page_size": 2, "total_pages": 3, "total_count": 5}
        hidden = {"organisation_id", "description", "ai_summary", "comments", "attachments"}
        assert not hidden & set(answer["result"][0])
        assert ankra(vendor, "GET", "?page=9").json["result"] == []
        assert ankra(vendor, "GET", "?page_size=1000").json["pagination"]["page_size"] == 100

    def test_filters(self, vendor: AnkraSandbox) -> None:
        cluster = "11111111-2222-4333-8444-555555555555"
        vendor.add_ticket("One", status="closed", cluster_id=cluster)
        vendor.add_ticket("Two", status="resolved", description="about one")
        vendor.add_ticket("Three")
        assert self.subjects(vendor, "status=closed&status=resolved") == ["Two", "One"]
        assert self.subjects(vendor, f"cluster_id={cluster}") == ["One"]
        assert self.subjects(vendor, "q=ONE") == ["Two", "One"]
        vendor.search_fields = ("subject",)
        vendor.set_status(vendor.add_ticket("Four"), "closed")
        assert self.subjects(vendor, "q=one") == ["One"]
        assert self.subjects(vendor, "q=one&status=open") == []

    def test_many_different_searches(self, vendor: AnkraSandbox) -> None:
        vendor.add_ticket("Needle 7")
        found = [number for number in range(70) if self.subjects(vendor, f"q=needle%20{number}")]
        assert found == [7]

    @pytest.mark.parametrize("query", ["page=0", "page_size=x", "status=weird"])
    def test_bad_parameters(self, vendor: AnkraSandbox, query: str) -> None:
        answer = ankra(vendor, "GET", f"?{query}")
        assert (answer.status, answer.json["detail"][0]["loc"][0]) == (422, "query")


class TestConversation:
    def test_get(self, vendor: AnkraSandbox) -> None:
        created = ankra_create(vendor).json
        assert ankra(vendor, "GET", f"/{created['id']}").json == created
        missing = ankra(vendor, "GET", "/11111111-2222-4333-8444-555555555555")
        assert (missing.status, missing.json) == (404, {"detail": "Ticket not found"})
        assert ankra(vendor, "GET", "/x").json["detail"][0]["loc"] == ["path", "ticket_id"]
        vendor.delete(created["id"])
        assert ankra(vendor, "GET", f"/{created['id']}").status == 404

    def test_comments(self, sandbox: Sandbox, vendor: AnkraSandbox) -> None:
        remote_id = vendor.add_ticket()
        vendor.set_status(remote_id, "waiting_customer")
        vendor.reply(remote_id, "Which cluster?")
        vendor.reply(remote_id, "Summary", author_type="ai")
        sandbox.advance(60)
        answer = ankra(vendor, "POST", f"/{remote_id}/comments", {"body": "prod-1"})
        ticket = answer.json
        assert answer.status == 201
        assert [comment["author_type"] for comment in ticket["comments"]] == ["ankra_team", "ai", "customer"]
        assert set(ticket["comments"][0]) == {"id", "author_type", "author_label", "body", "created_at"}
        assert ticket["status"] == "in_progress"
        assert ticket["updated_at"] == ticket["comments"][-1]["created_at"] > ticket["created_at"]
        for body in ({"body": ""}, {"body": "x" * 10_001}, {}):
            assert ankra(vendor, "POST", f"/{remote_id}/comments", body).status == 422

    def test_comments_need_not_bump_updated_at(self, sandbox: Sandbox, vendor: AnkraSandbox) -> None:
        vendor.comment_bumps_updated_at = False
        remote_id = vendor.add_ticket()
        sandbox.advance(60)
        vendor.reply(remote_id, "News")
        ticket = ankra(vendor, "GET", f"/{remote_id}").json
        assert ticket["updated_at"] == ticket["created_at"]

    def test_close(self, vendor: AnkraSandbox) -> None:
        remote_id = vendor.add_ticket()
        first, second = (ankra(vendor, "POST", f"/{remote_id}/close") for _ in range(2))
        assert (first.status, first.json["status"], second.status) == (200, "closed", 200)
        assert [entry.committed for entry in vendor.ledger] == [True, False]
        assert ankra(vendor, "POST", f"/{remote_id}/comments", {"body": "x"}).status == 201
        vendor.close_twice_status = vendor.comment_after_close_status = 409
        assert ankra(vendor, "POST", f"/{remote_id}/close").status == 409
        assert ankra(vendor, "POST", f"/{remote_id}/comments", {"body": "x"}).status == 409


class TestFiles:
    def upload(
        self,
        vendor: AnkraSandbox,
        remote_id: str,
        content_type: str = "image/png",
        content: bytes = PNG,
        part: str = "file",
    ) -> Answer:
        body, headers = multipart({}, [(part, "shot.png", content_type, content)])
        return ankra(vendor, "POST", f"/{remote_id}/attachments", body, **headers)

    def test_upload_and_download(self, vendor: AnkraSandbox) -> None:
        remote_id = vendor.add_ticket()
        answer = self.upload(vendor, remote_id)
        (attachment,) = answer.json["attachments"]
        assert answer.status == 201
        assert set(attachment) == {"id", "filename", "content_type", "size_bytes", "created_at"}
        assert (attachment["filename"], attachment["size_bytes"]) == ("shot.png", len(PNG))
        path = f"/{remote_id}/attachments/{attachment['id']}"
        download = ankra(vendor, "GET", path)
        assert (download.status, download.body, download.headers["Content-Type"]) == (200, PNG, "image/png")
        assert ankra(vendor, "GET", path, Authorization="").status == 401
        assert ankra(vendor, "GET", f"/{remote_id}/attachments/x").status == 404
        assert [entry.operation for entry in vendor.ledger[:2]] == ["upload", "download"]

    def test_the_parts_own_type_decides(self, vendor: AnkraSandbox) -> None:
        remote_id = vendor.add_ticket()
        refused = self.upload(vendor, remote_id, "application/octet-stream")
        assert refused.status == 415
        assert "PNG, JPEG, WebP and GIF" in refused.json["detail"]
        assert self.upload(vendor, remote_id, "text/plain").status == 415

    def test_limits(self, vendor: AnkraSandbox) -> None:
        remote_id = vendor.add_ticket()
        vendor.files.max_bytes, vendor.files.max_files = 20, 1
        assert self.upload(vendor, remote_id, content=b"x" * 21).status == 413
        assert self.upload(vendor, remote_id, content=b"x" * 20).status == 201
        assert self.upload(vendor, remote_id).status == 422

    def test_malformed_uploads(self, vendor: AnkraSandbox) -> None:
        remote_id = vendor.add_ticket()
        assert self.upload(vendor, remote_id, part="files").status == 422
        assert ankra(vendor, "POST", f"/{remote_id}/attachments", {"file": "x"}).status == 422
        body, headers = multipart({"file": "x"})
        assert ankra(vendor, "POST", f"/{remote_id}/attachments", body, **headers).status == 422

    def test_a_download_may_redirect_or_answer_json(self, vendor: AnkraSandbox) -> None:
        remote_id = vendor.add_ticket()
        attachment = self.upload(vendor, remote_id).json["attachments"][0]
        path = f"/{remote_id}/attachments/{attachment['id']}"
        vendor.files.download_style = "redirect"
        redirect = ankra(vendor, "GET", path)
        assert redirect.status == 302
        assert send(redirect.headers["Location"]).body == PNG
        vendor.files.download_style = "json"
        assert send(ankra(vendor, "GET", path).json["url"]).body == PNG
        assert send(f"{vendor.base_url}/files/nobody").status == 404

    def test_uploads_need_not_bump_updated_at(self, sandbox: Sandbox, vendor: AnkraSandbox) -> None:
        vendor.upload_bumps_updated_at = False
        remote_id = vendor.add_ticket()
        sandbox.advance(60)
        ticket = self.upload(vendor, remote_id).json
        assert ticket["updated_at"] == ticket["created_at"]
