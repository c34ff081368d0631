"""Verifik's JSON web tokens, after docs.verifik.co (authentication: renew, renew and revoke)."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django_support_tickets.testing.sandbox.clock import stamp
from django_support_tickets.testing.sandbox.wsgi import Call, Refusal, Reply, Route, json_reply

if TYPE_CHECKING:
    from django_support_tickets.testing.sandbox.verifik import VerifikSandbox


class VerifikTokens:
    """Tokens with their expiry by the vendor's clock."""

    # The renewal page shows `accessToken` at top level, the web app also reads it under `data`.
    nested_answer: bool = False
    # Undocumented: whether renewal kills the previous token.
    renewal_revokes: bool = False

    def __init__(self, vendor: VerifikSandbox) -> None:
        self._vendor = vendor
        self._live: dict[str, datetime.datetime] = {}
        self._issued = 0

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/v2/auth/session", "token", self._renew)
        yield Route("POST", "/v2/auth/session", "token", self._renew)
        yield Route("POST", "/v2/auth/renew-and-revoke", "token", self._renew_and_revoke)

    def new(self, *, months: int) -> str:
        """Issue a token that lives 30 days a month; its payload names the client and `exp`."""
        self._issued += 1
        expires = self._vendor.now() + datetime.timedelta(days=30 * months)
        claims = {"clientId": self._vendor.client_id, "exp": int(expires.timestamp()), "jti": self._issued}
        signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
        signature = hmac.new(b"sandbox-verifik", signed.encode(), hashlib.sha256).digest()
        token = f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        self._live[token] = expires
        return token

    def expire(self) -> None:
        now = self._vendor.now()
        self._live = dict.fromkeys(self._live, now)

    def revive(self, token: str) -> None:
        """Make a token that has expired valid again."""
        self._live[token] = self._vendor.now() + datetime.timedelta(days=30)

    def authorise(self, call: Call) -> str:
        """Return the valid token of a request, or refuse it.

        An expired token is a 403 (the web app's auth.interceptor.ts), none or an unknown one a 401.
        """
        given = call.header("Authorization")
        token = given[7:] if given[:7].lower() == "bearer " else given
        expires = self._live.get(token)
        if expires is None:
            raise Refusal(self._unauthorized("invalid_token" if token else "Unauthorized"))
        if expires <= self._vendor.now():
            raise Refusal(self._vendor.error(403, "Forbidden", "expired_token"))
        return token

    def _unauthorized(self, message: str) -> Reply:
        now = stamp(self._vendor.now(), "milliseconds")
        body = {
            "code": "Unauthorized",
            "message": message,
            "signature": {"dateTime": now, "message": message},
        }
        return json_reply(body, 401)

    def _renew(self, call: Call) -> Reply:
        if not call.header("Authorization"):
            return self._vendor.error(409, "MissingParameter", "missing Authorization")
        old = self.authorise(call)
        months = call.query.get("expiresIn", ["1"])[0]
        if not (months.isascii() and months.isdigit()):
            return self._vendor.error(409, "MissingParameter", "expiresIn must be a number of months")
        token = self.new(months=max(1, int(months)))
        if self.renewal_revokes:
            del self._live[old]
        answer: dict[str, Any] = {"accessToken": token, "tokenType": "bearer"}
        return json_reply({"data": answer} if self.nested_answer else answer)

    def _renew_and_revoke(self, call: Call) -> Reply:
        self.authorise(call)
        self._live.clear()
        return json_reply({"token": self.new(months=1)})


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
