"""Pull: fetch what is due from the vendors and merge it."""

from __future__ import annotations

from django_support_tickets.sync.counts import PullCounts
from django_support_tickets.sync.hints import has_work, hint, hint_all
from django_support_tickets.sync.lock import AlreadyRunning
from django_support_tickets.sync.pull import pull

__all__ = ["AlreadyRunning", "PullCounts", "has_work", "hint", "hint_all", "pull"]
