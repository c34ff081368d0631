from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation

from django_support_tickets.models import Delivery, EpochNow, OutboxEntry, ProviderState, SyncRun, WebhookDelivery
from tests.admin.conftest import text_of, url

Make = Callable[..., Any]


def listed(client: Client, model: str) -> str:
    answer = client.get(reverse(f"admin:support_tickets_{model}_changelist"))
    assert answer.status_code == 200
    return text_of(answer)


def shown(client: Client, row: Any) -> str:
    answer = client.get(reverse(f"admin:support_tickets_{row._meta.model_name}_change", args=[row.pk]))
    assert answer.status_code == 200
    return text_of(answer)


@pytest.mark.parametrize(
    ("values", "label"),
    [({}, "waits"), ({"sent_at": 1}, "may be at the vendor"), ({"lease_token": "0" * 32}, "a worker has it")],
)
def test_the_outbox_says_what_is_on_its_way(
    client: Client, make_ticket: Make, values: dict[str, Any], label: str
) -> None:
    ticket = make_ticket(delivery=Delivery.QUEUED)
    OutboxEntry.objects.update(last_error="the answer was lost or cut", not_before=EpochNow() + 60_000, **values)
    entry = OutboxEntry.objects.get()
    for page in (listed(client, "outboxentry"), shown(client, entry)):
        assert f">{label}</span>" in page
        assert "The connection broke" in page
        assert url("change", ticket.pk) in page
        assert f">{str(ticket.key)[:8]}</a>" in page


def test_webhooks_states_and_runs_can_be_read(client: Client) -> None:
    rows = [
        WebhookDelivery.objects.create(provider="ripio", identity="1", event_type="SUPPORT_TICKET.CREATED"),
        ProviderState.objects.create(provider="ripio", paused_until=EpochNow() + 60_000, pause="denied"),
        SyncRun.objects.create(provider="ripio", outcome="done", counts={"fetched": 3}),
    ]
    texts = ["SUPPORT_TICKET.CREATED", "The vendor refuses the account", ">Done</span>"]
    for row, text in zip(rows, texts, strict=True):
        assert text in listed(client, str(row._meta.model_name))
        assert text in shown(client, row)
        assert "_save" not in shown(client, row)
        assert "+00:00" not in shown(client, row)  # times are as people write them
        assert ">None<" not in shown(client, row)  # nor is nothing a word of Python's


def test_why_an_account_is_paused_and_how_a_run_ended_is_said_in_the_language_of_the_page(client: Client) -> None:
    detail = "ripio get: the vendor refuses this account (status 401)"
    rows = [
        ProviderState.objects.create(provider="ripio", paused_until=1, pause="denied", pause_detail=detail),
        SyncRun.objects.create(provider="ripio", outcome="failed", error=detail),
    ]
    with translation.override("es"):
        assert all("ripio get: el proveedor rechaza esta cuenta (estado 401)" in shown(client, row) for row in rows)
        assert ">Fallida</span>" in listed(client, "syncrun")


def test_queries_do_not_grow_with_the_outbox(client: Client, make_ticket: Make) -> None:
    make_ticket(delivery=Delivery.QUEUED)
    with CaptureQueriesContext(connection) as one:
        listed(client, "outboxentry")
    for _number in range(5):
        make_ticket(delivery=Delivery.QUEUED)
    with CaptureQueriesContext(connection) as many:
        listed(client, "outboxentry")
    assert len(many) == len(one)
