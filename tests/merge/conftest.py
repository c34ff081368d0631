from __future__ import annotations

from tests.sync.conftest import configure, desk, ticket

__all__ = ["configure", "desk", "ticket"]
