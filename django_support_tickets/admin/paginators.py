from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db import connections
from django.db.models import QuerySet
from django.utils.functional import cached_property

#: Tables that the database believes to be smaller than this are counted.
EXACT_BELOW = 50_000
#: SQLite has no estimate: it counts so far and no further.
SQLITE_MAX = 100_000

ESTIMATES = {
    "postgresql": "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(quote_ident(%s))",
    "mysql": "SELECT table_rows FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s",
}


class EstimatingPaginator(Paginator):  # type: ignore[type-arg]
    """Ask the database's statistics how long a large unfiltered table is; count where a filter is set."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        if connections[rows.db].vendor == "sqlite":
            return rows.order_by()[:SQLITE_MAX].count()
        if rows.query.where or rows.query.is_sliced or rows.query.distinct:
            return rows.count()
        estimate = estimated_rows(rows)
        return estimate if estimate >= EXACT_BELOW else rows.count()


def estimated_rows(rows: QuerySet[Any]) -> int:
    """Return how many rows the table of a queryset has, by the database's statistics; 0 if it has none."""
    connection = connections[rows.db]
    sql = ESTIMATES.get(connection.vendor)
    if sql is None:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(sql, [rows.model._meta.db_table])
        found = cursor.fetchone()
    return max(int(found[0] or 0), 0) if found else 0
