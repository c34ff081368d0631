"""The list and a single ticket against a plain view of the same rows and counts, on PostgreSQL.

    python -m benchmarks.api [--rows N]

100,000 tickets by default, 1,000,000 in the full profile; the database bench_api_<N> is made once and kept. PGHOST,
PGPORT, PGUSER and PGPASSWORD say where the server is. A line per figure: name, ours, floor, ratio, gate, held; exit
1 if a gate is not held.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

import django
import psycopg

from benchmarks.report import default_rows


def create_database(name: str) -> None:
    """Create the database if it is not there."""
    server = {
        "host": os.environ.get("PGHOST", "127.0.0.1"),
        "port": os.environ.get("PGPORT", "5432"),
        "user": os.environ.get("PGUSER", "postgres"),
    }
    with psycopg.connect(dbname="postgres", autocommit=True, **server) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f'CREATE DATABASE "{name}"')


def main() -> int:
    parser = argparse.ArgumentParser(description="The [api] gates.")
    parser.add_argument("--rows", type=int, default=default_rows(), help="tickets in the table")
    rows = parser.parse_args().rows
    name = f"bench_api_{rows}"
    create_database(name)
    os.environ["BENCH_API_DATABASE"] = name
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.api_site.settings"
    django.setup()
    # Not above: the models need the settings first.
    return int(import_module("benchmarks.api_site.measuring").run(rows))


if __name__ == "__main__":
    sys.exit(main())
