"""The few statements that a page of records becomes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, TypeVar

from django.db import connections
from django.db.models import BigIntegerField, DateTimeField, FileField, JSONField, Model, UUIDField
from django.db.models.base import ModelState

from django_support_tickets.merge.reading import read_keys

M = TypeVar("M", bound=Model)

Row = tuple[int, Sequence[Any]] | tuple[int, Sequence[Any], Any]
Prepare = Callable[[Any], Any]

#: Fields of a few bytes, of which the rows of a page fit into one statement whatever a server's packets may hold.
SHORT = (BigIntegerField, DateTimeField)


JSON = json.JSONEncoder(ensure_ascii=False).encode


def update_rows(
    model: type[Model], columns: Sequence[str], rows: Sequence[Row], *, using: str, unchanged: str = ""
) -> None:
    """Set `columns` of each (pk, values) by one statement.

    With `unchanged`, the name of a column, each row also carries that column's old value and is left alone if it has
    another one by now. Many times faster than `bulk_update()`, whose CASE expression grows with rows times columns.
    """
    if not rows:
        return
    names = [*columns, model._meta.pk.name, *([unchanged] if unchanged else [])]
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    in_order = sorted(rows, key=lambda row: row[0])
    values = _prepared(fields, ((*new, pk, *old) for pk, new, *old in in_order), using=using)
    if connections[using].vendor == "mysql" and all(isinstance(field, SHORT) for field in fields):
        _update_joined(model, fields, len(columns), values, using=using)
    else:
        _execute(_update(model, fields, len(columns), using=using), values, using=using)


def insert_rows(model: type[Any], rows: Sequence[Any], *, using: str) -> None:
    """Insert instances by one statement; `find_keys` then tells their primary keys.

    About twice as fast as `bulk_create()`, which compiles each value of each row, and one statement where that one
    needs as many as the database's limit of parameters makes.
    """
    if not rows:
        return
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    for field in fields:
        if getattr(field, "auto_now", False):
            now = field.pre_save(rows[0], True)
            for row in rows:
                setattr(row, field.attname, now)
    values = _prepared(fields, map(attrgetter(*(field.attname for field in fields)), rows), using=using)
    if _can_copy(using):
        _copy(model, fields, values, using=using)
    else:
        _execute(_insert(model, fields, using=using), values, using=using)


def find_keys(model: type[Any], rows: Sequence[Any], *, using: str) -> None:
    """Give inserted instances their primary key by their `key`."""
    if not rows:
        return
    pks = read_keys(model, [row.key for row in rows], using=using)
    for row in rows:
        row.pk = pks[row.key]
        row._state.adding, row._state.db = False, using


def new_row(model: type[M], **values: Any) -> M:
    """Return an instance with these values of its columns and the defaults of the others, faster than its class does.

    As a row from the database, but without the signals of `__init__()`: foreign keys are given by column ("ticket_id")
    and nothing is validated.
    """
    constants, makers = _defaults(model)
    row = model.__new__(model)
    row._state = ModelState()
    row._state.adding = False
    row.__dict__.update(constants)
    row.__dict__.update(values)
    for name, make in makers:
        if name not in values:
            row.__dict__[name] = make()
    return row


@cache
def _defaults(model: type[Model]) -> tuple[dict[str, Any], list[tuple[str, Callable[[], Any]]]]:
    """Return the defaults of a model's columns that are values, and those that are functions."""
    fields = model._meta.concrete_fields
    makers = {field.attname: field.default for field in fields if field.has_default() and callable(field.default)}
    constants = {field.attname: field.get_default() for field in fields if field.attname not in makers}
    return constants, list(makers.items())


def _prepared(fields: Sequence[Any], rows: Iterable[Sequence[Any]], *, using: str) -> list[list[Any]]:
    """Return values as `_execute` takes them."""
    ready = [list(row) for row in rows]
    for place, field in enumerate(fields):
        if (prepare := _preparation(field, using)) is not None:
            for row in ready:
                row[place] = prepare(row[place])
    return ready


def _preparation(field: Any, using: str) -> Prepare | None:
    """Return what makes the values of a field ready; None: they are taken as they are."""
    connection = connections[using]
    if _takes_json(using):
        if isinstance(field, DateTimeField):
            return lru_cache(maxsize=256)(lambda value: value and value.isoformat())
        return str if isinstance(field, (UUIDField, FileField)) else None
    if isinstance(field, DateTimeField):
        return lru_cache(maxsize=256)(connection.ops.adapt_datetimefield_value)
    if isinstance(field, (JSONField, UUIDField, FileField)):
        return lambda value: field.get_db_prep_save(value, connection)
    return None


