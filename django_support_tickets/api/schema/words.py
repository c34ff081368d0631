"""Parameters and answers of the OpenAPI description."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

FIELDS = {
    "type": "object",
    "additionalProperties": {},
    "description": "Field -> what is wrong with it; `detail` if the request could not be read at all.",
}


class Problem(serializers.Serializer[Any]):
    """Why a request was not answered as asked."""

    detail = serializers.CharField(read_only=True)


IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="1 to 255 printable ASCII characters. The same key with the same request gives what it gave before.",
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
    413: OpenApiResponse(FIELDS, "The request is too large, or a file in it."),
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
