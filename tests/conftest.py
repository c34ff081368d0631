from __future__ import annotations

import os
import random
from collections.abc import Iterator

import hypothesis
import pytest

from django_support_tickets.testing.sandbox import Sandbox
from django_support_tickets.transport import forget_accounts

# What is generated is the same in every run, and may take its time on a busy machine.
hypothesis.settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True)
def same_chances(request: pytest.FixtureRequest) -> None:
    """What is drawn, as the wait after a failure is, is the same in every run of a test."""
    random.seed(request.node.nodeid)


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Iterator[Sandbox]:
    """The four vendors, freshly reset, over real HTTP on a loopback port."""
    running_sandbox.reset()
    forget_accounts()
    yield running_sandbox


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat the tests that are marked `race` as often as TEST_TIMES says."""
    times = int(os.environ.get("TEST_TIMES", "1"))
    if times > 1 and metafunc.definition.get_closest_marker("race"):
        metafunc.fixturenames.append("time_of_race")
        metafunc.parametrize("time_of_race", range(times))
