from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import DateTimeField, Model

from django_support_tickets.models import project_time

Convert = Callable[[Any], Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_rows(
    model: type[Model], columns: Sequence[str], *, using: str, alias: str, remote_ids: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Return `columns` of those tickets of an account that have one of these remote ids.

    The same as `values_list()` at a third of its cost, which compiles each value and each column anew for each page.
    """
    if not remote_ids:
        return []
    connection = connections[using]
    fields: list[Any] = [model._meta.pk if name == "pk" else model._meta.get_field(name) for name in columns]
    provider, remote_id = (connection.ops.quote_name(name) for name in ("provider", "remote_id"))
    names = [_column(field, using) for field in fields]
    table, (is_listed, values) = connection.ops.quote_name(model._meta.db_table), _listed(remote_ids, using)
    sql = f"SELECT {', '.join(names)} FROM {table} WHERE {provider} = %s AND {remote_id} {is_listed}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [alias, *values])
        rows: list[tuple[Any, ...]] = list(cursor.fetchall())
    conversions = [(place, convert) for place, field in enumerate(fields) if (convert := _conversion(field, using))]
    return [_converted(row, conversions) for row in rows] if conversions else rows


def _listed(texts: Sequence[str], using: str) -> tuple[str, Sequence[str]]:
    """Return the condition that a column is one of these texts, and its parameters."""
    if connections[using].vendor == "postgresql":  # whose driver takes longer for a hundred values than for their JSON
        array = "ARRAY(SELECT json_array_elements_text(%s::json))"
        return f"= ANY({array})", [json.dumps(list(texts), ensure_ascii=False)]
    return f"IN ({', '.join(['%s'] * len(texts))})", texts


def _column(field: Any, using: str) -> str:
    """Return the column, of a time at PostgreSQL its microseconds: Django's loader takes ten times as long for it."""
    name = connections[using].ops.quote_name(field.column)
    return f"(EXTRACT(EPOCH FROM {name}) * 1000000)::bigint" if _is_counted(field, using) else name


def _is_counted(field: Any, using: str) -> bool:
    return connections[using].vendor == "postgresql" and isinstance(field, DateTimeField)


def _moment_of(microseconds: int) -> datetime:
    return project_time(EPOCH + timedelta(microseconds=microseconds))


def _conversion(field: Any, using: str) -> Convert | None:
    """Return what makes a value of the database one of the field, None where it is one already."""
    if _is_counted(field, using):
        return _moment_of
    connection, column = connections[using], field.get_col(field.model._meta.db_table)
    steps = [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]

    def convert(value: Any) -> Any:
        for step in steps:
            value = step(value, column, connection)
        return value

    return convert if steps else None


def _converted(row: Sequence[Any], conversions: Sequence[tuple[int, Convert]]) -> tuple[Any, ...]:
    values = list(row)
    for place, convert in conversions:
        if values[place] is not None:
            values[place] = convert(values[place])
    return tuple(values)
