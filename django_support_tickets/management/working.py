"""One round of work for one account: send what is queued, fetch what is due, and say what needs a person."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.utils import translation
from django.utils.translation import gettext_lazy, ngettext_lazy

from django_support_tickets.merge import Difference
from django_support_tickets.models import Attachment, Comment, Delivery, EpochNow, ProviderState, Ticket
from django_support_tickets.models.pauses import state_of
from django_support_tickets.outbox.push import PushCounts, push
from django_support_tickets.sync import AlreadyRunning, PullCounts, pull

COUNTED = ("delivered", "refused", "uncertain", "waiting")
REFUSED = ngettext_lazy(
    "%(count)d refused by the vendor in this run", "%(count)d refused by the vendor in this run", "count"
)
UNCERTAIN = ngettext_lazy(
    "%(count)d uncertain: settle it in the admin or by support_tickets_settle",
    "%(count)d uncertain: settle them in the admin or by support_tickets_settle",
    "count",
)
DENIED = gettext_lazy("the vendor refuses the account: see its credentials")
BRAKED = ngettext_lazy(
    "%(count)d ticket is not to be found at the vendor; so many look like a fault, so none was flagged",
    "%(count)d tickets are not to be found at the vendor; so many look like a fault, so none was flagged",
    "count",
)


class Need(NamedTuple):
    """What nothing but a person moves on; as a text, a phrase in the active language."""

    text: Any
    # Not `count`, which is a method of tuples.
    number: int = 0

    def __str__(self) -> str:
        return str(self.text % {"count": self.number})


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done, for each account alike."""

    using: str
    workers: int = 8
    pushes: bool = True
    pulls: bool = True
    full: bool = False
    dry_run: bool = False


@dataclass(slots=True)
class Result:
    """What was done for one account."""

    alias: str
    pushed: PushCounts | None = None
    pulled: PullCounts | None = None
    # Another pull of this account was at work.
    is_running: bool = False
    # How many items a dry run has left unsent.
    queued: int = 0
    needs: list[Need] = field(default_factory=list)

    @property
    def is_eventful(self) -> bool:
        """Return whether there is anything to say."""
        pushed, pulled = self.pushed, self.pulled
        sent = pushed is not None and any(getattr(pushed, name) for name in COUNTED)
        return sent or (pulled is not None and not pulled.is_quiet)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON takes it, whose texts are English."""
        pushed = self.pushed
        with translation.override(None):
            needs = list(map(str, self.needs))
        push_counts = pushed and {name: getattr(pushed, name) for name in (*COUNTED, "paused", "failures")}
        return {
            "account": self.alias,
            "push": push_counts,
            "pull": self.pulled and self.pulled.as_dict(),
            "already_running": self.is_running,
            "queued": self.queued,
            "needs_a_person": needs,
        }


def work(
    alias: str,
    order: Order,
    *,
    stop: Callable[[], bool],
    progress: Callable[..., None] | None = None,
    report: Callable[[Difference], None] | None = None,
) -> Result:
    """Push and pull one account once."""
    result = Result(alias)
    if order.pushes:
        send(result, order, stop=stop, progress=progress)
    if order.pulls and not stop():
        fetch(result, order, stop=stop, progress=progress, report=report)
    result.needs = needs_of(result, using=order.using)
    return result


def send(
    result: Result, order: Order, *, stop: Callable[[], bool], progress: Callable[..., None] | None = None
) -> None:
    """Send what is due, or count it in a dry run."""
    if order.dry_run:
        result.queued = count_queued(result.alias, using=order.using)
    else:
        result.pushed = push(result.alias, workers=order.workers, stop=stop, progress=progress, using=order.using)


def fetch(
    result: Result,
    order: Order,
    *,
    stop: Callable[[], bool],
    seconds: float = math.inf,
    progress: Callable[..., None] | None = None,
    report: Callable[[Difference], None] | None = None,
) -> None:
    """Fetch what is due; after `seconds` nothing new is begun."""
    try:
        result.pulled = pull(
            result.alias,
            workers=order.workers,
            full=order.full,
            dry_run=order.dry_run,
            stop=stop,
            seconds=seconds,
            progress=progress,
            report=report,
            using=order.using,
        )
    except AlreadyRunning:
        result.is_running = True


def needs_of(result: Result, *, using: str) -> list[Need]:
    """Return what about this account needs a person."""
    pushed, pulled, needs = result.pushed, result.pulled, []
    if pushed is not None and pushed.refused:
        needs.append(Need(REFUSED, pushed.refused))
    if uncertain := count_uncertain(result.alias, using=using):
        needs.append(Need(UNCERTAIN, uncertain))
    if is_denied(result.alias, using=using) or (pulled is not None and pulled.denied):
        needs.append(Need(DENIED))
    if pulled is not None and pulled.braked:
        needs.append(Need(BRAKED, pulled.braked))
    return needs


def beat(alias: str, *, using: str) -> None:
    """Note that a worker is alive."""
    state = state_of(alias, using=using)
    ProviderState.objects.using(using).filter(pk=state.pk).update(heartbeat=EpochNow())


def count_queued(alias: str, *, using: str) -> int:
    """Return how many items of an account wait to be sent."""
    tickets = Ticket.objects.using(using).of(alias).queued().count()
    items = (model.objects.using(using).filter(ticket__provider=alias) for model in (Comment, Attachment))
    return tickets + sum(rows.filter(delivery=Delivery.QUEUED).count() for rows in items)


def count_uncertain(alias: str, *, using: str) -> int:
    """Return how many items of an account may or may not be at the vendor."""
    tickets = Ticket.objects.using(using).of(alias)
    items = (model.objects.using(using).filter(ticket__provider=alias) for model in (Comment, Attachment))
    return (
        tickets.filter(delivery=Delivery.UNCERTAIN).count()
        + tickets.filter(close_delivery=Delivery.UNCERTAIN).count()
        + sum(rows.filter(delivery=Delivery.UNCERTAIN).count() for rows in items)
    )


def is_denied(alias: str, *, using: str) -> bool:
    """Return whether the vendor refused the account at the last call."""
    states = ProviderState.objects.using(using).filter(provider=alias, scope="")
    return states.filter(pause=ProviderState.Pause.DENIED, paused_until__gt=EpochNow()).exists()
