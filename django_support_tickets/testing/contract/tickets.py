from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from django_support_tickets.exceptions import Ambiguous, NotSent, Refused, RemoteNotFound
from django_support_tickets.providers.base import Provider
from django_support_tickets.records import ABSENT, Probe, Status, TicketRecord, TicketRef, normalised_text
from django_support_tickets.testing.contract.faults import error_of, run
from django_support_tickets.testing.contract.subject import PICTURE, ContractSubject, picture, read_all
from django_support_tickets.testing.sandbox import Fault

ODD_TEXTS = (
    "plain",
    'a "quoted" <b>word</b> & an &amp; entity',
    "Ünïcödé 漢字 😀 \u202eright to left",
    "first line\nsecond line\n\n  indented",
    "back\\slash %s {braces} $1 [ref x] #tag",
)
HOSTILE_IDS = ("../../B", "x?y=1", "x#y", "a/b", "a\\b", "a%2fb", "a\nb", "..", ".", "", "x" * 10_000)


class TicketContract:
    """Creating and reading."""

    def test_create_returns_a_record_of_the_one_ticket_made(self, subject: ContractSubject) -> None:
        draft = subject.new_draft()
        record = subject.provider.create(draft)
        assert isinstance(record, TicketRecord)
        assert isinstance(record.remote_id, str)
        assert record.remote_id
        assert record.key in (ABSENT, "", draft.key), "the key is another ticket's"
        if subject.vendor is not None:
            assert list(subject.vendor.tickets) == [record.remote_id]
            assert sum(entry.committed for entry in subject.vendor.ledger) == 1

    @pytest.mark.parametrize("text", ODD_TEXTS)
    def test_text_and_key_come_back_as_they_were_sent(self, subject: ContractSubject, text: str) -> None:
        ref, draft = subject.raise_ticket(subject=" ".join(text.split()), description=f"{text}\nand more")
        record = subject.provider.get(ref)
        assert record.remote_id == ref.remote_id
        assert record.key in (ABSENT, "", draft.key)
        if record.subject is not ABSENT:
            assert normalised_text(record.subject) == normalised_text(draft.subject)
        if record.description is not ABSENT:
            assert normalised_text(record.description) == normalised_text(draft.description)

    def test_texts_as_long_as_declared_are_taken(self, subject: ContractSubject) -> None:
        limits = subject.provider.capabilities
        changes = {"subject": limits.subject_max, "description": limits.description_max}
        texts = {name: ("long text " * limit)[: limit - 1] + "." for name, limit in changes.items() if limit}
        if not texts:
            pytest.skip("No text limit is declared.")
        ref, draft = subject.raise_ticket(**texts)
        record = subject.provider.get(ref)
        assert record.subject in (ABSENT, draft.subject)
        assert record.description in (ABSENT, draft.description)

    def test_a_ticket_that_the_vendor_does_not_know(self, subject: ContractSubject) -> None:
        vendor = subject.need_vendor()
        ref, _ = subject.raise_ticket()
        vendor.delete(ref.remote_id)
        error = error_of(lambda: subject.provider.get(ref))
        assert type(error) is RemoteNotFound

    @pytest.mark.parametrize("hostile", HOSTILE_IDS, ids=lambda value: repr(value[:8]))
    def test_an_id_that_could_mean_another_path_is_refused_unsent(self, subject: ContractSubject, hostile: str) -> None:
        vendor = subject.need_vendor()
        ref, draft = subject.raise_ticket()
        before, provider = len(vendor.ledger), subject.provider
        assert isinstance(
            error_of(lambda: provider.get(TicketRef(remote_id=hostile, customer_id=ref.customer_id))), Refused
        )
        if draft.customer_id and provider.capabilities.lists_by_customer:
            foreign_customer = TicketRef(remote_id=ref.remote_id, customer_id=hostile)
            assert isinstance(error_of(lambda: provider.get(foreign_customer)), Refused)
        assert len(vendor.ledger) == before

    def test_every_declared_status_is_mapped_and_an_unknown_one_kept(self, subject: ContractSubject) -> None:
        vendor, provider = subject.need_vendor(), subject.provider
        ref, _ = subject.raise_ticket()
        for word, status in {**provider.capabilities.status_map, "escalated-to-moon": Status.UNKNOWN}.items():
            vendor.change(ref.remote_id, **{subject.status_field: word})
            record = provider.get(ref)
            assert (record.status, record.remote_status) == (status, word)

    def test_a_draft_that_the_vendor_refuses(self, subject: ContractSubject) -> None:
        vendor, refused = subject.need_vendor(), subject.refused
        if refused is None:
            pytest.skip("The subject names no draft that its vendor refuses.")
        error = error_of(lambda: subject.provider.create(refused))
        assert type(error) is Refused
        assert error.status in subject.provider.capabilities.proves_rejection
        assert error.code or error.reason
        assert not vendor.tickets

    def test_probe_has_no_side_effects(self, subject: ContractSubject) -> None:
        assert isinstance(subject.provider.probe(), Probe)
        if subject.vendor is not None:
            assert not any(entry.committed for entry in subject.vendor.ledger)


