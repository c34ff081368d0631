"""A real server with real threads in a process of its own, since a test's database connection is not for many threads.

As a module it is that process: it stores a ticket, says on which port it listens, and serves until its input ends.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any, NoReturn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import django
import pytest
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connections

SETTINGS = "tests.webhooks.served_settings"
DISPATCHER_SECONDS = 60.0


def take_time(alias: str, ticket_id: int | None, using: str) -> None:
    """Be a dispatcher whose broker answers late, unless TEST_WEBHOOK_END, a file, says that it may."""
    ends_at = time.monotonic() + DISPATCHER_SECONDS
    while time.monotonic() < ends_at and not os.path.exists(os.environ["TEST_WEBHOOK_END"]):
        time.sleep(0.05)


@contextlib.contextmanager
def server(database: str, *, kind: str = "sqlite") -> Iterator[int]:
    """Serve the site on this database; yield the port."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": SETTINGS, "TEST_WEBHOOK_DATABASE": database}
    environment["TEST_DATABASE"] = kind
    command = [sys.executable, "-m", "tests.webhooks.served"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(timeout=120)


def needed(module: str) -> Any:
    """Return a module that the test cannot do without."""
    try:
        return importlib.import_module(module)
    except ImportError:
        refuse(f"{module} is not installed")


def refuse(reason: str) -> NoReturn:
    """Skip the test, or fail where CI=true: there nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI=true")
    pytest.skip(reason)


def post(port: int, path: str, headers: dict[str, str], body: bytes) -> int:
    """Return the status of a POST, 0 if there is no answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def application() -> Any:
    """Return the site as a WSGI application, its tables made and one ticket in them."""
    django.setup()
    for using in connections:
        call_command("migrate", database=using, run_syncdb=True, verbosity=0)
    from tests.webhooks import cases

    cases.ticket("ripio", cases.RIPIO_ID)
    connections.close_all()  # a server that forks now must not share them
    return get_wsgi_application()


def main() -> None:
    with _Server(("127.0.0.1", 0), _Handler) as site:
        site.set_app(application())
        threading.Thread(target=site.serve_forever, args=(0.02,), daemon=True).start()
        sys.stdout.write(f"{site.server_port}\n")
        sys.stdout.flush()
        sys.stdin.read()
        site.shutdown()


if __name__ == "__main__":
    main()