def _can_copy(using: str) -> bool:
    """Return whether rows can be streamed into a table: at PostgreSQL by psycopg 3, in half the time of a statement."""
    connection: Any = connections[using]
    return bool(connection.vendor == "postgresql" and connection.Database.__name__ == "psycopg")


def _takes_json(using: str) -> bool:
    """Return whether rows travel as one JSON document: at PostgreSQL, where executemany() goes row by row."""
    return connections[using].vendor == "postgresql"


def _execute(sql: str, rows: Sequence[Sequence[Any]], *, using: str) -> None:
    with connections[using].cursor() as cursor:
        if _takes_json(using):
            names = [f"v{number}" for number in range(len(rows[0]))]
            cursor.execute(sql, [json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False)])
        else:
            cursor.executemany(sql, rows)


def _copy(model: type[Model], fields: Sequence[Any], rows: Sequence[list[Any]], *, using: str) -> None:
    places = [place for place, field in enumerate(fields) if isinstance(field, JSONField)]
    statement = f"COPY {_table(model, using)} ({', '.join(_columns(fields, using))}) FROM STDIN"
    connection = connections[using]
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            for place in places:
                row[place] = None if row[place] is None else JSON(row[place])
            copy.write_row(row)


def _insert(model: type[Model], fields: Sequence[Any], *, using: str) -> str:
    columns = ", ".join(_columns(fields, using))
    if _takes_json(using):
        source = f"SELECT * FROM {_record_set(fields, using)}"  # noqa: S608
    else:
        source = f"VALUES ({', '.join(['%s'] * len(fields))})"
    return f"INSERT INTO {_table(model, using)} ({columns}) {source}"  # noqa: S608


def _update(model: type[Model], fields: Sequence[Any], count: int, *, using: str) -> str:
    """Return an UPDATE that sets the first `count` fields where the others are equal."""
    table, columns = _table(model, using), _columns(fields, using)
    if _takes_json(using):
        source, values = f" FROM {_record_set(fields, using)}", [f"v.v{number}" for number in range(len(fields))]
        places = [*columns[:count], *(f"{table}.{column}" for column in columns[count:])]
    else:
        source, values, places = "", ["%s"] * len(fields), columns
    pairs = [f"{place} = {value}" for place, value in zip(places, values, strict=True)]
    return f"UPDATE {table} SET {', '.join(pairs[:count])}{source} WHERE {' AND '.join(pairs[count:])}"  # noqa: S608


def _update_joined(
    model: type[Model], fields: Sequence[Any], count: int, rows: Sequence[Sequence[Any]], *, using: str
) -> None:
    """Update all rows by one statement at MySQL and MariaDB, where executemany() goes row by row."""
    table, columns = _table(model, using), _columns(fields, using)
    # A cast in each row: a single text would make texts of the whole column.
    first = ", ".join(f"CAST(%s AS {_cast(field)}) AS v{number}" for number, field in enumerate(fields))
    row = ", ".join(f"CAST(%s AS {_cast(field)})" for field in fields)
    others = f" UNION ALL SELECT {row}" * (len(rows) - 1)
    pairs = [f"{table}.{column} = v.v{number}" for number, column in enumerate(columns)]
    changes, conditions = ", ".join(pairs[:count]), " AND ".join(pairs[count:])
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} JOIN (SELECT {first}{others}) AS v ON {conditions} SET {changes}",  # noqa: S608
            [value for row in rows for value in row],
        )


def _cast(field: Any) -> str:
    return "DATETIME(6)" if isinstance(field, DateTimeField) else "SIGNED"


def _record_set(fields: Sequence[Any], using: str) -> str:
    # Of a primary key: the type of what refers to it, since its own is that of a sequence.
    types = [field.rel_db_type if field.primary_key else field.db_type for field in fields]
    columns = ", ".join(f"v{number} {db_type(connections[using])}" for number, db_type in enumerate(types))
    return f"json_to_recordset(%s::json) AS v({columns})"


def _columns(fields: Sequence[Any], using: str) -> list[str]:
    return [connections[using].ops.quote_name(field.column) for field in fields]


def _table(model: type[Model], using: str) -> str:
    return connections[using].ops.quote_name(model._meta.db_table)


def begin_writing(model: type[Model], *, using: str) -> None:
    """Take the write lock first where rows cannot be locked (SQLite).

    A transaction that reads and then writes fails there at once with "database is locked" when another has written in
    between; one that starts with a write waits for its turn.
    """
    connection = connections[using]
    if connection.features.has_select_for_update:
        return
    pk = connection.ops.quote_name(str(model._meta.pk.column))
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {_table(model, using)} SET {pk} = {pk} WHERE {pk} = -1")  # noqa: S608
