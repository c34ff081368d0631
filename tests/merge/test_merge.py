from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone as django_timezone

from django_support_tickets import signals
from django_support_tickets.merge import (
    NOT_FOUND,
    Fetched,
    backoff,
    cleaning,
    import_tickets,
    merge,
    next_poll,
    preview,
)
from django_support_tickets.merge.pages import in_transaction
from django_support_tickets.merge.writing import find_keys, insert_rows, update_rows
from django_support_tickets.models import (
    ERASED,
    Attachment,
    Comment,
    Delivery,
    Ticket,
    TicketEvent,
    epoch_now,
    project_time,
)
from django_support_tickets.records import (
    ABSENT,
    AttachmentRecord,
    AuthorType,
    BodyFormat,
    Capabilities,
    CommentRecord,
    Status,
    TicketRecord,
)

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def record(remote_id: str = "R-1", **values: Any) -> TicketRecord:
    values.setdefault("raw", {"id": remote_id})
    return TicketRecord(remote_id=remote_id, **values)


def take(*records: TicketRecord, at: int | None = None, **options: Any) -> Any:
    """Merge records whose fetch started at `at`, by default now."""
    started = epoch_now("default") if at is None else at
    return merge("desk", [Fetched(one, started) for one in records], **options)


@pytest.fixture(autouse=True)
def account(desk: Any) -> Any:
    return desk


class TestOwnership:
    def test_vendors_fields_are_taken_over(self, ticket):
        ticket()
        counts = take(
            record(
                status=Status.IN_PROGRESS,
                remote_status="working",
                reference="SUP-1",
                priority="high",
                category="billing",
                tags=("a", "b"),
                resolution="Done",
                created_at=T0,
                updated_at=T0,
            )
        )
        stored = Ticket.objects.get()
        assert counts.changed == 1
        assert (stored.status, stored.remote_status, stored.reference) == ("in_progress", "working", "SUP-1")
        assert (stored.priority, stored.category, stored.tags, stored.resolution) == (
            "high",
            "billing",
            ["a", "b"],
            "Done",
        )
        assert stored.remote_created_at == stored.remote_updated_at == project_time(T0)
        assert stored.raw == {"id": "R-1"}

    def test_what_is_ours_is_never_merged_on_a_ticket_raised_here(self, ticket):
        ticket(customer_id="C-1", contact_name="Ada", contact_email="ada@example.com", options={"a": 1})
        take(
            record(
                subject="X", description="X", customer_id="X", contact_name="X", contact_email="x@x.example",
                status=Status.OPEN,
            )
        )  # fmt: skip
        stored = Ticket.objects.get()
        assert (stored.subject, stored.description, stored.customer_id) == ("Subject", "Description", "C-1")
        assert (stored.contact_name, stored.contact_email, stored.options) == ("Ada", "ada@example.com", {"a": 1})
        assert stored.status == "open"

    def test_texts_of_a_ticket_raised_at_the_vendor_are_the_vendors(self, ticket):
        ticket(origin=Ticket.Origin.VENDOR)
        take(record(subject="New subject", description="New text", contact_email="ada@example.com"))
        stored = Ticket.objects.get()
        assert (stored.subject, stored.description, stored.contact_email) == (
            "New subject",
            "New text",
            "ada@example.com",
        )
        changes = TicketEvent.objects.get().changes
        assert changes == {"subject": "changed", "description": "changed", "contact_email": "changed"}

    @pytest.mark.fault(42)
    def test_absent_is_left_alone_and_empty_is_taken_over(self, ticket):
        ticket(reference="SUP-1", priority="high", tags=["a"], closed_at=project_time(T0), remote_status="open")
        take(record())
        stored = Ticket.objects.get()
        assert (stored.reference, stored.priority, stored.tags, stored.remote_status) == (
            "SUP-1",
            "high",
            ["a"],
            "open",
        )
        take(record(reference="", priority="", tags=(), closed_at=None, comments=(), attachments=()))
        stored = Ticket.objects.get()
        assert (stored.reference, stored.priority, stored.tags, stored.closed_at) == ("", "", [], None)

    def test_a_record_of_nobody_here_is_counted(self):
        assert take(record("R-9")).unknown == 1
        assert not Ticket.objects.exists()

    def test_the_same_remote_id_of_another_account_is_left_alone(self, ticket):
        ticket(provider="other")
        assert take(record(status=Status.OPEN)).unknown == 1
        assert Ticket.objects.get().status == "pending"


