"""Moov's OAuth tokens, after docs.moov.io api/authentication/access-tokens."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import secrets
import urllib.parse
from typing import TYPE_CHECKING

from django_support_tickets.testing.sandbox.wsgi import Call, Refusal, Reply, json_reply

if TYPE_CHECKING:
    from django_support_tickets.testing.sandbox.moov import MoovSandbox


@dataclasses.dataclass(frozen=True, slots=True)
class _Token:
    scopes: frozenset[str]
    expires: datetime.datetime


def client_credentials(call: Call) -> tuple[str, str]:
    """Return the public and the secret key of a Basic header, empty where there is none."""
    scheme, _, encoded = call.header("Authorization").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        public_key, _, secret_key = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return public_key, secret_key


class MoovTokens:
    """The token endpoint; what the pages contradict each other about is an attribute."""

    # "epoch" as the reference says, "seconds" as the Go SDK reads it.
    expires_in_style: str = "epoch"
    lifetime: int = 900
    # Domains of the key; when set, a token request without a matching Origin or Referer is refused.
    allowed_origins: tuple[str, ...] = ()

    def __init__(self, vendor: MoovSandbox) -> None:
        self._vendor = vendor
        self._access: dict[str, _Token] = {}
        self._refresh: dict[str, frozenset[str]] = {}

    def expire(self) -> None:
        self._access.clear()

    def scopes_of(self, token: str) -> frozenset[str] | None:
        """Return what a live token allows, or None."""
        known = self._access.get(token)
        return known.scopes if known and known.expires > self._vendor.now() else None

    def issue(self, call: Call) -> Reply:
        fields = self._fields(call)
        self._check_origin(call, fields)
        if not self._knows(call, fields):
            return self._vendor.failure(401)
        match fields.get("grant_type"):
            case "client_credentials":
                scopes = frozenset(fields.get("scope", "").split())
                return self._grant(scopes) if scopes else json_reply({"scope": "is required"}, 422)
            case "refresh_token":
                known = self._refresh.pop(fields.get("refresh_token", ""), None)
                if known is None:
                    return json_reply({"refresh_token": "is invalid"}, 422)
                return self._grant(known)
        return json_reply({"error": "unsupported grant_type"}, 400)

    def revoke(self, call: Call) -> Reply:
        fields = self._fields(call)
        if not self._knows(call, fields):
            return self._vendor.failure(401)
        token = fields.get("token", "")
        self._access.pop(token, None)
        self._refresh.pop(token, None)
        return Reply(204)

    def _fields(self, call: Call) -> dict[str, str]:
        if call.header("Content-Type").partition(";")[0].strip() == "application/x-www-form-urlencoded":
            return call.form()
        return {name: str(value) for name, value in self._vendor.read_json(call).items()}

    def _knows(self, call: Call, fields: dict[str, str]) -> bool:
        given = client_credentials(call) if "client_id" not in fields else _from_body(fields)
        return self._vendor.knows_client(*given)

    def _check_origin(self, call: Call, fields: dict[str, str]) -> None:
        if not self.allowed_origins or fields.get("client_type") in ("service", "s", "device", "d"):
            return
        given = urllib.parse.urlsplit(call.header("Origin") or call.header("Referer"))
        if f"{given.scheme}://{given.netloc}" not in self.allowed_origins:
            raise Refusal(json_reply({"error": "origin is not allowed"}, 400))

    def _grant(self, scopes: frozenset[str]) -> Reply:
        access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        expires = self._vendor.now() + datetime.timedelta(seconds=self.lifetime)
        self._access[access] = _Token(scopes, expires)
        self._refresh[refresh] = scopes
        in_seconds = self.expires_in_style == "seconds"
        answer = {
            "token_type": "Bearer",
            "access_token": access,
            "refresh_token": refresh,
            "expires_in": self.lifetime if in_seconds else int(expires.timestamp()),
            "scope": " ".join(sorted(scopes)),
        }
        return json_reply(answer)


def _from_body(fields: dict[str, str]) -> tuple[str, str]:
    return fields["client_id"], fields.get("client_secret", "")
