"""One measurement in a process of its own: `python -m benchmarks.pull_site.case NAME ARGUMENTS`; it prints JSON.

fetch URL WORKERS COUNT, bare URL WORKERS COUNT, walk URL TOTAL ROUNDS, storing ROUNDS COUNT PEERS, memory TOTAL,
statements SIZE. Seconds, but for memory (MB) and statements (how many).
"""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.pull_site.tickets import page, remote_id, ticket

PAST = datetime(2026, 11, 1, tzinfo=UTC)
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)
BATCH = 500
LIST = "/api/v1/org/support/tickets"


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def fetch(url: str, workers: int, count: int) -> dict[str, float]:
    """GET so many tickets that are due and store what comes: all of it is news, then nothing is."""
    from django_support_tickets.models import Comment, Ticket, TicketEvent
    from django_support_tickets.sync import pull

    add_tickets(count, provider="ankra", next_poll_at=PAST)
    walk_in(hours=10)
    found = {"first": seconds(lambda: pull("ankra", workers=workers))}
    assert Comment.objects.count() == 3 * count and TicketEvent.objects.count() == 3 * count
    Ticket.objects.update(next_poll_at=PAST)
    found["unchanged"] = seconds(lambda: pull("ankra", workers=workers))
    assert not Ticket.objects.filter(next_poll_at=PAST).exists() and TicketEvent.objects.count() == 3 * count
    return found


def bare(url: str, workers: int, count: int) -> dict[str, float]:
    """GET so many tickets in a loop over one session and keep nothing."""
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_maxsize=workers))
    left, lock = iter(range(count)), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            assert session.get(f"{url}{LIST}/{remote_id(number)}", timeout=30).json()["comments"]

    threads = [threading.Thread(target=work) for _ in range(workers)]

    def run() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return {"seconds": seconds(run)}


