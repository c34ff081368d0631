"""The site on a database of its own behind gunicorn, and a client that costs little; for benchmarks and the soak."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator

import django
import psycopg
from django.core.management import call_command

HOST = "127.0.0.1"
SECRET = "benchmarks-webhook-secret"
OURS = "/support-tickets/webhooks/ripio/"
BARE = "/bare/"


@contextlib.contextmanager
def database() -> Iterator[None]:
    """Make a database, set Django up on it, and drop it in the end."""
    name = f"webhooks_{secrets.token_hex(4)}"
    os.environ |= {"PGDATABASE": name, "DJANGO_SETTINGS_MODULE": "benchmarks.webhook_site.settings"}
    _administer(f'CREATE DATABASE "{name}"')
    try:
        django.setup()
        call_command("migrate", verbosity=0)
        yield
    finally:
        _administer(f'DROP DATABASE "{name}" WITH (FORCE)')


def missing_server() -> str:
    """Return which server does not answer, "" if it does."""
    try:
        _administer("SELECT 1")
    except psycopg.OperationalError:
        return f"no PostgreSQL server answers at {os.environ.get('PGHOST', HOST)}"
    return ""


def _administer(statement: str) -> None:
    options = {"host": os.environ.get("PGHOST", HOST), "user": os.environ.get("PGUSER", "postgres")}
    with psycopg.connect(dbname="postgres", autocommit=True, **options) as connection:
        connection.execute(statement)


def add_tickets(count: int) -> list[str]:
    """Store tickets that the vendor has, last fetched an hour ago; return their remote ids."""
    from datetime import timedelta

    from django.db import connection
    from django.utils import timezone

    from django_support_tickets.models import Delivery, Ticket

    ids, now = [str(uuid.uuid4()) for _ in range(count)], timezone.now()
    fields = {"provider": "ripio", "subject": "Deposit missing", "delivery": Delivery.DELIVERED, "submitted_at": now}
    times = {"synced_at": now - timedelta(hours=1), "next_poll_at": now + timedelta(hours=1)}
    Ticket.objects.bulk_create(Ticket(remote_id=remote_id, **fields, **times) for remote_id in ids)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does before long
    return ids


@contextlib.contextmanager
def server(*, workers: int = 2, threads: int = 1) -> Iterator[int]:
    """Serve the site by gunicorn; yield the port."""
    port = _free_port()
    command = [sys.executable, "-m", "gunicorn", "-b", f"{HOST}:{port}", "--log-level", "error"]
    command += ["-w", str(workers), "--threads", str(threads), "benchmarks.webhook_site.wsgi:application"]
    process = subprocess.Popen(command)
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def event(remote_id: str, number: int) -> bytes:
    """Return the body of one of Ripio's events, unlike every other by its number."""
    ticket = {"ticketId": remote_id, "status": "CREATED", "issueKey": f"SUP-{number}", "pad": "x" * 800}
    moment = "2026-01-02T03:04:05.000Z"
    payload = {"eventType": "SUPPORT_TICKET.CREATED", "issueDatetime": moment, "supportTicket": ticket}
    return json.dumps(payload, separators=(",", ":")).encode()


def request(path: str, body: bytes, *, secret: str = SECRET) -> bytes:
    """Return a signed webhook as it goes over the wire."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nHttp-X-Wh-Signature-256: sha256={digest}\r\n\r\n"
    )
    return head.encode() + body


def post(port: int, message: bytes, *, timeout: float = 30.0) -> tuple[int, float]:
    """Send a request; return the status (0: no answer) and the seconds that it took."""
    started = time.perf_counter()
    answer = b""
    try:
        with socket.create_connection((HOST, port), timeout=timeout) as connection:
            connection.sendall(message)
            while chunk := connection.recv(65536):
                answer += chunk
    except OSError:
        return 0, time.perf_counter() - started
    return int(answer[9:12] or 0), time.perf_counter() - started


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError("the server did not start")
