"""F4 for lists: whatever is changed, made, deleted, cut and interrupted, later walks end in the vendor's state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from django_support_tickets.merge import NOT_FOUND
from django_support_tickets.models import ProviderState, SyncRun, Ticket, TicketEvent
from django_support_tickets.records import Capabilities, Page, Status, TicketRecord
from django_support_tickets.sync import pull
from tests.sync import scripted
from tests.sync.test_histories import HISTORIES

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 3, 1, tzinfo=UTC)
SIZE = 2
#: Fewer than the brake lets pass.
AT_FIRST = 5
STATUSES = [Status.OPEN, Status.WAITING, Status.RESOLVED, Status.CLOSED]

STEPS = st.one_of(
    st.tuples(st.just("change"), st.integers(0, 9), st.sampled_from(STATUSES)),
    st.tuples(st.just("make"), st.just(0), st.just(0)),
    st.tuples(st.just("delete"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("restore"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("walk"), st.integers(0, 9), st.just(0)),  # told to stop after so many calls
    st.tuples(st.just("wait"), st.just(0), st.just(0)),
    st.tuples(st.just("cut"), st.integers(0, 3), st.just(0)),  # a walk in which a page is empty and the last one
)


class World:
    """A vendor whose list shows the newest first, and shifts while it is read."""

    def __init__(self) -> None:
        for model in (TicketEvent, Ticket, ProviderState, SyncRun):
            model._base_manager.all()._raw_delete("default")
        self.gone: dict[str, TicketRecord] = {}
        self.cut_at = -1
        self.version = 0
        scripted.DESK.tickets.clear()
        scripted.DESK.pages = self.page
        for _ in range(AT_FIRST):
            self.make()
        now = timezone.now()
        long_ago = now - timedelta(days=1)
        Ticket.objects.bulk_create(
            Ticket(
                provider="desk", remote_id=f"R-{number}", subject="S", delivery="delivered",
                delivered_at=long_ago, created_at=long_ago, next_poll_at=now,
            )
            for number in range(AT_FIRST)
        )  # fmt: skip

    @property
    def there(self) -> dict[str, TicketRecord]:
        return scripted.DESK.tickets

    def page(self, scope: str, cursor: str | None) -> Page:
        start = int(cursor or 0)
        if start // SIZE == self.cut_at:
            return Page(records=())
        rows = list(self.there.values())[::-1]
        end = start + SIZE
        return Page(records=tuple(rows[start:end]), next_cursor=str(end) if end < len(rows) else None)

    def put(self, name: str, status: Status) -> None:
        self.version += 1
        at = T0 + timedelta(seconds=self.version)
        self.there[name] = TicketRecord(remote_id=name, status=status, remote_status=str(status), updated_at=at)

    def make(self, *_: Any) -> None:
        self.put(f"R-{len(self.there) + len(self.gone)}", Status.OPEN)

    def change(self, number: int, status: Status) -> None:
        if name := pick(self.there, number):
            self.put(name, status)

    def delete(self, number: int, _: Any) -> None:
        if len(self.gone) < AT_FIRST - 1 and (name := pick(self.there, number)):
            self.gone[name] = self.there.pop(name)

    def restore(self, number: int, _: Any) -> None:
        if name := pick(self.gone, number):
            self.there[name] = self.gone.pop(name)

    def walk(self, calls: int, _: Any = 0) -> None:
        desk = scripted.DESK
        ProviderState.objects.update(next_walk_at=None)
        desk.asked.clear()
        desk.listed.clear()
        pull("desk", workers=1, stop=lambda: len(desk.asked) + len(desk.listed) >= calls)

    def cut(self, place: int, _: Any) -> None:
        self.cut_at = place
        self.walk(1000)
        self.cut_at = -1

    def wait(self, *_: Any) -> None:
        """Let the second look at what was not found be due; nothing else is, but by a list."""
        suspected = Ticket.objects.filter(digest=NOT_FOUND)
        suspected.update(next_poll_at=F("next_poll_at") - timedelta(minutes=1))
        self.walk(1000)


def pick(tickets: dict[str, TicketRecord], number: int) -> str:
    """Return one of the names, "" if there is none."""
    return sorted(tickets)[number % len(tickets)] if tickets else ""


@settings(max_examples=HISTORIES // 4)
@given(steps=st.lists(STEPS, min_size=6, max_size=18))
@pytest.mark.fault(29, 46, 48, 50)
def test_every_history_of_a_list_ends_in_the_vendors_state(
    desk: Any, configure: Any, steps: list[tuple[str, int, Any]]
) -> None:
    configure(Capabilities(can_list=True), import_unknown=True)
    world = World()
    for name, number, argument in steps:
        getattr(world, name)(number, argument)
    for _ in range(3):  # the walk that makes them due, the look that does not find them, and the second one
        world.wait()
    stored = {ticket.remote_id: ticket for ticket in Ticket.objects.all()}
    assert set(world.there) <= set(stored) <= {*world.there, *world.gone}
    for name, record in world.there.items():
        assert (stored[name].status, stored[name].missing_since) == (record.status, None), name
    for name in world.gone:
        # Of a settled ticket nothing is expected: its own rare poll will tell.
        assert name not in stored or stored[name].missing_since or stored[name].status == Status.CLOSED, name
