from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, storages
from django.core.management import CommandError, call_command
from django.db.models import ProtectedError, RestrictedError
from django.db.models.signals import pre_delete

from django_support_tickets.management.erasure import VendorCopy, erase, find_user
from django_support_tickets.merge import Fetched, merge
from django_support_tickets.models import (
    Attachment,
    Comment,
    Delivery,
    OutboxEntry,
    ProviderState,
    Ticket,
    TicketEvent,
    WebhookDelivery,
    epoch_now,
)
from django_support_tickets.outbox.push import push
from django_support_tickets.records import CommentRecord, Page, Status, TicketRecord
from django_support_tickets.sync import hint, hint_all, pull
from django_support_tickets.sync.lock import RunLock

pytestmark = [pytest.mark.django_db, pytest.mark.fault(89)]

CANARY = "canary"


class TiredStorage(InMemoryStorage):
    """A storage that deletes so many files and then raises."""

    error: BaseException | None = None
    left = 0

    def delete(self, name: str) -> None:
        if self.error is not None and type(self).left <= 0:
            raise self.error
        type(self).left -= 1
        super().delete(name)


@pytest.fixture
def user() -> Any:
    return get_user_model().objects.create_user("jo", email="jo.canary@example.com")


def raised(user: Any, **values: Any) -> Ticket:
    """Store a ticket in which every text names a canary."""
    texts = ("subject", "description", "contact_name", "resolution", "delivery_error", "customer_id", "about_id")
    canaries: dict[str, Any] = {name: f"{CANARY} {name}" for name in texts}
    canaries |= {"tags": [CANARY], "options": {"note": CANARY}, "raw": {"text": CANARY}}
    facts = {"provider": "local", "contact_email": "jo.canary@example.com", "requester": user}
    ticket = Ticket(**canaries | facts | values)
    return Ticket.objects.bulk_create([ticket])[0]


def at_vendor(user: Any, remote_id: str = "R-1", **values: Any) -> Ticket:
    return raised(user, **{"delivery": Delivery.DELIVERED, "remote_id": remote_id, "reference": "SUP-1", **values})


def talked_about(ticket: Ticket) -> Attachment:
    """Give a ticket a comment, a file, events and a webhook."""
    Comment.objects.bulk_create(
        [Comment(ticket=ticket, body=f"{CANARY} body", author_name=CANARY, delivery="delivered")]
    )
    file = Attachment(ticket=ticket, name=f"{CANARY}.pdf", delivery="delivered", size=1)
    file.file.save(file.name, ContentFile(b"x"), save=False)
    Attachment.objects.bulk_create([file])
    TicketEvent.objects.create(ticket=ticket, kind="changed", source="pull", changes={"resolution": ["", CANARY]})
    facts = {"reason": CANARY, "item": "create", "key": str(ticket.key), "remote_id": "R-1"}
    TicketEvent.objects.create(ticket=ticket, kind="delivered", source="push", changes=facts)
    WebhookDelivery.objects.create(provider=ticket.provider, identity=str(ticket.key), remote_id=ticket.remote_id or "")
    return file


def dump() -> str:
    """Return all of our tables as text."""
    output = StringIO()
    call_command("dumpdata", "support_tickets", stdout=output)
    return output.getvalue()


def run(*arguments: str) -> tuple[str, str]:
    """Run the command; return its output and what it says at the end if something is left."""
    output, ending = StringIO(), ""
    try:
        call_command("support_tickets_erase", *arguments, stdout=output)
    except CommandError as error:
        ending = str(error)
    return output.getvalue(), ending


