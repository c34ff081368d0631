"""A desk in the middle of its day: a month of tickets, a conversation, some trouble."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from django.utils import timezone

from django_support_tickets.models import (
    Attachment,
    Comment,
    Delivery,
    OutboxEntry,
    ProviderState,
    SyncRun,
    Ticket,
    TicketEvent,
    WebhookDelivery,
    epoch_now,
)
from django_support_tickets.records import AuthorType, BodyFormat, Status

SUBJECTS = (
    "Deposit missing",
    "Withdrawal not credited",
    "Card blocked after the third PIN",
    "Transfer stuck in pending",
    "Cluster unreachable since the upgrade",
    "Invoice shows the wrong tax number",
    "Webhook signature does not match",
    "Customer cannot finish the identity check",
)
PEOPLE = (("Ana Lima", "ana.lima@example.com"), ("Bruno Paz", "bruno@example.com"), ("Chen Wei", "chen@example.com"))
STATUSES = {
    "ripio": (Status.OPEN, Status.OPEN, Status.PENDING, Status.FAILED),
    "moov": (Status.OPEN, Status.IN_PROGRESS, Status.CLOSED, Status.CLOSED, Status.ON_HOLD),
    "ankra": (Status.OPEN, Status.IN_PROGRESS, Status.WAITING, Status.RESOLVED, Status.CLOSED),
}


def furnish(agent: Any, *, count: int = 240) -> dict[str, Ticket]:
    """Fill the desk; return what is worth a look: a long conversation, and a ticket in each kind of trouble."""
    chance = random.Random(7)
    now = timezone.now()
    Ticket.objects.bulk_create([_ticket(number, chance, agent, now) for number in range(count)])
    _queue(now)
    _trouble(now)
    return {"ticket": _conversation(agent, now), **_stuck(agent, now)}


def _ticket(number: int, chance: random.Random, agent: Any, now: Any) -> Ticket:
    alias = chance.choices(list(STATUSES), (5, 3, 4))[0]
    name, email = chance.choice(PEOPLE)
    made = now - timedelta(days=30 * chance.random() ** 1.3, minutes=5)
    fate = chance.random()
    delivery = Delivery.DELIVERED if fate < 0.93 else Delivery.REFUSED if fate < 0.97 else Delivery.QUEUED
    is_there = delivery == Delivery.DELIVERED
    wait = timedelta(seconds=chance.lognormvariate(2.2 if alias == "moov" else 3.8, 1.3))
    return Ticket(
        provider=alias,
        subject=f"{chance.choice(SUBJECTS)}",
        description="It has been so since this morning, for several customers.",
        contact_name=name,
        contact_email=email,
        customer_id=f"cust-{chance.randrange(900):03}",
        requester=agent,
        delivery=delivery,
        delivery_error="" if delivery != Delivery.REFUSED else "the vendor refuses it: no e-mail on file [20000]",
        status=chance.choice(STATUSES[alias]) if is_there else Status.PENDING,
        remote_id=f"{alias}-{number}" if is_there else None,
        reference=f"SUP-{1000 + number}" if is_there else "",
        created_at=made,
        submitted_at=made,
        delivered_at=made + wait if is_there else None,
        last_comment_at=made + (now - made) / 3 if is_there and chance.random() < 0.6 else None,
        next_poll_at=None,
    )


def _queue(now: Any) -> None:
    queued = list(Ticket.objects.filter(delivery=Delivery.QUEUED))
    OutboxEntry.objects.bulk_create(
        OutboxEntry(
            ticket=ticket,
            provider=ticket.provider,
            attempts=index % 4,
            not_before=epoch_now("default") + 600_000,
            last_error="no connection could be made" if index % 4 else "",
            created_at=now - timedelta(minutes=3 ** (index % 6)),
        )
        for index, ticket in enumerate(queued)
    )


def _trouble(now: Any) -> None:
    ProviderState.objects.update_or_create(
        provider="ankra",
        scope="",
        defaults={
            "pause": ProviderState.Pause.DENIED,
            "pause_detail": "the vendor refuses this account: token expired [expired_token]",
            "paused_until": epoch_now("default") + 900_000,
            "webhooks_refused": 2,
        },
    )
    for alias in ("ripio", "moov"):
        ProviderState.objects.update_or_create(provider=alias, scope="")
        SyncRun.objects.create(
            provider=alias, started_at=now - timedelta(minutes=4), finished_at=now, outcome=SyncRun.Outcome.DONE
        )


def _stuck(agent: Any, now: Any) -> dict[str, Ticket]:
    lost = "the answer was lost or cut (request 4bf92f)"
    refused = "the vendor refuses it: The customer has no e-mail on file. [20000] (request 77aa01)"
    kinds: dict[str, dict[str, Any]] = {
        "uncertain": {"provider": "ripio", "delivery": Delivery.UNCERTAIN, "delivery_error": lost},
        "refused": {"provider": "ripio", "delivery": Delivery.REFUSED, "delivery_error": refused},
        "queued": {"provider": "ankra", "delivery": Delivery.QUEUED},
        "draft": {"provider": "ankra", "delivery": Delivery.DRAFT},
    }
    found = {}
    for name, values in kinds.items():
        Ticket.objects.bulk_create([
            Ticket(
                subject="Deposit missing", description="Sent at 10:12, not there at 12:00.", requester=agent,
                customer_id="cust-77", created_at=now - timedelta(hours=1), submitted_at=now - timedelta(hours=1),
                **values,
            )
        ])  # fmt: skip
        found[name] = Ticket.objects.order_by("-pk")[0]
    OutboxEntry.objects.create(
        ticket=found["queued"], provider="ankra", item="create", attempts=3,
        created_at=now - timedelta(hours=1), not_before=epoch_now("default") + 600_000,
        last_error="the vendor asks to wait (status 429, request 11)",
    )  # fmt: skip
    for name in ("uncertain", "refused"):
        TicketEvent.objects.create(
            ticket=found[name], kind=name, source="push", at=now - timedelta(minutes=50),
            changes={"item": "create", "reason": found[name].delivery_error},
        )  # fmt: skip
    return found


def _conversation(agent: Any, now: Any) -> Ticket:
    begun = now - timedelta(hours=5)
    ticket = Ticket.objects.create(
        provider="ankra",
        subject="Cluster <b>unreachable</b> since the upgrade",
        description="All nodes are NotReady since 09:12.\nThe log is attached.",
        category="technical",
        requester=agent,
        delivery=Delivery.DRAFT,
    )
    Ticket.objects.filter(pk=ticket.pk).update(
        delivery=Delivery.DELIVERED,
        status=Status.WAITING,
        remote_status="waiting_customer",
        remote_id="f1943c59-9c1b-4fe3-9b61-f4ae188d8986",
        reference="ANK-77",
        created_at=begun,
        submitted_at=begun,
        delivered_at=begun + timedelta(seconds=9),
        next_poll_at=now + timedelta(minutes=4),
        last_comment_at=now - timedelta(minutes=20),
        raw={"id": "f1943c59", "status": "waiting_customer", "title": "<script>alert(1)</script>"},
    )
    question = "<p>Which version do you run?</p><!-- ticket 77 -->"
    request = "Please run `kubectl get nodes` and send us\nthe output."
    said = (
        (AuthorType.AGENT, "Iva (Ankra)", BodyFormat.HTML, question, None, 60),
        (AuthorType.CUSTOMER, "", BodyFormat.TEXT, "1.31.2, upgraded from 1.30.8.", agent, 75),
        (AuthorType.AGENT, "Iva (Ankra)", BodyFormat.MARKDOWN, request, None, 280),
    )
    for author_type, author, body_format, body, by, minutes in said:
        moment = begun + timedelta(minutes=minutes)
        Comment.objects.bulk_create([
            Comment(
                ticket=ticket, author_type=author_type, author_name=author, body=body, body_format=body_format,
                created_by=by, sent_at=moment, created_at=moment, delivery=Delivery.DELIVERED, remote_id=str(minutes),
            )
        ])  # fmt: skip
    Attachment.objects.bulk_create([
        Attachment(
            ticket=ticket, name="kubelet.log", size=48_213, content_type="text/plain", file="00/0", sha256="0" * 64,
            delivery=Delivery.DELIVERED, created_by=agent, created_at=begun,
        ),
        Attachment(
            ticket=ticket, name="how-to-drain.pdf", size=210_004, direction=Attachment.Direction.IN, remote_id="a1",
            state=Attachment.State.REMOTE, delivery=Delivery.DELIVERED, created_at=begun + timedelta(minutes=281),
        ),
    ])  # fmt: skip
    sent = {"item": "create", "remote_id": "f1943c59-9c1b-4fe3-9b61-f4ae188d8986"}
    for kind, source, changes, minutes in (
        (TicketEvent.Kind.DELIVERED, "push", sent, 0),
        (TicketEvent.Kind.CHANGED, "pull", {"status": ["open", "in_progress"]}, 61),
        (TicketEvent.Kind.CHANGED, "pull", {"status": ["in_progress", "waiting"]}, 281),
    ):
        TicketEvent.objects.create(
            ticket=ticket, kind=kind, changes=changes, source=source, at=begun + timedelta(minutes=minutes)
        )
    ticket.refresh_from_db()
    WebhookDelivery.objects.create(
        provider="ankra", identity="1", event_type="ticket.updated", remote_id=ticket.remote_id
    )
    return ticket
