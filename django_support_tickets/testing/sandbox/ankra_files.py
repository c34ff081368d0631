"""Attachments of the fake Ankra, after docs.ankra.ai (platform/support) and ankra-cli pull request 279."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django_support_tickets.testing.sandbox.multipart import MalformedMultipart, Part, read_parts
from django_support_tickets.testing.sandbox.wsgi import Call, Refusal, Reply, Route, Ticket, json_reply

if TYPE_CHECKING:
    from django_support_tickets.testing.sandbox.ankra import AnkraSandbox


class AnkraFiles:
    """Images by ticket: the part's own Content-Type decides, octet-stream is refused even for a real PNG."""

    content_types: tuple[str, ...] = ("image/png", "image/jpeg", "image/webp", "image/gif")
    # The docs say that size and count are checked, without numbers; statuses are undocumented too.
    max_bytes: int = 10 * 1024 * 1024
    max_files: int = 10
    too_many_status: int = 422
    # What a download answers is undocumented: "stream", "redirect" (to a URL that needs no token) or "json".
    download_style: str = "stream"

    def __init__(self, vendor: AnkraSandbox) -> None:
        self._vendor = vendor
        self._contents: dict[str, tuple[str, bytes]] = {}
        self._links: dict[str, str] = {}

    def routes(self) -> Iterable[Route]:
        attachments = f"{self._vendor.prefix}/{{ticket}}/attachments"
        yield Route("POST", attachments, "upload", self._upload)
        yield Route("GET", f"{attachments}/{{attachment}}", "download", self._download)
        yield Route("GET", "/files/{secret}", "download", self._follow)

    def clear(self) -> None:
        self._contents.clear()
        self._links.clear()

    def add(self, ticket: Ticket, filename: str, content: bytes, content_type: str) -> str:
        """Attach a file to a stored ticket; return the attachment's id."""
        identity = self._vendor.new_uuid()
        now = self._vendor.stamp()
        self._contents[identity] = (content_type, content)
        ticket["attachments"].append(
            {
                "id": identity,
                "filename": filename,
                "content_type": content_type,
                "size_bytes": len(content),
                "created_at": now,
            }
        )
        if self._vendor.upload_bumps_updated_at:
            ticket["updated_at"] = now
        self._vendor.touched()
        return identity

    def _upload(self, call: Call) -> Reply:
        ticket = self._vendor.find(call)
        try:
            parts = read_parts(call.stream, call.header("Content-Type"), keep=self.max_bytes)
        except MalformedMultipart as error:
            raise Refusal(self._vendor.malformed(str(error))) from error
        if len(parts) != 1 or parts[0].name != "file" or parts[0].filename is None:
            raise Refusal(self._vendor.malformed("Exactly one part named 'file' is expected."))
        if refusal := self._refusal(ticket, parts[0]):
            return refusal
        self.add(ticket, parts[0].filename, parts[0].content, parts[0].content_type)
        call.changed(ticket["id"])
        return json_reply(ticket, self._vendor.create_status)

    def _refusal(self, ticket: Ticket, part: Part) -> Reply | None:
        if part.content_type.partition(";")[0].strip().lower() not in self.content_types:
            return json_reply({"detail": "Only PNG, JPEG, WebP and GIF images are accepted."}, 415)
        if part.size > self.max_bytes:
            return json_reply({"detail": "The file is too large."}, 413)
        if len(ticket["attachments"]) >= self.max_files:
            return json_reply({"detail": "The ticket has too many attachments."}, self.too_many_status)
        return None

    def _download(self, call: Call) -> Reply:
        ticket = self._vendor.find(call)
        identity = call["attachment"]
        if all(attachment["id"] != identity for attachment in ticket["attachments"]):
            return json_reply({"detail": "Attachment not found"}, 404)
        if self.download_style == "stream":
            return self._content(identity)
        secret = secrets.token_urlsafe(16)
        self._links[secret] = identity
        url = f"{self._vendor.base_url}/files/{secret}"
        if self.download_style == "json":
            return json_reply({"url": url})
        return Reply(302, headers=[("Location", url)])

    def _follow(self, call: Call) -> Reply:
        identity = self._links.get(call["secret"])
        return self._vendor.not_found(call) if identity is None else self._content(identity)

    def _content(self, identity: str) -> Reply:
        content_type, content = self._contents[identity]
        return Reply(200, content, [("Content-Type", content_type)])
