"""Verifik's hosted files, after the web app's attachment.service.ts: base64 upload, public URL, expiry."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import secrets
import urllib.parse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django_support_tickets.testing.sandbox.wsgi import Call, Refusal, Reply, Route, json_reply

if TYPE_CHECKING:
    from django_support_tickets.testing.sandbox.verifik import VerifikSandbox


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HostedFile:
    """A file with its public URL; `expires` is None where it is kept for ever."""

    identity: str
    url: str
    name: str
    content_type: str
    content: bytes
    expires: datetime.datetime | None
    metadata: Any
    source: str


class VerifikFiles:
    """Files by id; the download needs no authorisation and ends with its expiry."""

    # Caps of the web app; the server's are undocumented, and so is how an expired file answers.
    max_bytes: int = 10 * 1024 * 1024
    extensions: tuple[str, ...] = (".pdf", ".jpg", ".jpeg", ".png")
    expired_status: int = 403

    def __init__(self, vendor: VerifikSandbox) -> None:
        self._vendor = vendor
        self._by_id: dict[str, HostedFile] = {}
        self._by_secret: dict[str, HostedFile] = {}

    def routes(self) -> Iterable[Route]:
        yield Route("POST", "/v2/attachments", "upload", self._upload)
        yield Route("DELETE", "/v2/attachments/{file}", "delete", self._delete)
        yield Route("GET", "/files/{secret}/{name}", "download", self._download)

    def __contains__(self, identity: object) -> bool:
        return identity in self._by_id

    def clear(self) -> None:
        self._by_id.clear()
        self._by_secret.clear()

    def host(
        self,
        name: str,
        content: bytes,
        content_type: str,
        *,
        days: float,
        metadata: Any = None,
        source: str = "",
    ) -> dict[str, Any]:
        """Keep a file under a new URL, for some days or (0) for ever; return its document."""
        secret = secrets.token_urlsafe(16)
        file = HostedFile(
            identity=self._vendor.new_object_id(),
            url=f"{self._vendor.base_url}/files/{secret}/{urllib.parse.quote(name, safe='')}",
            name=name,
            content_type=content_type,
            content=content,
            expires=self._vendor.now() + datetime.timedelta(days=days) if days else None,
            metadata=metadata,
            source=source,
        )
        self._by_id[file.identity] = self._by_secret[secret] = file
        return self.document(file.identity)

    def document(self, identity: str) -> dict[str, Any]:
        file = self._by_id[identity]
        return {
            "_id": file.identity,
            "name": file.name,
            "url": file.url,
            "size": len(file.content),
            "type": file.content_type,
            "source": file.source,
            "preview": None,
            "metadata": file.metadata,
        }

    def _upload(self, call: Call) -> Reply:
        self._vendor.tokens.authorise(call)
        draft = self._vendor.read_json(call)
        name = draft.get("name")
        if not isinstance(name, str) or not name.lower().endswith(self.extensions):
            raise self._bad("name must end in one of " + " ".join(self.extensions))
        content_type, content = self._content(draft.get("file"))
        if len(content) > self.max_bytes:
            return self._vendor.error(413, "PayloadTooLarge", f"file is larger than {self.max_bytes} bytes")
        days = draft.get("expirationDays") or 0
        if not isinstance(days, int | float):
            raise self._bad("expirationDays must be a number")
        document = self.host(
            name,
            content,
            str(draft.get("type") or content_type),
            days=days,
            metadata=draft.get("metadata"),
            source=str(draft.get("source") or ""),
        )
        call.changed("")
        return json_reply({"data": document}, self._vendor.upload_status)

    def _content(self, uri: Any) -> tuple[str, bytes]:
        """Return type and bytes of a base64 data URI."""
        head, comma, data = uri.partition(",") if isinstance(uri, str) else ("", "", "")
        if not (comma and head.startswith("data:") and head.endswith(";base64")):
            raise self._bad("file must be a base64 data URI")
        try:
            return head[5:-7], base64.b64decode(data, validate=True)
        except (ValueError, binascii.Error) as error:
            raise self._bad("file is not valid base64") from error

    def _bad(self, message: str) -> Refusal:
        return Refusal(self._vendor.error(400, "BadRequest", message))

    def _delete(self, call: Call) -> Reply:
        self._vendor.tokens.authorise(call)
        file = self._by_id.pop(call["file"], None)
        if file is None:
            return self._vendor.not_found(call)
        self._by_secret = {secret: kept for secret, kept in self._by_secret.items() if kept is not file}
        call.changed("")
        return json_reply({"status": "completed"})

    def _download(self, call: Call) -> Reply:
        file = self._by_secret.get(call["secret"])
        if file is None:
            return Reply(404, b"not found", [("Content-Type", "text/plain")])
        if file.expires is not None and file.expires <= self._vendor.now():
            return Reply(self.expired_status, b"expired", [("Content-Type", "text/plain")])
        return Reply(200, file.content, [("Content-Type", file.content_type)])
