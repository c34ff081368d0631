"""Ankra: raise, list, read, answer and close tickets at Ankra's own support desk.

Facts from docs.ankra.ai (api-reference/support-api, platform/support) and from Ankra's public CLI
(github.com/ankraio/ankra-cli: internal/client, cmd/support.go, pull request 279).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Unpack

from django_support_tickets.exceptions import Ambiguous, ProviderError, Refused
from django_support_tickets.providers.ankra_records import (
    AUTHOR_TYPES,
    CATEGORIES,
    IMAGES,
    SEVERITIES,
    STATUSES,
    content_type_of,
    reference_line,
    subject_of,
    to_page,
    to_payload,
    to_record,
)
from django_support_tickets.providers.base import CommonOptions
from django_support_tickets.providers.files import foreign_files_of
from django_support_tickets.providers.http import (
    HttpProvider,
    dict_of,
    file_part,
    own_key,
    text_of,
    words_of,
)
from django_support_tickets.records import (
    AttachmentRecord,
    AttachmentRules,
    AuthorType,
    Capabilities,
    CommentDraft,
    CommentRecord,
    Download,
    FileDraft,
    Found,
    Page,
    Probe,
    Status,
    TicketDraft,
    TicketRecord,
    TicketRef,
    clean_text,
    normalised_text,
)
from django_support_tickets.transport import Answer, HeaderAuth, MultipartBody, is_loopback, json_body, path_id

TICKETS = "/api/v1/org/support/tickets"
TEXT_MAX = 10_000
PAGE_SIZE_MAX = 100
FIRST_AGAIN = "first again"
# How far the vendor's clock may be behind ours when a ticket is searched by the time it was sent.
CLOCK_SKEW = timedelta(minutes=5)


class AnkraProvider(HttpProvider):
    """One organisation at Ankra. `token` is a REST token, made in the dashboard; it cannot be renewed by a call.

    Creating runs an AI review. A ticket that it flags is refused with the code "needs_acknowledgement" and goes through
    with `options={"acknowledged": True}`.
    """

    def __init__(
        self,
        alias: str,
        *,
        token: str | Callable[[], str],
        organisation_id: str,
        base_url: str | Callable[[], str] = "https://platform.ankra.app",
        page_size: int = 50,
        author_types: Mapping[str, str] | None = None,
        allowed_content_types: Sequence[str] = tuple(IMAGES),
        max_files: int = 10,
        max_file_bytes: int = 10 * 1024 * 1024,
        max_download_bytes: int = 25_000_000,
        **common: Unpack[CommonOptions],
    ) -> None:
        # The inline review makes a create slow to answer, and no rate limit is published.
        common.setdefault("timeout", (5.0, 120.0))
        common.setdefault("rate", 2.0)
        super().__init__(alias, base_url=base_url, **common)
        self._refuse_unless_text("token", token)
        limits = {"max_files": max_files, "max_file_bytes": max_file_bytes, "max_download_bytes": max_download_bytes}
        for name, value in {"page_size": page_size, **limits}.items():
            self._refuse_unless_positive(name, value)
        self._token = token
        self.organisation_id = own_key(organisation_id)
        if not self.organisation_id:  # not named: it may be the token, given in the wrong place
            raise self.invalid("organisation_id must be a UUID")
        # As Ankra's CLI does (internal/client/baseurl.go).
        if isinstance(base_url, str) and base_url.startswith("http:") and not is_loopback(base_url):
            raise self.invalid("base_url must be https")
        self.page_size = min(page_size, PAGE_SIZE_MAX)
        if not set((author_types or {}).values()) <= set(AuthorType.values):
            raise self.invalid(f"author_types must lead to {', '.join(AuthorType.values)}")
        self.author_types = {**AUTHOR_TYPES, **{name: AuthorType(kind) for name, kind in (author_types or {}).items()}}
        self.max_download_bytes = max_download_bytes
        self.content_types = frozenset(allowed_content_types)
        self.capabilities = self._capabilities(max_files, max_file_bytes)

    def _capabilities(self, max_files: int, max_file_bytes: int) -> Capabilities:
        return Capabilities(
            can_list=True,
            can_find=self.reference,
            can_comment=True,
            can_close=True,
            attachments=AttachmentRules(
                moments=frozenset({"after"}),
                max_count=max_files,
                max_bytes=max_file_bytes,
                content_types=self.content_types,
            ),
            subject_max=200,
            description_max=TEXT_MAX - (len(reference_line(self.organisation_id)) if self.reference else 0),
            comment_max=TEXT_MAX,
            required_fields=frozenset({"description"}),
            sent_fields=frozenset({"category", "priority"}),
            categories=CATEGORIES,
            priorities=SEVERITIES,
            status_map=STATUSES,
            settled_statuses=frozenset({Status.RESOLVED, Status.CLOSED}),
            proves_rejection=Capabilities().proves_rejection | {409},
            option_names=frozenset({"acknowledged", "cluster_id"}),
        )

    def get(self, ref: TicketRef) -> TicketRecord:
        return self._ticket(self.call("get", "GET", self._path("get", ref)), ref=ref)

    def create(self, draft: TicketDraft) -> TicketRecord:
        body = json_body(to_payload(draft, has_reference=self.reference))
        return self._ticket(self.call("create", "POST", TICKETS, body=body, key=draft.key))

    def list_changed(self, scope: str, cursor: str | None) -> Page:
        """Return one page of all tickets; there is no filter by time and no promised order.

        Pages shift while they are read, so that a walk of several ends with the first once more.
        """
        if cursor == FIRST_AGAIN:
            return replace(self._page(1)[0], next_cursor=None)
        number = int(cursor) if cursor and cursor.isdecimal() else 1
        page = self._page(number)[0]
        return replace(page, next_cursor=FIRST_AGAIN) if number > 1 and page.next_cursor is None else page

    def find(self, draft: TicketDraft) -> Found:
        """Return the tickets whose description carries the draft's key.

        Candidates are the tickets with its subject made since it was sent. One that is listed but refused, or shown
        without its description, makes the search incomplete; an error that passes is raised.
        """
        candidates, is_complete = self._candidates(draft)
        records: list[TicketRecord] = []
        for candidate in candidates:
            try:
                records.append(self.get(TicketRef(remote_id=candidate.remote_id)))
            except Refused:
                is_complete = False
        found = tuple(record for record in records if record.key == own_key(draft.key))
        return Found(
            records=found, complete=is_complete and all(record.description or record.key for record in records)
        )

    def add_comment(self, ref: TicketRef, draft: CommentDraft) -> CommentRecord:
        """Add a comment and return it; the answer is the whole ticket, and the newest comment with our text is ours."""
        body = json_body({"body": clean_text(draft.body)})
        answer = self.call("comment", "POST", f"{self._path('comment', ref)}/comments", body=body, key=draft.key)
        comments = self._after(answer, ref).comments or ()
        ours = [comment for comment in comments if normalised_text(comment.body) == normalised_text(draft.body)]
        if not ours:
            raise self.not_understood(answer, "the comment is not in it")
        return ours[-1]

    def close(self, ref: TicketRef) -> TicketRecord:
        """Close the ticket; what Ankra answers for one that is closed already is not documented, so it is looked at."""
        try:
            answer = self.call("close", "POST", f"{self._path('close', ref)}/close")
        except Refused:
            record = self.get(ref)
            if record.status != Status.CLOSED:
                raise
            return record
        return self._after(answer, ref)

    def upload(self, ref: TicketRef, file: FileDraft) -> AttachmentRecord:
        """Add an image to the ticket. The answer is the whole ticket: the newest file of our size is ours."""
        content_type = content_type_of(file)
        if content_type not in self.content_types:
            facts: dict[str, Any] = {"alias": self.alias, "operation": "upload", "key": file.key}
            raise Refused("the file is of no type that Ankra takes", code="unsupported_type", **facts)
        body = MultipartBody({}, (file_part(file, name="file", content_type=content_type),))
        answer = self.call("upload", "POST", f"{self._path('upload', ref)}/attachments", body=body, key=file.key)
        files = [other for other in self._after(answer, ref).attachments or () if other.size == file.size]
        ours = [other for other in files if other.name == file.name] or files
        if not ours:
            raise self.not_understood(answer, "the file is not in it")
        return ours[-1]

    @contextmanager
    def download(self, ref: TicketRef, attachment: AttachmentRecord) -> Iterator[Download]:
        """Yield the file. Whether Ankra sends it, redirects or links to it is not documented; a link is not read.

        A redirect is followed, without the token, to `attachment_hosts`.
        """
        file = path_id(attachment.remote_id, operation="download", alias=self.alias)
        limit = self.max_download_bytes if attachment.size is None else min(attachment.size, self.max_download_bytes)
        path, follow = f"{self._path('download', ref)}/attachments/{file}", foreign_files_of(self)
        with self.stream("download", path, limit=limit, follow=follow) as download:
            if "json" in download.content_type.lower() and "json" not in attachment.content_type:
                raise Ambiguous("the answer is JSON where a file was expected", alias=self.alias, operation="download")
            yield download

    def probe(self) -> Probe:
        """List tickets: the token and the organisation are good if that works."""
        self._page(1)
        return Probe()

    def deadline_of(self, operation: str) -> float:
        """Return how many seconds a whole operation may take; Ankra's CLI allows 120 s for create and upload.

        A search is many requests, each of which waits for its turn at `rate`.
        """
        return self.upload_deadline if operation in ("create", "find") else super().deadline_of(operation)

    def authorization(self) -> HeaderAuth:
        return HeaderAuth(f"Bearer {self.resolve('token', self._token)}")

    def headers(self) -> Mapping[str, str]:
        """Pin the organisation: without this header it is the one last chosen in the dashboard (client.go)."""
        return {"x-ankra-organisation-id": self.organisation_id}

    def read_error(self, data: Any) -> tuple[str, str] | None:
        """Read {"detail": text or list of {"loc", "msg", "type"}}, with `permission` or `error_code` beside it."""
        error = dict_of(data)
        if "detail" not in error and "error_code" not in error:
            return None
        detail, permission = error.get("detail"), text_of(error.get("permission"))
        code = text_of(error.get("error_code")) or ("permission_denied" if permission else "")
        return code, f"{words_of(detail)} ({permission})" if permission else words_of(detail)

    def error_for(self, answer: Answer) -> ProviderError:
        error = super().error_for(answer)
        if answer.status == 409 and answer.request.operation == "create" and isinstance(error, Refused):
            error.code = "needs_acknowledgement"
        return error

    def _path(self, operation: str, ref: TicketRef) -> str:
        return f"{TICKETS}/{path_id(ref.remote_id, operation=operation, alias=self.alias)}"

    def _ticket(self, answer: Answer, *, ref: TicketRef | None = None) -> TicketRecord:
        """Return the ticket in a 2xx answer; raise Ambiguous if it is none, another one or another organisation's."""
        record = to_record(answer.json(), author_types=self.author_types)
        organisation = record.raw.get("organisation_id")
        if not record.remote_id:
            raise self.not_understood(answer, "it has no ticket id")
        if ref is not None and record.remote_id != ref.remote_id:
            raise self.not_understood(answer, "it is another ticket")
        if organisation and own_key(organisation) != self.organisation_id:
            raise self.not_understood(answer, "the ticket belongs to another organisation")
        return record

    def _after(self, answer: Answer, ref: TicketRef) -> TicketRecord:
        """Return the whole ticket after a write; where the answer is empty, as the CLI allows, it is read again."""
        if answer.content.strip():
            return self._ticket(answer, ref=ref)
        with suppress(ProviderError):
            return self.get(ref)
        raise self.not_understood(answer, "it is empty, and the ticket cannot be read again")

    def _candidates(self, draft: TicketDraft) -> tuple[list[TicketRecord], bool]:
        """Return the tickets that may be the draft's, and whether every row of the list could be read."""
        pages = [self._page(1, draft)]
        while pages[-1][0].next_cursor:
            pages.append(self._page(len(pages) + 1, draft))
        if len(pages) > 1:  # what moved to the front while they were read
            pages.append(self._page(1, draft))
        rows = {row.remote_id: row for page, _ in pages for row in page.records}.values()
        since = draft.sent_at - CLOCK_SKEW if draft.sent_at else None
        recent = [row for row in rows if not (since and row.created_at and row.created_at < since)]
        return recent, all(is_whole for _, is_whole in pages)

    def _page(self, number: int, draft: TicketDraft | None = None) -> tuple[Page, bool]:
        """Return a page of the list, for a draft of its subject only, and whether every row of it could be read."""
        paging = (("page", str(number)), ("page_size", str(self.page_size)))
        answer = self.call("list", "GET", TICKETS, params=(*paging, *([("q", subject_of(draft))] if draft else [])))
        page, is_whole = to_page(answer.json(), number)
        if page is None:
            raise self.not_understood(answer, "it is no page of tickets")
        return page, is_whole
