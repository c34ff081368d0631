from __future__ import annotations

import hashlib
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_vary_headers


def add_etag(request: HttpRequest, response: Any) -> HttpResponseBase | None:
    """Tag a rendered answer by its bytes, and answer 304 instead where the client has them already.

    The rows were read, so that the tag is exact: there is no column whose change would say the same.
    """
    response["ETag"] = f'"{hashlib.sha256(response.content).hexdigest()[:32]}"'
    response["Cache-Control"] = "private, no-cache"
    patch_vary_headers(response, ("Authorization", "Cookie"))
    answer = get_conditional_response(request, etag=response["ETag"], response=response)
    return None if answer is response else answer
