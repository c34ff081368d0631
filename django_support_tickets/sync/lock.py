"""One pull per account at a time: a lease on its ProviderState row, judged by the database's clock."""

from __future__ import annotations

import time
import uuid
from types import TracebackType
from typing import Self

from django.db.models import Q, QuerySet

from django_support_tickets.merge import in_transaction
from django_support_tickets.models import EpochNow, ProviderState, milliseconds
from django_support_tickets.models.pauses import state_of

LEASE_SECONDS = 60.0
RENEW_SECONDS = 15.0


class AlreadyRunning(Exception):
    """Another pull of this account is at work."""

    def __init__(self, alias: str) -> None:
        super().__init__(f"A pull of {alias!r} is already running.")
        self.alias = alias


class RunLock:
    """Hold the run lease of an account inside the block; raise AlreadyRunning if another holds it."""

    def __init__(self, alias: str, *, using: str) -> None:
        self.alias = alias
        self.using = using
        self.token = uuid.uuid4()
        self._renewed_at = 0.0

    def __enter__(self) -> Self:
        # MariaDB may undo one of several that make the account's row at the same moment.
        if not in_transaction(self._take, using=self.using):
            raise AlreadyRunning(self.alias)
        self._renewed_at = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.update(run_token=None, run_leased_until=None)

    def keep(self) -> bool:
        """Renew the lease when it is time; return False if another pull has taken it over."""
        if time.monotonic() - self._renewed_at < RENEW_SECONDS:
            return True
        self._renewed_at = time.monotonic()
        return bool(self._rows.update(run_leased_until=EpochNow() + milliseconds(LEASE_SECONDS)))

    def _take(self) -> bool:
        state = state_of(self.alias, using=self.using)
        free = Q(run_leased_until=None) | Q(run_leased_until__lte=EpochNow())
        rows = ProviderState.objects.using(self.using).filter(free, pk=state.pk)
        return bool(rows.update(run_token=self.token, run_leased_until=EpochNow() + milliseconds(LEASE_SECONDS)))

    @property
    def _rows(self) -> QuerySet[ProviderState]:
        return ProviderState.objects.using(self.using).filter(provider=self.alias, scope="", run_token=self.token)
