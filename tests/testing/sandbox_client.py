"""Plain requests to the fake vendors, by the standard library only."""

from __future__ import annotations

import base64
import dataclasses
import http.client
import json
import socket
import urllib.parse
from collections.abc import Sequence
from typing import Any

from django_support_tickets.testing.sandbox import AnkraSandbox, MoovSandbox, RipioSandbox, VerifikSandbox

File = tuple[str, str, str, bytes]


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def send(url: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """Send one request on its own connection; a dict becomes JSON."""
    headers = dict(headers or {})
    if isinstance(body, dict):
        headers.setdefault("Content-Type", "application/json")
        body = json.dumps(body).encode()
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def raw(url: str, request: bytes) -> bytes:
    """Send bytes and return all bytes until the other side closes."""
    parts = urllib.parse.urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as connection:
        connection.sendall(request)
        received = b""
        while block := connection.recv(65536):
            received += block
    return received


def multipart(fields: dict[str, str], files: Sequence[File] = ()) -> tuple[bytes, dict[str, str]]:
    """Return body and headers; a file is (part name, file name, content type, content)."""
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, filename, content_type, content in files:
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        parts.append(f"{head}Content-Type: {content_type}\r\n\r\n".encode() + content + b"\r\n")
    return b"".join(parts) + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


# Ripio.


def ripio_token(vendor: RipioSandbox) -> Answer:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    headers = basic(vendor.client_id, vendor.client_secret) | form
    return send(f"{vendor.base_url}/oauth2/token/", "POST", b"grant_type=client_credentials", headers)


def ripio_bearer(vendor: RipioSandbox) -> dict[str, str]:
    return {"Authorization": f"Bearer {ripio_token(vendor).json['accessToken']}"}


def ripio_create(
    vendor: RipioSandbox,
    bearer: dict[str, str],
    files: Sequence[File] = (),
    **fields: str,
) -> Answer:
    given = {
        "customerId": vendor.CUSTOMER,
        "summary": "Card blocked",
        "description": "Since Monday.",
    } | fields
    body, headers = multipart(given, files)
    return send(f"{vendor.base_url}/api/v1/supportTickets/", "POST", body, headers | bearer)


def ripio_get(vendor: RipioSandbox, bearer: dict[str, str], remote_id: str) -> Answer:
    return send(f"{vendor.base_url}/api/v1/supportTickets/{remote_id}/", headers=bearer)


# Moov.


def moov(vendor: MoovSandbox, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    given = {"X-Moov-Version": "v2026.07.00"} | basic(vendor.public_key, vendor.secret_key)
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return send(vendor.base_url + path, method, body, given)


def moov_create(vendor: MoovSandbox, account: str = "acct-1", **fields: Any) -> Answer:
    draft = {"title": "Payout late", "body": "Since Monday.", "contact": {"email": "a@example.com"}} | fields
    return moov(vendor, "POST", f"/accounts/{account}/tickets", draft)


# Verifik.


def verifik(vendor: VerifikSandbox, method: str, path: str = "", body: Any = None) -> Answer:
    url = vendor.base_url + vendor.prefix + path
    return send(url, method, body, {"Authorization": f"Bearer {vendor.token}"})


def verifik_create(vendor: VerifikSandbox, **fields: Any) -> Answer:
    if vendor.dialect == "app":
        draft = {
            "title": "Scan fails",
            "category": "smartScan",
            "threads": [{"message": "<p>Since Monday.</p>"}],
        }
        return verifik(vendor, "POST", "/insert", draft | fields)
    draft = {
        "title": "Scan fails",
        "description": "Since Monday.",
        "priority": "high",
        "category": "technical",
    }
    return verifik(vendor, "POST", "", draft | fields)


# Ankra.


def ankra(vendor: AnkraSandbox, method: str, path: str = "", body: Any = None, **headers: str) -> Answer:
    given = {"Authorization": f"Bearer {vendor.token}", "x-ankra-organisation-id": vendor.organisation_id}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return send(vendor.base_url + vendor.prefix + path, method, body, given)


def ankra_create(vendor: AnkraSandbox, **fields: Any) -> Answer:
    return ankra(
        vendor,
        "POST",
        "",
        {"subject": "Cluster down", "description": "Since Monday.", "source": "api"} | fields,
    )