@pytest.mark.fault(46)
class TestGuard:
    def test_an_older_version_loses_whenever_its_fetch_started(self, ticket):
        ticket()
        now = epoch_now("default")
        take(record(status=Status.IN_PROGRESS, updated_at=T0 + timedelta(seconds=1)), at=now)
        counts = take(record(status=Status.OPEN, updated_at=T0), at=now + 1000)
        assert counts.stale == 1
        assert Ticket.objects.get().status == "in_progress"

    def test_a_newer_version_wins_even_if_its_fetch_started_earlier(self, ticket):
        ticket()
        now = epoch_now("default")
        take(record(status=Status.OPEN, updated_at=T0), at=now)
        take(record(status=Status.IN_PROGRESS, updated_at=T0 + timedelta(seconds=1)), at=now - 1000)
        assert Ticket.objects.get().status == "in_progress"

    @pytest.mark.parametrize("version", [T0, None, ABSENT])
    def test_equal_or_unknown_versions_are_told_apart_by_the_start_of_the_fetch(self, ticket, version):
        ticket()
        now = epoch_now("default")
        take(record(status=Status.IN_PROGRESS, updated_at=version), at=now)
        assert take(record(status=Status.OPEN, updated_at=version), at=now - 1).stale == 1
        assert Ticket.objects.get().status == "in_progress"
        take(record(status=Status.WAITING, updated_at=version), at=now + 1)
        assert Ticket.objects.get().status == "waiting"

    def test_an_unchanged_record_moves_the_mark_for_slower_fetches(self, ticket):
        ticket()
        now = epoch_now("default")
        same = record(status=Status.OPEN)
        take(same, at=now)
        assert take(same, at=now + 1000).unchanged == 1
        assert take(record(status=Status.IN_PROGRESS), at=now + 500).stale == 1
        assert Ticket.objects.get().status == "open"

    def test_a_settled_ticket_reopens_only_by_a_fetch_that_started_later(self, ticket):
        ticket()
        now = epoch_now("default")
        take(record(status=Status.CLOSED, updated_at=T0), at=now)
        newer = T0 + timedelta(seconds=1)
        assert take(record(status=Status.OPEN, updated_at=newer), at=now - 1).stale == 1
        stored = Ticket.objects.get()
        assert stored.status == "closed"
        assert stored.next_poll_at <= django_timezone.now()  # a fresh GET decides
        take(record(status=Status.OPEN, updated_at=newer), at=now + 1)
        assert Ticket.objects.get().status == "open"

    @pytest.mark.parametrize(
        "order", list(itertools.permutations(range(5))), ids=lambda order: "".join(map(str, order))
    )
    def test_five_states_in_every_order_end_in_the_last(self, ticket, order):
        ticket()
        now = epoch_now("default")
        states = [Status.PENDING, Status.OPEN, Status.WAITING, Status.RESOLVED, Status.CLOSED]
        comments = tuple(CommentRecord(remote_id=f"c{number}", body=f"Number {number}") for number in range(5))
        history = [
            # Two of them within the same second of the vendor.
            Fetched(
                record(status=status, updated_at=T0 + timedelta(seconds=number // 2), comments=comments[: number + 1]),
                now + number,
            )
            for number, status in enumerate(states)
        ]
        for number in order:
            merge("desk", [history[number]])
        stored = Ticket.objects.get()
        assert stored.status == "closed"
        assert set(stored.comments.values_list("remote_id", flat=True)) == {"c0", "c1", "c2", "c3", "c4"}


class TestSchedule:
    def test_an_unchanged_row_is_not_rewritten_and_not_reported(self, ticket, django_assert_num_queries):
        ticket()
        one = record(status=Status.OPEN, updated_at=T0, comments=(CommentRecord(remote_id="c", body="x"),))
        take(one)
        before = Ticket.objects.values().get()
        counts = take(one)
        after = Ticket.objects.values().get()
        assert (counts.changed, counts.unchanged) == (0, 1)
        moved = {name for name in before if before[name] != after[name]}
        assert moved <= {"synced_at", "next_poll_at"}

    def test_a_change_brings_the_first_interval_and_age_the_later_ones(self, ticket):
        ticket(delivered_at=None, created_at=project_time(T0))
        take(record(status=Status.OPEN))
        stored = Ticket.objects.get()
        assert stored.next_poll_at - stored.synced_at > timedelta(hours=1)  # known for long, and just looked at
        take(record(status=Status.WAITING))
        stored = Ticket.objects.get()
        assert timedelta(seconds=50) < stored.next_poll_at - stored.synced_at < timedelta(seconds=70)

    @pytest.mark.parametrize(
        ("age", "wait"),
        [
            (timedelta(minutes=-60), timedelta(minutes=1)),  # the vendor's clock is ahead
            (timedelta(minutes=2), timedelta(minutes=1)),
            (timedelta(minutes=30), timedelta(minutes=5)),
            (timedelta(hours=3), timedelta(minutes=15)),
            (timedelta(hours=48), timedelta(hours=1)),
            (timedelta(days=10), timedelta(days=1)),
            (timedelta(days=99999), timedelta(days=7)),
        ],
    )
    def test_default_schedule(self, age, wait):
        now = django_timezone.now()
        assert next_poll("open", now - age, now=now, capabilities=Capabilities()) == now + wait

    def test_settled_rarely_and_final_never(self):
        now = django_timezone.now()
        capabilities = Capabilities(final_statuses=frozenset({Status.FAILED}))
        assert next_poll("closed", now, now=now, capabilities=capabilities) == now + timedelta(days=7)
        assert next_poll("failed", now, now=now, capabilities=capabilities) is None

    def test_schedule_is_a_setting(self, settings):
        settings.SUPPORT_TICKETS_POLL_SCHEDULE = [(timedelta(hours=1), timedelta(minutes=7)), (timedelta(days=9), None)]
        now = django_timezone.now()
        assert next_poll("open", now, now=now, capabilities=Capabilities()) == now + timedelta(minutes=7)
        assert next_poll("open", now - timedelta(days=30), now=now, capabilities=Capabilities()) is None

    def test_backoff_grows_with_the_time_since_the_last_success_and_stays_within_an_hour(self):
        now = django_timezone.now()
        for since, longest in ((0, 61), (600, 601), (10**7, 3601)):
            waits = [(backoff(now - timedelta(seconds=since), now=now) - now).total_seconds() for _ in range(50)]
            assert min(waits) >= 1 and max(waits) <= longest
        assert max(waits) - min(waits) > 600  # spread over the hour

    @pytest.mark.parametrize("is_planned", [True, False])
    def test_a_hint_during_the_fetch_keeps_the_ticket_due(self, ticket, is_planned):
        due_at = ticket().next_poll_at
        started = epoch_now("default")
        hint = django_timezone.now() + timedelta(milliseconds=2)
        Ticket.objects.update(next_poll_at=hint)
        merge("desk", [Fetched(record(status=Status.OPEN), started, due_at if is_planned else None)])
        assert Ticket.objects.get().next_poll_at == hint

    def test_a_hint_by_a_slow_clock_is_seen_too(self, ticket):
        due_at = ticket().next_poll_at
        hint = due_at - timedelta(minutes=5)
        Ticket.objects.update(next_poll_at=hint)
        merge("desk", [Fetched(record(status=Status.OPEN), epoch_now("default"), due_at)])
        assert Ticket.objects.get().next_poll_at == hint


class TestEcho:
    @pytest.fixture
    def ours(self, ticket):
        def make(body: str, delivery: str = "delivered", **values: Any) -> Comment:
            values.setdefault("submitted_at", django_timezone.now())
            parent = Ticket.objects.first() or ticket()
            return Comment.objects.bulk_create([Comment(ticket=parent, body=body, delivery=delivery, **values)])[0]

        return make

    @pytest.mark.fault(14)
    @pytest.mark.parametrize("delivery", ["delivered", "queued", "uncertain"])
    def test_our_own_comment_is_linked_and_no_news(self, ours, delivery, django_capture_on_commit_callbacks):
        own = ours("Any  news?\n", delivery)
        heard: list[Any] = []
        signals.comment_added.connect(lambda **data: heard.append(data), weak=False, dispatch_uid="echo")
        with django_capture_on_commit_callbacks(execute=True):
            counts = take(
                record(comments=(CommentRecord(remote_id="c1", author_type=AuthorType.CUSTOMER, body="Any news?"),))
            )
        signals.comment_added.disconnect(dispatch_uid="echo")
        own.refresh_from_db()
        assert Comment.objects.count() == 1
        assert own.remote_id == "c1"
        assert own.body == "Any  news?\n"
        assert own.delivery == ("queued" if delivery == "queued" else "delivered")
        assert (counts.comments, counts.changed, heard) == (0, 0, [])
        assert not TicketEvent.objects.exists()

    def test_html_of_the_vendor_is_compared_as_text(self, ours):
        ours("A & B\nC")
        take(
            record(
                comments=(CommentRecord(remote_id="c1", body="<p>A &amp; B</p><p>C</p>", body_format=BodyFormat.HTML),)
            )
        )
        assert Comment.objects.get().remote_id == "c1"

    def test_an_agent_who_says_the_same_is_no_echo(self, ours):
        ours("Thanks", "queued")
        take(record(comments=(CommentRecord(remote_id="c1", author_type=AuthorType.AGENT, body="Thanks"),)))
        assert Comment.objects.count() == 2

    def test_each_of_ours_is_linked_once(self, ours):
        ours("Thanks")
        ours("Thanks")
        same = [CommentRecord(remote_id=f"c{number}", body="Thanks") for number in range(3)]
        assert take(record(comments=tuple(same))).comments == 1
        assert set(Comment.objects.values_list("remote_id", flat=True)) == {"c0", "c1", "c2"}

    @pytest.mark.parametrize("delivery", ["draft", "refused"])
    def test_what_cannot_be_there_is_not_linked(self, ours, delivery):
        ours("Thanks", delivery)
        assert take(record(comments=(CommentRecord(remote_id="c1", body="Thanks"),))).comments == 1

    def test_our_text_is_not_replaced_by_the_vendors(self, ours):
        ours("Ours", remote_id="c1")
        take(record(comments=(CommentRecord(remote_id="c1", body="Theirs"),)))
        assert Comment.objects.get().body == "Ours"

    def test_the_vendors_copy_of_the_description_is_no_comment(self, ticket):
        ticket(description="It does\nnot work.")
        copy = CommentRecord(author_type=AuthorType.CUSTOMER, body="It does not work.", sent_at=T0)
        answer = CommentRecord(author_type=AuthorType.AGENT, body="We look.", sent_at=T0 + timedelta(hours=1))
        again = CommentRecord(
            author_type=AuthorType.CUSTOMER, body="It does not work.", sent_at=T0 + timedelta(hours=2)
        )
        assert take(record(comments=(answer, copy))).comments == 1  # the order of a vendor is not known
        assert take(record(comments=(answer, copy, again))).comments == 1  # said again, it is a comment

    def test_an_upload_of_ours_is_linked_by_name_and_size(self, ticket):
        parent = ticket()
        own = Attachment(ticket=parent, name="log.pdf", size=7, delivery="uncertain")
        other = Attachment(ticket=parent, name="log.pdf", size=8, delivery="delivered")
        Attachment.objects.bulk_create([own, other])
        assert take(record(attachments=(AttachmentRecord(remote_id="a1", name="log.pdf", size=7),))).attachments == 0
        own.refresh_from_db()
        other.refresh_from_db()
        assert (own.remote_id, own.delivery, own.direction, own.state) == ("a1", "delivered", "out", "stored")
        assert other.remote_id is None


class TestConversation:
    def test_comments_are_added_once_and_never_removed(self, ticket):
        ticket()
        first = CommentRecord(remote_id="c1", author_type=AuthorType.AGENT, author_name="Bo", body="Hi", sent_at=T0)
        second = CommentRecord(remote_id="c2", author_type=AuthorType.CUSTOMER, body="Hello")
        assert take(record(comments=(first,))).comments == 1
        assert take(record(comments=(second, first))).comments == 1
        assert take(record(comments=())).comments == 0
        stored = Comment.objects.get(remote_id="c1")
        assert Comment.objects.count() == 2
        assert (stored.author_type, stored.author_name, stored.delivery) == ("agent", "Bo", "delivered")
        assert stored.sent_at == stored.created_at == project_time(T0)
        assert Ticket.objects.get().last_comment_at == project_time(T0)

    def test_comments_without_an_id_are_told_apart_by_what_they_say_and_how_often(self, ticket):
        ticket()
        hello = CommentRecord(author_name="Bo", body="Hello", sent_at=T0)
        other = CommentRecord(author_name="Bo", body="Hello", sent_at=T0 + timedelta(seconds=1))
        assert take(record(comments=(hello, hello, other))).comments == 3
        assert take(record(comments=(other, hello, hello))).comments == 0
        assert take(record(comments=(other, hello, hello, hello))).comments == 1
        assert all(name.startswith("~") for name in Comment.objects.values_list("remote_id", flat=True))

    def test_a_comment_corrected_at_the_vendor_is_corrected_here(self, ticket):
        ticket()
        take(record(comments=(CommentRecord(remote_id="c1", author_type=AuthorType.AGENT, body="Wrnog"),)))
        counts = take(record(comments=(CommentRecord(remote_id="c1", author_type=AuthorType.AGENT, body="Wrong"),)))
        assert Comment.objects.get().body == "Wrong"
        assert counts.comments == 0

    def test_files_of_the_vendor_become_rows(self, ticket):
        ticket()
        comment = CommentRecord(remote_id="c1", author_type=AuthorType.AGENT, body="See file")
        file = AttachmentRecord(
            remote_id="a1", remote_url="https://v.example/1", name="log.pdf", content_type="application/pdf", size=9,
            comment_id="c1",
        )  # fmt: skip
        loose = AttachmentRecord(name="x.png", size=1)
        counts = take(record(comments=(comment,), attachments=(file, loose, loose)))
        assert counts.attachments == 3
        stored = Attachment.objects.get(remote_id="a1")
        assert (stored.direction, stored.state, stored.delivery) == ("in", "remote", "delivered")
        assert (stored.name, stored.content_type, stored.size) == ("log.pdf", "application/pdf", 9)
        assert stored.comment == Comment.objects.get()
        assert take(record(comments=(comment,), attachments=(loose, loose, file))).attachments == 0
        kinds = list(TicketEvent.objects.values_list("kind", "changes"))
        assert kinds == [("commented", {"comments": 1}), ("attached", {"attachments": 3})]

    def test_a_new_address_of_a_file_replaces_the_expired_one(self, ticket):
        ticket()
        take(record(attachments=(AttachmentRecord(remote_id="a1", name="a", remote_url="https://v.example/1?old"),)))
        counts = take(
            record(attachments=(AttachmentRecord(remote_id="a1", name="a", remote_url="https://v.example/1?new"),))
        )
        assert Attachment.objects.get().remote_url.endswith("new")
        assert (counts.changed, counts.attachments) == (0, 0)


class TestOddData:
    @pytest.mark.fault(41)
    def test_unknown_values_of_enums_are_unknown_and_kept_verbatim(self, ticket):
        ticket()
        odd: Any = "Escalated!"
        comment = CommentRecord(remote_id="c1", author_type=odd, body_format=odd, body="x")
        take(
            record(
                status=odd, remote_status="Escalated!", priority="P0", comments=(comment,), raw={"status": "Escalated!"}
            )
        )
        stored = Ticket.objects.get()
        assert (stored.status, stored.remote_status, stored.priority) == ("unknown", "Escalated!", "P0")
        assert stored.raw == {"status": "Escalated!"}
        assert Comment.objects.values_list("author_type", "body_format").get() == ("unknown", "text")

    @pytest.mark.fault(43)
    def test_text_that_databases_refuse_is_cleaned_visibly(self, ticket):
        ticket()
        bad = "a\x00b\ud800c"
        take(
            record(
                remote_status=bad, tags=(bad,), resolution=bad,
                raw={bad: bad, "deep": {"n": float("nan"), "big": 10**40}},
                comments=(CommentRecord(remote_id="c1", author_name=bad, body=bad),),
                attachments=(AttachmentRecord(remote_id="a1", name=bad, content_type=bad, remote_url=bad),),
            )
        )  # fmt: skip
        stored = Ticket.objects.get()
        clean = "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
        assert (stored.remote_status, stored.tags, stored.resolution) == (clean, [clean], clean)
        assert stored.raw == {clean: clean, "deep": {"n": None, "big": str(10**40)}}
        assert Comment.objects.get().body == clean
        assert Attachment.objects.get().name == clean

    @pytest.mark.fault(44)
    @pytest.mark.parametrize(
        ("given", "stored"),
        [
            (datetime(2026, 3, 1, 10), T0),
            (datetime(2026, 3, 1, 5, tzinfo=timezone(timedelta(hours=-5))), T0),
            (datetime(1, 1, 1, tzinfo=UTC), None),
            (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9))), None),
            (datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-9))), None),
            ("2026-03-01", None),
            (None, None),
        ],
    )
    def test_times_of_any_kind(self, ticket, given, stored):
        ticket()
        take(record(resolved_at=given, comments=(CommentRecord(remote_id="c1", body="x", sent_at=given),)))
        expected = stored and project_time(stored)
        assert Ticket.objects.get().resolved_at == expected
        assert Comment.objects.get().sent_at == expected

    @pytest.mark.fault(44)
    def test_times_without_time_zones(self, ticket, settings):
        settings.USE_TZ = False
        ticket()
        take(record(updated_at=T0, status=Status.OPEN))
        take(record(updated_at=T0 + timedelta(hours=1), status=Status.WAITING))
        take(record(updated_at=T0, status=Status.OPEN))
        stored = Ticket.objects.get()
        assert stored.status == "waiting"
        assert stored.remote_updated_at == project_time(T0 + timedelta(hours=1))

    @pytest.mark.fault(44, 92)
    def test_the_hour_that_local_clocks_pass_twice(self, ticket, settings):
        settings.USE_TZ, settings.TIME_ZONE = False, "Europe/London"
        before, after = datetime(2026, 10, 25, 0, 50, tzinfo=UTC), datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
        assert project_time(before) > project_time(after)
        ticket()
        take(record(updated_at=before, status=Status.OPEN))
        take(record(updated_at=after, status=Status.WAITING))
        take(record(updated_at=before - timedelta(hours=1), status=Status.OPEN))
        assert Ticket.objects.get().status == "waiting"

    @pytest.mark.fault(44)
    def test_a_time_to_come_does_not_outdate_all_later_news(self, ticket):
        ticket()
        take(record(updated_at=datetime(2999, 1, 1, tzinfo=UTC), status=Status.OPEN))
        take(record(updated_at=T0, status=Status.WAITING))
        assert Ticket.objects.get().status == "waiting"

    @pytest.mark.fault(45)
    def test_long_text_is_clipped_visibly(self, ticket):
        ticket(origin=Ticket.Origin.VENDOR)
        emoji = "\N{PARTY POPPER}" * 300
        rtl = "\u202egnp.exe"
        take(
            record(
                subject="s" * 600, remote_status=emoji, reference="r" * 100, priority=rtl, contact_email="e" * 300,
                comments=(CommentRecord(remote_id="c" * 300, author_name="n" * 300, body=emoji),),
                attachments=(AttachmentRecord(remote_id="a1", name="f" * 300, content_type="t" * 200, size=2**70),),
            )
        )  # fmt: skip
        stored = Ticket.objects.get()
        assert stored.subject == "s" * 499 + "…"
        assert stored.remote_status == emoji[:63] + "…"
        assert (len(stored.reference), stored.priority, len(stored.contact_email)) == (64, rtl, 254)
        comment = Comment.objects.get()
        assert comment.body == emoji and comment.author_name == "n" * 199 + "…" and comment.remote_id.startswith("~")
        assert Attachment.objects.values_list("size", "name").get() == (None, "f" * 90)
        assert Attachment.objects.get().original_name == "f" * 254 + "…"

    def test_raw_is_kept_without_lists_of_objects_and_within_its_limit(self, ticket):
        ticket()
        take(record(raw={"id": 1, "tags": ["a", 1], "threads": [{"message": "secret"}], "inner": {"list": [[1]]}}))
        assert Ticket.objects.get().raw == {"id": 1, "tags": ["a", 1], "inner": {}}
        take(record(raw={"text": "x" * 70_000}))
        raw = Ticket.objects.get().raw
        assert raw["_bytes"] > 70_000 and "x" * 100 not in str(raw)

    def test_deep_raw_is_cut(self):
        deep: dict[str, Any] = {}
        for _ in range(900):
            deep = {"d": deep}
        assert len(str(cleaning.raw(deep))) < 300

    @pytest.mark.fault(49)
    def test_markup_is_stored_as_it_is(self, ticket):
        ticket()
        evil = '<svg onload=alert(1)> javascript:alert(1) =HYPERLINK("x")'
        take(
            record(remote_status="x", comments=(CommentRecord(remote_id="c1", body=evil, body_format=BodyFormat.HTML),))
        )
        assert Comment.objects.values_list("body", "body_format").get() == (evil, "html")  # who shows it escapes it

    def test_records_of_a_careless_provider(self, ticket):
        ticket()
        odd: Any = record(tags=None, reference=7, status=None, comments=[CommentRecord(remote_id="c1", body=None)])  # type: ignore[arg-type]
        take(odd)
        stored = Ticket.objects.get()
        assert (stored.tags, stored.reference, stored.status) == ([], "7", "unknown")
        assert Comment.objects.get().body == ""