class SearchContract:
    """Lists and searches."""

    def test_a_walk_shows_every_ticket_and_ends(self, subject: ContractSubject) -> None:
        provider = subject.provider
        if not provider.capabilities.can_list:
            pytest.skip("This provider does not list.")
        raised = [subject.raise_ticket()[0].remote_id for _ in range(5)]
        assert subject.scope in provider.scopes([subject.draft.customer_id])
        seen = self._walk(provider, subject.scope)
        # Reading a page again is no mistake: pages shift while they are read.
        assert sorted(set(seen)) == sorted(raised)
        assert len(seen) <= 2 * len(raised)

    @staticmethod
    def _walk(provider: Provider, scope: str) -> list[str]:
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(50):
            page = provider.list_changed(scope, cursor)
            seen += [record.remote_id for record in page.records]
            cursor = page.next_cursor
            if cursor is None:
                return seen
        raise AssertionError("the walk does not end")

    def test_an_empty_list_is_an_empty_page(self, subject: ContractSubject) -> None:
        if not subject.provider.capabilities.can_list:
            pytest.skip("This provider does not list.")
        page = subject.provider.list_changed(subject.scope, None)
        assert (page.records, page.next_cursor) == ((), None)

    @pytest.mark.parametrize("fault", [Fault.RESET_AFTER_COMMIT, Fault.SERVER_ERROR_AFTER_COMMIT])
    def test_a_create_whose_answer_was_lost_is_found(self, subject: ContractSubject, fault: Fault) -> None:
        provider = self._searching(subject)
        subject.raise_ticket()
        draft = subject.new_draft(sent_at=datetime.now(UTC))
        subject.need_vendor().fail_next(subject.vendor_operation("create"), fault)
        assert type(error_of(lambda: provider.create(draft))) is Ambiguous
        subject.raise_ticket(description=draft.description)
        ours = list(subject.need_vendor().tickets)[1]
        found = provider.find(draft)
        assert ([record.remote_id for record in found.records], found.complete) == ([ours], True)

    @pytest.mark.parametrize("others", [0, 3])
    def test_a_create_that_was_never_made_is_not_found(self, subject: ContractSubject, others: int) -> None:
        provider = self._searching(subject)
        draft = subject.new_draft(sent_at=datetime.now(UTC))
        for _ in range(others):
            subject.raise_ticket(description=draft.description)
        found = provider.find(draft)
        assert (found.records, found.complete) == ((), True)

    @pytest.mark.parametrize("fault", [Fault.MISSING_FIELDS, Fault.NULL_FIELDS, Fault.WITHOUT_ID])
    def test_a_search_that_cannot_judge_a_row_is_not_complete(self, subject: ContractSubject, fault: Fault) -> None:
        provider = self._searching(subject)
        _, draft = subject.raise_ticket()
        subject.need_vendor().fail_next(subject.vendor_operation("find"), fault)
        ended = run(subject, "find", lambda p: p.find(draft), provider)
        assert type(ended.error) is Ambiguous or ended.result.records or not ended.result.complete

    @staticmethod
    def _searching(subject: ContractSubject) -> Provider:
        provider = subject.provider
        if not provider.capabilities.can_find:
            pytest.skip("This provider cannot find a ticket again.")
        subject.need_vendor()
        return provider


