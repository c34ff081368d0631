"""Every route × role × method × own, other's, missing and malformed object; what the table does not know fails."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import get_resolver
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate

from django_support_tickets.api.permissions import IsActive, MayAct
from django_support_tickets.api.scope import is_agent, tickets_for
from django_support_tickets.api.views import TicketViewSet
from django_support_tickets.models import Attachment, Comment, OutboxEntry, Ticket, TicketEvent
from tests.api.conftest import ALL_PERMISSIONS, client_of, staff

User = get_user_model()

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.api.urls")]

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
OBJECTS = ("own", "others", "missing", "malformed")
DRAFT = {"delivery": "draft"}
DELIVERED = {"delivery": "delivered", "remote_id": "R-", "status": "open"}
UNCERTAIN = {"delivery": "uncertain"}
RAISE = {"provider": "local", "subject": "Deposit missing"}


def upload() -> dict[str, Any]:
    return {"file": SimpleUploadedFile("receipt.txt", b"paid")}


@dataclass(frozen=True)
class Door:
    """One method of one route: the agents' permission, the answer, and the ticket and request that lead to it."""

    permission: str
    status: int
    ticket: dict[str, str]
    data: Callable[[], dict[str, Any]] = dict
    is_multipart: bool = False
    is_for_agents: bool = False


ROUTES: dict[str, dict[str, Door]] = {
    "ticket-list": {
        "GET": Door("view_ticket", 200, {}),
        "POST": Door("add_ticket", 201, {}, lambda: RAISE),
    },
    "ticket-detail": {
        "GET": Door("view_ticket", 200, DELIVERED),
        "PATCH": Door("change_ticket", 200, DRAFT, lambda: {"subject": "Edited"}),
        "DELETE": Door("delete_ticket", 204, DRAFT),
    },
    "ticket-submit": {"POST": Door("change_ticket", 200, DRAFT)},
    "ticket-close": {"POST": Door("change_ticket", 202, DELIVERED)},
    "ticket-refresh": {"POST": Door("sync_ticket", 202, DELIVERED)},
    "ticket-settle": {
        "POST": Door("settle_ticket", 200, UNCERTAIN, lambda: {"send_again": True}, is_for_agents=True),
    },
    "comment-list": {
        "GET": Door("view_ticket", 200, DELIVERED),
        "POST": Door("add_comment", 201, DELIVERED, lambda: {"body": "Any news?"}),
    },
    "attachment-list": {
        "GET": Door("view_ticket", 200, DELIVERED),
        "POST": Door("add_attachment", 201, DELIVERED, upload, is_multipart=True),
    },
    "attachment-content": {"GET": Door("view_attachment", 200, DELIVERED)},
    "event-list": {"GET": Door("view_ticket", 200, DELIVERED)},
    "provider-list": {"GET": Door("view_ticket", 200, {})},
}
PARTS = (Comment, Attachment, TicketEvent, OutboxEntry)
COLLECTIONS = ("ticket-list", "provider-list")

# Role -> the permissions of an agent, None for everybody who is none.
ROLES: dict[str, tuple[str, ...] | None] = {
    "anonymous": None,
    "inactive": None,
    "customer": None,
    "other customer": None,
    "staff without permission": None,
    "staff who may view": ("view_ticket",),
    "staff with all permissions": ALL_PERMISSIONS,
    "staff in a scope": ALL_PERMISSIONS,
}
#: Those for whom others' tickets do not exist.
NARROW = ("customer", "other customer", "staff without permission", "staff in a scope")


def user_of(role: str) -> User | None:
    match role:
        case "anonymous":
            return None
        case "inactive":
            return User.objects.create_user("gone", is_active=False)
        case "staff without permission":
            return staff("clerk")
        case "staff who may view" | "staff with all permissions" | "staff in a scope":
            return staff("agent", *(ROLES[role] or ()))
    return User.objects.create_user(role.replace(" ", "-"))


def routes_of_the_urlconf() -> dict[str, str]:
    """Return the name of every route of the API and its path, with {key} where a key stands."""
    _path, resolver = get_resolver("tests.api.urls").namespace_dict["support_tickets_api"]
    found = {}
    for name in {name for name in resolver.reverse_dict if isinstance(name, str)}:
        (possibilities,) = {pattern for ((pattern, _params),), *_rest in resolver.reverse_dict.getlist(name)}
        found[name] = "/api/" + possibilities.replace("%(ticket_key)s", "{ticket}").replace(
            "%(key)s", "{file}" if name.startswith("attachment") else "{ticket}"
        )
    return found


