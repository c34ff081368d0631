from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, overload

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, Func
from django.db.models.sql.compiler import SQLCompiler
from django.utils import timezone

Sql = tuple[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class EpochNow(Func):
    """The database's clock in milliseconds since 1970, whatever time zone session, server and project use.

    Leases and marks of all workers are set and compared by this one clock.
    """

    output_field = BigIntegerField()

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Sql:
        return "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint", ()

    def as_mysql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Sql:
        return "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)", ()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Sql:
        return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)", ()


# Constant SQL by vendor, for the one question that has no table to ask it of.
_QUESTIONS = {"postgresql": EpochNow.as_postgresql, "mysql": EpochNow.as_mysql, "sqlite": EpochNow.as_sqlite}


def epoch_now(using: str) -> int:
    """Return the clock of database `using` in milliseconds since 1970."""
    connection = connections[using]
    sql, _ = _QUESTIONS[connection.vendor](EpochNow(), None, connection)  # type: ignore[arg-type]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql}")  # noqa: S608 -- a constant of this module
        return int(cursor.fetchone()[0])


def milliseconds(seconds: float) -> int:
    """Return seconds as whole milliseconds."""
    return int(seconds * 1000)


def database_time(using: str) -> datetime:
    """Return the clock of database `using` as this project's datetimes are (aware or naive)."""
    return moment_of(epoch_now(using))


@overload
def moment_of(epoch_ms: int) -> datetime: ...


@overload
def moment_of(epoch_ms: int | None) -> datetime | None: ...


def moment_of(epoch_ms: int | None) -> datetime | None:
    """Return epoch milliseconds as this project's datetimes are (aware or naive), None for None."""
    return None if epoch_ms is None else project_time(EPOCH + timedelta(milliseconds=epoch_ms))


def project_time(moment: datetime) -> datetime:
    """Return an aware datetime as this project's DateTimeFields take it: naive local time where USE_TZ is off."""
    return moment if settings.USE_TZ else timezone.make_naive(moment, timezone.get_default_timezone())


def comes_twice(moment: datetime) -> bool:
    """Return whether a datetime of this project is in the hour that local clocks pass twice when they are put back."""
    if settings.USE_TZ:
        return False
    local = moment.replace(tzinfo=timezone.get_default_timezone(), fold=0)
    return local.utcoffset() != local.replace(fold=1).utcoffset()


def utc_time(moment: datetime) -> datetime:
    """Return a datetime of this project as an aware one in UTC."""
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment, timezone.get_default_timezone())
    return moment.astimezone(UTC)