class TestErase:
    def test_nothing_of_the_user_is_left(self, user: Any, django_capture_on_commit_callbacks: Any) -> None:
        for ticket in (at_vendor(user), raised(user, delivery=Delivery.DRAFT), raised(user, delivery=Delivery.REFUSED)):
            talked_about(ticket)
        names = list(Attachment.objects.values_list("file", flat=True))
        assert all(map(storages["support_tickets"].exists, names))
        with django_capture_on_commit_callbacks(execute=True):
            result = erase(user, using="default")
        assert not any(map(storages["support_tickets"].exists, names))
        assert (result.removed, result.redacted, result.files, result.is_complete) == (2, 1, 3, True)
        assert CANARY not in dump()

    def test_what_is_left_names_the_vendors_copy(self, user: Any) -> None:
        talked_about(at_vendor(user))
        result = erase(user, using="default")
        ticket = Ticket.objects.get()
        assert (ticket.remote_id, ticket.reference, ticket.delivery) == ("R-1", "SUP-1", Delivery.DELIVERED)
        assert result.vendor_copies == [VendorCopy("local", "SUP-1", "R-1")]
        assert not WebhookDelivery.objects.exists()
        kept = ticket.events.get(kind="delivered").changes
        assert kept == {"item": "create", "key": str(ticket.key), "remote_id": "R-1"}

    def test_twice_is_as_once(self, user: Any) -> None:
        talked_about(at_vendor(user))
        first = erase(user, using="default")
        after = dump()
        again = erase(user, using="default")
        assert (again.removed, again.redacted, again.files) == (0, 0, 0)
        assert again.vendor_copies == first.vendor_copies
        assert dump() == after

    def test_tickets_of_others_are_not_touched(self, user: Any) -> None:
        other = get_user_model().objects.create_user("sam")
        ticket = at_vendor(other)
        theirs = {"ticket": ticket, "created_by": user, "request_digest": "of what they sent"}
        Comment.objects.bulk_create([Comment(body="words", author_name="Jo", **theirs)])
        Attachment.objects.bulk_create([Attachment(name="a.txt", **theirs)])
        TicketEvent.objects.create(ticket=ticket, kind="settled", source="admin", actor=user)
        TicketEvent.objects.create(kind="cancelled", source="api", actor=user)
        erase(user, using="default")
        ticket.refresh_from_db()
        assert ticket.subject == f"{CANARY} subject"
        comment = Comment.objects.get()
        assert (comment.body, comment.author_name, comment.created_by) == ("words", "", None)
        assert Attachment.objects.values_list("name", "created_by").get() == ("a.txt", None)
        assert {row.request_digest for row in (comment, Attachment.objects.get())} == {""}
        assert [(event.ticket, event.actor) for event in TicketEvent.objects.all()] == [(ticket, None)]

    def test_the_lists_of_a_customer_go_with_the_last_ticket(self, user: Any) -> None:
        at_vendor(user, customer_id="acct-1")
        at_vendor(None, "R-2", customer_id="acct-2")
        at_vendor(user, "R-3", customer_id="acct-2")
        for scope in ("", "acct-1", "acct-2"):
            ProviderState.objects.create(provider="local", scope=scope)
        erase(user, using="default")
        assert set(ProviderState.objects.values_list("scope", flat=True)) == {"", "acct-2"}

    def test_others_with_the_same_address_are_counted(self, user: Any) -> None:
        at_vendor(None, contact_email="JO.canary@example.com")
        assert erase(user, using="default").others_by_email == 1

    def test_an_account_that_is_not_configured_any_more(self, user: Any) -> None:
        at_vendor(user, provider="old-desk")
        assert erase(user, using="default").redacted == 1


