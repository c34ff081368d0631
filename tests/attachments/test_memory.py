"""50 MB in every direction, each in a process of its own that tells by how much it grew (figure F13)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.attachments import GATE_MEMORY_MB, ours, server

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("files")
    with server(folder) as url:
        yield folder, url


@pytest.mark.fault(40)
@pytest.mark.parametrize("direction", ["up", "down", "store", "hand_out"])
def test_a_large_file_needs_no_memory(vendor: tuple[Path, str], direction: str) -> None:
    _, grown = ours(direction, *vendor)
    assert grown <= GATE_MEMORY_MB
