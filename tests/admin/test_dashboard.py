from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.core.cache import cache
from django.core.cache.backends.base import BaseCache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_support_tickets.admin.charts import Chart, Series, ceiling
from django_support_tickets.admin.dashboard import bucket_name
from django_support_tickets.admin.figures import AGES, DAYS, LAGS, LONGER, count
from django_support_tickets.models import (
    Delivery,
    EpochNow,
    OutboxEntry,
    ProviderState,
    SyncRun,
    Ticket,
)
from django_support_tickets.models.pauses import pause
from django_support_tickets.records import Status
from tests.admin.conftest import text_of, url

pytestmark = pytest.mark.usefixtures("accounts")
Make = Callable[..., Any]


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    cache.clear()


class TestFigures:
    def test_tickets_are_counted_by_day_and_state(self, make_ticket: Make) -> None:
        now = timezone.now()
        make_ticket(status=Status.OPEN)
        make_ticket(status=Status.OPEN)
        make_ticket(delivery=Delivery.REFUSED)
        make_ticket(delivery=Delivery.DRAFT)
        make_ticket(status=Status.CLOSED, created_at=now - timedelta(days=3))
        make_ticket(created_at=now - timedelta(days=DAYS + 1))
        figures = count(None, using="default")
        assert len(figures.days) == DAYS
        assert figures.per_day == {
            (figures.days[-1], "open"): 2,
            (figures.days[-1], "refused"): 1,
            (figures.days[-4], "closed"): 1,
        }
        assert figures.accounts["local"].refused == 1

    def test_the_time_until_registered_is_told_by_account(self, make_ticket: Make) -> None:
        now = timezone.now()
        for seconds in (1, 5, 30, 4000, 90_000):
            make_ticket(created_at=now, submitted_at=now, delivered_at=now + timedelta(seconds=seconds))
        make_ticket(provider="moov", submitted_at=now, delivered_at=now + timedelta(hours=5))
        make_ticket(provider="ripio")
        figures = count(None, using="default")
        assert figures.lags == {
            ("local", "10s"): 2, ("local", "1min"): 1, ("local", "6h"): 1, ("local", LONGER): 1, ("moov", "6h"): 1
        }  # fmt: skip
        typical = {alias: health.typical_lag for alias, health in figures.accounts.items()}
        assert typical == {"local": "1min", "moov": "6h", "ripio": "", "ankra": ""}

    def test_what_waits_is_counted_with_its_age(self, make_ticket: Make) -> None:
        now = timezone.now()
        for minutes in (0, 10, 200):
            entry = OutboxEntry.objects.get(ticket=make_ticket(delivery=Delivery.QUEUED))
            OutboxEntry.objects.filter(pk=entry.pk).update(created_at=now - timedelta(minutes=minutes))
        figures = count(None, using="default")
        health = figures.accounts["local"]
        assert health.backlog == 3
        assert health.oldest == pytest.approx(now - timedelta(minutes=200), abs=timedelta(seconds=1))
        assert figures.ages == {("local", "1min"): 1, ("local", "15min"): 1, ("local", "6h"): 1}

    def test_what_is_uncertain_is_counted_wherever_it_hangs(self, make_ticket: Make, make_comment: Make) -> None:
        make_ticket(delivery=Delivery.UNCERTAIN)
        make_ticket(close_delivery=Delivery.UNCERTAIN)
        make_comment(make_ticket(), delivery=Delivery.UNCERTAIN)
        assert count(None, using="default").accounts["local"].uncertain == 3

    def test_accounts_that_are_gone_are_shown_while_something_is_left(self, make_ticket: Make) -> None:
        make_ticket(provider="gone", delivery=Delivery.QUEUED)
        ProviderState.objects.create(provider="long gone")
        health = count(None, using="default").accounts
        assert not health["gone"].is_configured
        assert "long gone" not in health

    def test_every_bucket_has_a_name(self) -> None:
        assert all(bucket_name(name) for name, _bound in (*LAGS, *AGES))


