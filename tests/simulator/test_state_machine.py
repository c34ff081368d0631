"""Hypothesis looks for a history of submits, comments, crashes, restarts and decisions that breaks a promise."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulator.machine import Push

EXAMPLES = int(os.environ.get("SIMULATOR_EXAMPLES", "15"))


@pytest.mark.fault(5, 6, 10, 12, 15)
@pytest.mark.django_db
def test_no_history_breaks_a_promise(settings: Any) -> None:
    account = {"BACKEND": "tests.outbox.paper.PaperProvider", "OPTIONS": {"settle_seconds": 60.0}}
    settings.SUPPORT_TICKETS_PROVIDERS = {"paper": account}
    profile = hypothesis_settings(
        max_examples=EXAMPLES,
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Push, settings=profile)