class TestWhatIsBeingSent:
    @pytest.mark.fault(15)
    def test_what_is_queued_is_cancelled(self, user: Any) -> None:
        ticket = Ticket.objects.create(provider="local", subject="S", requester=user)
        assert OutboxEntry.objects.filter(ticket=ticket).exists()
        assert erase(user, using="default").removed == 1
        assert not OutboxEntry.objects.exists()
        assert push("local").delivered == 0

    @pytest.mark.parametrize("error", [ProtectedError, RestrictedError])
    @pytest.mark.parametrize("delivery", [Delivery.QUEUED, Delivery.REFUSED])
    def test_one_that_rows_of_the_project_protect_is_emptied(self, user: Any, error: Any, delivery: Delivery) -> None:
        """A signal stands for a foreign key of theirs with on_delete=PROTECT or RESTRICT."""

        def protect(**kwargs: Any) -> None:
            raise error("An order needs it.", set())

        talked_about(raised(user, delivery=delivery))
        talked_about(at_vendor(user))
        pre_delete.connect(protect, sender=Ticket)
        try:
            result = erase(user, using="default")
        finally:
            pre_delete.disconnect(protect, sender=Ticket)
        assert (result.is_complete, result.removed, result.redacted) == (True, 0, 2)
        assert [copy.remote_id for copy in result.vendor_copies] == ["R-1"]
        assert CANARY not in dump()
        assert not Ticket.objects.filter(delivery__in=[Delivery.QUEUED, Delivery.UNCERTAIN]).exists()

    def test_a_queued_comment_of_a_delivered_ticket_is_cancelled(self, user: Any) -> None:
        ticket = Ticket.objects.create(provider="local", subject="S", requester=user)
        push("local")
        ticket.refresh_from_db()
        Comment.objects.create(ticket=ticket, body="Hello?")
        Ticket.objects.update(close_delivery=Delivery.QUEUED)
        assert erase(user, using="default").redacted == 1
        assert push("local").delivered == 0
        assert not OutboxEntry.objects.exists()

    @pytest.mark.parametrize("entry", [{"sent_at": 1}, {"leased_until": 99_999_999_999_999}])
    def test_what_is_in_flight_is_left_and_a_second_run_completes(self, user: Any, entry: dict[str, int]) -> None:
        ticket = raised(user, delivery=Delivery.QUEUED)
        OutboxEntry.objects.create(ticket=ticket, provider="local", **entry)
        other = raised(user, delivery=Delivery.DRAFT)
        output, ending = run("jo")
        assert f"something of ticket {ticket.key} is being sent" in output
        assert ending == "Something is left; run this again."
        assert not Ticket.objects.filter(pk=other.pk).exists()
        OutboxEntry.objects.update(sent_at=None, leased_until=None)
        output, ending = run("jo")
        assert ending == ""
        assert not Ticket.objects.exists()

    def test_a_lease_that_ran_out_before_anything_left_is_no_obstacle(self, user: Any) -> None:
        ticket = raised(user, delivery=Delivery.QUEUED)
        OutboxEntry.objects.create(ticket=ticket, provider="local", leased_until=1)
        assert erase(user, using="default").removed == 1

    def test_an_uncertain_one_is_listed_as_perhaps_there(self, user: Any) -> None:
        raised(user, delivery=Delivery.UNCERTAIN)
        output, ending = run("jo")
        assert "local  perhaps: its answer was lost" in output
        assert CANARY not in dump()
        assert Ticket.objects.get().delivery == Delivery.UNCERTAIN

    def test_a_late_answer_has_named_the_copy(self, user: Any) -> None:
        ticket = raised(user, delivery=Delivery.QUEUED)
        facts = {"item": "create", "key": str(ticket.key), "remote_id": "R-9"}
        TicketEvent.objects.create(ticket=ticket, kind="late_answer", source="push", changes=facts)
        assert erase(user, using="default").vendor_copies == [VendorCopy("local", "", "R-9")]
        assert push("local").delivered == 0


class TestWhatPullDoesAfterwards:
    @pytest.fixture
    def vendor(self, settings: Any) -> Any:
        """A vendor that shows the ticket, with everything in it, whenever it is asked."""
        from django_support_tickets.records import Capabilities
        from tests.sync import scripted

        scripted.DESK.__init__()  # type: ignore[misc]
        scripted.DESK.tickets["R-1"] = TicketRecord(
            remote_id="R-1",
            status=Status.OPEN,
            remote_status="open",
            resolution=CANARY,
            updated_at=None,
            comments=(CommentRecord(remote_id="c", body=CANARY),),
            raw={"text": CANARY},
        )
        options = {"capabilities": Capabilities(can_list=True), "import_unknown": True}
        settings.SUPPORT_TICKETS_PROVIDERS = {"desk": {"BACKEND": scripted.BACKEND, "OPTIONS": options}}
        return scripted.DESK

    def test_the_vendor_brings_nothing_back(self, user: Any, vendor: Any) -> None:
        at_vendor(user, provider="desk", status=Status.OPEN)
        erase(user, using="default")
        hint("desk", ["R-1"])
        hint_all("desk")
        pull("desk")  # walks the list, which shows the ticket, and would import it if it were unknown
        pull("desk", full=True)
        vendor.pages = lambda scope, cursor: Page(records=())  # it is not listed any more
        pull("desk", full=True)
        assert vendor.asked == []
        assert CANARY not in dump()
        assert Ticket.objects.get().status == Status.CLOSED

    def test_what_a_pull_had_fetched_before_is_not_stored_after(self, user: Any, vendor: Any) -> None:
        at_vendor(user, provider="desk")
        fetched = Fetched(record=vendor.tickets["R-1"], started_at=epoch_now("default"))
        with RunLock("desk", using="default"):  # a pull does not keep anybody from erasing
            assert erase(user, using="default").redacted == 1
        merge("desk", [fetched], using="default", source=TicketEvent.Source.PULL)
        assert CANARY not in dump()