class TestPage:
    def test_it_tells_how_the_accounts_do(self, client: Client, make_ticket: Make) -> None:
        now = timezone.now()
        make_ticket(delivery=Delivery.QUEUED)
        make_ticket(provider="moov", delivery=Delivery.UNCERTAIN)
        make_ticket(provider="gone", delivery=Delivery.QUEUED)
        pause("ripio", kind=ProviderState.Pause.DOWN, seconds=60, detail="no connection could be made", using="default")
        ProviderState.objects.create(provider="ankra", webhooks_refused=7, paused_until=5)
        SyncRun.objects.create(provider="ankra", started_at=now - timedelta(hours=2), outcome="failed", error="halted")
        SyncRun.objects.create(provider="ankra", started_at=now - timedelta(hours=3))
        ProviderState.objects.create(provider="local")
        SyncRun.objects.create(provider="local", started_at=now, outcome="done")
        page = text_of(client.get(url("dashboard"))).replace("\xa0", " ")
        assert "ripio is paused until" in page
        assert "The vendor could not be reached" in page
        assert ">Not configured</span>" in page
        assert ">Needs a person</span>" in page
        assert "2 hours ago</time>, Failed: halted" in page
        assert page.count(">Last run failed</span>") == 1
        assert page.count(">Working</span>") == 1
        assert ">7</td>" in page
        assert f"{url('changelist')}?account=moov&amp;attention=person" in page

    def test_the_error_of_a_run_is_in_the_readers_language(self, client: Client, db: None, settings: Any) -> None:
        ProviderState.objects.create(provider="ankra")
        error = "get: the vendor refuses this account"
        SyncRun.objects.create(provider="ankra", started_at=timezone.now(), outcome="failed", error=error)
        settings.LANGUAGE_CODE = "es"
        page = text_of(client.get(url("dashboard")))
        assert "el proveedor rechaza esta cuenta" in page
        assert error not in page

    def test_it_says_the_plots_in_words_too(self, client: Client, make_ticket: Make) -> None:
        make_ticket(status=Status.WAITING, delivery=Delivery.DELIVERED)
        answer = client.get(url("dashboard"))
        page = text_of(answer)
        chart = answer.context["charts"][0]
        assert 'role="img" aria-label="Tickets per day, by what has become of them: 1 in all' in page
        assert "The same as a table" in page
        assert [series.name for series in chart.shown] == ["Waiting for us"]
        assert sum(total for _label, _numbers, total in chart.rows) == 1
        assert page.count("<svg") == page.count("</svg>")

    def test_nothing_is_styled_or_run_inline(self, client: Client, make_ticket: Make) -> None:
        make_ticket()
        page = text_of(client.get(url("dashboard")))
        main = page[page.index('id="content-main"') :]
        assert " style=" not in main
        assert "<style" not in main
        assert " on" + "click" not in main

    def test_an_empty_desk_has_one_too(self, client: Client, settings: Any) -> None:
        settings.SUPPORT_TICKETS_PROVIDERS = {}
        page = text_of(client.get(url("dashboard")))
        assert "There is no account." in page
        assert "Nothing." in page

    def test_it_is_kept_for_a_minute_and_asks_little(self, client: Client, make_ticket: Make) -> None:
        make_ticket()
        with CaptureQueriesContext(connection) as first:
            client.get(url("dashboard"))
        make_ticket(delivery=Delivery.QUEUED)
        with CaptureQueriesContext(connection) as second:
            assert client.get(url("dashboard")).context["figures"].accounts["local"].backlog == 0
        assert len(first) - len(second) == 7
        cache.clear()
        assert client.get(url("dashboard")).context["figures"].accounts["local"].backlog == 1

    @pytest.mark.fault(93)
    def test_a_cache_that_is_down_costs_queries_and_no_page(
        self, client: Client, make_ticket: Make, settings: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        settings.CACHES = {"default": {"BACKEND": f"{__name__}.UnreachableCache"}}
        make_ticket(delivery=Delivery.QUEUED)
        assert client.get(url("dashboard")).context["figures"].accounts["local"].backlog == 1
        assert "the cache fails: ConnectionError" in caplog.text
        assert "canary" not in caplog.text

    def test_a_new_account_does_not_wait_for_it(self, client: Client, settings: Any) -> None:
        client.get(url("dashboard"))
        settings.SUPPORT_TICKETS_PROVIDERS = {**settings.SUPPORT_TICKETS_PROVIDERS, "new": {"BACKEND": "x"}}
        assert "new" in client.get(url("dashboard")).context["figures"].accounts

    def test_scopes_do_not_share_what_is_kept(
        self, client: Client, staff: Callable[..., Client], make_ticket: Make, settings: Any
    ) -> None:
        settings.SUPPORT_TICKETS_TICKET_SCOPE = own_tickets
        other = staff("view_ticket")
        make_ticket(delivery=Delivery.QUEUED, requester_id=client.session["_auth_user_id"])
        assert client.get(url("dashboard")).context["figures"].accounts["local"].backlog == 1
        assert other.get(url("dashboard")).context["figures"].accounts["local"].backlog == 0

    def test_what_is_kept_names_no_person(self, client: Client, agent: Any, make_ticket: Make) -> None:
        make_ticket(requester=agent, subject="secret", contact_email="ana@example.com", delivery=Delivery.REFUSED)
        client.get(url("dashboard"))
        figures = cache.get("support_tickets.dashboard.1.default.all")
        assert figures is not None
        assert not {"secret", "ana@example.com", "agent"} & set(repr(figures).replace("'", " ").split())


class UnreachableCache(BaseCache):
    """A cache whose server does not answer."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("redis://:canary@cache.example")

    set = get


def own_tickets(user: Any) -> Any:
    """Return what the scope of this test allows."""
    return Ticket.objects.filter(requester=user)


def parsed(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(chart.svg)  # noqa: S314 -- our own


class TestCharts:
    def test_the_markup_is_sound_and_escaped(self) -> None:
        series = [Series("<a&b>", "open", [1, 0, 3]), Series("b", "closed", [2, 0, 4])]
        svg = parsed(Chart("n", '<t>"', "x", ["<l>", "m", "n"], series))
        bars = list(svg.iter("rect"))
        assert len(bars) == 4
        heights = [float(bar.get("height", "")) for bar in bars]
        assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
        assert all(float(bar.get("y", "")) >= 0 for bar in bars)
        assert bars[0].findtext("title") == "<l> · <a&b>: 1"

    @pytest.mark.parametrize(("highest", "top"), [(0, 4), (4, 4), (5, 8), (16, 20), (21, 40), (401, 800), (4001, 8000)])
    def test_the_axis_ends_at_a_round_number(self, highest: int, top: int) -> None:
        assert ceiling(highest) == top

    def test_of_many_labels_every_fifth_is_written(self) -> None:
        chart = Chart("n", "t", "x", [f"l{number}" for number in range(30)], [Series("a", "open", [1] * 30)])
        written = [text.text for text in parsed(chart).iter("text")]
        assert "l29" in written
        assert "l28" not in written

    def test_long_labels_stand_further_apart(self) -> None:
        days = [f"{number} de noviembre" for number in range(1, 31)]
        chart = Chart("n", "t", "x", days, [Series("a", "open", [1] * 30)])
        written = [text.text for text in parsed(chart).iter("text") if text.text in days]
        assert written == ["10 de noviembre", "20 de noviembre", "30 de noviembre"]


def test_the_clock_is_the_databases(make_ticket: Make) -> None:
    ProviderState.objects.create(provider="local", paused_until=0, pause="busy")
    assert count(None, using="default").accounts["local"].paused_until is None
    ProviderState.objects.update(paused_until=EpochNow() + 60_000)
    assert count(None, using="default").accounts["local"].paused_until is not None