class ConversationContract:
    """Comments, files and the end of a ticket."""

    @pytest.mark.parametrize("text", ODD_TEXTS)
    def test_a_comment_comes_back_as_it_was_sent(self, subject: ContractSubject, text: str) -> None:
        provider = subject.provider
        if not provider.capabilities.can_comment:
            pytest.skip("This provider does not comment.")
        ref, _ = subject.raise_ticket()
        added = provider.add_comment(ref, subject.new_comment(text))
        assert normalised_text(added.body, added.body_format) == normalised_text(text)
        shown = provider.get(ref).comments
        if shown is not ABSENT:
            texts = [normalised_text(comment.body, comment.body_format) for comment in shown]
            assert texts == [normalised_text(text)]
            assert shown[0].remote_id == added.remote_id

    def test_a_closed_ticket_is_closed_at_the_vendor(self, subject: ContractSubject) -> None:
        provider = subject.provider
        if not provider.capabilities.can_close:
            pytest.skip("This provider does not close.")
        ref, _ = subject.raise_ticket()
        ended = (Status.CLOSED, Status.RESOLVED)
        closed = provider.close(ref)
        assert closed.remote_id == ref.remote_id
        assert closed.status is ABSENT or closed.status in ended
        if subject.vendor is not None:
            assert provider.get(ref).status in ended

    def test_an_uploaded_file_is_kept_and_comes_back(self, subject: ContractSubject) -> None:
        provider = subject.provider
        self._need_moment(provider, "after")
        ref, _ = subject.raise_ticket()
        added = provider.upload(ref, picture())
        assert added.size in (None, len(PICTURE))
        shown = provider.get(ref).attachments
        if shown is not ABSENT:
            assert [attachment.remote_id for attachment in shown] == [added.remote_id]
            if type(provider).download is not Provider.download:
                assert read_all(provider.download(ref, shown[0])) == PICTURE

    def test_files_travel_with_the_ticket(self, subject: ContractSubject) -> None:
        self._need_moment(subject.provider, "create")
        subject.raise_ticket(files=(picture(),))
        if subject.vendor is not None:
            sent = [entry.body for entry in subject.vendor.ledger]
            assert any(PICTURE in body or base64.b64encode(PICTURE) in body for body in sent)

    def test_a_file_that_has_changed_never_arrives(self, subject: ContractSubject) -> None:
        vendor, provider, ref = subject.need_vendor(), subject.provider, subject.raise_ticket()[0]
        broken = picture(stored=PICTURE[:-1] + b"x")
        if self._has_moment(provider, "after"):
            error = error_of(lambda: provider.upload(ref, broken))
        elif self._has_moment(provider, "create"):
            error = error_of(lambda: provider.create(subject.new_draft(files=(broken,))))
        else:
            pytest.skip("This provider takes no files.")
        assert isinstance(error, (NotSent, Ambiguous))
        assert list(vendor.tickets) == [ref.remote_id]

    @staticmethod
    def _has_moment(provider: Provider, moment: str) -> bool:
        rules = provider.capabilities.attachments
        return rules is not None and moment in rules.moments

    def _need_moment(self, provider: Provider, moment: str) -> None:
        if not self._has_moment(provider, moment):
            pytest.skip(f"This provider takes no files at the moment {moment!r}.")
