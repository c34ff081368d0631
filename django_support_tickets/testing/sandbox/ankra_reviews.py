"""The AI review of the fake Ankra, after ankra-cli internal/client/support.go."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django_support_tickets.testing.sandbox.clock import stamp
from django_support_tickets.testing.sandbox.wsgi import Refusal, json_reply

if TYPE_CHECKING:
    from django_support_tickets.testing.sandbox.ankra import AnkraSandbox


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What the next review is to say."""

    flags: Sequence[str] = ()
    questions: Sequence[str] = ()
    duplicates: Sequence[dict[str, Any]] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A draft and what was said about it; it is flagged where there are flags."""

    identity: str
    draft: dict[str, Any]
    verdict: Verdict
    flags: Sequence[str]
    expires: datetime.datetime

    def shown(self) -> dict[str, Any]:
        enrichment = {
            "summary": self.draft["subject"],
            "severity": "medium",
            "category": self.draft["category"],
        }
        return {
            "review_id": self.identity,
            "enrichment": enrichment,
            "quality": "flag" if self.flags else "pass",
            "quality_flags": list(self.flags),
            "clarifying_questions": list(self.verdict.questions),
            "duplicate_candidates": list(self.verdict.duplicates),
            "recommended_action": "clarify" if self.flags else "submit",
            "expires_at": stamp(self.expires),
        }


class AnkraReviews:
    """Reviews by id, and what the next ones are to say."""

    # Undocumented: how many seconds a review may be used, and what an unknown or expired one gets.
    lifetime: float = 3600
    missing_status: int = 404

    def __init__(self, vendor: AnkraSandbox) -> None:
        self._vendor = vendor
        self._by_id: dict[str, Review] = {}
        self._told: list[Verdict] = []

    def clear(self) -> None:
        self._by_id.clear()
        self._told.clear()

    def tell(self, verdict: Verdict) -> None:
        self._told.append(verdict)

    def judge(self, draft: dict[str, Any]) -> Review:
        verdict = self._told.pop(0) if self._told else Verdict()
        flags = list(verdict.flags)
        if "flag me" in draft["subject"].lower():
            flags.append("The subject asks to be flagged.")
        kept = {name: draft.get(name) for name in ("subject", "description", "cluster_id")}
        kept |= {"category": draft.get("category") or "technical", "source": draft.get("source") or "portal"}
        return Review(
            identity=self._vendor.new_uuid(),
            draft=kept,
            verdict=verdict,
            flags=flags,
            expires=self._vendor.now() + datetime.timedelta(seconds=self.lifetime),
        )

    def keep(self, draft: dict[str, Any]) -> dict[str, Any]:
        """Review a draft for a later create; return what the vendor answers."""
        review = self.judge(draft)
        self._by_id[review.identity] = review
        return review.shown()

    def find(self, identity: Any) -> Review:
        review = self._by_id.get(identity) if isinstance(identity, str) else None
        if review is None or review.expires <= self._vendor.now():
            raise Refusal(json_reply({"detail": "Review not found or expired."}, self.missing_status))
        return review
