"""One random history, wholly decided by its seed: people, workers that die, a vendor that fails, time that passes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.db import transaction
from django.db.models import ProtectedError
from django.test import override_settings
from django.utils import timezone

from django_support_tickets.models import Attachment, Comment, Delivery, OutboxEntry, Ticket
from django_support_tickets.outbox import decisions
from django_support_tickets.providers import providers
from django_support_tickets.records import Capabilities
from django_support_tickets.testing.sandbox import QUICK_FAULTS, Fault, Sandbox
from django_support_tickets.transport import forget_accounts
from tests.simulator.books import Books, read
from tests.simulator.desks import Desk
from tests.simulator.passing import pass_time
from tests.simulator.points import Point
from tests.simulator.standstills import WRITES
from tests.simulator.workers import Workers

T = TypeVar("T")

PICTURE = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
#: Faults that a request may meet; none of them takes time.
FAULTS = (
    *QUICK_FAULTS,
    Fault.UNAUTHORIZED,
    Fault.REDIRECT,
    Fault.NO_CONTENT,
    Fault.EMPTY_BODY,
    Fault.NULL_ID,
    Fault.EMPTY_ID,
    Fault.NUMBER_ID,
    Fault.LIST_INSTEAD_OF_OBJECT,
    Fault.JSON_INVALID_UTF8,
)
#: Seconds that an account of ours may give its vendor to settle, longer than any lease.
PATIENT = 600.0
#: Rounds of pushing and waiting an hour in which everything must come to rest.
ROUNDS = 60


class Simulation(Workers):
    """People raise tickets at one vendor while workers and the vendor fail; `run()` ends when all has come to rest."""

    def __init__(self, desk: Desk, sandbox: Sandbox, seed: int) -> None:
        super().__init__(desk.name, sandbox, desk.sandbox_of(sandbox), random.Random(f"{desk.name}/{seed}"))
        self.desk, self.seed = desk, seed
        #: Tokens of what the vendor was told to refuse, or a person took back.
        self.taken_back: set[str] = set()
        self.capabilities = Capabilities()
        self._count = 0

    def run(self) -> None:
        """Live through the history and let it come to rest."""
        forget_accounts()
        with override_settings(SUPPORT_TICKETS_PROVIDERS={self.alias: self._account()}):
            self.capabilities = providers[self.alias].capabilities
            if self.draw.random() < 0.5:
                self.vendor.fail_randomly(self.draw.choice([0.1, 0.3]), FAULTS)
            if self.draw.random() < 0.3:
                self.vendor.list_lag = self.draw.uniform(1, providers[self.alias].settle_seconds - 1)
                self.note(f"lists lag by {self.vendor.list_lag:.0f} s")
            for _ in range(self.draw.randint(5, 15)):
                self.step()
            self.come_to_rest()

    def _account(self) -> dict[str, Any]:
        account = self.desk.provider(self.sandbox)
        account["OPTIONS"]["import_unknown"] = self.draw.random() < 0.5
        if self.draw.random() < 0.3:
            account["OPTIONS"]["settle_seconds"] = PATIENT
        return account

    def step(self) -> None:
        """Let one thing happen."""
        steps = (
            (self.raise_ticket, 5),
            (self.comment, 3),
            (self.attach, 2),
            (self.close, 1),
            (self.push, 5),
            (self.push_and_die, 5),
            (self.freeze, 2),
            (self.thaw, 2),
            (self.fail, 5),
            (self.wait, 5),
            (self.cancel, 1),
            (self.delete, 1),
            (self.settle, 2),
            (self.lose_entry, 1),
            (self.pull, 2),
            (self.stand_still, 3),
            (self.say_again, 2),
            (self.interrupt, 2),
            (self.arrive_late, 1),
            (self.oversleep, 1),
        )
        chosen: Callable[[], None] = self.draw.choices([step for step, _ in steps], [weight for _, weight in steps])[0]
        chosen()

    @property
    def moments(self) -> frozenset[str]:
        rules = self.capabilities.attachments
        return rules.moments if rules else frozenset()

    def token(self) -> str:
        self._count += 1
        return f"token-{self.seed}-{self._count}-end"

    # People.

    def raise_ticket(self) -> None:
        token = self.token()
        values = {"provider": self.alias, "subject": "A case", "description": f"It is {token}."}
        values |= self.desk.values(self.draw)
        self.note(f"raise {token}")
        if self.draw.random() < 0.15:
            Ticket.objects.bulk_create([Ticket(**values)])
            return
        with transaction.atomic():
            ticket = Ticket.objects.create(**values)
            for _ in range(self.draw.choice([0, 0, 1, 2]) if self.moments & {"create", "after"} else 0):
                self._add_file(ticket)

    def comment(self) -> None:
        ticket = self._some_ticket(Delivery.QUEUED, Delivery.DELIVERED)
        if ticket is None or not self.capabilities.can_comment:
            return
        # Sometimes the same words again.
        said = list(ticket.comments.values_list("body", flat=True))
        body = self.draw.choice(said) if said and self.draw.random() < 0.2 else f"Also {self.token()}."
        has_file = "comment" in self.moments and self.draw.random() < 0.3
        self._try(lambda: self._say(ticket, body, has_file=has_file), f"comment {ticket.description} {body}")

    def _say(self, ticket: Ticket, body: str, *, has_file: bool = False, said_at: datetime | None = None) -> None:
        with transaction.atomic():
            comment = Comment.objects.create(ticket=ticket, body=body, created_at=said_at or self._now())
            if has_file:
                self._add_file(ticket, comment)

    def say_again(self) -> None:
        """Say the same thing twice, the second time from a machine whose clock is behind, and lose one of the answers.

        Sometimes the ticket is pulled meanwhile, which has to guess which of the two the vendor shows.
        """
        ticket = self._some_ticket(Delivery.DELIVERED)
        if ticket is None or not self.capabilities.can_comment:
            return
        body, is_looked_at = f"Again {self.token()}.", self.draw.random() < 0.5
        for operation, seconds in zip(self.draw.sample(["", "comment"], 2), (0, 300), strict=True):
            if operation:
                self.vendor.fail_next(operation, self.draw.choice([Fault.RESET_AFTER_COMMIT, self.draw.choice(FAULTS)]))
            said_at = timezone.now() - timedelta(seconds=seconds)
            self._try(partial(self._say, ticket, body, said_at=said_at), f"comment {ticket.description} {body}")
            if is_looked_at:
                self.look_at(ticket)
            self.push()

    def look_at(self, ticket: Ticket) -> None:
        """Pull a ticket just now, also while something of it is on its way."""
        Ticket.objects.filter(pk=ticket.pk).update(next_poll_at=timezone.now(), synced_at=None)
        self.pull()

    def attach(self) -> None:
        ticket = self._some_ticket(Delivery.QUEUED, Delivery.DELIVERED)
        if ticket is not None and self.moments & {"create", "after"}:
            self._try(lambda: self._add_file(ticket), f"a file for {ticket.description}")

    def _add_file(self, ticket: Ticket, comment: Comment | None = None) -> None:
        token = self.token()
        self.note(f"file {token} for {ticket.description}")
        file = ContentFile(PICTURE, name=f"{token}.png")
        Attachment.objects.create(ticket=ticket, comment=comment, file=file, created_at=self._now())

    def _now(self) -> datetime:
        """Return the time as one of several machines has it, whose clocks are minutes apart."""
        return timezone.now() - timedelta(seconds=self.draw.choice([0, 0, 300]))

    def close(self) -> None:
        ticket = self._some_ticket(Delivery.DELIVERED)
        if ticket is not None:
            self._try(lambda: decisions.request_close(ticket), f"close {ticket.description}")

    def cancel(self) -> None:
        items = read(self.draw.choice([Ticket, Comment, Attachment]), self.alias)
        item = self._some([item for item in items if item.delivery == Delivery.QUEUED])
        if item is not None:
            self._try(lambda: decisions.cancel(item), f"cancel {token_of(item)}")

    def delete(self) -> None:
        ticket = self._some_ticket(Delivery.QUEUED)
        if ticket is not None:
            self._try(ticket.delete, f"delete {ticket.description}")

    def settle(self) -> None:
        """Let a person look at the vendor, when nothing is on its way any more, and say what is there."""
        books = Books(self.alias)
        closings = [ticket for ticket in books.tickets if ticket.close_delivery == Delivery.UNCERTAIN]
        item = self._some([*closings, *(item for item in books.items if item.delivery == Delivery.UNCERTAIN)])
        if item is None or self.frozen:
            return
        self.wait(PATIENT)
        remote_id = self._seen_of(item, books)
        self._try(
            lambda: decisions.settle(item, exists=remote_id, send_again=remote_id is None),
            f"settle {token_of(item)} {remote_id}",
        )

    def _seen_of(self, item: Ticket | Comment | Attachment, books: Books) -> str | None:
        """Return the remote id that a person sees at the vendor, "" where it shows none, None for what is not there."""
        if isinstance(item, Ticket) and item.delivery == Delivery.UNCERTAIN:
            return next((key for key, stored in self.vendor.tickets.items() if self._is_of(stored, item)), None)
        ticket = item if isinstance(item, Ticket) else item.ticket
        stored = self.vendor.tickets[str(ticket.remote_id)]
        if isinstance(item, Ticket):
            return item.remote_id if self.desk.is_closed(stored) else None
        if isinstance(item, Comment):
            there, ours = self.desk.comments(stored), books.comments[ticket.pk]
        else:
            there, ours = self.desk.files(self.vendor, stored), books.files[ticket.pk]
        texts = Counter(token_of(one) for one in ours if one.delivery == Delivery.DELIVERED)
        return "" if [text.strip() for text in there].count(token_of(item)) > texts[token_of(item)] else None

    def _is_of(self, stored: dict[str, Any], ticket: Ticket) -> bool:
        return self.desk.description(stored).startswith(ticket.description)

    def lose_entry(self) -> None:
        """Let all callbacks and entries of something queued be lost that no worker has touched."""
        self.note("entries lost")
        entries = OutboxEntry.objects.filter(provider=self.alias, sent_at=None, lease_token=None, attempts=0)
        entries.delete()

    def _try(self, action: Callable[[], Any], what: str) -> None:
        try:
            action()
        except (ValidationError, ProtectedError) as error:
            what += f" refused: {error}"
        self.note(what)

    def _some_ticket(self, *deliveries: Delivery) -> Ticket | None:
        return self._some([ticket for ticket in read(Ticket, self.alias) if ticket.delivery in deliveries])

    def _some(self, items: list[T]) -> T | None:
        return self.draw.choice(items) if items else None

    # The vendor, and time.

    def fail(self) -> None:
        operation = self.draw.choice([*WRITES, "create", "*", "get", "list", "token"])
        if operation in WRITES and self.draw.random() < 0.2:
            seconds = self.draw.uniform(1, providers[self.alias].settle_seconds - 1)
            self.vendor.fail_next(operation, Fault.LATE_COMMIT, seconds=seconds)
            self.note(f"late commit of the next {operation} after {seconds:.0f} s")
            return
        if operation != "token" and self.draw.random() < 0.1:
            # A gateway in front of the vendor that has lost patience, and asks for some.
            self.vendor.fail_next(operation, Fault.SERVER_ERROR_AFTER_COMMIT, status=503, retry_after="5")
            self.note(f"503 with Retry-After although done at the next {operation}")
            return
        fault = self.draw.choice(FAULTS)
        self.vendor.fail_next(operation, fault, times=self.draw.choice([1, 1, 2, 6]))
        self.note(f"{fault} at the next {operation}")

    def arrive_late(self) -> None:
        """Let the vendor get to a ticket late, and workers look for it as soon as they may."""
        self.raise_ticket()
        settle_seconds = providers[self.alias].settle_seconds
        late, lag = (self.draw.uniform(0.6, 1) * (settle_seconds - 1) for _ in range(2))
        self.vendor.fail_next("create", Fault.LATE_COMMIT, seconds=late)
        if self.draw.random() < 0.7:
            self.vendor.list_lag = lag
        self.note(f"late commit of the next create after {late:.0f} s, lists lag by {self.vendor.list_lag:.0f} s")
        if self.draw.random() < 0.5:
            self.push()
        else:
            self.push_and_die(Point.named("outbox/delivery.py:_outcome:call"))
        for seconds in (self.draw.choice([61, 250]), settle_seconds, settle_seconds):
            self.wait(seconds)
            self.push()

    def oversleep(self) -> None:
        """Let a worker that is to look for what was lost stand still until its lease is over, and nobody else come."""
        self.raise_ticket()
        self.vendor.fail_next("create", Fault.RESET_AFTER_COMMIT)
        self.push()
        self.wait(providers[self.alias].settle_seconds + 1)
        self.stop_at(Point.named("outbox/searching.py:search:call"), meanwhile=partial(self.wait, 250))

    def wait(self, seconds: float | None = None) -> None:
        seconds = seconds or self.draw.choice([1, 10, 31, 61, 65, 130, 250, 1000, 4000])
        self.note(f"{seconds} s pass")
        self.clock += seconds
        pass_time(seconds, self.sandbox)

    def come_to_rest(self) -> None:
        """End all faults; let workers work until nothing is queued, for at most sixty hours."""
        self.note("faults end")
        self.vendor.clear_failures()
        while self.frozen:
            self.thaw()
        for _ in range(ROUNDS):
            self.push()
            if not OutboxEntry.objects.exists():
                return
            self.wait(3700)


def token_of(item: Any) -> str:
    """Return the text that tells an item from all others."""
    return str(getattr(item, "description", "") or getattr(item, "body", "") or item.name)
