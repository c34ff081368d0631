"""One measurement in a process of its own: `python -m benchmarks.push_site.case ours|bare|queries URL WORKERS COUNT`.

Prints JSON: seconds for "ours" and "bare", numbers of statements for "queries".
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid

TEXT = "The transfer is pending for two days. " * 15


def ours(url: str, workers: int, count: int) -> dict[str, float]:
    """Push so many tickets, with all the guarantees."""
    from django_support_tickets.models import OutboxEntry, Ticket
    from django_support_tickets.outbox.push import push

    add_tickets(count)
    started = time.perf_counter()
    counts = push("moov", workers=workers)
    seconds = time.perf_counter() - started
    assert counts.delivered == count and not OutboxEntry.objects.exists()
    assert Ticket.objects.filter(delivery="delivered").count() == count
    return {"seconds": seconds}


def bare(url: str, workers: int, count: int) -> dict[str, float]:
    """POST so many tickets in a loop over one session, and note nothing."""
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_maxsize=workers))
    left = iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if next(left, None) is None:
                    return
            ticket = {"title": "Transfer stuck", "body": TEXT, "contact": {"email": "ana@example.com"}}
            answer = session.post(f"{url}/tickets", json={**ticket, "foreignID": str(uuid.uuid4())}, timeout=30)
            assert answer.json()["ticketID"]

    threads = [threading.Thread(target=work) for _ in range(workers)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"seconds": time.perf_counter() - started}


def queries(url: str, workers: int, count: int) -> dict[str, float]:
    """Count the statements of one plain create, before and after its request."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from django_support_tickets.outbox.claims import claim_next
    from django_support_tickets.outbox.delivery import deliver
    from django_support_tickets.providers import providers

    add_tickets(1)
    with CaptureQueriesContext(connection) as captured:
        (claim,) = claim_next("moov", 1, using="default")
        assert deliver(claim, providers["moov"]) == "delivered"
    around = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    statements = [query["sql"] for query in captured if not query["sql"].startswith(around)]
    mark = next(number for number, sql in enumerate(statements, 1) if '"sent_at" = (' in sql)
    return {"before": mark, "after": len(statements) - mark}


def add_tickets(count: int) -> None:
    """Leave nothing but so many queued tickets."""
    from django.db import connection

    from django_support_tickets.models import OutboxEntry, Ticket, TicketEvent

    with connection.cursor() as cursor:
        for model in (OutboxEntry, TicketEvent, Ticket):
            cursor.execute(f"TRUNCATE {model._meta.db_table} CASCADE")
    common = {"provider": "moov", "customer_id": "acct-1", "contact_email": "ana@example.com", "description": TEXT}
    tickets = [Ticket(subject="Transfer stuck", **common, submitted_at="2026-11-21T10:00:00Z") for _ in range(count)]
    Ticket.objects.bulk_create(tickets)
    OutboxEntry.objects.bulk_create([OutboxEntry(ticket=ticket, provider="moov") for ticket in tickets])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def main() -> None:
    name, url, workers, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if name != "bare":
        import django

        django.setup()
    sys.stdout.write(json.dumps({"ours": ours, "bare": bare, "queries": queries}[name](url, workers, count)) + "\n")


if __name__ == "__main__":
    main()
