"""The database servers of the long profiles, and databases that live as long as a test."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

#: Server -> the environment variable with its address, and what it usually is.
SERVERS = {
    "postgresql": ("SUPPORT_TICKETS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432"),
    "mysql": ("SUPPORT_TICKETS_TEST_MARIADB", "mysql://root@127.0.0.1:3306"),
}


def address_of(server: str) -> str:
    """Return the address of a server."""
    variable, usual = SERVERS[server]
    return os.environ.get(variable, usual).rstrip("/")


def require(server: str) -> str:
    """Return the address of a server; skip the test if it does not answer, fail where CI is true."""
    address = address_of(server)
    problem = trouble_with(server, address)
    if problem and os.environ.get("CI") == "true":
        pytest.fail(f"{server}: {problem}")
    if problem:
        pytest.skip(f"{server}: {problem}")
    return address


def trouble_with(server: str, address: str) -> str:
    """Return why a server cannot be used, "" if it can."""
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=2).close()
    except OSError as error:
        return f"{address} does not answer ({error})"
    try:
        with _connection(address):
            return ""
    except ImportError as error:
        return f"no driver is installed ({error})"


@contextmanager
def new_database(address: str) -> Iterator[str]:
    """Yield the address of an empty database, which is dropped afterwards."""
    name = f"support_tickets_{uuid.uuid4().hex[:12]}"
    with _connection(address) as execute:
        execute(f"CREATE DATABASE {name}")
    try:
        yield f"{address}/{name}"
    finally:
        with _connection(address) as execute:
            force = " WITH (FORCE)" if address.startswith("postgresql") else ""
            execute(f"DROP DATABASE {name}{force}")


@contextmanager
def _connection(address: str) -> Iterator[Any]:
    """Yield what runs a statement on the server itself."""
    parts = urlsplit(address)
    about: dict[str, Any] = {"host": parts.hostname, "port": parts.port, "user": parts.username}
    if parts.scheme == "postgresql":
        import psycopg

        connection: Any = psycopg.connect(**about, password=parts.password, dbname="postgres", autocommit=True)
    else:
        connection = _mysql().connect(**about, password=parts.password or "")
    try:
        yield connection.cursor().execute
    finally:
        connection.close()


def _mysql() -> Any:
    try:
        import MySQLdb

        return MySQLdb
    except ImportError:
        import pymysql

        return pymysql
