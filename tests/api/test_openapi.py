"""The description that is shipped is the one that the code gives, and the code does what it says."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.wsgi import get_wsgi_application

from django_support_tickets.models import Ticket
from tests.api.test_access import DELIVERED, DRAFT, UNCERTAIN, file_of, ticket_of

User = get_user_model()
ROOT = Path(__file__).resolve().parent.parent.parent
SHIPPED = ROOT / "docs" / "openapi.yaml"
SETTINGS = "tests.api.openapi_settings"
CHECKS = (
    "allow_header_conformance",
    "ignored_auth",
    "missing_required_header",
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


def test_the_shipped_description_is_fresh() -> None:
    """Write it anew by: python -m django spectacular --settings tests.api.openapi_settings --file docs/openapi.yaml"""
    pytest.importorskip("drf_spectacular")
    done = subprocess.run(
        [sys.executable, "-m", "django", "spectacular", "--validate", "--fail-on-warn", "--settings", SETTINGS],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TEST_UUID_USER": "0"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == SHIPPED.read_text().strip()


def test_every_answer_has_an_example_that_a_customer_would_get() -> None:
    pytest.importorskip("drf_spectacular")
    described = importlib.import_module("yaml").safe_load(SHIPPED.read_text())
    components, seen = described["components"]["schemas"], 0
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for body in bodies[:2]:  # what is asked and what is answered when all is well
                for kind, content in body.get("content", {}).items():
                    if kind == "application/json":
                        values = [one["value"] for one in content["examples"].values()]
                        assert values, (method, path)
                        seen += sum(check(value, content["schema"], components) for value in values)
    assert seen >= 20


def check(value: Any, schema: dict[str, Any], components: dict[str, Any]) -> int:
    """Fail if an example has other fields than its schema, or lacks required ones; return how many were looked at."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "array":
        return sum(check(one, schema["items"], components) for one in value)
    if "results" in schema.get("properties", ()):
        return sum(check(one, schema["properties"]["results"]["items"], components) for one in value["results"])
    for_staff = {n for n, one in schema["properties"].items() if one.get("description", "").startswith("For staff")}
    assert value.keys() <= schema["properties"].keys() - for_staff
    assert value.keys() >= set(schema.get("required", ()))
    return 1


@pytest.fixture
def tickets(db: None) -> tuple[Any, list[Ticket]]:
    """Somebody who may do everything, and tickets in every state."""
    user = User.objects.create_superuser("root", password="secret")
    return user, [ticket_of(user, values) for values in (DRAFT, DELIVERED, UNCERTAIN) for _ in range(3)]


@pytest.mark.services
@pytest.mark.urls("tests.api.openapi_urls")
@pytest.mark.parametrize("role", ["agent", "customer"])
def test_every_operation_answers_as_described(role: str, tickets: tuple[Any, list[Ticket]]) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    hypothesis = pytest.importorskip("hypothesis")
    strategies = hypothesis.strategies
    user, stored = tickets
    if role == "customer":
        User.objects.filter(pk=user.pk).update(is_staff=False, is_superuser=False)
    file = file_of(stored[4])
    schema = schemathesis.openapi.from_path(str(SHIPPED))
    schema.app = get_wsgi_application()
    checks = schemathesis.checks.CHECKS.get_by_names(CHECKS)
    keys = [str(ticket.key) for ticket in stored]

    def prove(operation: Any) -> None:
        cases = strategies.one_of(
            *(operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode)
        )

        @hypothesis.settings(
            max_examples=int(os.environ.get("TEST_EXAMPLES", "100")),
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=cases, key=strategies.sampled_from([None, *keys]))
        def call(case: Any, key: str | None) -> None:
            if key is not None and case.path_parameters:
                known = {"ticket_key": key, "key": str(file.key) if "ticket_key" in case.path_parameters else key}
                case.path_parameters = {name: known[name] for name in case.path_parameters}
            case.call_and_validate(auth=("root", "secret"), checks=checks)

        call()

    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 16
    for operation in operations:
        prove(operation)
