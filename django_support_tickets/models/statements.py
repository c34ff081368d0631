"""Statements that are compiled once per database: building one costs several times as much as running it.

A send takes five of them, so that without this a worker would spend more time on SQL than on its vendor.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, cast

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, Field, Model, QuerySet
from django.db.models.sql import DeleteQuery, InsertQuery, Query, UpdateQuery
from django.db.models.sql.compiler import SQLCompiler


class Slot(Expression):
    """A place for a value that each run gives by this name, stored and compared as the field's values are."""

    def __init__(self, name: str, field: Field[Any, Any]) -> None:
        super().__init__(output_field=field)
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, Any]:
        return "%s", (self,)

    def value(self, values: dict[str, Any], connection: BaseDatabaseWrapper) -> Any:
        """Return this slot's value of a run, as the database takes it."""
        return self.output_field.get_db_prep_save(values[self.name], connection=connection)


def slot(model: type[Model], field: str, name: str = "") -> Slot:
    """Return the place for a value of a model's field; its name is the field's unless another is given."""
    return Slot(name or field, model._meta.get_field(field))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Compiled:
    compiler: SQLCompiler  # of no connection, since those belong to a thread
    sql: str
    params: tuple[Any, ...]

    def results(self, rows: list[Any], connection: BaseDatabaseWrapper) -> list[Any]:
        """Return rows of the database as lists of the fields' values."""
        compiler = copy.copy(self.compiler)
        compiler.connection = connection
        return list(compiler.results_iter([rows]))


class Statement:
    """A query with slots; `run()` is for one that writes, `rows()` for a `values_list()`."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._compiled: dict[tuple[str, str], _Compiled] = {}

    def run(self, using: str, **values: Any) -> int:
        """Return how many rows were written."""
        compiled, connection = self._compile(using), connections[using]
        with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
            cursor.execute(compiled.sql, _filled(compiled, values, connection))
            return int(cursor.rowcount)

    def rows(self, using: str, **values: Any) -> list[Any]:
        """Return the rows as lists of the fields' values."""
        compiled, connection = self._compile(using), connections[using]
        with connection.cursor() as cursor:
            cursor.execute(compiled.sql, _filled(compiled, values, connection))
            return compiled.results(cursor.fetchall(), connection)

    def _compile(self, using: str) -> _Compiled:
        connection = connections[using]
        database = (using, connection.vendor)
        known = self._compiled.get(database)
        if known is None:
            compiler = self._query.clone().get_compiler(using)
            with transaction.atomic(using=using, savepoint=False):  # else Django makes no statement that locks rows
                made: Any = compiler.as_sql()
            sql, params = made[0] if isinstance(made, list) else made  # an insertion may be several
            del compiler.connection
            known = self._compiled[database] = _Compiled(compiler, sql, tuple(params))
        return known


def updating(rows: QuerySet[Any], **changes: Any) -> Query:
    """Return the query of `rows.update(**changes)`."""
    query = cast(UpdateQuery, rows.query.chain(UpdateQuery))
    query.add_update_values(changes)
    query.clear_ordering(force=True)
    return query


def inserting(model: type[Model], *names: str) -> Query:
    """Return the query that adds a row, with a slot for each of these attributes; no signal is sent."""
    query = InsertQuery(model)
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    query.insert_values(fields, [model(**{name: slot(model, name) for name in names})])
    return query


def deleting(rows: QuerySet[Any]) -> Query:
    """Return the query that deletes rows at once, without signals and without looking for what hangs on them."""
    return rows.query.chain(DeleteQuery)


def _filled(compiled: _Compiled, values: dict[str, Any], connection: BaseDatabaseWrapper) -> tuple[Any, ...]:
    return tuple(param.value(values, connection) if isinstance(param, Slot) else param for param in compiled.params)