def ticket_of(owner: User | None, values: dict[str, str]) -> Ticket:
    values = {**values, **({"remote_id": f"R-{uuid.uuid4()}"} if "remote_id" in values else {})}
    return Ticket.objects.bulk_create([Ticket(provider="local", subject="Card", requester=owner, **values)])[0]


def file_of(ticket: Ticket) -> Attachment:
    file = Attachment(ticket=ticket, file=SimpleUploadedFile("receipt.txt", b"paid"), name="receipt.txt")
    file.delivery = "draft"
    file.save()
    Attachment.objects.filter(pk=file.pk).update(sha256="0" * 64, size=4, content_type="text/plain", state="stored")
    return file


def address(path: str, kind: str, *, route: str, values: dict[str, str], user: User | None, stranger: User) -> str:
    ticket, file = str(uuid.uuid4()), str(uuid.uuid4())
    if kind == "malformed":
        ticket = file = "..%00x"
    elif kind != "missing" and route not in COLLECTIONS:
        stored = ticket_of(user if kind == "own" else stranger, values)
        ticket = str(stored.key)
        file = str(file_of(stored).key) if "{file}" in path else file
    return path.format(ticket=ticket, file=file)


def expected(role: str, route: str, method: str, kind: str) -> int:
    permissions = ROLES[role]
    if role in ("anonymous", "inactive"):
        return 403
    if method == "OPTIONS":
        return 200
    door = ROUTES[route].get("GET" if method == "HEAD" else method)
    if door is None:
        return 405
    if (permissions is None and door.is_for_agents) or (permissions is not None and door.permission not in permissions):
        return 403
    if route in COLLECTIONS or kind == "own" or (kind == "others" and role not in NARROW):
        return door.status
    return 404


def call(client: APIClient, method: str, path: str, door: Door | None) -> Any:
    data = door.data() if door is not None and method in ("POST", "PATCH") else None
    form = "multipart" if door is not None and door.is_multipart else "json"
    return client.generic(method, path) if data is None else getattr(client, method.lower())(path, data, format=form)


def test_the_table_knows_every_route_of_the_urlconf() -> None:
    assert set(routes_of_the_urlconf()) == set(ROUTES)


@pytest.mark.fault(79, 84)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("route", ROUTES)
def test_access(route: str, role: str, settings: Any) -> None:
    path, stranger = routes_of_the_urlconf()[route], User.objects.create_user("stranger")
    user = user_of(role)
    if role == "staff in a scope":
        settings.SUPPORT_TICKETS_TICKET_SCOPE = lambda user: Ticket.objects.filter(requester=user)
    client = client_of(user)
    for method in METHODS:
        door = ROUTES[route].get(method)
        values = (door or next(iter(ROUTES[route].values()))).ticket
        answers = {}
        for kind in OBJECTS:
            where = address(path, kind, route=route, values=values, user=user, stranger=stranger)
            before = rows_of(stranger)
            answer = call(client, method, where, door)
            status = expected(role, route, method, kind)
            assert answer.status_code == status, (method, kind, answer.status_code)
            answers[kind] = answer
            assert role not in NARROW or rows_of(stranger) == before
        if role in NARROW and route not in COLLECTIONS or status in (401, 403):
            assert_same(answers["others"], answers["missing"], answers["malformed"])


def rows_of(user: User) -> list[Any]:
    """Return everything that there is of a user's tickets."""
    tickets = Ticket.objects.filter(requester=user)
    parts: list[Any] = [model._default_manager.filter(ticket__in=tickets) for model in PARTS]
    return [list(rows.order_by("pk").values()) for rows in (tickets, *parts)]


def assert_same(first: Any, *others: Any) -> None:
    for other in others:
        assert (other.status_code, other.content) == (first.status_code, first.content)
        assert dict(other.headers) == dict(first.headers)


class TestNestedObjects:
    @pytest.mark.fault(79, 80)
    def test_a_foreign_file_is_not_served_through_an_own_ticket(self, customer: User, as_customer: APIClient) -> None:
        own, foreign = ticket_of(customer, DELIVERED), ticket_of(None, DELIVERED)
        base = f"/api/tickets/{own.key}/attachments"
        through_own = as_customer.get(f"{base}/{file_of(foreign).key}/content/")
        assert through_own.status_code == 404
        assert_same(through_own, as_customer.get(f"{base}/{uuid.uuid4()}/content/"))
        own_through_foreign = as_customer.get(f"/api/tickets/{foreign.key}/attachments/{file_of(own).key}/content/")
        assert_same(through_own, own_through_foreign)

    @pytest.mark.fault(79)
    def test_lists_hold_nothing_of_others(self, customer: User, as_customer: APIClient) -> None:
        own, foreign = ticket_of(customer, DELIVERED), ticket_of(None, DELIVERED)
        Ticket.objects.update(reference="SUP-1")
        for ticket in (own, foreign):
            Comment.objects.bulk_create([Comment(ticket=ticket, body="Hello")])
        for query in ("", "?search=SUP", "?search=Card", f"?search={foreign.key}", "?status=open", "?provider=local"):
            keys = [row["key"] for row in as_customer.get(f"/api/tickets/{query}").json()["results"]]
            assert keys in ([str(own.key)], []), query
        for ordering in ("created_at", "-created_at", "updated_at"):
            assert len(as_customer.get(f"/api/tickets/?ordering={ordering}").json()["results"]) == 1


