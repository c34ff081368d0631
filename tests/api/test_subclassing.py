"""A site that wants something else subclasses, as with any viewset: the documentation's example, and more."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import include, path
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.routers import SimpleRouter
from rest_framework.test import APIClient
from rest_framework.throttling import UserRateThrottle

from django_support_tickets.api.views import AttachmentViewSet, CommentViewSet, EventViewSet, TicketViewSet
from django_support_tickets.models import Comment, Ticket
from tests.api.odd_site import CamelCaseRenderer
from tests.snippets import pages, snippets

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

(EXAMPLE,) = (text for page in pages() for text in snippets(page) if "class SupportViewSet" in text)
documented: dict[str, Any] = {}
exec(EXAMPLE, documented)  # noqa: S102 -- the documentation's own code

PAGES = (JSONRenderer, BrowsableAPIRenderer)
PART = "pages/tickets/(?P<ticket_key>[^/]+)"


class Once(UserRateThrottle):
    """One request a day."""

    rate = "1/day"


class Camels(TicketViewSet):
    """Another spelling, another throttle, and an order by words."""

    renderer_classes = (CamelCaseRenderer,)
    ordering_fields = ("subject", "created_at")


class Throttled(TicketViewSet):
    """Hardly any requests."""

    throttle_classes = (Once,)


class CommentsToo(CommentViewSet):
    """Comments, shouted."""

    def perform_create(self, serializer: Any) -> None:
        serializer.save(body=serializer.validated_data["body"].upper())


router = SimpleRouter()
router.register("camels", Camels, basename="camel")
router.register("throttled", Throttled, basename="throttled")
router.register("shouted/(?P<ticket_key>[^/]+)", CommentsToo, basename="shouted")
for prefix, view in {
    "pages/tickets": TicketViewSet,
    f"{PART}/comments": CommentViewSet,
    f"{PART}/attachments": AttachmentViewSet,
    f"{PART}/events": EventViewSet,
}.items():
    router.register(prefix, type(view.__name__, (view,), {"renderer_classes": PAGES}), basename=prefix)
urlpatterns = [*documented["urlpatterns"], path("", include(router.urls))]

URL = "/support-tickets/tickets/"
HELLO = {"provider": "local", "subject": "Hello"}


class TestTheExample:
    def test_permission_serializer_pagination_and_rows_are_the_sites(self, as_customer: APIClient, stored: Any) -> None:
        for number in range(4):
            stored(subject=f"Ticket {number}", category="internal" if number == 3 else "")
        assert as_customer.get(URL, headers={"Day": "Sunday"}).status_code == 403
        page = as_customer.get(URL).json()
        assert [row["subject"] for row in page["results"]] == ["Ticket 2", "Ticket 1", "Ticket 0"]
        assert page["results"][0].keys() == {"key", "provider", "subject", "delivery_text"}

    def test_what_is_ours_still_holds(self, as_customer: APIClient, as_other: APIClient, as_agent: APIClient) -> None:
        first, again = (
            as_customer.post(URL, HELLO, format="json", headers={"Idempotency-Key": "once"}) for _ in range(2)
        )
        assert first.status_code == 201, first.content
        assert first.content == again.content
        assert first.headers["Location"].endswith(f"{URL}{first.json()['key']}/")
        assert Ticket.objects.get().tags == ["front end"]
        url = f"{URL}{first.json()['key']}/"
        assert as_other.get(url).status_code == 404
        assert as_agent.get(url).json() == as_customer.get(url).json() == first.json()
        assert as_customer.get(url, headers={"If-None-Match": as_customer.get(url).headers["ETag"]}).status_code == 304
        assert as_customer.get(f"{url}comments/").json()["results"] == []  # ours, beside it

    def test_the_quota_and_the_vendors_rules_too(self, as_customer: APIClient, settings: Any) -> None:
        settings.SUPPORT_TICKETS_QUOTA = {"hour": 1}
        assert as_customer.post(URL, {**HELLO, "subject": " "}, format="json").status_code == 400
        assert as_customer.post(URL, {**HELLO, "provider": "desk"}, format="json").status_code == 400
        statuses = [as_customer.post(URL, HELLO, format="json").status_code for _ in range(2)]
        assert statuses == [201, 429]


class TestOtherParts:
    def test_renderer_and_ordering(self, as_customer: APIClient, stored: Any) -> None:
        for subject in "bcaed":
            stored(subject=subject)
        seen, link = [], "/camels/?ordering=subject&page_size=2"
        while link:
            page = as_customer.get(link).json()
            seen += [row["subject"] for row in page["results"]]
            assert "deliveryText" in page["results"][0]
            link = page["next"]
        assert seen == ["a", "b", "c", "d", "e"]
        for cursor in ("cD0lMDA=", "cD14", "x"):
            assert as_customer.get(f"/camels/?ordering=subject&cursor={cursor}").status_code in (200, 404)

    def test_throttle(self, as_customer: APIClient, as_other: APIClient) -> None:
        statuses = [client.get("/throttled/").status_code for client in (as_customer, as_customer, as_other)]
        assert statuses == [200, 429, 200]

    def test_what_is_done_with_a_comment(self, as_customer: APIClient, delivered: Any) -> None:
        url, once = f"/shouted/{delivered().key}/", {"Idempotency-Key": "once"}
        answer, again = (as_customer.post(url, {"body": "hello"}, format="json", headers=once) for _ in range(2))
        assert (answer.status_code, answer.json()["body"]) == (201, "HELLO")
        assert again.content == answer.content
        assert as_customer.post(url, {"body": "HELLO"}, format="json", headers=once).status_code == 422
        assert Comment.objects.get().delivery == "queued"


@pytest.mark.fault(82)
@pytest.mark.parametrize("delivery", ["draft", "refused"])
def test_pages_for_a_browser_show_customers_nothing_of_the_agents(
    everything: Ticket, as_customer: APIClient, as_agent: APIClient, delivery: str
) -> None:
    Ticket.objects.update(delivery=delivery)
    base = f"/pages/tickets/{everything.key}/"
    for path_ in ("/pages/tickets/", "/pages/tickets/?search=SUP", base, *(base + part for part in PARTS)):
        page = as_customer.get(path_, headers={"accept": "text/html"})
        assert page.status_code == 200, path_
        assert page.headers["Content-Type"].startswith("text/html")
        assert "canary" not in page.content.decode(), path_
        assert as_customer.options(path_, headers={"accept": "text/html"}).status_code == 200
    assert "canary" in as_agent.get(base, headers={"accept": "text/html"}).content.decode()


PARTS = ("comments/", "attachments/", "events/")
