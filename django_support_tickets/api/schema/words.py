"""Parameters, answers and examples of the OpenAPI description."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

KEY = "0b5c3a0e-4b7e-4a56-9a3e-6f4a3d2c1b0a"
MOMENT = "2026-03-01T12:00:00Z"
FIELDS = {
    "type": "object",
    "additionalProperties": {},
    "description": "Field -> what is wrong with it; `detail` if the request could not be read at all.",
}


class Problem(serializers.Serializer[Any]):
    """Why a request was not answered as asked."""

    detail = serializers.CharField(read_only=True)


RAISE = OpenApiExample(
    "Raise",
    request_only=True,
    value={
        "provider": "ripio-sandbox",
        "subject": "Deposit missing",
        "description": "Sent at 10:12, not there at 12:00.",
        "tags": ["deposit"],
    },
)
DRAFT = OpenApiExample(
    "Draft", request_only=True, value={"provider": "ripio-sandbox", "subject": "Deposit missing", "draft": True}
)
SHOWN = OpenApiExample(
    "Delivered",
    response_only=True,
    value={
        "key": KEY,
        "provider": "ripio-sandbox",
        "reference": "SUP-1234",
        "subject": "Deposit missing",
        "description": "Sent at 10:12, not there at 12:00.",
        "priority": "",
        "category": "",
        "tags": ["deposit"],
        "options": {},
        "contact_name": "Ann",
        "contact_email": "ann@example.com",
        "status": "open",
        "resolution": "",
        "delivery": "delivered",
        "delivery_text": "The support desk has received it.",
        "closing": "",
        "closing_text": "",
        "comments_count": 1,
        "attachments_count": 0,
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "submitted_at": MOMENT,
        "delivered_at": MOMENT,
        "resolved_at": None,
        "closed_at": None,
        "last_comment_at": MOMENT,
    },
)
REFUSED = OpenApiExample(
    "Not what the vendor takes",
    response_only=True,
    status_codes=["400"],
    value={"subject": ["At most 240 characters, it has 312."], "files": ["At most 5 files."]},
)

IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="1 to 255 printable ASCII characters. The same key with the same request is the same ticket.",
)
LOCATION = OpenApiParameter(
    "Location", OpenApiTypes.URI, OpenApiParameter.HEADER, response=[201], description="The new ticket."
)
TAG = OpenApiParameter(
    "ETag", OpenApiTypes.STR, OpenApiParameter.HEADER, response=[200], description="Send it back as If-None-Match."
)
KNOWN_TAG = OpenApiParameter("If-None-Match", OpenApiTypes.STR, OpenApiParameter.HEADER, description="A known ETag.")
TICKET = OpenApiParameter("ticket_key", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The ticket's key.")
OWN_KEY = OpenApiParameter("key", OpenApiTypes.UUID, OpenApiParameter.PATH)
ORDERING = OpenApiParameter(
    "ordering", OpenApiTypes.STR, enum=["-created_at", "created_at", "-updated_at", "updated_at"]
)

PROBLEMS = {
    400: OpenApiResponse(FIELDS, "The request is not as it should be."),
    401: OpenApiResponse(Problem, "Nobody is logged in."),
    403: OpenApiResponse(Problem, "Nobody is logged in, or who is may not do this."),
    404: OpenApiResponse(Problem, "There is no such thing, or it is somebody else's."),
    406: OpenApiResponse(Problem, "Only JSON is answered."),
    409: OpenApiResponse(Problem, "Its state does not allow this."),
    410: OpenApiResponse(Problem, "The vendor does not have this file any more."),
    413: OpenApiResponse(Problem, "The request is too large."),
    415: OpenApiResponse(Problem, "This content type is not taken."),
    422: OpenApiResponse(Problem, "This Idempotency-Key was used for another request."),
    429: OpenApiResponse(Problem, "Too much for now; Retry-After says when it works again."),
    503: OpenApiResponse(Problem, "The storage of files does not work now."),
}
READ = (401, 403, 404, 406)
WRITTEN = (*READ, 400, 413, 415)


def answers(*codes: int, **kinds: Any) -> dict[Any, Any]:
    """Return the responses of an operation: those of `kinds`, by "s201", and the problems."""
    good = {int(name.removeprefix("s")): kind for name, kind in kinds.items()}
    return {**good, **{code: PROBLEMS[code] for code in sorted(codes)}}


UNCHANGED = OpenApiResponse(None, "It is as it was.")
ELSEWHERE = OpenApiResponse(None, "The file is at a signed address that is good for a minute.")
