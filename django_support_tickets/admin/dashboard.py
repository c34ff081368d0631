from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from django_support_tickets.admin.base import BaseTicketAdmin
from django_support_tickets.admin.charts import Chart, Series
from django_support_tickets.admin.figures import AGES, DAYS, KEPT_SECONDS, LAGS, LONGER, Figures, Health, kept_figures
from django_support_tickets.admin.scope import scope_name, scope_of
from django_support_tickets.admin.wording import explain
from django_support_tickets.models import Delivery, ProviderState, SyncRun
from django_support_tickets.phrases import translate
from django_support_tickets.records import Status

#: Told apart by this many looks; more accounts share them.
LOOKS = 8


class DashboardAdmin(BaseTicketAdmin):
    """How the accounts do: what waits, what is stuck, which vendor is slow."""

    def dashboard_view(self, request: HttpRequest) -> HttpResponse:
        """Return the dashboard of what the user may see."""
        self.require(request)
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        user = request.user
        figures = kept_figures(scope_of(user), name=scope_name(user), using=self.get_queryset(request).db)
        context = self.page_context(
            request,
            None,
            title=_("Support desk dashboard"),
            figures=figures,
            accounts=[self._row(health) for health in figures.accounts.values()],
            charts=[_per_day(figures), _lags(figures), _ages(figures)],
            days=DAYS,
            kept=KEPT_SECONDS,
        )
        return TemplateResponse(request, "admin/support_tickets/dashboard.html", context)

    def _row(self, health: Health) -> dict[str, Any]:
        listed = f"{self.url('changelist')}?account={health.alias}"
        return {
            "health": health,
            "state": _state(health),
            "pause": ProviderState.Pause(health.pause).label if health.pause else "",
            "detail": explain(health.pause_detail),
            "problem": translate(health.run_error),
            "outcome": SyncRun.Outcome(health.run_outcome).label if health.run_outcome else "",
            "lag": bucket_name(health.typical_lag) if health.typical_lag else "",
            "backlog_url": f"{listed}&delivery=queued",
            "uncertain_url": f"{listed}&attention=person",
            "refused_url": f"{listed}&delivery=refused",
        }


def _state(health: Health) -> tuple[str, str]:
    """Return an account's state as a look and a word."""
    if not health.is_configured:
        return "refused", _("Not configured")
    if health.paused_until:
        return "uncertain", _("Paused")
    if health.uncertain:
        return "uncertain", _("Needs a person")
    if health.run_outcome == SyncRun.Outcome.FAILED:
        return "refused", _("Last run failed")
    return "delivered", _("Working")


def state_name(state: str) -> str:
    """Return the name of a state of `Figures.per_day`."""
    return str(Status(state).label if state in Status.values else Delivery(state).label)


def bucket_name(bucket: str) -> str:
    """Return the name of a bucket of time."""
    names = {
        "10s": _("≤ 10 s"),
        "1min": _("≤ 1 min"),
        "5min": _("≤ 5 min"),
        "15min": _("≤ 15 min"),
        "1h": _("≤ 1 h"),
        "6h": _("≤ 6 h"),
        "1d": _("≤ 1 day"),
        "3d": _("≤ 3 days"),
        LONGER: _("longer"),
    }
    return names[bucket]


def _per_day(figures: Figures) -> Chart:
    states = [*Status.values, Delivery.QUEUED.value, Delivery.UNCERTAIN.value, Delivery.REFUSED.value]
    series = [
        Series(state_name(state), state, [figures.per_day.get((day, state), 0) for day in figures.days])
        for state in states
    ]
    labels = [date_format(day, "MONTH_DAY_FORMAT") for day in figures.days]
    return Chart("days", _("Tickets per day, by what has become of them"), _("Day"), labels, series)


def _lags(figures: Figures) -> Chart:
    title = _("Time from submit until the vendor had registered the ticket")
    return _by_account("lags", title, figures, figures.lags, [*(name for name, _bound in LAGS), LONGER])


def _ages(figures: Figures) -> Chart:
    title = _("How long tickets with something to send have been waiting")
    return _by_account("ages", title, figures, figures.ages, [*(name for name, _bound in AGES), LONGER])


def _by_account(
    name: str, title: str, figures: Figures, counts: dict[tuple[str, str], int], buckets: Sequence[str]
) -> Chart:
    series = [
        Series(alias, f"series-{index % LOOKS}", [counts.get((alias, bucket), 0) for bucket in buckets])
        for index, alias in enumerate(figures.accounts)
    ]
    return Chart(name, title, _("Time"), [bucket_name(bucket) for bucket in buckets], series)