def walk(url: str, total: int, rounds: int) -> dict[str, list[float]]:
    """Walk a list of tickets that are all as they are stored, in turn with a bare loop over the same pages."""
    import requests

    from django_support_tickets.sync import pull

    add_tickets(total, provider="ankra", next_poll_at=FUTURE, is_stored=True)
    session = requests.Session()

    def bare_walk() -> None:
        for number in range(1, total // 100 + 1):
            query = {"page": number, "page_size": 100}
            assert len(session.get(f"{url}{LIST}", params=query, timeout=30).json()["result"]) == 100

    def our_walk() -> None:
        walk_in(hours=0)
        counts = pull("ankra")
        assert counts.listed >= total and not counts.hinted and not counts.failed

    bare_walk()  # the vendor makes its pages at the first time
    found: dict[str, list[float]] = {"ours": [], "bare": []}
    for number in range(rounds):
        for name, work in (("ours", our_walk), ("bare", bare_walk))[:: 1 if number % 2 else -1]:
            found[name].append(seconds(work))
    return found


def storing(rounds: int, count: int, peers: int) -> dict[str, list[float]]:
    """Store records in turn with the peer; seconds per ticket."""
    from benchmarks.pull_site import memory, peer
    from django_support_tickets.merge import Fetched, import_tickets, merge
    from django_support_tickets.models import Comment, Ticket, epoch_now
    from django_support_tickets.providers.ankra_records import to_record
    from django_support_tickets.sync import pull

    memory.fill(count)
    records = [to_record(ticket(number)) for number in range(count)]
    for number in range(1, count // memory.SIZE + 1):
        memory.page_of(number, count)
    found: dict[str, list[float]] = {}

    def measure(name: str, work: Callable[[], Any], size: int) -> None:
        found.setdefault(name, []).append(seconds(work) / size)

    def fetched() -> list[Fetched]:
        now = epoch_now("default")
        return [Fetched(record, now) for record in records]

    def ours() -> None:
        delete_all()
        measure("ours first", lambda: import_tickets("memory", fetched()), count)
        assert (Ticket.objects.count(), Comment.objects.count()) == (count, 3 * count)
        measure("ours digest", lambda: merge("memory", fetched()), count)
        Ticket.objects.update(next_poll_at=FUTURE)
        walk_in(hours=0, alias="memory")
        measure("ours stamp", lambda: pull("memory"), count)

    def theirs() -> None:
        delete_all()
        measure("peer first", lambda: peer.store(records[:peers]), peers)
        measure("peer unchanged", lambda: peer.store(records[:peers]), peers)

    for number in range(rounds):
        for work in (ours, theirs)[:: 1 if number % 2 else -1]:
            work()
    return found


def memory(total: int) -> dict[str, float]:
    """GET so many tickets, every tenth with news, and walk a list of them; the most memory that this took, in MB."""
    from benchmarks.pull_site import memory
    from django_support_tickets.sync import pull

    memory.fill(total)
    memory.page_of = memory.page_of.__wrapped__  # type: ignore[assignment]  # keep nothing
    started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts = pull("memory", workers=16)
    assert (counts.fetched, counts.listed, counts.failed) == (total, total, 0), counts
    return {"started": started / 1024, "most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def statements(size: int) -> dict[str, int]:
    """Count the statements of one page of so many records: all news, unchanged, imported."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from django_support_tickets.merge import Fetched, import_tickets, merge
    from django_support_tickets.models import epoch_now
    from django_support_tickets.providers.ankra_records import to_record

    def counted(work: Callable[..., Any], numbers: range) -> int:
        now = epoch_now("default")
        fetched = [Fetched(to_record(ticket(number)), now) for number in numbers]
        with CaptureQueriesContext(connection) as captured:
            work("memory", fetched)
        return len(captured)

    add_tickets(size, provider="memory", next_poll_at=PAST)
    return {
        "first": counted(merge, range(size)),
        "unchanged": counted(merge, range(size)),
        "imported": counted(import_tickets, range(size, 2 * size)),
    }


def fill(total: int) -> dict[str, int]:
    """Leave nothing but so many tickets that are due at the vendor in memory, every tenth with news there."""
    from django.db.models import F

    from django_support_tickets.merge import cleaning, update_rows
    from django_support_tickets.models import Ticket
    from django_support_tickets.providers.ankra_records import to_record

    add_tickets(total, provider="memory", next_poll_at=PAST, is_stored=True)
    numbers = {remote_id(number): number for number in range(total)}
    keys = Ticket.objects.values_list("pk", "remote_id").iterator()
    known = [(pk, (cleaning.digest(to_record(ticket(numbers[name]))),)) for pk, name in keys if numbers[name] % 10]
    update_rows(Ticket, ("digest",), known, using="default")
    Ticket.objects.exclude(digest="").update(synced_at=F("created_at"))
    return {"filled": total}


def add_tickets(count: int, *, is_stored: bool = False, **values: Any) -> None:
    """Leave nothing but so many tickets of ours, at the vendor; `is_stored`: as its list shows them."""
    from django.db import connection

    from django_support_tickets.models import Ticket
    from django_support_tickets.providers.ankra_records import to_record

    delete_all()
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        seen = [to_record(row) for row in page_rows(numbers)] if is_stored else [None] * len(numbers)
        Ticket.objects.bulk_create(
            Ticket(
                remote_id=remote_id(number),
                subject=f"Transfer {number} is stuck",
                delivery="delivered",
                delivered_at=PAST,
                submitted_at=PAST,
                created_at=PAST,
                **({"status": one.status, "remote_status": one.remote_status} if one else {}),
                **({"remote_updated_at": one.updated_at} if one else {}),
                **values,
            )
            for number, one in zip(numbers, seen, strict=True)
        )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def page_rows(numbers: range) -> Iterator[dict[str, Any]]:
    for start in range(numbers.start, numbers.stop, 100):
        yield from page(start // 100 + 1, 100, numbers.stop)["result"]


def delete_all() -> None:
    from django.db import connection

    from benchmarks.pull_site.models import PeerAttachment, PeerComment, PeerTicket
    from django_support_tickets.models import Attachment, Comment, ProviderState, SyncRun, Ticket, TicketEvent

    ours = (TicketEvent, Attachment, Comment, Ticket, ProviderState, SyncRun)
    for model in (*ours, PeerAttachment, PeerComment, PeerTicket):
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {model._meta.db_table}")


def walk_in(*, hours: int, alias: str = "ankra") -> None:
    """Let the next list walk be due in so many hours."""
    from django_support_tickets.models import ProviderState, epoch_now

    at = epoch_now("default") + hours * int(timedelta(hours=1).total_seconds() * 1000)
    ProviderState.objects.update_or_create(provider=alias, scope="", defaults={"next_walk_at": at})


CASES: dict[str, Callable[..., Any]] = {
    case.__name__: case for case in (fetch, bare, walk, storing, memory, statements, fill)
}


def main() -> None:
    name, *arguments = sys.argv[1:]
    if name != "bare":
        import django

        django.setup()
    values = [int(argument) if argument.isdecimal() else argument for argument in arguments]
    sys.stdout.write(json.dumps(CASES[name](*values)) + "\n")


if __name__ == "__main__":
    main()