class TestIsolation:
    def test_one_record_that_cannot_be_read_does_not_stop_the_others(self, ticket):
        for number in range(5):
            ticket(f"R-{number}")
        broken: Any = object()
        records = [record(f"R-{number}", status=Status.OPEN) for number in range(5)]
        records[2] = record("R-2", tags=broken)
        counts = take(*records)
        assert (counts.changed, counts.failed) == (4, 1)
        assert counts.failures == ["ticket R-2: it could not be stored (TypeError)"]
        assert Ticket.objects.filter(status="open").count() == 4

    @pytest.mark.skipif("connection.vendor != 'sqlite'", reason="written in SQLite's trigger language")
    def test_one_row_that_the_database_refuses_does_not_stop_the_others(self, ticket):
        for number in range(5):
            ticket(f"R-{number}")
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TEMP TRIGGER refuse BEFORE INSERT ON support_tickets_comment WHEN NEW.body = 'BOOM' "
                "BEGIN SELECT RAISE(ABORT, 'no such secret'); END"
            )
        try:
            counts = take(
                *(
                    record(
                        f"R-{number}", status=Status.OPEN,
                        comments=(CommentRecord(remote_id="c", body="BOOM" if number == 2 else "x"),),
                    )
                    for number in range(5)
                )
            )  # fmt: skip
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP TRIGGER refuse")
        assert (counts.changed, counts.comments, counts.failed) == (4, 4, 1)
        assert counts.failures == ["ticket R-2: it could not be stored (IntegrityError)"]
        assert list(Ticket.objects.exclude(status="open").values_list("remote_id", flat=True)) == ["R-2"]

    @pytest.mark.fault(45)
    def test_emoji_are_replaced_where_the_database_takes_three_bytes(self, ticket):
        full = record(
            status=Status.OPEN, tags=("a\N{PARTY POPPER}",), raw={"a": ["\N{PARTY POPPER}"], "n": 1},
            comments=(CommentRecord(remote_id="c1", body="Yes \N{PARTY POPPER} \u20ac"),),
        )  # fmt: skip
        plain = cleaning.in_three_bytes(full)
        bad = "\N{REPLACEMENT CHARACTER}"
        assert plain.comments[0].body == f"Yes {bad} \u20ac" and list(plain.tags) == [f"a{bad}"]
        assert plain.raw == {"a": [bad], "n": 1} and plain.status is Status.OPEN and plain.reference is ABSENT
        ticket()
        assert take(full).failed == 0
        assert Comment.objects.get().body in ("Yes \N{PARTY POPPER} \u20ac", f"Yes {bad} \u20ac")

    @pytest.mark.fault(89)
    def test_nothing_comes_back_of_an_erased_ticket(self, ticket):
        ticket(origin=Ticket.Origin.VENDOR, digest=ERASED, status="closed", subject="", next_poll_at=None)
        counts = take(record(status=Status.OPEN, subject="Theirs", comments=(CommentRecord(body="x"),)))
        stored = Ticket.objects.get()
        assert (stored.status, stored.subject, stored.next_poll_at, stored.raw) == ("closed", "", None, None)
        assert not Comment.objects.exists() and counts.changed == 0

    @pytest.mark.fault(91)
    def test_a_transaction_that_the_database_undoes_is_started_over(self, transactional_db):
        tries = []

        def work() -> str:
            tries.append(1)
            if len(tries) < 3:
                raise OperationalError("deadlock detected")
            return "done"

        assert in_transaction(work, using="default") == "done"

        def fail() -> None:
            tries.append(1)
            raise OperationalError("disk full")

        tries.clear()
        with pytest.raises(OperationalError):
            in_transaction(fail, using="default")
        assert len(tries) == 4
        tries.clear()
        with pytest.raises(OperationalError), transaction.atomic():
            in_transaction(fail, using="default")
        assert len(tries) == 1  # nothing of the caller's transaction can be repeated from here

    def test_the_same_ticket_twice_in_one_call(self, ticket):
        ticket()
        now = epoch_now("default")
        pair = [Fetched(record(status=Status.WAITING), now + 1), Fetched(record(status=Status.OPEN), now)]
        counts = merge("desk", pair)
        assert (counts.changed, counts.stale) == (1, 1)
        assert Ticket.objects.get().status == "waiting"

    @pytest.mark.parametrize("size", [10, 50])
    def test_queries_do_not_grow_with_the_page(self, ticket, size, django_assert_num_queries):
        for number in range(size):
            ticket(f"R-{number}")
        full = [
            record(
                f"R-{number}", status=Status.OPEN, comments=(CommentRecord(remote_id="c", body="x"),) * 3,
                attachments=(AttachmentRecord(remote_id="a", name="x"),),
            )
            for number in range(size)
        ]  # fmt: skip
        fetched = [Fetched(one, epoch_now("default")) for one in full]
        takes_lock = not connection.features.has_select_for_update
        # Savepoint and release; clock; tickets for the guard, tickets, comments, files; one UPDATE; three INSERTs.
        with django_assert_num_queries(11 + takes_lock):
            merge("desk", fetched)
        with django_assert_num_queries(5 + takes_lock):
            merge("desk", fetched)
        strangers = [Fetched(replace(one, remote_id=f"S-{one.remote_id}"), epoch_now("default")) for one in full]
        # Savepoint and release; known remote ids; clock; three INSERTs and the keys of the first.
        with django_assert_num_queries(8 + takes_lock):
            import_tickets("desk", strangers)