class TestDefaultDeny:
    def test_every_view_names_its_own_permissions(self) -> None:
        _path, resolver = get_resolver("tests.api.urls").namespace_dict["support_tickets_api"]
        for pattern in resolver.url_patterns:
            view = pattern.callback.cls
            assert view.permission_classes == (IsActive, MayAct)
            assert {*pattern.callback.actions.values()} <= {*view.needs}

    @pytest.mark.parametrize("role", ["customer", "staff with all permissions"])
    def test_an_action_without_a_permission_is_nobodys(self, role: str) -> None:
        class Careless(TicketViewSet):
            @action(detail=False)
            def everything(self, request: Any) -> Response:
                raise AssertionError("reached")

        request = APIRequestFactory().get("/")
        force_authenticate(request, user_of(role))
        assert Careless.as_view({"get": "everything"})(request).status_code == 403

    @pytest.mark.fault(84)
    def test_an_expired_session_is_nobody(self, customer: User) -> None:
        client = APIClient()
        client.force_login(customer)
        assert client.get("/api/tickets/").status_code == 200
        client.session.flush()
        assert client.get("/api/tickets/").status_code == 403

    def test_a_session_needs_the_csrf_token_to_write(self, customer: User) -> None:
        client = APIClient(enforce_csrf_checks=True)
        client.force_login(customer)
        assert client.post("/api/tickets/", RAISE, format="json").status_code == 403
        client.cookies["csrftoken"] = token = "a" * 32
        answer = client.post("/api/tickets/", RAISE, format="json", headers={"X-CSRFToken": token})
        assert (answer.status_code, Ticket.objects.get().requester) == (201, customer)

    @pytest.mark.parametrize("nobody", ["django.contrib.auth.models.AnonymousUser", None])
    def test_a_site_that_authenticates_nobody_opens_nothing(self, settings: Any, nobody: str | None) -> None:
        settings.REST_FRAMEWORK = {"UNAUTHENTICATED_USER": nobody}
        _path, resolver = get_resolver("tests.api.urls").namespace_dict["support_tickets_api"]
        for pattern in resolver.url_patterns:
            actions = dict(pattern.callback.actions)  # to which DRF adds HEAD with the first request
            view = pattern.callback.cls.as_view({**actions}, authentication_classes=())
            for method in actions:
                answer = view(APIRequestFactory().generic(method, "/"), key=str(uuid.uuid4()), ticket_key="x")
                assert answer.status_code == 403


class TestScope:
    def test_a_scope_of_the_project_decides(self, settings: Any, as_other: APIClient, customer: User) -> None:
        ticket = ticket_of(customer, DELIVERED)
        settings.SUPPORT_TICKETS_TICKET_SCOPE = "tests.api.test_access.everybodys"
        assert as_other.get(f"/api/tickets/{ticket.key}/").status_code == 200
        assert "customer_id" not in as_other.get(f"/api/tickets/{ticket.key}/").json()

    def test_people_of_a_user_model_without_a_staff_flag_are_customers(self) -> None:
        class Person:
            is_authenticated = is_active = True

            def has_perm(self, permission: str) -> bool:
                return True

        assert not is_agent(Person())
        Person.is_staff = True  # type: ignore[attr-defined]
        assert is_agent(Person())

    def test_no_scope_lets_somebody_in_who_is_not_active(self, settings: Any, customer: User) -> None:
        settings.SUPPORT_TICKETS_TICKET_SCOPE = everybodys
        customer.is_active = False
        assert client_of(customer).get("/api/tickets/").status_code == 403
        assert APIClient().get("/api/tickets/").status_code == 403
        ticket_of(customer, DELIVERED)
        for nobody in (customer, AnonymousUser(), None):  # also where a site has replaced the permissions
            assert not tickets_for(nobody).exists()


def everybodys(user: User) -> Any:
    return Ticket.objects.all()
