"""The few statements that a page of records becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, TypeVar

from django.db import connections
from django.db.models import DateTimeField, FileField, JSONField, Model, UUIDField

M = TypeVar("M", bound=Model)

Row = tuple[int, Sequence[Any]] | tuple[int, Sequence[Any], Any]
Prepare = Callable[[Any], Any]


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
    build = _update_by_arrays if connections[using].vendor == "postgresql" else _update
    _execute(build(model, fields, len(columns), using=using), values, using=using)


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
            for row in rows:
                field.pre_save(row, True)
    values = _prepared(fields, map(attrgetter(*(field.attname for field in fields)), rows), using=using)
    columns = ", ".join(_columns(fields, using))
    marks = f"VALUES ({', '.join(['%s'] * len(fields))})"
    source = f"SELECT * FROM {_arrays(fields, using)}" if connections[using].vendor == "postgresql" else marks
    _execute(f"INSERT INTO {_table(model, using)} ({columns}) {source}", values, using=using)  # noqa: S608


def find_keys(model: type[Any], rows: Sequence[Any], *, using: str) -> None:
    """Give inserted instances their primary key by their `key`."""
    if not rows:
        return
    stored = model._base_manager.using(using).filter(key__in=[row.key for row in rows])
    pks = dict(stored.values_list("key", "pk"))
    for row in rows:
        row.pk = pks[row.key]
        row._state.adding, row._state.db = False, using


def new_row(model: type[M], **values: Any) -> M:
    """Return an instance with these values of its columns and the defaults of the others, faster than its class does.

    As a row from the database: foreign keys are given by column ("ticket_id") and nothing is validated.
    """
    names, constants, makers = _defaults(model)
    row = {**constants, **values}
    for name, make in makers.items():
        if name not in values:
            row[name] = make()
    return model.from_db(None, names, [row[name] for name in names])


@cache
def _defaults(model: type[Model]) -> tuple[list[str], dict[str, Any], dict[str, Callable[[], Any]]]:
    """Return the columns of a model, the defaults that are values, and those that are functions."""
    fields = model._meta.concrete_fields
    makers = {field.attname: field.get_default for field in fields if callable(field.default)}
    constants = {field.attname: field.get_default() for field in fields if field.attname not in makers}
    return [field.attname for field in fields], constants, makers


def _prepared(fields: Sequence[Any], rows: Iterable[Sequence[Any]], *, using: str) -> list[list[Any]]:
    """Return values as the database's driver takes them."""
    prepares = [_preparation(field, using) for field in fields]
    return [
        [prepare(value) if prepare else value for prepare, value in zip(prepares, row, strict=True)] for row in rows
    ]


def _preparation(field: Any, using: str) -> Prepare | None:
    """Return what turns values of a field into what the driver takes; None: they are taken as they are."""
    connection = connections[using]
    if isinstance(field, DateTimeField):
        return lru_cache(maxsize=256)(connection.ops.adapt_datetimefield_value)
    if isinstance(field, (JSONField, UUIDField, FileField)):
        return lambda value: field.get_db_prep_save(value, connection)
    return None


def _execute(sql: str, rows: Sequence[Sequence[Any]], *, using: str) -> None:
    """Execute a statement for all rows: once with an array for each column, or prepared once and filled for each."""
    with connections[using].cursor() as cursor:
        if connections[using].vendor == "postgresql":
            cursor.execute(sql, [list(column) for column in zip(*rows, strict=True)])
        else:
            cursor.executemany(sql, rows)


def _update(model: type[Model], fields: Sequence[Any], count: int, *, using: str) -> str:
    columns = [f"{column} = %s" for column in _columns(fields, using)]
    return f"UPDATE {_table(model, using)} SET {', '.join(columns[:count])} WHERE {' AND '.join(columns[count:])}"  # noqa: S608


def _update_by_arrays(model: type[Model], fields: Sequence[Any], count: int, *, using: str) -> str:
    """Return an UPDATE for PostgreSQL, where executemany() goes row by row to the server."""
    table, columns = _table(model, using), _columns(fields, using)
    new = ", ".join(f"v{number}" for number in range(len(fields)))
    setters = ", ".join(f"{column} = v.v{number}" for number, column in enumerate(columns[:count]))
    condition = " AND ".join(
        f"{table}.{column} = v.v{number}" for number, column in enumerate(columns[count:], start=count)
    )
    return f"UPDATE {table} SET {setters} FROM {_arrays(fields, using)} AS v({new}) WHERE {condition}"  # noqa: S608


def _arrays(fields: Sequence[Any], using: str) -> str:
    return f"UNNEST({', '.join(f'(%s)::{_type_of(field, using)}[]' for field in fields)})"


def _type_of(field: Any, using: str) -> str:
    # Of a primary key: the type of what refers to it, since its own is that of a sequence.
    db_type = field.rel_db_type if field.primary_key else field.db_type
    return str(db_type(connections[using]))


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
