from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import django_support_tickets
from tests.outbox.servers import require
from tests.simulator.points import POINTS, Point
from tests.simulator.standstills import STANDSTILLS

PACKAGE = Path(django_support_tickets.__file__).parent
#: Workers killed; 1,000 in the long profile.
KILLS = int(os.environ.get("SIMULATOR_KILLS", "40"))


def test_there_are_enough_points() -> None:
    assert len(POINTS) >= 12
    assert len(set(POINTS)) == len(POINTS)


@pytest.mark.parametrize("point", sorted({*POINTS, *STANDSTILLS}, key=str), ids=str)
def test_every_point_names_a_function_that_is_there(point: Point) -> None:
    tree = ast.parse((PACKAGE / point.file).read_text())
    assert point.function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.services
@pytest.mark.fault(6, 12)
def test_workers_that_are_killed_lose_nothing_and_double_nothing() -> None:
    require("postgresql")
    command = [sys.executable, "-m", "tests.simulator.kills", "--kills", str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    killed, points = map(int, re.search(r"killed (\d+) at (\d+) points, not freed 0", done.stdout).groups())  # type: ignore[union-attr]
    assert killed >= KILLS
    assert points >= 12