class TestSignals:
    @pytest.fixture
    def heard(self):
        heard: list[Any] = []
        names = ("ticket_changed", "comment_added", "attachment_added", "ticket_imported", "ticket_missing")
        for name in names:

            def receive(signal: Any, sender: Any, name: str = name, **data: Any) -> None:
                heard.append((name, data))
                raise RuntimeError("a receiver of the project")

            getattr(signals, name).connect(receive, weak=False, dispatch_uid=f"test-{name}")
        yield heard
        for name in names:
            getattr(signals, name).disconnect(dispatch_uid=f"test-{name}")

    def test_sent_after_commit_and_a_receiver_that_raises_stops_nothing(
        self, ticket, heard, django_capture_on_commit_callbacks
    ):
        one = ticket()
        with django_capture_on_commit_callbacks(execute=True):
            take(
                record(
                    status=Status.OPEN, updated_at=T0, comments=(CommentRecord(remote_id="c1", body="x"),),
                    attachments=(AttachmentRecord(remote_id="a1", name="x"),),
                )
            )  # fmt: skip
            assert heard == []
        names = [name for name, _ in heard]
        assert names == ["ticket_changed", "comment_added", "attachment_added"]
        changed, comment, attachment = (data for _, data in heard)
        assert changed["ticket"] == one and changed["ticket"].status == "open"
        assert changed["changes"] == {"status": ("pending", "open")}
        assert comment["comment"] == Comment.objects.get() and comment["comment"].ticket == one
        assert attachment["attachment"] == Attachment.objects.get()

    def test_not_sent_for_what_was_rolled_back(self, ticket, heard, django_capture_on_commit_callbacks):
        ticket()
        with django_capture_on_commit_callbacks(execute=True), pytest.raises(ZeroDivisionError), transaction.atomic():
            take(record(status=Status.OPEN))
            raise ZeroDivisionError
        assert heard == []

    def test_events_keep_old_and_new_values_but_no_text(self, ticket):
        ticket(remote_status="new")
        take(record(status=Status.RESOLVED, remote_status="solved", resolution="Secret text", resolved_at=T0))
        event = TicketEvent.objects.get()
        assert event.kind == "changed" and event.source == "pull"
        assert event.changes == {
            "status": ["pending", "resolved"],
            "remote_status": ["new", "solved"],
            "resolution": "changed",
            "resolved_at": [None, project_time(T0).isoformat()],
        }

    def test_found_again(self, ticket, heard, django_capture_on_commit_callbacks):
        one = ticket(missing_since=django_timezone.now() - timedelta(hours=1), digest=NOT_FOUND)
        with django_capture_on_commit_callbacks(execute=True):
            old = take(record(), at=epoch_now("default") - 2 * 3600 * 1000)
            assert old.stale == 1  # its fetch started before the ticket was found missing
            counts = take(record())
        one.refresh_from_db()
        assert counts.found_again == 1 and one.missing_since is None
        assert heard == [("ticket_missing", {"ticket": one, "missing": False})]
        assert TicketEvent.objects.get().kind == "found_again"