class TestWhatIsCutOff:
    @pytest.fixture
    def storage(self, settings: Any) -> Iterator[Any]:
        settings.STORAGES = {**settings.STORAGES, "support_tickets": {"BACKEND": f"{__name__}.TiredStorage"}}
        yield TiredStorage
        TiredStorage.error = None

    @pytest.fixture
    def names(self, storage: Any, user: Any) -> list[str]:
        """Store three tickets, each with a file; return the files' names."""
        for ticket in (at_vendor(user), raised(user, delivery=Delivery.DRAFT), at_vendor(user, "R-2")):
            talked_about(ticket)
        return list(Attachment.objects.values_list("file", flat=True))

    def test_a_run_that_was_interrupted_is_completed_by_the_next(
        self, user: Any, storage: Any, names: list[str]
    ) -> None:
        """After each file in turn, the rows of which still say that it is to be deleted."""
        for left, there in ((0, 3), (1, 2), (1, 1)):
            storage.left, storage.error = left, KeyboardInterrupt()
            with pytest.raises(KeyboardInterrupt):
                erase(user, using="default")
            assert sum(map(storages["support_tickets"].exists, names)) == there
            assert Attachment.objects.count() == there
        storage.error = None
        result = erase(user, using="default")
        assert (result.is_complete, [copy.remote_id for copy in result.vendor_copies]) == (True, ["R-1", "R-2"])
        assert not any(map(storages["support_tickets"].exists, names))
        assert CANARY not in dump()

    def test_files_that_the_storage_does_not_delete_are_named(self, user: Any, storage: Any, names: list[str]) -> None:
        storage.left, storage.error = 1, PermissionError("AKIA-canary")
        output, ending = run("jo")
        assert output.count("Not erased: the storage has not deleted the files of ticket") == 2
        assert ending == "Something is left; run this again."
        assert "AKIA" not in output
        assert Ticket.objects.filter(subject=f"{CANARY} subject").count() == 2
        storage.error = None
        assert run("jo")[1] == ""
        assert CANARY not in dump()


class TestCommand:
    def test_a_dry_run_changes_nothing(self, user: Any) -> None:
        talked_about(at_vendor(user))
        flying = raised(user, delivery=Delivery.QUEUED)
        OutboxEntry.objects.create(ticket=flying, provider="local", sent_at=1)
        raised(user, delivery=Delivery.DRAFT)
        before = dump()
        output, ending = run("jo", "--dry-run")
        assert "To be removed: 1 ticket that no vendor has and 1 file; to be redacted: 1 ticket." in output
        assert "local  SUP-1  R-1" in output
        assert str(flying.key) in output
        assert dump() == before

    def test_json(self, user: Any) -> None:
        at_vendor(user)
        report = json.loads(run("jo", "--json")[0])
        assert report["complete"] is True
        copy = {"account": "local", "reference": "SUP-1", "remote_id": "R-1", "is_certain": True}
        assert report["vendor_copies"] == [copy]

    def test_no_text_is_printed(self, user: Any) -> None:
        talked_about(at_vendor(user))
        assert CANARY not in "".join(run("jo"))

    def test_a_user_is_found_by_name_or_key(self, user: Any) -> None:
        assert find_user("jo", using="default") == user
        assert find_user(str(user.pk), using="default") == user

    @pytest.mark.parametrize("name", ["nobody", "", "99999999999999999999999"])
    def test_a_user_that_is_not_there(self, user: Any, name: str) -> None:
        assert run(name)[1] == "There is no such user."

    @pytest.mark.parametrize("form", ["+{}", "0{}", " {}"])
    def test_what_only_python_takes_for_a_key_is_none(self, user: Any, form: str) -> None:
        with pytest.raises(LookupError):
            find_user(form.format(user.pk), using="default")

    def test_digits_with_a_mark_between_them_are_no_key(self, db: Any) -> None:
        if get_user_model()._meta.pk.get_internal_type() == "UUIDField":
            pytest.skip("The keys of these users are no numbers.")
        get_user_model().objects.create_user("jo", pk=10)
        with pytest.raises(LookupError):
            find_user("1_0", using="default")

    def test_a_name_that_is_anothers_key(self, user: Any) -> None:
        get_user_model().objects.create_user(str(user.pk))
        assert "one user's name and another's key" in run(str(user.pk))[1]