class TestImport:
    def test_an_unknown_ticket_becomes_one_of_nobody(self, ticket):
        now = epoch_now("default")
        full = record(
            "R-7", subject="Theirs", description="Text", customer_id="C-1", status=Status.OPEN,
            created_at=T0, updated_at=T0,
            comments=(CommentRecord(remote_id="c1", author_type=AuthorType.AGENT, body="Hi"),),
            attachments=(AttachmentRecord(remote_id="a1", name="x", comment_id="c1"),),
        )  # fmt: skip
        counts = import_tickets("desk", [Fetched(full, now)])
        stored = Ticket.objects.get()
        assert (counts.imported, counts.comments, counts.attachments, counts.changed) == (1, 1, 1, 0)
        assert (stored.origin, stored.delivery, stored.requester, stored.subject) == (
            "vendor",
            "delivered",
            None,
            "Theirs",
        )
        assert (stored.customer_id, stored.created_at) == ("C-1", project_time(T0))
        assert stored.next_poll_at is not None and stored.synced_at is not None and stored.digest
        assert Attachment.objects.get().comment == Comment.objects.get()
        assert merge("desk", [Fetched(full, now + 1)]).unchanged == 1
        assert import_tickets("desk", [Fetched(full, now + 2)]).unknown == 1

    def test_one_with_the_key_of_ours_is_left_to_push(self, ticket):
        own = ticket(remote_id=None, delivery="queued", next_poll_at=None)
        now = epoch_now("default")
        ours, foreign = record("R-1", key=str(own.key)), record("R-2", key="0b0e7a0e-7d1c-4a86-9d1c-5a3f5f0f1a11")
        counts = import_tickets("desk", [Fetched(ours, now), Fetched(foreign, now)])
        assert (counts.imported, counts.unknown) == (1, 1)
        assert Ticket.objects.get(remote_id="R-2").key != "0b0e7a0e-7d1c-4a86-9d1c-5a3f5f0f1a11"

    def test_one_that_cannot_be_read_does_not_stop_the_others(self):
        broken: Any = object()
        now = epoch_now("default")
        counts = import_tickets("desk", [Fetched(record("R-1", tags=broken), now), Fetched(record("R-2"), now)])
        assert (counts.imported, counts.failed) == (1, 1)


def test_preview_tells_and_writes_nothing(ticket):
    ticket(origin=Ticket.Origin.VENDOR, remote_status="new")
    before = Ticket.objects.values().get()
    full = record(status=Status.OPEN, remote_status="open", subject="Secret", comments=(CommentRecord(body="x"),))
    counts, (difference,) = preview("desk", [Fetched(full, epoch_now("default"))])
    assert counts.changed == 1
    assert difference.changes == {
        "status": ("pending", "open"),
        "remote_status": ("new", "open"),
        "subject": ("…", "changed"),
    }
    assert difference.comments == 1
    assert Ticket.objects.values().get() == before and not Comment.objects.exists()


class TestWriting:
    def test_insert_rows_stores_what_bulk_create_stores(self, ticket):
        parent = ticket()
        values = {
            "body": "Text",
            "sent_at": project_time(T0),
            "author_type": AuthorType.AGENT,
            "delivery": Delivery.DELIVERED,
        }
        times = {"created_at": project_time(T0), "updated_at": project_time(T0)}
        ours = [Comment(ticket=parent, remote_id=f"a{number}", **values, **times) for number in range(3)]
        peer = [Comment(ticket=parent, remote_id=f"b{number}", **values, **times) for number in range(3)]
        insert_rows(Comment, ours, using="default")
        find_keys(Comment, ours, using="default")
        Comment.objects.bulk_create(peer)
        names = [
            field.name for field in Comment._meta.fields if field.name not in ("id", "key", "remote_id", "updated_at")
        ]
        stored = [
            list(Comment.objects.filter(remote_id__startswith=mark).order_by("pk").values_list(*names)) for mark in "ab"
        ]
        assert stored[0] == stored[1]
        assert [row.pk for row in ours] == list(
            Comment.objects.filter(remote_id__startswith="a").order_by("remote_id").values_list("pk", flat=True)
        )

    def test_update_rows_can_leave_alone_what_has_changed(self, ticket):
        one, two = ticket("R-1"), ticket("R-2")
        Ticket.objects.filter(pk=two.pk).update(next_poll_at=None)
        rows = [(row.pk, ("x",), row.next_poll_at) for row in (two, one)]
        update_rows(Ticket, ("digest",), rows, using="default", unchanged="next_poll_at")
        assert list(Ticket.objects.order_by("pk").values_list("digest", flat=True)) == ["x", ""]
